"""Generated spines with a known sac area, measured by the whole detector: sagittal and axial series of one phantom.

The generator (training.phantom) is not the one that the network was trained on, and its sac is an ellipse. Synthetic:
says nothing about patients.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from inference.findings import Finding, NotAssessed, Question
from inference.geometry import FrameReference, Volume
from inference.sac_findings import SacAreaPolicy
from inference.series.role import SeriesRole
from models.bundle import read_bundle
from models.engines import OnnxEngine
from models.mr_axial_canal import MrAxialCanalDetector
from training.axial_scores import HELD_OUT_SEED
from training.cases import load_reader
from training.phantom import Phantom, PhantomParameters, generate_spine
from training.phantom.axial import AxialStack, course_at, cut_axial, thick_slices
from training.synthetic import DISCS

MR = "1.2.840.10008.5.1.4.1.1.4"
STUDY = "2.25.77"
THICK = 4


def draw_parameters(seed: int) -> PhantomParameters:
    """A random person with 1 mm slices, each disc's canal narrowed or not."""
    rng = np.random.default_rng(seed)
    return PhantomParameters(
        seed=seed, rows=448, columns=320, slices=64, slice_spacing_mm=1.0, subslices=1,
        stenosis_mm={disc: float(rng.uniform(3.2, 12)) for disc in DISCS if rng.random() < 0.7},  # noqa: PLR2004
        degeneration={disc: float(rng.uniform(0, 1)) for disc in DISCS},
        size=float(rng.uniform(0.88, 1.08)), lordosis_deg=float(np.clip(rng.normal(37, 8), 20, 55)),
        noise=float(rng.uniform(0.01, 0.04)), bias=float(rng.uniform(0.05, 0.2)),
    )  # fmt: skip


def place(voxels: Any, affine: Any, series: str) -> Volume:
    """A volume of a made-up series in one Frame of Reference."""
    sources = tuple(
        FrameReference(sop_class_uid=MR, sop_instance_uid=f"{series}.{number + 1}") for number in range(len(voxels))
    )
    return Volume(
        voxels=np.asarray(voxels, np.float32), affine=affine, sources=sources, series_instance_uid=series,
        frame_of_reference_uid="2.25.70",
    )  # fmt: skip


def axial_stack(phantom: Phantom, rng: np.random.Generator) -> AxialStack:
    """Slices over all discs, turned a little like the mean disc."""
    centres = np.array([disc.centre_lps_mm for disc in phantom.truth.discs if disc.level in DISCS])
    span = float(np.ptp(centres[:, 2])) + 30
    middle = centres.mean(axis=0) + np.array([0.0, 15.0, 0.0])
    return AxialStack(
        centre_mm=(float(middle[0]), float(middle[1]), float(middle[2])), slices=round(span / 4.0),
        tilt_deg=float(rng.uniform(-12, 12)), pixel_mm=(float(rng.uniform(0.4, 0.8)),) * 2,
        thickness_mm=float(rng.uniform(3, 4)),
    )  # fmt: skip


def measure_phantoms(count: int, bundle: Path) -> list[dict[str, Any]]:
    """One row for each disc of each generated person: the area that the detector gave, and the true one there."""
    own = read_bundle(bundle)
    detector = MrAxialCanalDetector(own, OnnxEngine(own.weights, threads=1), load_reader(), SacAreaPolicy())
    rows = []
    for seed in range(HELD_OUT_SEED, HELD_OUT_SEED + count):
        phantom = generate_spine(draw_parameters(seed))
        rows += list(_rows(phantom, detector, np.random.default_rng(seed)))
    return rows


def _rows(phantom: Phantom, detector: MrAxialCanalDetector, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    stack = axial_stack(phantom, rng)
    signal, sac = cut_axial(phantom, stack)
    axial, sagittal = place(signal, stack.affine, "2.25.71"), place(*thick_slices(phantom, THICK), "2.25.72")
    by_role = {SeriesRole.MR_AXIAL_T2: axial, SeriesRole.MR_SAGITTAL_T2: sagittal}
    result = detector.read(axial, STUDY, lambda _doing, _done: None, by_role)
    for finding in result.findings:
        if finding.question is Question.STENOSIS and finding.site.region is None and finding.site.level in DISCS:
            yield _row(finding, phantom, sac, axial)


def _row(finding: Finding, phantom: Phantom, sac: Any, axial: Volume) -> dict[str, Any]:
    level = str(finding.site.level)
    row: dict[str, Any] = {"patient": phantom.parameters.seed, "level": level}
    area = finding.measurement("dural_sac_area")
    if area is None:
        reason = finding.assessment
        return row | {"reason": reason.reason.value if isinstance(reason, NotAssessed) else ""}
    index = next(i for i, s in enumerate(axial.sources) if s == finding.evidence[0].source)
    normal = axial.directions[:, 0]
    cosine = abs(float(normal @ course_at(phantom, level)))
    truth = float(sac[index].sum()) * axial.spacing_mm[1] * axial.spacing_mm[2] * cosine
    depth, truth_ap = finding.measurement("dural_sac_ap_diameter"), phantom.truth.disc(level).canal_ap_mm
    return row | {
        "area": truth, "area_error": area.value - truth, "uncertainty": area.uncertainty,
        "ap_error": (depth.value if depth else np.nan) - truth_ap,
    }  # fmt: skip
