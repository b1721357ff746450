"""Where an axial series shows the canal at each disc, and what the outline of the sac there amounts to.

The sagittal reading gives, for every disc, the point where the disc's plane meets the middle of the canal, and the
canal's course there. An axial slice belongs to the disc when it passes near that point and is turned little against
the disc and the canal. Everything is LPS millimetres of one Frame of Reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from inference.anatomy import Disc
from inference.errors import ReasonCode
from inference.geometry import FloatArray, Volume
from inference.measure.reading import DiscReading, SpineReading, Unmeasured
from inference.measure.sac import extent

LEVEL_MM = 5.0
"""A slice shows a disc when it crosses the canal this near to the disc's plane: half a lumbar disc (10 to 12 mm,
models.md 2.3)."""
DISC_ANGLE_DEG = 30.0
"""Largest angle between a slice and the disc: over the sac's half depth (9 mm) the slice then leaves the disc's plane
by 5 mm, LEVEL_MM."""
COURSE_ANGLE_DEG = 35.0
"""Largest angle between a slice's normal and the canal's course: the cosine that the area is multiplied by is then
0.82, and an error of 5 degrees in the course changes the area by 6 %."""
FIELD_MM = 16.0
"""The slice must show this much around the canal's middle: half a canal's width (25 mm, models.md 2.3) and fat."""
BINS_MM = np.arange(-14.0, 14.1, 4.0)
"""Edges of the parts of the canal that its course is fitted to: a disc and half of both bodies."""
BEHIND_MM = 60.0
"""The canal lies within this distance behind a disc's middle: half a body's depth and the canal's."""
PIXEL_ERROR = 0.1
"""An outline is known to this part of a pixel all round; our own choice, between a sharp edge and half a pixel."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CanalPlace:
    """The canal at one disc, from a sagittal series."""

    level: Disc
    point_mm: FloatArray
    """Where the disc's plane meets the middle of the canal."""
    course: FloatArray
    """Unit vector along the canal towards the feet."""
    down: FloatArray
    """Unit normal of the disc towards the feet."""
    back: FloatArray
    """Unit vector in the disc's plane towards the back."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SliceView:
    """One axial slice at a disc: the axes of its crop and its turn against the canal."""

    slice_index: int
    centre_mm: FloatArray
    """Where the slice meets the canal's middle."""
    back: FloatArray
    """Unit vector in the slice towards the back."""
    left: FloatArray
    """Unit vector in the slice towards the left, at a right angle to `back`."""
    cosine: float
    """Of the angle between the slice's normal and the canal's course."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SacSize:
    """The sac at right angles to the canal, with one standard deviation each."""

    area_mm2: float
    area_uncertainty_mm2: float
    ap_mm: float
    """Largest extent from front to back."""
    width_mm: float
    """Largest extent from side to side."""
    length_uncertainty_mm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SacErrors:
    """How far a network's outlines were from the truth where both were known: root mean square errors."""

    area_fraction: float
    """Of the true area, on images with real signal."""
    smallest_area_mm2: float
    """On small sacs, where a fraction says too little."""
    length_mm: float


def canal_at_discs(reading: SpineReading, volume: Volume) -> tuple[CanalPlace | Unmeasured, ...]:
    """The canal at every disc of a reading, in the order of the discs."""
    canal_mm = volume.to_lps_mm(np.argwhere(reading.canal))
    return tuple(_place(disc, volume, canal_mm) for disc in reading.discs)


def _place(disc: DiscReading, volume: Volume, canal_mm: FloatArray) -> CanalPlace | Unmeasured:
    down, back = (_unit(volume.affine[:3, :3] @ np.asarray(step)) for step in (disc.down_index, disc.back_index))
    offset = canal_mm - volume.to_lps_mm(disc.centre_index)
    along, behind = offset @ down, offset @ back
    near = (behind > 0) & (behind < BEHIND_MM)
    middles = [
        canal_mm[part].mean(axis=0)
        for low, high in pairwise(BINS_MM)
        if (part := near & (along >= low) & (along < high)).any()
    ]
    if len(middles) < len(BINS_MM) - 1:
        return Unmeasured(
            reason=ReasonCode.TRUNCATION, sentence="The sagittal series does not show the canal all along this disc."
        )
    places = (np.asarray(middles) - volume.to_lps_mm(disc.centre_index)) @ down
    slope, start = np.polyfit(places, np.asarray(middles), 1)
    return CanalPlace(level=disc.level, point_mm=start, course=_unit(slope), down=down, back=back)


