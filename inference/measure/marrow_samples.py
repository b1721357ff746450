"""Where in a vertebral body each marrow voxel lies, and the bright area that several of them make.

A voxel's *height* in the body runs from 0 at the superior endplate to 1 at the inferior one, along the line between the
neighbouring bodies; its *depth* from 0 at the front to 1 at the back. Both are shares, so that wedged and crushed
bodies have thirds too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.anatomy import Vertebra
from inference.errors import ReasonCode
from inference.geometry import FloatArray, MaskArray, Volume
from inference.measure.grid import SagittalGrid, bounding_box, sagittal_grid
from inference.measure.outlines import BodyOutline
from inference.measure.reading import Point, Unmeasured

RIM_MM = 1.5
"""Left out at the outline: endplate and cortex are 0.5-1 mm thick and dark, and share voxels with marrow and disc. At
least one voxel."""
WELL_SEEN = 0.6
"""A slice counts where it shows this share of the body's largest section: beside it the body's side wall is cut."""
SMOOTH_MM = 1.0
"""Standard deviation of the smoothing within a slice, against noise; the body's outside is not mixed in."""
COLUMN_MM = 2.0
"""Width of the columns in which superior and inferior endplate are looked for."""
FEWEST_VOXELS = 40
"""With fewer nothing is said about a body: a share would be known to 1 in 40 at best."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BodySamples:
    """The marrow voxels of one body; all arrays are (n,)."""

    signal: FloatArray
    """Smoothed, above zero."""
    height: FloatArray
    depth: FloatArray
    index: NDArray[np.int64]
    """(n, 3): canonical (slice, row, column) of the grid."""
    grid: SagittalGrid


@dataclass(frozen=True, slots=True, kw_only=True)
class BrightArea:
    """The largest connected bright area of a body."""

    width: float
    """Share of the body's depth that it spans."""
    middle_index: Point
    """Source index of the voxel nearest to its middle on the slice where it is largest."""


def sample_bodies(outlines: Mapping[Vertebra, BodyOutline], volume: Volume) -> dict[Vertebra, BodySamples | Unmeasured]:
    """The marrow of every body, head to foot, or why it cannot be looked at."""
    background = np.ones(volume.shape, np.float32)
    for outline in outlines.values():
        background[outline.mask] = 0.0
    grid = sagittal_grid(volume, background)
    voxels = grid.crop(volume.voxels)
    axes = _axes(outlines, volume, grid)
    return {
        level: outline.cut or _sample(outline.mask, voxels, grid, axis)
        for (level, outline), axis in zip(outlines.items(), axes, strict=True)
    }


def bright_area(body: BodySamples, bright: MaskArray) -> BrightArea | None:
    """The largest connected part (by faces) of the bright voxels; None where none is bright."""
    if not bright.any():
        return None
    start = body.index.min(axis=0)
    place = body.index - start
    box = np.zeros(place.max(axis=0) + 1, dtype=np.bool_)
    box[tuple(place[bright].T)] = True
    parts, count = ndimage.label(box)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[0] = 0
    largest: MaskArray = bright & (parts[tuple(place.T)] == int(sizes.argmax()))
    depth = body.depth[largest]
    inside = body.index[largest]
    slice_index = int(np.bincount(inside[:, 0]).argmax())
    on_slice = inside[inside[:, 0] == slice_index]
    nearest = on_slice[np.argmin(np.sum((on_slice - on_slice.mean(axis=0)) ** 2, axis=1))]
    return BrightArea(
        width=float(depth.max() - depth.min()), middle_index=body.grid.source_index(nearest * body.grid.spacing_mm)
    )


