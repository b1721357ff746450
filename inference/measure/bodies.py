"""Vertebral bodies told apart, and cut off from their posterior elements.

Everything of the vertebra class in front of the canal is cut by the separators into *segments*, one per level. A
segment much longer than its neighbours holds two bodies whose disc was not found: it is cut again at its narrowest
place.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.geometry import FloatArray, MaskArray
from inference.measure.canal_line import CanalLine
from inference.measure.grid import Box, SagittalGrid, boxes_of, parts_of
from inference.measure.separators import USUAL_PITCH_MM, Separator, direction_between

MERGED_LENGTH = 1.5
"""A segment longer than this many pitches is a merged pair (models.md 3.5: a body > 1.5 x its neighbours)."""
OPEN_LENGTH = 1.3
"""The same for the first and last segment, which have a disc at one end only."""
_WALL_MARGIN_MM = 1.5
"""A pedicle is cut this far behind the fitted posterior wall, so that a slightly curved wall stays with the body."""
_SCATTERED_SHARE = 0.1
"""A part of a segment smaller than this share of its largest part is not body."""
_WHOLE_SHARE = 0.95
"""A connected part that lies in one segment to this share belongs to it whole."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bodies:
    """Segments numbered 1.. head to foot; 0 elsewhere. A segment may be empty (a level whose body was not found)."""

    anterior: NDArray[np.int16]
    """Segment of every vertebra voxel in front of the canal, pedicle roots included; shape of the crop."""
    body: NDArray[np.int16]
    """The same without what lies behind the posterior wall."""
    separators: tuple[Separator, ...]
    """Separator i lies between segments i + 1 and i + 2."""
    boxes: dict[int, Box]
    """Where the body of a segment lies; none for an empty one."""
    volumes_mm3: FloatArray
    """Of the body, by segment."""

    @property
    def count(self) -> int:
        """Number of segments."""
        return len(self.separators) + 1


def split_bodies(vertebra: MaskArray, line: CanalLine, separators: tuple[Separator, ...], grid: SagittalGrid) -> Bodies:
    """Cut the vertebra class in front of the canal into one segment per level."""
    spacing = np.asarray(grid.spacing_mm)
    columns_mm = np.arange(vertebra.shape[2]) * spacing[2]
    in_front = vertebra & (columns_mm[None, :] < line.anterior_mm[:, None])[None]
    voxels = np.argwhere(in_front)
    points = voxels * spacing
    separators = _with_missing(points, separators, line)
    segments = _segments(points, separators)
    parts, _ = parts_of(in_front)
    segments = _whole_parts(parts, segments, len(separators) + 1)
    anterior = np.zeros(vertebra.shape, dtype=np.int16)
    anterior[in_front] = segments
    body = anterior.copy()
    scattered = _scattered(parts, segments, len(separators) + 1)
    behind = scattered | _behind_wall(voxels, segments, line, vertebra.shape, grid)
    body[tuple(voxels[behind].T)] = 0
    count = len(separators) + 1
    volumes = np.asarray(np.bincount(segments[~behind], minlength=count + 1)[1:] * spacing.prod(), dtype=np.float64)
    return Bodies(anterior=anterior, body=body, separators=separators, boxes=boxes_of(body), volumes_mm3=volumes)


def _segments(points: FloatArray, separators: tuple[Separator, ...]) -> NDArray[np.int16]:
    """Segment number (1..) of each point: one more than the planes above it."""
    out = np.ones(len(points), dtype=np.int16)
    for separator in separators:
        out += separator.below(points)
    return out


def _whole_parts(parts: NDArray[np.int64], segments: NDArray[np.int16], count: int) -> NDArray[np.int16]:
    """Give each connected part that lies almost wholly in one segment to it."""
    table = np.bincount(parts * (count + 1) + segments, minlength=(int(parts.max(initial=0)) + 1) * (count + 1))
    table = table.reshape(-1, count + 1)
    main = table.argmax(axis=1)
    whole = table.max(axis=1) >= _WHOLE_SHARE * np.maximum(table.sum(axis=1), 1)
    return np.where(whole[parts], main[parts], segments).astype(np.int16)


