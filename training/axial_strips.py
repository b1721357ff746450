"""Axial reformats of the SPIDER T2 SPACE patients: real signal in a strip around the midline, drawn scenes beside it.

The volumes hold 13 to 30 sagittal slices, so a reformat shows 12 to 27 mm of the patient's width, and the sac's sides
are cut off in most of them. Inside the strip signal and outline are real; where the outline reaches the strip's border
it is closed by a drawn cap, and everything beyond is a drawn scene. Only `strip` tells what is real.

The label is SPIDER's *spinal canal*: on these images its outline follows the dural sac (fluid, roots and conus) and
leaves the fat behind it out (looked at on overlays of eight training patients); root sleeves at its sides are in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.axial_crops import STEP_MM
from training.axial_scene import BACK, LEFT, Field, paint, place_of
from training.spider import SPACING_MM, Patient

CANAL = 3
SAMPLES = 7
"""Planes that are averaged into one thick slice."""
LARGEST_CAP_MM = 7.0
"""A sac whose side lies further than this beyond the strip is not guessed: such levels are left out."""
SMALLEST_SHARE = 0.75
"""Share of the completed sac that must be real."""
_SLICE_MM, _PIXEL_MM = SPACING_MM[0], SPACING_MM[1]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Course:
    """The middle of a patient's canal by row; NaN where there is none."""

    patient: Patient
    column: NDArray[np.float64]
    slice_index: NDArray[np.float64]
    lean: NDArray[np.float64]
    """How many columns the middle moves from row to row."""

    @property
    def rows(self) -> NDArray[np.intp]:
        """Rows with canal, without 12 mm at both ends of it."""
        found = np.flatnonzero(np.isfinite(self.column))
        margin = round(12 / _PIXEL_MM)
        return np.asarray(found[(found > found[0] + margin) & (found < found[-1] - margin)])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reformat:
    """One axial crop of a patient, before anything is drawn."""

    signal: Field
    sac: Field
    """Share of each pixel, by the label, real inside the strip."""
    strip: NDArray[np.bool_]
    """(column,): True where the patient's own slices lie."""


def course_of(patient: Patient) -> Course:
    """Follow the largest connected part of the canal."""
    parts, count = ndimage.label(patient.labels == CANAL)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    canal = parts == int(sizes[1:].argmax()) + 1
    weight = canal.sum(axis=(0, 2)).astype(np.float64)
    seen = weight > 0
    column, place = np.full(len(weight), np.nan), np.full(len(weight), np.nan)
    column[seen] = (canal.sum(axis=0) * np.arange(canal.shape[2])).sum(axis=1)[seen] / weight[seen]
    place[seen] = (canal.sum(axis=2) * np.arange(len(canal))[:, None]).sum(axis=0)[seen] / weight[seen]
    rows = np.flatnonzero(seen)
    smooth = ndimage.gaussian_filter1d(np.interp(np.arange(len(weight)), rows, column[rows]), 6 / _PIXEL_MM)
    return Course(patient=patient, column=column, slice_index=place, lean=np.gradient(smooth))