def _axes(outlines: Mapping[Vertebra, BodyOutline], volume: Volume, grid: SagittalGrid) -> Iterator[FloatArray]:
    """Unit (y, x) of the canonical slice towards the feet, along the line between each body's neighbours."""
    head, back = np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0])
    places = np.array([outline.centre_lps_mm for outline in outlines.values()])
    rows, columns = volume.directions[:, 1], volume.directions[:, 2]
    if grid.transposed:
        rows, columns = columns, rows
    foot, rear = (-rows if rows @ head > 0 else rows), (-columns if columns @ back < 0 else columns)
    for n in range(len(places)):
        step = places[min(n + 1, len(places) - 1)] - places[max(n - 1, 0)]
        axis = np.array([step @ foot, step @ rear])
        length = float(np.linalg.norm(axis))
        yield axis / length if length > 0 else np.array([1.0, 0.0])


def _sample(
    mask: MaskArray, voxels: NDArray[np.float32], grid: SagittalGrid, axis: FloatArray
) -> BodySamples | Unmeasured:
    mask = grid.crop(mask)
    box = bounding_box(mask)
    if box is None:
        return Unmeasured(reason=ReasonCode.TRUNCATION, sentence="the series does not show the body")
    mask, signal = mask[box], voxels[box]
    area = mask.sum(axis=(1, 2))
    inner = np.stack([_inner(plane, grid) for plane in mask])
    inner[area < WELL_SEEN * area.max()] = False
    if inner.sum() < FEWEST_VOXELS:
        return Unmeasured(
            reason=ReasonCode.UNCERTAIN,
            sentence=f"the body shows {int(inner.sum())} voxels of marrow, at least {FEWEST_VOXELS} are needed",
        )
    height, depth = _places(mask, axis, grid)
    index = np.argwhere(inner)
    smooth = _smoothed(signal, inner, grid)[inner]
    return BodySamples(
        signal=np.maximum(smooth.astype(np.float64), 1e-3),
        height=height[inner],
        depth=depth[inner],
        index=index + [side.start for side in box],
        grid=grid,
    )


def _inner(plane: MaskArray, grid: SagittalGrid) -> MaskArray:
    """The section without its rim."""
    _, row_mm, column_mm = grid.spacing_mm
    padded = np.pad(plane, 1)  # what lies beyond the box is outside the body
    away = ndimage.distance_transform_edt(padded, sampling=(row_mm, column_mm))[1:-1, 1:-1]
    return np.asarray(away > max(RIM_MM, row_mm, column_mm))


def _smoothed(signal: NDArray[np.float32], inner: MaskArray, grid: SagittalGrid) -> FloatArray:
    """Signal averaged with its neighbours inside the body."""
    _, row_mm, column_mm = grid.spacing_mm
    sigma = (0.0, SMOOTH_MM / row_mm, SMOOTH_MM / column_mm)
    weight = ndimage.gaussian_filter(inner.astype(np.float64), sigma, mode="constant")
    total = ndimage.gaussian_filter(np.where(inner, signal, 0.0).astype(np.float64), sigma, mode="constant")
    return np.asarray(total / np.maximum(weight, 1e-9))


def _places(mask: MaskArray, axis: FloatArray, grid: SagittalGrid) -> tuple[FloatArray, FloatArray]:
    """Height and depth of every voxel of a body, shape of the mask; outside it without meaning."""
    _, row_mm, column_mm = grid.spacing_mm
    slices, rows, columns = np.nonzero(mask)
    y, x = rows * row_mm, columns * column_mm
    along, across = y * axis[0] + x * axis[1], x * axis[0] - y * axis[1]
    column = np.floor((across - across.min()) / COLUMN_MM).astype(int)
    key = slices * (int(column.max()) + 1) + column
    height, depth = np.zeros(mask.shape), np.zeros(mask.shape)
    height[mask] = _share_within(along, key)
    depth[mask] = _share_within(across, slices)
    return height, depth


def _share_within(value: FloatArray, group: NDArray[np.int64]) -> FloatArray:
    """Place of each value between the least (0) and the largest (1) of its group."""
    low, high = np.full(group.max() + 1, np.inf), np.full(group.max() + 1, -np.inf)
    np.minimum.at(low, group, value)
    np.maximum.at(high, group, value)
    return np.asarray((value - low[group]) / np.maximum(high[group] - low[group], 1e-6))