def views_at(place: CanalPlace, stacks: Sequence[Volume]) -> tuple[Volume, tuple[SliceView, ...]] | Unmeasured:
    """The axial slices that show the canal at a disc, of the stack that is turned least against it, or why none do."""
    reasons: list[tuple[float, Unmeasured]] = []
    for stack in sorted(stacks, key=lambda stack: _angle_deg(_normal(stack), place.down)):
        views = _views_in(place, stack)
        if not isinstance(views, Unmeasured):
            return stack, views
        reasons.append((float(np.abs(_distances(place, stack)).min()), views))
    return min(reasons, key=lambda reason: reason[0])[1]  # of the stack that came nearest


def _views_in(place: CanalPlace, axial: Volume) -> tuple[SliceView, ...] | Unmeasured:
    normal, distance = _normal(axial), np.abs(_distances(place, axial))
    found = np.flatnonzero(distance <= LEVEL_MM)
    if not len(found):
        sentence = (
            f"No axial slice crosses the canal within {LEVEL_MM:g} mm of this disc; "
            f"the nearest is {distance.min():.0f} mm away."
        )
        return Unmeasured(reason=ReasonCode.TRUNCATION, sentence=sentence)
    angles = [_angle_deg(normal, v) for v in (place.down, place.course)]
    if angles[0] > DISC_ANGLE_DEG or angles[1] > COURSE_ANGLE_DEG:
        sentence = (
            f"The axial slices are turned by {angles[0]:.0f} degrees against this disc and {angles[1]:.0f} against the "
            f"canal; at most {DISC_ANGLE_DEG:g} and {COURSE_ANGLE_DEG:g} are measured."
        )
        return Unmeasured(reason=ReasonCode.ORIENTATION, sentence=sentence)
    views = tuple(_view(place, axial, int(index), normal) for index in found)
    if not all(_is_shown(view, axial) for view in views):
        return Unmeasured(
            reason=ReasonCode.TRUNCATION, sentence="The canal at this disc lies at the edge of the axial slices."
        )
    return views


def _normal(axial: Volume) -> FloatArray:
    return _unit(np.cross(axial.directions[:, 2], axial.directions[:, 1]))


def _angle_deg(one: FloatArray, other: FloatArray) -> float:
    """Between two lines along unit vectors, 0 to 90."""
    return float(np.degrees(np.arccos(min(1.0, abs(float(one @ other))))))


def _distances(place: CanalPlace, axial: Volume) -> FloatArray:
    """From the disc's point in the canal to where each slice crosses the canal, along it."""
    normal = _normal(axial)
    corners = axial.to_lps_mm([(index, 0, 0) for index in range(axial.shape[0])])
    return np.asarray((place.point_mm - corners) @ normal / max(abs(float(normal @ place.course)), 1e-6))


def _view(place: CanalPlace, axial: Volume, index: int, normal: FloatArray) -> SliceView:
    cosine = float(normal @ place.course)
    to_plane = float((axial.to_lps_mm((index, 0, 0)) - place.point_mm) @ normal) / cosine
    back = _unit(place.back - (place.back @ normal) * normal)
    left = np.cross(back, normal)
    return SliceView(
        slice_index=index,
        centre_mm=place.point_mm + to_plane * place.course,
        back=back,
        left=left if left[0] > 0 else -left,
        cosine=abs(cosine),
    )


def _is_shown(view: SliceView, axial: Volume) -> bool:
    """Whether the slice reaches FIELD_MM to all sides of the canal's middle."""
    ends = [view.centre_mm + side * axis * FIELD_MM for axis in (view.back, view.left) for side in (-1, 1)]
    places = axial.to_index(ends)[:, 1:]
    return bool((places >= 0).all() and (places <= np.asarray(axial.shape[1:]) - 1).all())


def sac_size(
    area_mm2: float, outline_mm: FloatArray, view: SliceView, place: CanalPlace, *, pixel_mm: float, errors: SacErrors
) -> SacSize:
    """The sac at right angles to the canal.

    Args:
        area_mm2: in the plane of the slice.
        outline_mm: (n, 3) LPS points around it.
        view: the slice.
        place: the canal.
        pixel_mm: the larger of the slice's two pixel spacings.
        errors: how far the network's outlines are off.
    """
    back = _unit(place.back - (place.back @ place.course) * place.course)
    ap, width = (extent(outline_mm, axis)[0] for axis in (back, np.cross(back, place.course)))
    area = area_mm2 * view.cosine
    around = float(np.linalg.norm(np.diff(outline_mm, axis=0, append=outline_mm[:1]), axis=1).sum())
    return SacSize(
        area_mm2=area,
        area_uncertainty_mm2=float(
            np.hypot(max(errors.area_fraction * area, errors.smallest_area_mm2), PIXEL_ERROR * pixel_mm * around)
        ),
        ap_mm=ap,
        width_mm=width,
        length_uncertainty_mm=float(np.hypot(errors.length_mm, PIXEL_ERROR * pixel_mm)),
    )


def _unit(vector: FloatArray) -> FloatArray:
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float64)
