"""The course of the spinal canal: the line that everything else is ordered along.

The canal is the one structure that is continuous from end to end, so it gives the order of the levels and tells the
vertebral bodies (before it) from the posterior elements (behind it).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from inference.errors import ReasonCode, SeriesRefusal
from inference.geometry import FloatArray, MaskArray
from inference.measure.grid import parts_of

MINIMUM_CANAL_MM = 40.0
"""A shorter canal cannot order three bodies: lumbar pitch is 32 to 38 mm, thoracic 22 to 28 (models.md 2.3)."""
SMOOTHING_MM = 6.0
"""Gaussian sigma along the canal for its walls: keeps a disc level's bulge, drops the noise of single rows."""
COURSE_SMOOTHING_MM = 15.0
"""Sigma for the course, whose direction must not follow single bulges."""
FARTHEST_FRONT_MM = 30.0
"""A part of a body or disc comes this close to the canal's front wall: nearly the depth of a body (34 mm, models.md
2.3), so that a body of which the field of view holds only the front is kept."""
CANAL_SHARE = 0.1
"""Parts of the canal class smaller than this share of the largest do not steer its course."""
FARTHEST_APART_MM = 25.0
"""Two parts in the same rows of a slice whose middles lie farther apart are not both canal, which is 16 mm deep
(standard deviation 2, models.md 2.3); two halves of one sac lie nearer."""
_COARSE_MM = 2.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CanalLine:
    """The canal by row of the canonical crop; every array has one value per row, gaps filled, ends extrapolated."""

    present: MaskArray
    """True in rows where the canal was seen."""
    slice_index: FloatArray
    """Its centre across slices."""
    anterior_mm: FloatArray
    """x of its front wall near its centre."""
    posterior_mm: FloatArray
    """x of its back wall near its centre."""
    course_mm: FloatArray
    """(n, 2): smooth (y, x) points of its centre, evenly dense, reaching past both ends of the crop."""
    arc_mm: FloatArray
    """(row, column): place along the course of the nearest point of it."""

    @property
    def place_mm(self) -> FloatArray:
        """Distance along the course of each of its points."""
        steps = np.linalg.norm(np.diff(self.course_mm, axis=0), axis=1)
        return np.concatenate([[0.0], np.cumsum(steps)])

    def arc_at(self, y_mm: float, x_mm: float) -> float:
        """Place along the course of the point of it nearest to (y, x)."""
        return float(self.place_mm[int(np.linalg.norm(self.course_mm - (y_mm, x_mm), axis=1).argmin())])

    def point_at(self, arc_mm: float | FloatArray) -> FloatArray:
        """The (y, x) point at a place along the course, or at each of several."""
        place = self.place_mm
        return np.stack([np.interp(arc_mm, place, self.course_mm[:, axis]) for axis in range(2)], axis=-1)

    def tangent(self, arc_mm: float) -> FloatArray:
        """Unit (y, x) direction towards the feet at a place along the course, over 10 mm of it."""
        step = self.point_at(arc_mm + 5.0) - self.point_at(arc_mm - 5.0)
        return np.asarray(step / np.linalg.norm(step))


def canal_line(canal: MaskArray, spacing_mm: tuple[float, float, float]) -> CanalLine:
    """The course and the walls of the canal.

    Args:
        canal: the canal class on the canonical crop, islands removed.
        spacing_mm: (slice, row, column).

    Raises:
        SeriesRefusal: no canal, or one too short to order vertebrae along.
    """
    slice_mm, row_mm, column_mm = spacing_mm
    seen = canal.any(axis=2)  # (slice, row)
    present: MaskArray = np.asarray(seen.any(axis=0))
    length_mm = float(present.sum() * row_mm)
    if length_mm < MINIMUM_CANAL_MM:
        raise SeriesRefusal(
            f"no plausible spine was found: {length_mm:.0f} mm of spinal canal, "
            f"at least {MINIMUM_CANAL_MM:.0f} mm are needed",
            code=ReasonCode.BODY_PART,
        )
    weight = canal.sum(axis=2).astype(np.float64)
    centre = (weight * np.arange(len(canal))[:, None]).sum(axis=0) / np.maximum(weight.sum(axis=0), 1.0)
    near = seen & (np.abs(np.arange(len(canal))[:, None] - centre) * slice_mm <= max(4.0, 0.6 * slice_mm))
    first = canal.argmax(axis=2).astype(np.float64)
    last = canal.shape[2] - 1 - canal[:, :, ::-1].argmax(axis=2).astype(np.float64)
    anterior = _filled(_median_where(first, near), SMOOTHING_MM / row_mm) * column_mm - column_mm / 2
    posterior = _filled(_median_where(last, near), SMOOTHING_MM / row_mm) * column_mm + column_mm / 2
    middle = ndimage.gaussian_filter1d((anterior + posterior) / 2, COURSE_SMOOTHING_MM / row_mm, mode="nearest")
    course = _course(middle, present, row_mm)
    return CanalLine(
        present=present,
        slice_index=_filled(np.where(present, centre, np.nan), COURSE_SMOOTHING_MM / row_mm),
        anterior_mm=anterior,
        posterior_mm=posterior,
        course_mm=course,
        arc_mm=_arc_map(course, canal.shape[1:], (row_mm, column_mm)),
    )