def _scattered(parts: NDArray[np.int64], segments: NDArray[np.int16], count: int) -> MaskArray:
    """Which voxels lie in a part that holds little of their segment: false islands in front of the spine."""
    table = np.bincount(
        parts * (count + 1) + segments, minlength=(int(parts.max(initial=0)) + 1) * (count + 1)
    ).reshape(-1, count + 1)
    small = table < _SCATTERED_SHARE * np.maximum(table.max(axis=0), 1)
    return np.asarray(small[parts, segments])


def _with_missing(points: FloatArray, separators: tuple[Separator, ...], line: CanalLine) -> tuple[Separator, ...]:
    """The separators, with one more in each segment that is long enough for two bodies, until none is."""
    found = list(separators)
    for _ in range(24):  # no more bodies than a spine has
        extra = _missing_separator(points, found, line)
        if extra is None:
            break
        found = sorted([*found, extra], key=lambda separator: separator.arc_mm)
    return tuple(found)


def _missing_separator(points: FloatArray, found: list[Separator], line: CanalLine) -> Separator | None:
    """A plane through the narrowest place of the first segment that is too long, None when none is."""
    pitch = _pitch(found)
    segments = _segments(points, tuple(found))
    for number in range(1, len(found) + 2):
        mine = points[segments == number]
        if len(mine) < 50:  # noqa: PLR2004 - a handful of voxels has no length
            continue
        above = found[number - 2] if number > 1 else None
        below = found[number - 1] if number <= len(found) else None
        origin, axis = _segment_axis(mine, above, below, line)
        along = (mine - origin) @ axis
        low, high = np.percentile(along, (1.0, 99.0))
        if above is None or below is None:
            length, limit = float(high - low), OPEN_LENGTH
        else:
            length, limit = float(np.linalg.norm(below.centre_mm - above.centre_mm)), MERGED_LENGTH
        # Far apart discs alone are no merged pair: the bone between them must be longer than one body and its disc.
        if length <= limit * pitch[number - 1] or high - low <= pitch[number - 1]:
            continue
        valley = _valley(along, low, high, pitch[number - 1])
        near = mine[np.abs(along - valley) < 3.0]  # noqa: PLR2004 - millimetres around the valley
        centre = near.mean(axis=0) if len(near) else origin + valley * axis
        arc = line.arc_at(centre[1], centre[2])
        return Separator(arc_mm=arc, centre_mm=centre, normal=_normal(found, arc, line), disc=None)
    return None


def _segment_axis(
    mine: FloatArray, above: Separator | None, below: Separator | None, line: CanalLine
) -> tuple[FloatArray, FloatArray]:
    """A point and a unit direction towards the feet, to measure a segment along."""
    if above is not None and below is not None:
        return above.centre_mm, direction_between(above, below)
    if above is not None:
        return above.centre_mm, above.normal
    if below is not None:
        return below.centre_mm, below.normal
    centre = mine.mean(axis=0)
    return centre, np.array([0.0, *line.tangent(line.arc_at(centre[1], centre[2]))])


def _pitch(found: list[Separator]) -> FloatArray:
    """Expected length of every segment, from the distances between the discs around it."""
    gaps = np.array([np.linalg.norm(b.centre_mm - a.centre_mm) for a, b in itertools.pairwise(found)])
    if len(gaps) == 0:
        return np.full(len(found) + 1, USUAL_PITCH_MM)
    usual = float(np.median(gaps))
    typical = np.where((gaps > 0.6 * usual) & (gaps < 1.4 * usual), gaps, np.nan)
    around = [np.nanmean([usual, *typical[max(i - 2, 0) : i + 2]]) for i in range(len(found) + 1)]
    return np.asarray(around)


