"""Discs told apart, and the planes between vertebral bodies.

A *separator* is a plane between two neighbouring bodies: the plane of a disc, or, where two bodies touch and no disc
was found between them, the plane through their narrowest place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.geometry import FloatArray, MaskArray
from inference.measure.canal_line import CanalLine
from inference.measure.fused_discs import LEAST_APART_MM, STACKED, disc_parts

USUAL_PITCH_MM = 33.0
"""Distance from disc to disc where too few discs tell it: mean body and disc of T12..L5 (models.md 2.3)."""
FRAGMENT_PITCH = 0.5
"""Parts nearer than this share of the pitch are one structure (models.md 3.5, from SPINEPS), unless stacked."""
MINIMUM_DISC_SHARE = 0.15
"""A disc smaller than this share of the median one is an island of noise, unless the field of view cuts it."""
SMALLEST_ISLAND_MM3 = 30.0
"""Islands below this are left out: on 30 real label maps (SPIDER T2 SPACE) they hold less than 0.1 % of any class."""
ROUND = 2.0
"""A disc whose variance along itself is less than this multiple of that across it is too round to have a direction."""
FARTHEST_COSINE = 0.5
"""A disc's normal lies within 60 degrees of the canal's course: L5-S1 and a flat sacrum are within 45."""
_TILT_RIDGE_MM2 = 9.0
"""Slices that span less than about 3 mm to either side say little about a tilt across them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Separator:
    """A plane between two bodies."""

    arc_mm: float
    """Place along the canal's course."""
    centre_mm: FloatArray
    """(z, y, x)."""
    normal: FloatArray
    """Unit (z, y, x), towards the feet."""
    disc: int | None
    """Number of its disc in the label array; None where no disc was found."""

    def below(self, points: FloatArray) -> MaskArray:
        """For points (n, 3): which lie on the feet's side."""
        return np.asarray((points - self.centre_mm) @ self.normal > 0)


def direction_between(above: Separator, below: Separator) -> FloatArray:
    """Unit direction from one disc to the next, (z, y, x); the upper one's normal where both lie at one place.

    Two pieces of noise can share their centre, or differ across slices alone.
    """
    axis = below.centre_mm - above.centre_mm
    length = float(np.linalg.norm(axis))
    return np.asarray(axis / length) if np.hypot(*axis[1:]) > 0 else above.normal


def label_discs(
    disc: MaskArray, line: CanalLine, spacing_mm: tuple[float, float, float]
) -> tuple[NDArray[np.int16], tuple[Separator, ...]]:
    """Discs numbered from 1 head to foot on the crop, and the plane of each.

    Fragments of one disc are joined by their place along the canal; islands far from every disc stay 0.
    """
    part_of, count = disc_parts(disc, spacing_mm)
    voxels = np.argwhere(disc)
    volumes = np.asarray(np.bincount(part_of, minlength=count) * np.prod(spacing_mm), dtype=np.float64)
    arcs = _mean_by(part_of, line.arc_mm[voxels[:, 1], voxels[:, 2]], count)
    group_of_part = _groups(arcs, volumes, _Footprints.of(voxels, part_of, count))
    groups = group_of_part[part_of]
    edges = _touches_edge(voxels, disc.shape)
    numbers = np.zeros(int(groups.max(initial=0)) + 1, dtype=np.int16)
    sizes = np.bincount(groups, minlength=len(numbers))[1:]
    kept = []
    for group, size in enumerate(sizes, start=1):
        if size == 0:  # of islands alone
            continue
        cut = bool(edges[groups == group].any())
        if size >= MINIMUM_DISC_SHARE * np.median(sizes) or (
            cut and size >= 0.5 * MINIMUM_DISC_SHARE * np.median(sizes)
        ):
            kept.append(group)
            numbers[group] = len(kept)
    labels = np.zeros(disc.shape, dtype=np.int16)
    labels[disc] = numbers[groups]
    places = voxels * np.asarray(spacing_mm)
    planes = tuple(_plane(places[groups == group], line, number) for number, group in enumerate(kept, start=1))
    return labels, planes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Footprints:
    """Where each part lies seen along the rows, the direction from head to foot: its (slice, column) cells."""

    cells: tuple[frozenset[int], ...]

    @classmethod
    def of(cls, voxels: NDArray[np.int64], part_of: NDArray[np.int64], count: int) -> _Footprints:
        place = voxels[:, 0] * (voxels[:, 2].max(initial=0) + 1) + voxels[:, 2]
        return cls(cells=tuple(frozenset(place[part_of == part].tolist()) for part in range(count)))

    def are_stacked(self, part: int, others: list[int]) -> bool:
        """Whether a part lies over or under others, instead of beside them."""
        one, many = self.cells[part], frozenset().union(*(self.cells[other] for other in others))
        return len(one & many) > STACKED * min(len(one), len(many))


