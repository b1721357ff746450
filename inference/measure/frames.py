"""The local frame of a body or a disc, and its edges seen in that frame with sub-voxel precision.

In a frame, v runs along the axis towards the feet and u across it towards the back, both from the structure's centre.
The axis starts as the direction between the neighbours' centres and ends as the direction at right angles to the mean
of the two endplates, so that a tilted slice, a lordotic L5 and a wedged body are all measured along themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.geometry import FloatArray, MaskArray

STEP_MM = 0.4
"""Sampling step in the frame: finer than the pixels of clinical series, so that the step does not set the precision."""
HALF = 0.5
"""A surface lies where its class has probability one half."""
ENDPLATE_SPAN = (0.12, 0.88)
"""Shares of the depth over which an endplate line is fitted: without the rounded corners and their osteophytes."""
ROTATIONS = 3
"""Refinements of the axis: each turns it by the mean slope of the endplates that is left."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """Origin and directions of a structure in the slice plane."""

    centre_mm: FloatArray
    """(z, y, x)."""
    axis: FloatArray
    """Unit (y, x) towards the feet."""
    half_length_mm: float
    """How far to look along the axis."""
    half_depth_mm: float
    """How far to look across it."""

    @property
    def across(self) -> FloatArray:
        """Unit (y, x) at a right angle to the axis, towards the back."""
        return np.array([-self.axis[1], self.axis[0]])

    def point_mm(self, z_mm: float, v: float, u: float) -> FloatArray:
        """(z, y, x) of a place in the frame on the slice at z."""
        y, x = self.centre_mm[1:] + v * self.axis + u * self.across
        return np.array([z_mm, y, x])

    def turned(self, slope: float) -> Frame:
        """The frame with its axis turned so that a line of this slope (dv/du) becomes level."""
        angle = np.arctan(slope)
        axis = np.cos(angle) * self.axis - np.sin(angle) * self.across
        return Frame(
            centre_mm=self.centre_mm, axis=axis, half_length_mm=self.half_length_mm, half_depth_mm=self.half_depth_mm
        )


def frame_around(
    voxels_mm: FloatArray, centre_mm: FloatArray, axis: FloatArray, *, margin_mm: tuple[float, float]
) -> Frame:
    """A frame that looks at all of a structure.

    Args:
        voxels_mm: (n, 3) places of its voxels, (z, y, x).
        centre_mm: (z, y, x).
        axis: unit (y, x) towards the feet.
        margin_mm: how much further to look along and across the axis.
    """
    offset = voxels_mm[:, 1:] - centre_mm[1:]
    return Frame(
        centre_mm=centre_mm,
        axis=axis,
        half_length_mm=float(np.abs(offset @ axis).max()) + margin_mm[0],
        half_depth_mm=float(np.abs(offset @ np.array([-axis[1], axis[0]])).max()) + margin_mm[1],
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Edges:
    """Where a structure begins and ends in its frame, by slice (first axis); NaN where it is not."""

    frame: Frame
    slices: NDArray[np.int64]
    """Slices of the crop that were looked at."""
    u: FloatArray
    top: FloatArray
    """(slice, u): v of the upper surface."""
    bottom: FloatArray
    """(slice, u): v of the lower surface."""
    front: FloatArray
    """(slice,): u of the anterior surface at mid height."""
    back: FloatArray
    """(slice,): u of the posterior surface at mid height."""
    v: FloatArray
    front_wall: FloatArray
    """(slice, v): u of the anterior surface."""
    back_wall: FloatArray
    """(slice, v): u of the posterior surface."""

    @property
    def depth_mm(self) -> float:
        """Median depth over the slices, NaN where none shows both walls."""
        depth = self.back - self.front
        known = depth[np.isfinite(depth)]
        return float(np.median(known)) if known.size else float("nan")

    def share(self, part: float) -> FloatArray:
        """U at this share of the depth from the front, for each slice."""
        return np.asarray(self.front + part * (self.back - self.front))


def own_probability(probability: NDArray[Any], mask: MaskArray) -> NDArray[np.float32]:
    """Probability of one structure alone: elsewhere a voxel that another one of its class claims counts as outside."""
    values = probability.astype(np.float32)
    return np.where(mask | (values < HALF), values, np.float32(0.0))


def edges_in_frame(
    probability: NDArray[np.float32], slices: NDArray[np.int64], frame: Frame, spacing: tuple[float, float]
) -> Edges | None:
    """The surfaces of one structure, None where it does not cover any of the slices.

    Args:
        probability: of this structure alone, shape (slice, row, column), the slices given by ``slices``.
        slices: their numbers in the crop.
        frame: where to look.
        spacing: (row, column) in millimetres.
    """
    for turn in range(ROTATIONS + 1):
        edges = _edges(probability, slices, frame, spacing)
        if edges is None or turn == ROTATIONS:
            return edges
        slope = _mean_slope(edges)
        if slope is None:
            return edges
        frame = frame.turned(slope)
    return None


def _edges(
    probability: NDArray[np.float32], slices: NDArray[np.int64], frame: Frame, spacing: tuple[float, float]
) -> Edges | None:
    v = np.arange(-frame.half_length_mm, frame.half_length_mm + STEP_MM, STEP_MM)
    u = np.arange(-frame.half_depth_mm, frame.half_depth_mm + STEP_MM, STEP_MM)
    y = frame.centre_mm[1] + v[:, None] * frame.axis[0] + u[None, :] * frame.across[0]
    x = frame.centre_mm[2] + v[:, None] * frame.axis[1] + u[None, :] * frame.across[1]
    place = np.stack([y / spacing[0], x / spacing[1]])
    seen = np.stack([ndimage.map_coordinates(plane, place, order=1, mode="constant") for plane in probability])
    used = (seen >= HALF).any(axis=(1, 2))
    if not used.any():
        return None
    seen, slices = seen[used], slices[used]
    top, bottom = _outer_crossings(seen, v)
    middle = _middle_rows(top, bottom, v)
    front_wall, back_wall = _outer_crossings(np.swapaxes(seen, 1, 2), u)  # (slice, v)
    return Edges(
        frame=frame,
        slices=slices,
        u=u,
        top=top,
        bottom=bottom,
        front=_median_rows(front_wall, middle),
        back=_median_rows(back_wall, middle),
        v=v,
        front_wall=front_wall,
        back_wall=back_wall,
    )


def _outer_crossings(seen: FloatArray, v: FloatArray) -> tuple[FloatArray, FloatArray]:
    """First and last crossing of one half along axis 1, linear between samples, NaN where there is none."""
    inside = seen >= HALF
    found: MaskArray = np.asarray(inside.any(axis=1))
    first = inside.argmax(axis=1)
    last = inside.shape[1] - 1 - inside[:, ::-1].argmax(axis=1)
    return _crossing(seen, v, first, -1, found), _crossing(seen, v, last, 1, found)


def _crossing(
    seen: FloatArray, v: FloatArray, index: NDArray[np.int64], step: int, found: NDArray[np.bool_]
) -> FloatArray:
    """Place between sample ``index`` (inside) and its neighbour one ``step`` on (outside)."""
    beyond = np.clip(index + step, 0, len(v) - 1)
    inner = np.take_along_axis(seen, index[:, None, :], axis=1)[:, 0]
    outer = np.take_along_axis(seen, beyond[:, None, :], axis=1)[:, 0]
    fall = np.maximum(inner - outer, 1e-6)
    share = np.where(beyond == index, 0.0, np.clip((inner - HALF) / fall, 0.0, 1.0))
    return np.where(found, v[index] + step * share * STEP_MM, np.nan)


def _middle_rows(top: FloatArray, bottom: FloatArray, v: FloatArray) -> NDArray[np.bool_]:
    """(slice, v): the middle half of the height, where the front and back walls are walls and not corners."""
    upper, lower = _medians(top), _medians(bottom)
    centre, reach = (upper + lower) / 2, np.maximum((lower - upper) / 4, STEP_MM)
    return np.asarray(np.abs(v[None, :] - centre[:, None]) <= reach[:, None])


def _median_rows(values: FloatArray, rows: NDArray[np.bool_]) -> FloatArray:
    return _medians(np.where(rows, values, np.nan))


def _medians(values: FloatArray) -> FloatArray:
    """Median of each row without its NaNs, NaN where there is nothing else: a quick np.nanmedian for short rows."""
    ordered = np.sort(values, axis=1)  # NaNs last
    count = np.isfinite(values).sum(axis=1)
    low, high = np.maximum((count - 1) // 2, 0), count // 2
    line = np.arange(len(values))
    middle = (ordered[line, low] + ordered[line, np.minimum(high, values.shape[1] - 1)]) / 2
    return np.where(count > 0, middle, np.nan)


def _mean_slope(edges: Edges) -> float | None:
    """Mean slope dv/du of the two endplates over all slices, by reweighted least squares; None with too few points."""
    low, high = edges.share(ENDPLATE_SPAN[0]), edges.share(ENDPLATE_SPAN[1])
    inside = (edges.u[None, :] >= low[:, None]) & (edges.u[None, :] <= high[:, None])
    slopes = []
    for surface in (edges.top, edges.bottom):
        good = inside & np.isfinite(surface)
        if good.sum() < 8:  # noqa: PLR2004 - too few points for a line
            return None
        slopes.append(robust_slope(np.broadcast_to(edges.u, surface.shape)[good], surface[good]))
    return float(np.mean(slopes))


def robust_slope(x: FloatArray, y: FloatArray) -> float:
    """Slope of a line through points, least absolute residuals by reweighting (five rounds)."""
    return robust_line(x, y)[0]


def robust_line(x: FloatArray, y: FloatArray) -> tuple[float, float, float]:
    """Slope of the same line, and x and y of a place on it; slope 0 where all points have one x."""
    weight = np.ones_like(x)
    slope, mean_x, mean_y = 0.0, 0.0, 0.0
    for _ in range(5):
        mean_x, mean_y = float(np.average(x, weights=weight)), float(np.average(y, weights=weight))
        spread = float(np.sum(weight * (x - mean_x) ** 2))
        if spread < 1e-9:  # noqa: PLR2004 - all points at one place
            return 0.0, mean_x, mean_y
        slope = float(np.sum(weight * (x - mean_x) * (y - mean_y)) / spread)
        weight = 1.0 / np.maximum(np.abs(y - mean_y - slope * (x - mean_x)), 0.2)
    return slope, mean_x, mean_y