def one_canal(
    canal: MaskArray, spine: MaskArray, spacing_mm: tuple[float, float, float], *, smallest_voxels: float
) -> MaskArray:
    """The canal class without islands, and without parts far before or behind others: there is one canal.

    Of two parts in the same rows of a slice, the one with more vertebra and disc in front of it is the canal.

    Args:
        canal: the canal class on the canonical crop.
        spine: the vertebra and the disc class.
        spacing_mm: (slice, row, column).
        smallest_voxels: smaller parts are islands.
    """
    part, count = parts_of(canal)
    if count <= 1:
        return canal
    slices, rows, columns = np.nonzero(canal)
    cells = slices * canal.shape[1] + rows
    sizes = np.bincount(part)
    middle = np.full(len(canal) * canal.shape[1], np.nan)
    is_kept = sizes >= smallest_voxels
    large = np.flatnonzero(is_kept)
    support = {number: _in_front(spine, canal, part == number, spacing_mm[2]) for number in large}
    for number in sorted(large, key=lambda number: (-support[number], -sizes[number])):
        mine, place = np.unique(cells[part == number], return_inverse=True)
        own = np.bincount(place, weights=columns[part == number]) / np.bincount(place)
        apart_mm = np.abs(own - middle[mine]) * spacing_mm[2]
        if np.isfinite(apart_mm).any() and np.nanmedian(apart_mm) > FARTHEST_APART_MM:
            is_kept[number] = False
        else:
            middle[mine] = own
    kept = np.zeros_like(canal)
    kept[canal] = is_kept[part]
    return kept


def _in_front(spine: MaskArray, canal: MaskArray, is_part: MaskArray, column_mm: float) -> int:
    """Voxels of the spine within FARTHEST_FRONT_MM before the front of one part of the canal class."""
    mask = np.zeros_like(canal)
    mask[canal] = is_part
    slices, rows = np.nonzero(mask.any(axis=2))
    front = mask[slices, rows].argmax(axis=1)
    columns = np.arange(canal.shape[2])
    near = (columns < front[:, None]) & (columns >= front[:, None] - FARTHEST_FRONT_MM / column_mm)
    return int((spine[slices, rows] & near).sum())


def near_canal(mask: MaskArray, line: CanalLine, column_mm: float) -> MaskArray:
    """The mask without its connected parts that lie far in front of the canal all over: bowel or vessels, not spine.

    Args:
        mask: the vertebra or the disc class on the canonical crop.
        line: the canal's course.
        column_mm: distance from column to column.
    """
    part, count = parts_of(mask)
    _, rows, columns = np.nonzero(mask)
    is_near = line.anterior_mm[rows] - columns * column_mm <= FARTHEST_FRONT_MM
    kept = np.zeros_like(mask)
    kept[mask] = (np.bincount(part[is_near], minlength=count) > 0)[part]
    return kept


def _median_where(values: FloatArray, where: MaskArray) -> FloatArray:
    """Median down the columns of the values that count, NaN where none does."""
    out = np.full(values.shape[1], np.nan)
    columns = np.flatnonzero(where.any(axis=0))
    out[columns] = np.nanmedian(np.where(where[:, columns], values[:, columns], np.nan), axis=0)
    return out


def _filled(values: FloatArray, sigma: float) -> FloatArray:
    """The sequence smoothed, its gaps interpolated and its ends continued along their last slope."""
    known = np.flatnonzero(np.isfinite(values))
    kept = ndimage.median_filter(values[known], size=min(5, len(known)), mode="nearest")
    places = np.arange(len(values), dtype=np.float64)
    full = np.interp(places, known, kept)
    full = ndimage.gaussian_filter1d(full, sigma, mode="nearest")
    reach = max(int(4 * sigma), 2)
    head, foot = int(known[0]), int(known[-1])
    for end, inner in ((head, min(head + reach, foot)), (foot, max(foot - reach, head))):
        if inner == end:
            continue
        slope = (full[inner] - full[end]) / (inner - end)
        outside = places < end if end == head else places > end
        full[outside] = full[end] + slope * (places[outside] - end)
    return np.asarray(full)


def _course(middle_mm: FloatArray, present: MaskArray, row_mm: float) -> FloatArray:
    """Points (y, x) along the centre, continued 200 mm past both ends of the canal along its last direction."""
    rows = np.flatnonzero(present)
    y = np.arange(rows[0], rows[-1] + 1) * row_mm
    line = np.stack([y, middle_mm[rows[0] : rows[-1] + 1]], axis=1)
    reach = min(len(line) - 1, max(int(30.0 / row_mm), 1))
    steps = np.arange(1.0, 201.0)[:, None]
    up = (line[0] - line[reach]) / np.linalg.norm(line[0] - line[reach])
    down = (line[-1] - line[-1 - reach]) / np.linalg.norm(line[-1] - line[-1 - reach])
    return np.concatenate([line[0] + steps[::-1] * up, line, line[-1] + steps * down])


def _arc_map(course_mm: FloatArray, shape: tuple[int, ...], spacing_mm: tuple[float, float]) -> FloatArray:
    """Place along the course for every (row, column): computed on a coarse grid, then interpolated."""
    place = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(course_mm, axis=0), axis=1))])
    axes = [np.arange(0, n * d + _COARSE_MM, _COARSE_MM) for n, d in zip(shape, spacing_mm, strict=True)]
    coarse = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    nearest = cKDTree(course_mm).query(coarse.reshape(-1, 2))[1]
    values = place[nearest].reshape(coarse.shape[:2])
    fine = np.meshgrid(*(np.arange(n) * d / _COARSE_MM for n, d in zip(shape, spacing_mm, strict=True)), indexing="ij")
    return np.asarray(ndimage.map_coordinates(values, np.stack(fine), order=1, mode="nearest"))
