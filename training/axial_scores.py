"""How well the axial canal network measures: held-back patients' strips (real) and drawn scenes of unseen seeds.

Three tiers that are never mixed: *real* is the signal and the label inside the strip of the patients kept back; *drawn*
are scenes of the generator that the network was trained on; *generated* are spines of the other generator
(training.phantom), which it was not trained on, measured through the whole detector (training.axial_phantoms).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.measure.sac import extent, outline_sac
from models.axial_crops import STEP_MM, normalise_crop
from training.axial_scene import Field, draw_scene
from training.axial_strips import Course, complete, reformat, surround

Predict = Callable[[Field], Field]
"""Crops `[n, row, column]`, normalised, to the sac's probability `[n, row, column]`."""
HELD_OUT_SEED = 1_000_000
EVERY_MM = 8.0
TILTS_DEG = (-15.0, 0.0, 15.0)
SLAB_MM = 3.5
NOISE = 0.03
"""Deviation of the noise on drawn scenes, in parts of fluid."""
CUTOFFS_MM2 = (100.0, 75.0)
SIZES: dict[str, Callable[[Any], Any]] = {"smallest": np.min, "median": np.median, "largest": np.max}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """One crop with its truth."""

    patient: str
    signal: Field
    sac: Field
    known: Field
    """1 where signal and truth are what the tier says, 0 elsewhere; shape broadcasts to the crop's."""


def real_cases(courses: Sequence[Course]) -> list[Case]:
    """Reformats of whole patients at even distances and three tilts; what is beside the strip is drawn."""
    cases = []
    for course in courses:
        rng = np.random.default_rng((HELD_OUT_SEED, int(course.patient.name)))
        for row in course.rows[:: round(EVERY_MM / 0.46875)]:
            for tilt in TILTS_DEG:
                cut = reformat(course, int(row), tilt_deg=tilt, slab_mm=SLAB_MM, offset_mm=(0.0, 0.0))
                sac = complete(cut, rng)
                if sac is not None:
                    known = np.asarray(cut.strip, np.float32)[None, :]
                    signal = normalise_crop(surround(cut, sac, rng))
                    cases.append(Case(patient=course.patient.name, signal=signal, sac=sac, known=known))
    return cases


def drawn_cases(count: int) -> list[Case]:
    """Scenes of seeds that training does not use."""
    cases = []
    for n in range(count):
        rng = np.random.default_rng((HELD_OUT_SEED, n))
        scene = draw_scene(rng)
        noisy = scene.signal + rng.normal(0, NOISE, scene.signal.shape).astype(np.float32)
        cases.append(
            Case(patient=f"scene {n}", signal=normalise_crop(noisy), sac=scene.sac, known=np.ones((1, 1), np.float32))
        )
    return cases


def score(predict: Predict, cases: Sequence[Case]) -> list[dict[str, Any]]:
    """One row for each case: Dice, area and its error, front-to-back diameter and its error, inside what is known."""
    found = np.concatenate(
        [predict(np.stack([case.signal for case in cases[n : n + 16]])) for n in range(0, len(cases), 16)]
    )
    return [_row(case, own) for case, own in zip(cases, found, strict=True)]


def _row(case: Case, found: Field) -> dict[str, Any]:
    shapes = [outline_sac(np.asarray(image * case.known, np.float64), STEP_MM) for image in (case.sac, found)]
    a, b = case.sac * case.known >= 0.5, found * case.known >= 0.5  # noqa: PLR2004
    truth, seen = shapes
    row: dict[str, Any] = {"patient": case.patient, "dice": 2 * int((a & b).sum()) / max(int(a.sum() + b.sum()), 1)}
    row["found"] = seen is not None
    if truth is None or seen is None:
        return row
    row["area"], row["area_error"] = truth.area_mm2, seen.area_mm2 - truth.area_mm2
    depth = [extent(shape.outline * STEP_MM, np.array([1.0, 0.0]))[0] for shape in (truth, seen)]
    width = [extent(shape.outline * STEP_MM, np.array([0.0, 1.0]))[0] for shape in (truth, seen)]
    row["ap_error"], row["width_error"] = depth[1] - depth[0], width[1] - width[0]
    return row


def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Counts, mean Dice, bias and standard deviation of every error; the area's also in percent of the true area."""
    measured = [row for row in rows if "area" in row]
    area = np.array([row["area"] for row in measured])
    errors = {name: np.array([row[f"{name}_error"] for row in measured]) for name in ("area", "ap", "width")}
    errors["area_percent"] = 100 * errors["area"] / area
    summary: dict[str, Any] = {
        "crops": len(rows),
        "found": sum(row["found"] for row in rows),
        "area_mm2": {name: _rounded(part(area)) for name, part in SIZES.items()},
        "dice": _rounded(float(np.mean([row["dice"] for row in rows])), 4),
    }
    for name, error in errors.items():
        summary[name] = {"bias": _rounded(error.mean(), 2), "sd": _rounded(error.std(), 2)}
    return summary


def agreement(area: NDArray[np.float64], found: NDArray[np.float64]) -> dict[str, Any]:
    """How often a measured area is on the right side of each cut-off: sensitivity for being under it, specificity."""
    table = {}
    for cutoff in CUTOFFS_MM2:
        under, said = area < cutoff, found < cutoff
        table[f"{cutoff:g} mm2"] = {
            "under": int(under.sum()),
            "not_under": int((~under).sum()),
            "sensitivity": _rounded(float((under & said).sum() / max(under.sum(), 1)), 3),
            "specificity": _rounded(float((~under & ~said).sum() / max((~under).sum(), 1)), 3),
        }
    return table


def cutoff_agreement(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Agreement of the rows that were measured."""
    measured = [row for row in rows if "area" in row]
    area = np.array([row["area"] for row in measured])
    return agreement(area, area + np.array([row["area_error"] for row in measured]))


def _rounded(value: float, digits: int = 1) -> float:
    return round(float(value), digits)
