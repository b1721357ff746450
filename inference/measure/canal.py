"""Antero-posterior diameter of the canal at each disc level.

Taken on the slice that is nearest to the middle of the canal at that level, at right angles to the canal's course, as
the smallest within the level; the level is the disc and 2 mm of endplate to either side.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from inference.errors import ReasonCode
from inference.geometry import FloatArray
from inference.measure.canal_line import CanalLine
from inference.measure.frames import HALF, STEP_MM
from inference.measure.grid import SagittalGrid, runs_of
from inference.measure.reading import Length, Unmeasured
from inference.measure.separators import Separator

HALF_LEVEL_MM = 7.0
"""Half of a lumbar disc (10 to 12 mm, models.md 2.3) and 2 mm of endplate."""
REACH_MM = 18.0
"""How far from the course a wall is looked for: more than the widest canal's half (25 mm wide)."""
SMOOTHING_MM = 1.5
"""Sigma along the canal: the diameter of a level, not of one row of pixels."""
OUTLINE_MM = 0.75
"""Standard deviation of the diameter from our outlines against that from SPIDER's own, by the same code: 0.56 on the 20
lumbar levels of the T2 SPACE patients kept back, 0.78 on the 98 of those trained on (`training.measure_canal`)."""
OFF_STACK_MM = 6.0
"""The middle of the canal may lie this far outside the stack; half a canal's width."""


def canal_diameter(
    probability: FloatArray,
    line: CanalLine,
    separator: Separator,
    grid: SagittalGrid,
    *,
    half_level_mm: float = HALF_LEVEL_MM,
) -> Length | Unmeasured:
    """The smallest diameter at one level.

    Args:
        probability: of the canal class on the crop.
        line: the canal's course.
        separator: the plane of the disc, or of a body's middle; the level is where it meets the course.
        grid: the canonical crop.
        half_level_mm: how far the level reaches along the course to either side.
    """
    arc = _crossing_arc(line, separator)
    row = float(np.clip(line.point_at(arc)[0] / grid.spacing_mm[1], 0, grid.shape[1] - 1))
    centre = float(line.slice_index[round(row)])
    index = int(np.clip(round(centre), 0, grid.shape[0] - 1))
    if abs(centre - index) * grid.spacing_mm[0] > OFF_STACK_MM:
        return Unmeasured(
            reason=ReasonCode.TRUNCATION, sentence="the middle of the canal lies outside the stack at this level"
        )
    along = np.arange(arc - half_level_mm, arc + half_level_mm + STEP_MM, STEP_MM)
    rows = line.point_at(along[[0, -1]])[:, 0] / grid.spacing_mm[1]
    seen_rows = np.flatnonzero(line.present)
    if rows.min() < seen_rows[0] or rows.max() > seen_rows[-1]:
        return Unmeasured(reason=ReasonCode.TRUNCATION, sentence="the canal is cut off or ends within this level")
    axis = line.tangent(arc)
    across = np.array([-axis[1], axis[0]])
    u = np.arange(-REACH_MM, REACH_MM + STEP_MM, STEP_MM)
    centres = line.point_at(along)
    points = centres[:, None, :] + u[None, :, None] * across
    place = np.moveaxis(points / np.asarray(grid.spacing_mm[1:]), -1, 0)
    seen = ndimage.map_coordinates(probability[index].astype(np.float32), place, order=1, mode="constant")
    front, back = _walls(seen, u)
    return _smallest(front, back, points[:, 0] - u[0] * across, across, index=index, grid=grid)


def _crossing_arc(line: CanalLine, separator: Separator) -> float:
    """Place where the disc's plane, continued backwards in its slice, meets the canal's course."""
    offset = (line.course_mm - separator.centre_mm[1:]) @ separator.normal[1:]
    distance = np.linalg.norm(line.course_mm - separator.centre_mm[1:], axis=1)
    near = np.where(distance < 45.0, np.abs(offset), np.inf)  # noqa: PLR2004 - a disc's half depth and a canal
    return float(line.place_mm[int(near.argmin())]) if np.isfinite(near.min()) else separator.arc_mm


def _walls(seen: FloatArray, u: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Place across (u) of the front and back wall on every line across: the run of canal nearest to the course."""
    front, back = np.full(len(seen), np.nan), np.full(len(seen), np.nan)
    for line, values in enumerate(seen):
        runs = list(zip(*runs_of(values >= HALF), strict=True))
        if not runs:
            continue
        first, last = min(runs, key=lambda run: np.abs(u[run[0] : run[1] + 1]).mean())
        if first == 0 or last == len(u) - 1:
            continue
        front[line] = u[first] - STEP_MM * (values[first] - HALF) / max(values[first] - values[first - 1], 1e-6)
        back[line] = u[last] + STEP_MM * (values[last] - HALF) / max(values[last] - values[last + 1], 1e-6)
    return front, back


def _smallest(
    front: FloatArray, back: FloatArray, centres: FloatArray, across: FloatArray, *, index: int, grid: SagittalGrid
) -> Length | Unmeasured:
    """The smallest smoothed width, with its two ends."""
    good = np.isfinite(front) & np.isfinite(back)
    if good.mean() < 0.7:  # noqa: PLR2004 - a level with a third of its canal missing is not measured
        return Unmeasured(reason=ReasonCode.UNCERTAIN, sentence="the canal is not outlined throughout this level")
    place = np.arange(len(front))
    walls = [np.interp(place, place[good], wall[good]) for wall in (front, back)]
    front, back = (ndimage.gaussian_filter1d(wall, SMOOTHING_MM / STEP_MM, mode="nearest") for wall in walls)
    width = back - front
    at = int(width.argmin())
    near = width[max(at - 4, 0) : at + 5]
    z = index * grid.spacing_mm[0]
    ends = [np.array([z, *(centres[at] + side * across)]) for side in (front[at], back[at])]
    return Length(
        mm=float(width[at]),
        uncertainty_mm=float(np.hypot(OUTLINE_MM, near.std())),
        start_index=grid.source_index(ends[0]),
        end_index=grid.source_index(ends[1]),
    )