def reformat(course: Course, row: int, *, tilt_deg: float, slab_mm: float, offset_mm: tuple[float, float]) -> Reformat:
    """Cut one axial crop.

    Args:
        course: the patient.
        row: where the crop's plane meets the canal's middle.
        tilt_deg: of the plane against the one at right angles to the canal, in the sagittal plane.
        slab_mm: thickness that is averaged.
        offset_mm: the crop's middle against the canal's, to the back and to the left.
    """
    angle = np.arctan(course.lean[row]) + np.radians(tilt_deg)
    across, along = (-np.sin(angle), np.cos(angle)), (np.cos(angle), np.sin(angle))  # (row, column) per pixel
    steps = (np.arange(SAMPLES) - (SAMPLES - 1) / 2) / SAMPLES * slab_mm / _PIXEL_MM
    depth = (BACK + offset_mm[0]) / _PIXEL_MM
    rows = row + depth * across[0] + steps[:, None, None] * along[0]  # (sample, row, 1)
    columns = course.column[row] + depth * across[1] + steps[:, None, None] * along[1]
    slices = course.slice_index[row] + (LEFT + offset_mm[1]) / _SLICE_MM
    places = np.stack(np.broadcast_arrays(slices[None], rows, columns))
    count = len(course.patient.voxels)
    signal, sac = (
        ndimage.map_coordinates(values, places, order=1, mode="nearest", output=np.float32).mean(axis=0)
        for values in (course.patient.voxels, (course.patient.labels == CANAL).view(np.uint8) * np.uint8(200))
    )
    strip = np.abs(slices[0] - (count - 1) / 2) < count / 2
    own, _ = ndimage.label(sac > 100)  # noqa: PLR2004 - half
    middle = own[round(len(own) / 2 - offset_mm[0] / STEP_MM), round(len(own) / 2 - offset_mm[1] / STEP_MM)]
    near = ndimage.binary_dilation(own == middle, iterations=2) if middle else np.zeros(own.shape, bool)
    return Reformat(signal=signal, sac=np.asarray(sac / 200 * near * strip, np.float32), strip=np.asarray(strip))


def complete(cut: Reformat, rng: np.random.Generator) -> Field | None:
    """The sac with drawn caps where the strip cuts it off; None where too much of it would be drawn."""
    columns = np.flatnonzero(cut.strip)
    depth = cut.sac.sum(axis=0)
    if not len(columns) or depth.max() < 3 / STEP_MM:
        return None
    sac = cut.sac.copy()
    for edge, side in ((int(columns[0]), -1), (int(columns[-1]), 1)):
        if depth[edge] < 1 / STEP_MM:
            continue
        cap = _cap(cut.sac, edge, side, rng)
        if cap is None:
            return None
        sac = np.maximum(sac, cap * ~cut.strip)
    return sac if cut.sac.sum() >= SMALLEST_SHARE * sac.sum() else None


def _cap(sac: Field, edge: int, side: int, rng: np.random.Generator) -> Field | None:
    """Half an ellipse beyond one border: as far out as the sac's own ellipse would close, give or take."""
    depth = sac.sum(axis=0)
    widest = int(depth.argmax())
    share = min(float(depth[edge] / depth.max()), 0.98)
    out = abs(edge - widest) * STEP_MM
    reach = out / np.sqrt(1 - share**2) - out
    if out < 2 or reach > LARGEST_CAP_MM:  # noqa: PLR2004 - the widest place is the border: no end in sight
        return None
    reach = max(0.6, reach * float(rng.uniform(0.6, 1.4)))
    half = float(depth[edge]) * STEP_MM / 2
    middle = float((sac[:, edge] * BACK[:, 0]).sum() / sac[:, edge].sum())
    beyond = (LEFT - LEFT[0, edge]) * side - STEP_MM / 2
    drift = float(rng.normal(-0.3, 0.3))  # towards the front, where the roots leave
    radius = np.hypot((BACK - middle - drift * beyond) / half, np.maximum(beyond, 0) / reach)
    cap = np.clip((1 - radius) * min(half, reach) / STEP_MM + 0.5, 0, 1) * (beyond > -STEP_MM / 2)
    return np.asarray(cap, dtype=np.float32)


def surround(cut: Reformat, sac: Field, rng: np.random.Generator) -> Field:
    """The strip's signal with a drawn scene beside it, fluid in both equally bright, blended over up to 3 mm."""
    inside = cut.signal[(cut.sac > 0.9) & cut.strip]  # noqa: PLR2004
    fluid = float(np.percentile(inside, 85)) if inside.size else float(cut.signal.max())
    scene = paint(sac, place_of(sac), rng)
    columns = np.flatnonzero(cut.strip)
    beyond = np.maximum(columns[0] - np.arange(len(cut.strip)), np.arange(len(cut.strip)) - columns[-1]) * STEP_MM
    own = np.clip(1 - beyond / float(rng.uniform(0.3, 3.0)), 0, 1)
    return np.asarray(own * cut.signal / max(fluid, 1.0) + (1 - own) * scene, dtype=np.float32)
