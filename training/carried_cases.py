"""The mid-sagittal T1 and T2 slices of the T2 SPACE patients, with the labels that registration carries over to them.

Registrations are kept in a file of the output folder, and made again only for a series that is not in it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from scipy import ndimage

from models.disc_crops import Contrast
from training.carried_labels import Fit, Placement, Rules, carry_labels, describe, register
from training.cases import Case, place_volume
from training.level_naming import number_discs
from training.midsagittal import SLICE_MM, GradedPatient
from training.spider import Patient

log = logging.getLogger(__name__)
CACHE = "registrations.json"
COARSE_PIXEL_MM = 1.0
FAT_SHARE = 0.7
"""Of T1 that is taken from T2 in the imitation of fat suppression: fat comes out darker than water does."""
PERCENTILE = 99.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Registered:
    """One T1 or T2 slice with the fit of its patient's T2 SPACE volume."""

    patient: Patient
    graded: GradedPatient
    contrast: Contrast
    kept_back: bool
    fit: Fit
    faults: tuple[str, ...]

    @property
    def spacing_mm(self) -> tuple[float, float]:
        """Row and column spacing as stated."""
        _, row_mm, column_mm = (float(length) for length in self.graded.series[self.contrast].spacing_mm)
        return row_mm, column_mm

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The slice, shape (row, column)."""
        return np.asarray(self.graded.series[self.contrast].voxels[0], dtype=np.uint8)

    def as_row(self) -> dict[str, Any]:
        """What is written about it."""
        return {
            "patient": self.patient.name,
            "contrast": str(self.contrast),
            "kept_back": self.kept_back,
            "accepted": not self.faults,
            "faults": list(self.faults),
            **self.fit.as_row(),
        }


def register_all(
    patients: Sequence[Patient], graded: Mapping[str, GradedPatient], kept_back: Sequence[str], cache: Path
) -> list[Registered]:
    """Register every T1 and T2 slice of the patients; those without a slice are left out by the caller's own list."""
    path = cache / CACHE
    known = json.loads(path.read_text()) if path.is_file() else {}
    found = []
    for patient in track([p for p in patients if p.name in graded], description="registrations"):
        for contrast, volume in graded[patient.name].series.items():
            key, pixels = f"{patient.name} {contrast}", volume.voxels[0].astype(np.uint8)
            spacing_mm = (float(volume.spacing_mm[1]), float(volume.spacing_mm[2]))
            if key not in known:
                known[key] = asdict(register(pixels, spacing_mm, patient).placement)
                cache.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(known, indent=1))
            fit = describe(pixels, spacing_mm, patient, _placement(known[key]))
            found.append(
                Registered(
                    patient=patient,
                    graded=graded[patient.name],
                    contrast=contrast,
                    kept_back=patient.name in kept_back,
                    fit=fit,
                    faults=fit.faults(Rules()),
                )
            )
            if found[-1].faults:
                log.info("refused: patient %s %s: %s", patient.name, contrast, "; ".join(found[-1].faults))
    return found


def _placement(row: dict[str, Any]) -> Placement:
    return Placement(
        slice_index=row["slice_index"],
        matrix=tuple(row["matrix"]),
        offset_mm=(row["offset_mm"][0], row["offset_mm"][1]),
    )


def carried_case(registered: Registered) -> Case:
    """The slice as it is, with the labels carried over."""
    labels, levels = _carried(registered)
    return _case(registered, registered.pixels, labels, levels)


def _carried(registered: Registered) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    fit, patient = registered.fit, registered.patient
    rows, columns = registered.pixels.shape
    labels, levels = (
        carry_labels(array[fit.placement.slice_index], fit, (rows, columns), registered.spacing_mm)
        for array in (patient.labels, number_discs(patient.labels))
    )
    return labels, levels


def _case(
    registered: Registered,
    pixels: NDArray[Any],
    labels: NDArray[np.uint8],
    levels: NDArray[np.uint8],
    zoom: float = 1.0,
) -> Case:
    """`zoom` is how many stated pixels one pixel of the arrays stands for."""
    row_mm, column_mm = (length * zoom for length in registered.spacing_mm)
    scale = registered.fit.scale
    return Case(
        patient=registered.patient.name,
        series=str(registered.contrast),
        kept_back=registered.kept_back,
        volume=place_volume(pixels[None], (SLICE_MM, row_mm, column_mm)),
        labels=labels[None],
        levels=levels[None],
        spacing_mm=(SLICE_MM, row_mm * scale, column_mm * scale),
        facts=registered.graded.facts,
    )


def coarse_case(registered: Registered) -> Case:
    """The same slice and labels at a true pixel of 1 mm."""
    labels, levels = _carried(registered)
    zoom = COARSE_PIXEL_MM / (registered.spacing_mm[0] * registered.fit.scale)
    smooth = ndimage.gaussian_filter(registered.pixels.astype(np.float32), zoom / 2)
    pixels = ndimage.zoom(smooth, 1 / zoom, order=1, grid_mode=True, mode="nearest")
    labels, levels = (
        ndimage.zoom(array, 1 / zoom, order=0, grid_mode=True, mode="nearest") for array in (labels, levels)
    )
    return _case(registered, pixels, labels, levels, zoom=zoom)


def suppressed_cases(registered: Sequence[Registered]) -> Iterator[Case]:
    """Simulated STIR of each patient whose T1 and T2 share a grid and lie on each other: T2 less a share of T1.

    It darkens fat and leaves water bright, as fat suppression does; noise, contrast of marrow and artefacts of a real
    STIR are not imitated.
    """
    by_patient: dict[str, dict[Contrast, Registered]] = {}
    for one in registered:
        by_patient.setdefault(one.patient.name, {})[one.contrast] = one
    for pair in by_patient.values():
        if set(pair) != {Contrast.T1, Contrast.T2}:
            continue
        t1, t2 = pair[Contrast.T1], pair[Contrast.T2]
        if t1.pixels.shape != t2.pixels.shape or t1.spacing_mm != t2.spacing_mm:
            continue
        water = np.clip(_unit(t2.pixels) - FAT_SHARE * _unit(t1.pixels), 0.0, None)
        labels, levels = _carried(t2)
        yield _case(t2, 255 * water, labels, levels)


def _unit(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.clip(pixels / max(float(np.percentile(pixels, PERCENTILE)), 1.0), 0.0, 1.0).astype(np.float32)
