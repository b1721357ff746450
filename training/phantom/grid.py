"""Where the pixels of the phantom's slices are, and the canvas that is painted on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.phantom.column import Column
from training.phantom.parameters import PhantomParameters

FloatArray = NDArray[np.float64]
Field = NDArray[np.float32]

SACRUM_PLACE = 0.76
"""Height of the S1 endplate in the field of view, from the top, as SPIDER's slices have it."""
BODIES_PLACE = 0.52
"""Mean place of the bodies in the field of view, from the front."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Sample positions, LPS mm before the turn: columns grow to the back, rows to the foot, slices to the left."""

    x: FloatArray
    """One per subslice: `slices * subslices`."""
    y: FloatArray
    z: FloatArray
    subslices: int
    slice_x: FloatArray
    """One per slice: the middle of its subslices."""

    def affine(self, slice_spacing_mm: float, turn_deg: float) -> FloatArray:
        """(slice, row, column) to LPS mm."""
        affine = np.eye(4)
        affine[:3, 0] = (slice_spacing_mm, 0, 0)
        affine[:3, 1] = (0, 0, self.z[1] - self.z[0] if len(self.z) > 1 else -1.0)
        affine[:3, 2] = (0, self.y[1] - self.y[0] if len(self.y) > 1 else 1.0, 0)
        affine[:3, 3] = (self.slice_x[0], self.y[0], self.z[0])
        return turn(turn_deg) @ affine


def turn(turn_deg: float) -> FloatArray:
    """(4, 4) turn about the head-foot axis."""
    c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    matrix = np.eye(4)
    matrix[:2, :2] = ((c, -s), (s, c))
    return matrix


def build_grid(parameters: PhantomParameters, column: Column, *, subslices: int) -> Grid:
    """Place the field of view on the column."""
    step = parameters.spacing_mm
    high, wide = parameters.rows * step, parameters.columns * step
    names = [b.name for b in column.bones]
    lowest = 0 if parameters.lowest is None else names.index(parameters.lowest)
    bottom = -(1 - SACRUM_PLACE) * high if lowest == 0 else column.bones[lowest - 1].centre[2]
    inside = [b.centre[1] for b in column.bones if bottom < b.centre[2] < bottom + high]
    front = float(np.mean(inside) if inside else 0.0) - BODIES_PLACE * wide
    slice_x: FloatArray = (
        np.arange(parameters.slices, dtype=np.float64) - (parameters.slices - 1) / 2
    ) * parameters.slice_spacing_mm
    within = ((np.arange(subslices) + 0.5) / subslices - 0.5) * parameters.slice_spacing_mm
    return Grid(
        x=(slice_x[:, None] + within[None, :]).ravel(),
        y=front + (np.arange(parameters.columns, dtype=np.float64) + 0.5) * step,
        z=bottom + high - (np.arange(parameters.rows, dtype=np.float64) + 0.5) * step,
        subslices=subslices,
        slice_x=slice_x,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A block of the canvas with its samples in the axes of one structure."""

    block: tuple[slice, slice, slice]
    u: Field
    """(subslice, 1, 1)"""
    v: Field
    """(1, row, column)"""
    w: Field
    """(1, row, column)"""


def box_around(
    grid: Grid, centre: FloatArray, phi: float, *, u_mm: float, v_mm: tuple[float, float], w_mm: tuple[float, float]
) -> Box | None:
    """The samples within a local block, None where the field of view has none of them."""
    c, s = np.cos(phi), np.sin(phi)
    corners = [(v * c - w * s, v * s + w * c) for v in v_mm for w in w_mm]
    y_low, y_high = centre[1] + min(a for a, _ in corners), centre[1] + max(a for a, _ in corners)
    z_low, z_high = centre[2] + min(b for _, b in corners), centre[2] + max(b for _, b in corners)
    block = (
        _span(grid.x, centre[0] - u_mm, centre[0] + u_mm),
        _span(grid.z, z_low, z_high),
        _span(grid.y, y_low, y_high),
    )
    if any(part.start >= part.stop for part in block):
        return None
    y = (grid.y[block[2]] - centre[1])[None, None, :]
    z = (grid.z[block[1]] - centre[2])[None, :, None]
    return Box(
        block=block,
        u=(grid.x[block[0]] - centre[0]).astype(np.float32)[:, None, None],
        v=(y * c + z * s).astype(np.float32),
        w=(z * c - y * s).astype(np.float32),
    )


def _span(values: FloatArray, low: float, high: float) -> slice:
    inside = np.flatnonzero((values >= low) & (values <= high))
    return slice(int(inside[0]), int(inside[-1]) + 1) if len(inside) else slice(0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """What is painted, each (subslice, row, column)."""

    tissue: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    instances: NDArray[np.uint8]

    @classmethod
    def blank(cls, grid: Grid) -> Canvas:
        """Nothing painted yet."""
        shape = (len(grid.x), len(grid.z), len(grid.y))
        return cls(
            tissue=np.zeros(shape, np.uint8), labels=np.zeros(shape, np.uint8), instances=np.zeros(shape, np.uint8)
        )
