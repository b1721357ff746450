"""Studies that lack a series, repeat one or hold an unsuitable one: each gets the right answer or says what it lacks.

From DICOM files through reader, networks and encoders to findings.json. The patient is generated: a crushed L1 and a
canal that is narrow at L3-L4, which T2 shows.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread

from builders.dicom import T1_TSE, T2_TSE, write_series
from builders.phantom import grid_plan, phantom_plan
from dicom_node.sr.checklist import violations, walk
from inference.errors import ReasonCode
from inference.findings import FIVE_QUESTIONS, NotAssessed, Present, Question
from inference.findings.encode import decode
from inference.measure.levels import NAMED_METHOD
from models.registry import DetectorSettings, load_detectors
from server.study_run import RunContext, run_study
from training.phantom import Contrast, Fracture, PhantomParameters, generate_spine
from training.phantom.axial import AxialStack, cut_axial, stack_along

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FRACTURED, NARROW = "L1", "L3-L4"
PATIENT = PhantomParameters(
    seed=11, rows=448, columns=360, spacing_mm=0.67, slices=7, slice_spacing_mm=4.5,
    fractures={FRACTURED: Fracture("crush", 0.45)}, stenosis_mm={NARROW: 6.0},
)  # fmt: skip
SEGMENTER, GRADER, SAC = "mr_sagittal_segmentation", "mr_disc_grading", "mr_axial_canal"
MORNING = {"AcquisitionDate": "20260102", "AcquisitionTime": "090000"}
LATER = {"AcquisitionDate": "20260102", "AcquisitionTime": "091500"}
AGENT = {"ContrastBolusAgent": "Gadolinium"}


@pytest.fixture(scope="module")
def detectors():
    return load_detectors(DetectorSettings(threads=2))


@pytest.fixture(scope="module")
def series():
    """``series(name, contrast, attributes, **changes of the patient)``; each image is generated once."""
    made = {}

    def plan(name, contrast="T2", attributes=None, **changes):
        patient = replace(PATIENT, contrast=Contrast(contrast), **changes)
        if repr(patient) not in made:
            made[repr(patient)] = generate_spine(patient)
        shown = {**(T1_TSE if contrast == "T1" else T2_TSE), **(attributes or {})}
        return phantom_plan(made[repr(patient)], study="variants", series=name, number=len(name), attributes=shown)

    return plan


@pytest.fixture(scope="module")
def fine():
    return generate_spine(replace(PATIENT, slices=40, slice_spacing_mm=1.0, subslices=1))


@pytest.fixture(scope="module")
def axial(fine):
    x, y, z = np.mean([disc.centre_lps_mm for disc in fine.truth.discs[-4:]], axis=0)
    return axial_plan(fine, AxialStack(centre_mm=(x, y + 15, z), slices=28), "axial", 9)


def axial_plan(fine, stack, name, number, attributes=None):
    shown = {**T2_TSE, **(attributes or {})}
    voxels, _ = cut_axial(fine, stack)
    return grid_plan(voxels, stack.affine, study="variants", series=name, number=number, attributes=shown)


@pytest.fixture
def read(detectors, tmp_path):
    """Write the series, read the study and give back what findings.json holds; the SR is sound and says the same.

    What is `set_aside` belongs to one of the series and is no source of the SR.
    """

    def read_study_of(*plans, set_aside=()):
        for number, plan in enumerate((*plans, *set_aside)):
            write_series(tmp_path / f"in{number}", plan)
        files = {}
        folders = [tmp_path / f"in{number}" for number in range(len(plans))]
        others = [tmp_path / f"in{len(plans) + number}" for number in range(len(set_aside))]
        context = RunContext(created=datetime(2026, 1, 2, tzinfo=UTC))
        run_study([*folders, *others], detectors, files.__setitem__, context, lambda _doing, _share: None)
        findings = decode(files["findings.json"])
        report = dcmread(BytesIO(files["sr.dcm"]))
        headers = [dcmread(path, stop_before_pixels=True) for folder in folders for path in folder.iterdir()]
        assert violations(report, {str(h.SOPInstanceUID): h for h in headers}) == ()
        said = {str(item.TextValue) for item in walk(report) if "TextValue" in item}
        assert said >= {sentence for use in findings.series for _, sentence in use.warnings}
        assert {f.question for f in findings.findings} >= set(FIVE_QUESTIONS)
        return findings

    return read_study_of


def present(findings, question):
    return {f.site.level for f in findings.of(question) if isinstance(f.assessment, Present)}


def reasons(findings, question):
    """Code of every finding of a question that is not assessed, by level; foramina have sides."""
    answers = [f for f in findings.of(question) if f.site.region is None]
    return {f.site.level: f.assessment.reason for f in answers if isinstance(f.assessment, NotAssessed)}


def why(findings, question):
    """The one reason for which a question of the whole study is open: code and sentence."""
    (finding,) = findings.of(question)
    assert isinstance(finding.assessment, NotAssessed)
    assert finding.site.level is None
    return finding.assessment.reason, finding.assessment.sentence


def use(findings, plan):
    return next(s for s in findings.series if s.uid == plan.series_instance_uid)


def not_chosen(findings, plan):
    """The sentence of a series that was left for another one."""
    left = use(findings, plan)
    assert (left.used_by, left.refused) == ((), None)
    (sentence,) = [sentence for code, sentence in left.warnings if code is ReasonCode.NOT_CHOSEN]
    return sentence


def test_t2_alone_answers_all_but_modic_change_and_acuity(read, series):
    t2 = series("T2")
    findings = read(t2)
    assert use(findings, t2).used_by == (GRADER, SEGMENTER)
    assert present(findings, Question.COMPRESSION_FRACTURE) == {FRACTURED}
    assert present(findings, Question.STENOSIS) == {NARROW}
    code, sentence = why(findings, Question.MODIC)
    assert (code, "not found on T1" in sentence) == (ReasonCode.MISSING_SERIES, True)
    (called,) = [f for f in findings.of(Question.COMPRESSION_FRACTURE) if f.site.level == FRACTURED]
    assert "Acuity not assessed (E_MISSING_SERIES)" in called.note


def test_t1_alone_answers_the_fracture_and_leaves_what_needs_t2(read, series):
    t1 = series("T1", "T1")
    findings = read(t1)
    assert use(findings, t1).used_by == (GRADER, SEGMENTER)
    assert present(findings, Question.COMPRESSION_FRACTURE) == {FRACTURED}
    for question in (Question.MODIC, Question.DISC_BULGING, Question.DISC_HERNIATION):
        code, sentence = why(findings, question)
        assert (code, "not found on T2" in sentence) == (ReasonCode.MISSING_SERIES, True)
    stenosis = reasons(findings, Question.STENOSIS)
    assert all(isinstance(f.assessment, NotAssessed) for f in findings.of(Question.STENOSIS))
    assert stenosis["L4-L5"] is ReasonCode.MISSING_SERIES
    assert set(reasons(findings, Question.DISC_DEGENERATION).values()) == {ReasonCode.MISSING_SERIES}


def test_axial_alone_answers_nothing_as_its_levels_cannot_be_told(read, axial):
    findings = read(axial)
    code, sentence = why(findings, Question.STENOSIS)
    assert code is ReasonCode.MISSING_SERIES
    assert "levels on axial slices are named on a sagittal T2 series" in sentence
    for question in (Question.COMPRESSION_FRACTURE, Question.MODIC):
        code, sentence = why(findings, question)
        assert (code, "sagittal MR" in sentence) == (ReasonCode.MISSING_SERIES, True)
    assert findings.numbering.method == "none"
    assert use(findings, axial).refused[0] is ReasonCode.MISSING_SERIES


def test_of_two_t2_the_one_with_more_slices_is_read_and_the_other_says_so(read, series):
    whole, part = series("T2"), series("T2 short", slices=5, slice_spacing_mm=6.0)
    findings = read(part, whole)
    assert use(findings, whole).used_by == (GRADER, SEGMENTER)
    assert f"{whole.series_instance_uid} was taken, as it has 7 slices, not 5" in not_chosen(findings, part)
    assert present(findings, Question.COMPRESSION_FRACTURE) == {FRACTURED}
    assert present(findings, Question.STENOSIS) == {NARROW}


def test_of_two_t2_the_one_of_the_neck_is_left(read, series):
    lumbar = series("T2", attributes={"BodyPartExamined": "LSPINE"})
    neck = series("T2 neck", attributes={"BodyPartExamined": "CSPINE", **LATER}, slices=9)
    findings = read(neck, lumbar)
    assert use(findings, lumbar).used_by == (GRADER, SEGMENTER)
    assert "nearer to the lumbar spine" in not_chosen(findings, neck)


def test_of_a_series_that_was_acquired_again_the_later_one_is_read(read, series):
    """The first is so noisy that nothing could be read on it: the answer shows which one was looked at."""
    moved, again = series("T2", attributes=MORNING, noise=3.0), series("T2 again", attributes=LATER)
    findings = read(moved, again)
    assert use(findings, again).used_by == (GRADER, SEGMENTER)
    assert "was acquired later" in not_chosen(findings, moved)
    assert present(findings, Question.COMPRESSION_FRACTURE) == {FRACTURED}
    assert present(findings, Question.STENOSIS) == {NARROW}


def test_where_nothing_can_be_read_on_the_later_one_the_first_answers(read, series):
    first, again = series("T2", attributes=MORNING), series("T2 again", attributes=LATER, noise=3.0)
    findings = read(first, again)
    assert use(findings, first).used_by == (GRADER, SEGMENTER)
    code, sentence = use(findings, again).refused
    assert (code, bool(sentence)) == (ReasonCode.BODY_PART, True)
    assert present(findings, Question.COMPRESSION_FRACTURE) == {FRACTURED}


def test_a_series_that_holds_both_acquisitions_is_refused_and_another_contrast_answers(read, series):
    first, t1 = series("T2", attributes=MORNING), series("T1", "T1")
    within = {**LATER, "AcquisitionNumber": 2, "SeriesInstanceUID": first.series_instance_uid}
    findings = read(first, series("T2 again", attributes=within, noise=0.05), t1)
    code, sentence = use(findings, first).refused
    assert (code, "with different pixels" in sentence) == (ReasonCode.DUPLICATE, True)
    assert use(findings, t1).used_by == (GRADER, SEGMENTER)
    assert present(findings, Question.COMPRESSION_FRACTURE) == {FRACTURED}
    code, sentence = why(findings, Question.MODIC)
    assert code is ReasonCode.DUPLICATE
    assert "not found on T2. The study has one, but instances" in sentence


def test_t1_after_contrast_agent_beside_t2_is_not_used_and_modic_change_says_why(read, series):
    t2, t1 = series("T2"), series("T1", "T1", AGENT)
    findings = read(t2, t1)
    assert use(findings, t2).used_by == (GRADER, SEGMENTER)
    assert "takes mr_sagittal_t2 rather than mr_sagittal_t1" in not_chosen(findings, t1)
    assert ReasonCode.POST_CONTRAST in [code for code, _ in use(findings, t1).warnings]
    code, sentence = why(findings, Question.MODIC)
    assert (code, "after contrast agent" in sentence) == (ReasonCode.POST_CONTRAST, True)
    assert present(findings, Question.COMPRESSION_FRACTURE) == {FRACTURED}


def test_t1_after_contrast_agent_alone_answers_the_fracture_only(read, series):
    t1 = series("T1", "T1", AGENT)
    findings = read(t1)
    assert use(findings, t1).used_by == (SEGMENTER,)
    assert present(findings, Question.COMPRESSION_FRACTURE) == {FRACTURED}
    assert why(findings, Question.MODIC)[0] is ReasonCode.POST_CONTRAST
    assert all(isinstance(f.assessment, NotAssessed) for f in findings.of(Question.STENOSIS))
    assert set(reasons(findings, Question.DISC_DEGENERATION).values()) == {ReasonCode.NO_MODEL}


def test_of_t1_before_and_after_contrast_agent_the_one_before_is_graded(read, series):
    t2, before, after = series("T2"), series("T1", "T1"), series("T1 after", "T1", {**AGENT, **LATER})
    findings = read(after, t2, before)
    assert use(findings, before).used_by == (GRADER,)
    assert ReasonCode.POST_CONTRAST in [code for code, _ in use(findings, after).warnings]
    assert not_chosen(findings, after)
    assert None not in reasons(findings, Question.MODIC)


def test_four_slices_are_read_with_a_warning_and_no_stenosis_is_called_on_them(read, series):
    few = series("T2", slices=4)
    findings = read(few)
    assert use(findings, few).used_by == (GRADER, SEGMENTER)
    ((code, sentence),) = use(findings, few).warnings
    assert (code, "4 slice(s)" in sentence) == (ReasonCode.FEW_SLICES, True)
    assert present(findings, Question.COMPRESSION_FRACTURE) == {FRACTURED}
    assert present(findings, Question.STENOSIS) == set()
    (narrow,) = [f for f in findings.of(Question.STENOSIS) if f.site.level == NARROW]
    assert narrow.assessment.reason is ReasonCode.UNCERTAIN
    assert "do not show whether they run through the sac's middle" in narrow.assessment.sentence
    assert narrow.measurement("canal_ap_diameter") is not None


def test_slices_beside_the_spine_are_said_not_to_be_read(read, series):
    wide = series("T2 wide", slices=27, slice_spacing_mm=4.0, subslices=2)
    findings = read(wide)
    assert use(findings, wide).used_by == (GRADER, SEGMENTER)
    (sentence,) = [sentence for code, sentence in use(findings, wide).warnings if code is ReasonCode.LATERAL_SLICES]
    assert "of 27 slices were not read (1 to " in sentence
    assert present(findings, Question.COMPRESSION_FRACTURE) == {FRACTURED}


def test_three_axial_series_of_one_disc_each_are_read_as_one_and_of_a_repeated_one_the_later(read, series, fine):
    levels = (NARROW, "L4-L5", "L5-S1")
    plans = {
        level: axial_plan(fine, stack_along(fine, level), f"axial {level}", 20 + number, LATER)
        for number, level in enumerate(levels)
    }
    moved = axial_plan(fine, stack_along(fine, "L4-L5"), "axial L4-L5 moved", 19, MORNING)
    t2 = series("T2")
    findings = read(t2, moved, *plans.values())
    sacs = {f.site.level: f for f in findings.of(Question.STENOSIS) if f.measurement("dural_sac_area")}
    assert set(sacs) == set(levels)
    for level, plan in plans.items():
        assert use(findings, plan).used_by == (SAC,)
        outline = next(e for e in sacs[level].evidence if len(e.geometry.points) > 4)
        assert outline.source.sop_instance_uid in {plan.sop_instance_uid(n) for n in range(len(plan.voxels))}, level
    assert f"{plans['L4-L5'].series_instance_uid} was taken, as it was acquired later" in not_chosen(findings, moved)
    assert present(findings, Question.STENOSIS) == {NARROW}


def test_levels_that_do_not_show_the_sacrum_are_named_by_the_sagittal_slices_of_a_three_plane_localizer(
    read, series, fine
):
    whole = series("T2")
    lowest = fine.truth.vertebra("L5").centre_lps_mm[2]
    end = int((whole.position_mm[2] - lowest) / PATIENT.spacing_mm)
    cut = replace(whole, voxels=np.ascontiguousarray(whole.voxels[:, :end]))
    coarse = {"rows": PATIENT.rows // 2, "columns": PATIENT.columns // 2, "spacing_mm": 2 * PATIENT.spacing_mm}
    kind = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}
    sagittal = series("sagittal scout", "T2", kind, slices=3, slice_spacing_mm=8.0, **coarse)
    kind["SeriesInstanceUID"] = sagittal.series_instance_uid
    middle = fine.voxels.shape[2] // 2
    turned = np.ascontiguousarray(fine.voxels[:, :, middle - 1 : middle + 2].transpose(2, 1, 0))
    affine = fine.affine[:, [2, 1, 0, 3]].copy()
    coronal = grid_plan(turned, affine, study="variants", series="coronal scout", attributes={**T2_TSE, **kind})
    axial = axial_plan(fine, replace(stack_along(fine, "L3-L4", slices=3), tilt_deg=0.0), "axial scout", 8, kind)
    findings = read(cut, sagittal, set_aside=(coronal, axial))
    assert findings.numbering.method == NAMED_METHOD
    assert not findings.numbering.ambiguous, findings.numbering.note
    assert use(findings, sagittal).used_by == (SEGMENTER,)
    assert present(findings, Question.COMPRESSION_FRACTURE) == {FRACTURED}