def _valley(along: FloatArray, low: float, high: float, pitch: float) -> float:
    """The place with the least bone between two bodies, at least 0.45 pitch from either end."""
    edges = np.arange(low, high + 1.0, 1.0)
    profile = ndimage.gaussian_filter1d(np.histogram(along, edges)[0].astype(np.float64), 1.5)
    middles = (edges[:-1] + edges[1:]) / 2
    allowed = (middles > low + 0.45 * pitch) & (middles < high - 0.45 * pitch)
    if not allowed.any():
        return (low + high) / 2
    return float(middles[np.where(allowed, profile, np.inf).argmin()])


def _normal(found: list[Separator], arc_mm: float, line: CanalLine) -> FloatArray:
    """Direction of a plane without a disc: between those of the discs around it, or the canal's."""
    if not found:
        return np.array([0.0, *line.tangent(arc_mm)])
    places = [s.arc_mm for s in found]
    normal = np.array([np.interp(arc_mm, places, [s.normal[axis] for s in found]) for axis in range(3)])
    return np.asarray(normal / np.linalg.norm(normal))


def _behind_wall(
    voxels: NDArray[np.int64], segments: NDArray[np.int16], line: CanalLine, shape: tuple[int, ...], grid: SagittalGrid
) -> MaskArray:
    """Which anterior voxels lie behind their body's posterior wall, on slices beside the canal.

    The wall is seen on the slices that hold the canal; a robust plane through it is continued to the pedicles' slices.
    """
    slice_mm, row_mm, column_mm = grid.spacing_mm
    last = np.full(shape[:2], -1, dtype=np.int64)
    np.maximum.at(last, (voxels[:, 0], voxels[:, 1]), voxels[:, 2])
    owner = np.zeros(shape[:2], dtype=np.int16)
    owner[voxels[:, 0], voxels[:, 1]] = segments
    sides = np.abs(np.arange(shape[0])[:, None] - line.slice_index[None, :]) * slice_mm
    central = (sides <= max(6.0, 0.6 * slice_mm)) & (last >= 0)
    behind = np.zeros(len(voxels), dtype=np.bool_)
    for number in np.unique(segments):
        k, r = np.nonzero(central & (owner == number))
        if len(r) < 10:  # noqa: PLR2004 - too little wall for a plane
            continue
        z, y, x = k * slice_mm, r * row_mm, last[k, r] * column_mm
        wall = _robust_wall(np.asarray(z, np.float64), np.asarray(y, np.float64), np.asarray(x, np.float64))
        mine = np.flatnonzero(segments == number)
        at = voxels[mine]
        limit = wall[0] + wall[1] * at[:, 1] * row_mm + wall[2] * at[:, 0] * slice_mm + _WALL_MARGIN_MM
        lateral = sides[at[:, 0], at[:, 1]] > max(6.0, 0.6 * slice_mm)
        behind[mine] = lateral & (at[:, 2] * column_mm > limit)
    return behind


def _robust_wall(z: FloatArray, y: FloatArray, x: FloatArray) -> FloatArray:
    """Coefficients (1, y, z) of x over the wall: reweighted least squares, the tilt across slices held near zero."""
    origin = np.array([y.mean(), z.mean()])
    design = np.stack([np.ones_like(x), y - origin[0], z - origin[1]], axis=1)
    ridge = np.diag([0.0, 1.0, 1.0]) * len(x) * np.array([0.0, 0.0, 4.0])
    weight = np.ones_like(x)
    fit = np.zeros(3)
    for _ in range(5):
        fit = np.linalg.lstsq((design.T * weight) @ design + ridge, (design.T * weight) @ x, rcond=None)[0]
        residual = np.abs(x - design @ fit)
        weight = 1.0 / np.maximum(residual, 0.5)
    return np.array([fit[0] - fit[1] * origin[0] - fit[2] * origin[1], fit[1], fit[2]])