def _groups(arcs: FloatArray, volumes: FloatArray, footprints: _Footprints) -> NDArray[np.int64]:
    """For each part the number of its disc (1.. head to foot, 0 for none)."""
    group = np.zeros(len(arcs), dtype=np.int64)
    if not len(arcs):
        return group
    large = np.flatnonzero(volumes >= 0.3 * np.percentile(volumes[volumes >= 0.2 * volumes.max()], 75))
    large = large[np.argsort(arcs[large], kind="stable")]
    gaps = np.diff(arcs[large])
    pitch = (
        float(np.median(gaps[gaps > 0.5 * USUAL_PITCH_MM])) if np.any(gaps > 0.5 * USUAL_PITCH_MM) else USUAL_PITCH_MM
    )
    centres: list[list[int]] = []
    medium = np.flatnonzero(volumes >= 0.1 * np.median(volumes[large]))
    for part in medium[np.argsort(arcs[medium], kind="stable")].tolist():
        gap = arcs[part] - np.average(arcs[centres[-1]], weights=volumes[centres[-1]]) if centres else np.inf
        is_near = gap < FRAGMENT_PITCH * pitch
        if is_near and (gap < LEAST_APART_MM or not footprints.are_stacked(part, centres[-1])):
            centres[-1].append(part)
        else:
            centres.append([part])
    middle = np.array([np.average(arcs[parts], weights=volumes[parts]) for parts in centres])
    distance = np.abs(arcs[:, None] - middle[None, :])
    nearest = distance.argmin(axis=1)
    near = distance[np.arange(len(arcs)), nearest] < FRAGMENT_PITCH * pitch
    group[near] = nearest[near] + 1
    group[volumes < SMALLEST_ISLAND_MM3] = 0
    return group


def _mean_by(part_of: NDArray[np.int64], values: FloatArray, count: int) -> FloatArray:
    return np.asarray(np.bincount(part_of, weights=values, minlength=count) / np.bincount(part_of, minlength=count))


def _touches_edge(voxels: NDArray[np.int64], shape: tuple[int, ...]) -> MaskArray:
    """Which voxels lie within the margin of the crop's first or last rows.

    The margin is empty unless the image ends there.
    """
    return np.asarray((voxels[:, 1] < 2) | (voxels[:, 1] >= shape[1] - 2))  # noqa: PLR2004 - see docstring


def _plane(points: FloatArray, line: CanalLine, number: int) -> Separator:
    """The plane of one disc: direction in the slices from all of them, tilt across slices by ridge regression."""
    centre = points.mean(axis=0)
    arc = line.arc_at(centre[1], centre[2])
    tangent = line.tangent(arc)
    flat = points[:, 1:] - centre[1:]
    values, vectors = np.linalg.eigh(np.cov(flat.T) if len(flat) > 2 else np.eye(2))  # noqa: PLR2004
    normal = vectors[:, 0]
    if values[1] < ROUND * values[0] or abs(normal @ tangent) < FARTHEST_COSINE:
        normal = tangent
    normal = normal if normal @ tangent > 0 else -normal
    return _with_tilt(points, centre, normal, arc, number)


def _with_tilt(points: FloatArray, centre: FloatArray, normal: FloatArray, arc: float, number: int | None) -> Separator:
    across = points[:, 0] - centre[0]
    height = (points[:, 1:] - centre[1:]) @ normal
    slope = float(np.mean(across * height) / (np.mean(across * across) + _TILT_RIDGE_MM2))
    full = np.array([-slope, *normal])
    return Separator(arc_mm=arc, centre_mm=centre, normal=full / np.linalg.norm(full), disc=number)
