"""The Modic type from DICOM files to findings.json, SR and picture: real reader, networks, rule and encoder.

Generated spines have no change that the network must call, so its scale is moved to call one everywhere here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pydicom
import pytest

from builders.dicom import T1_TSE, T2_TSE, SeriesPlan
from builders.phantom import phantom_plan
from builders.study_run import run
from dicom_node.sr.checklist import children, groups_of, value_of, violations
from inference.findings import Calibration, Finding, Grade, NotAssessed, Present, Question
from inference.pipeline import Detector
from models.engine_choice import EngineChoice, load_engine
from models.installed import find_bundle
from models.mr_disc_grader import MrDiscGrader
from models.mr_sagittal import MrSagittalDetector
from models.registry import DetectorSettings, load_detectors
from server.overlay_words import describe
from server.study_run import StudyRun
from training.phantom import Contrast, PhantomParameters, generate_spine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PATIENT = PhantomParameters(
    seed=11, rows=448, columns=360, spacing_mm=0.67, slices=5, slice_spacing_mm=4.5,
    marrow={"L2": "superior_sclerosis", "L3": "inferior_fat", "L4": "superior_fat", "L5": "superior_band"},
)  # fmt: skip
PAINTED = {"L3-L4": "2", "L4-L5": "1"}
DARK = "L1-L2"
"""With a dark band at L2, which the network outlines as disc, so that the body looks crushed."""


@pytest.fixture(scope="module")
def detectors() -> tuple[Detector, ...]:
    (segmenter,) = load_detectors(DetectorSettings(threads=2), ["mr_sagittal_segmentation"])
    assert isinstance(segmenter, MrSagittalDetector)
    bundle = find_bundle("mr_disc_grading")
    spine = bundle.metadata["spine"]
    everywhere = spine["scales"] | {"modic": spine["scales"]["modic"] | {"offset": 50.0}}
    calling = replace(bundle, metadata=bundle.metadata | {"spine": spine | {"scales": everywhere}})
    return segmenter, MrDiscGrader(calling, load_engine(bundle, EngineChoice.AUTO, threads=2, device="cpu"), segmenter)


@pytest.fixture(scope="module")
def plans() -> Callable[..., SeriesPlan]:
    def plan(contrast: str, patient: PhantomParameters = PATIENT) -> SeriesPlan:
        made = generate_spine(replace(patient, contrast=Contrast(contrast)))
        attributes, number = {"T2": (T2_TSE, 1), "T1": (T1_TSE, 2)}[contrast]
        return phantom_plan(made, study="modic", series=contrast, number=number, attributes=attributes)

    return plan


def changes(made: StudyRun) -> dict[str | None, Finding]:
    return {f.site.level: f for f in made.findings.of(Question.MODIC)}


@pytest.fixture(scope="module")
def study(tmp_path_factory, detectors, plans):
    folder = tmp_path_factory.mktemp("modic")
    t2, t1 = plans("T2"), plans("T1")
    return folder, run(folder, detectors, t2, t1), t2, t1


def test_the_painted_types_are_told_and_the_grade_says_that_it_is_not_calibrated(study):
    found = changes(study[1])
    for level, kind in PAINTED.items():
        assert found[level].assessment == Present()
        assert found[level].grades == (Grade(scale="modic", value=kind, calibration=Calibration.NONE),)
        assert found[level].calibration is Calibration.REAL
        assert found[level].note.startswith(f"Type {kind} by a rule on signal")
    assert "Modic type not told (E_UNCERTAIN)" in found["T12-L1"].note
    assert "L2 has a called fracture" in found[DARK].note
    assert not any(found[level].grades for level in ("T12-L1", DARK))
    fat = found["L3-L4"]
    assert fat.measurement("endplate_band_t1_ratio").value > 1.25
    assert found["L4-L5"].measurement("endplate_band_t1_ratio").value < 0.8


def test_the_ratios_are_marked_on_their_own_series(study):
    _, made, t2, t1 = study
    marks = {e.measurement: e.source.sop_instance_uid for e in changes(made)["L3-L4"].evidence}
    assert marks["endplate_band_t1_ratio"] in {t1.sop_instance_uid(n) for n in range(5)}
    assert marks["endplate_band_t2_ratio"] in {t2.sop_instance_uid(n) for n in range(5)}


def test_the_report_and_the_picture_say_the_type(study):
    folder, made, *_ = study
    report = pydicom.dcmread(folder / "sr.dcm")
    headers = [pydicom.dcmread(p, stop_before_pixels=True) for p in sorted((folder / "in").iterdir())]
    assert violations(report, {str(h.SOPInstanceUID): h for h in headers}) == ()
    groups = {str(children(g, "112039")[0].TextValue).split(":")[-1]: g for g in groups_of(report)}
    arrow = groups["L3-L4 Modic change"]
    assert value_of(children(arrow, "MODIC_TYPE")[0], "ConceptCodeSequence") == "MODIC2"
    assert str(children(arrow, "121106")[0].TextValue) == "L3-L4: Modic change, type 2 (not calibrated)"
    (number,) = children(groups["L3-L4 endplate band t1 ratio"], value_type="NUM")
    assert value_of(number, "ConceptNameCodeSequence") == "BAND_T1"
    assert "type 2 (not calibrated)" in describe(changes(made)["L3-L4"])


def test_a_t1_series_of_another_patient_gives_no_type_and_one_that_is_missing_no_answer(tmp_path, detectors, plans):
    other = replace(PATIENT, seed=4, size=0.88, lordosis_deg=60.0, marrow={})
    t2 = plans("T2")
    found = changes(run(tmp_path / "other", detectors, t2, plans("T1", other)))
    called = [f for f in found.values() if f.assessment == Present()]
    notes = [f.note for f in called if "called fracture" not in f.note]
    assert len(notes) > 2
    assert all(note.startswith("Modic type not told (E_GEOMETRY): the T1 series cannot be used") for note in notes)
    assert not any(f.grades for f in called)
    (alone,) = changes(run(tmp_path / "alone", detectors, t2)).values()
    assert isinstance(alone.assessment, NotAssessed)
