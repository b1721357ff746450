"""Which series answers which question, and the named reason for every other pair."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders.series_facts import facts
from inference.errors import ReasonCode
from inference.findings import FIVE_QUESTIONS, Question
from inference.geometry import Plane
from inference.series.eligibility import ELIGIBILITY, Reads, plan_study
from inference.series.role import SeriesRole
from inference.series.rules import Limits

Q, R = Question, SeriesRole
T1 = {"repetition_time_ms": 600.0, "echo_time_ms": 10.0}
STIR = {"repetition_time_ms": 4000.0, "echo_time_ms": 50.0, "inversion_time_ms": 160.0}
NO_TIMES = {"repetition_time_ms": None, "echo_time_ms": None}
CT = {
    "modality": "CT",
    "plane": Plane.AXIAL,
    "frame_count": 200,
    "spacing_mm": (1.0, 0.7, 0.7),
    "image_type": ("ORIGINAL", "PRIMARY", "AXIAL"),
}
SEGMENTER = Reads(
    name="mr_seg",
    questions=frozenset({Q.COMPRESSION_FRACTURE}),
    roles=(R.MR_SAGITTAL_T2, R.MR_SAGITTAL_T1, R.MR_SAGITTAL_STIR, R.MR_SAGITTAL_OTHER),
)
MODIC = Reads(name="modic", questions=frozenset({Q.MODIC}), roles=(R.MR_SAGITTAL_T1, R.MR_SAGITTAL_T2))
EVERYTHING = Reads(name="all", questions=frozenset(FIVE_QUESTIONS), roles=tuple(R))


def entry(question, series, *readers):
    (found,) = [e for e in plan_study([series], readers).entries if e.question is question]
    return found


def test_the_table_is_complete_and_every_sentence_can_be_filled_in():
    assert set(ELIGIBILITY) == {(question, role) for question in FIVE_QUESTIONS for role in SeriesRole}
    fields = dict.fromkeys(("question", "needs", "role", "modality", "plane", "contrast"), "x")
    for rule in ELIGIBILITY.values():
        if not isinstance(rule, Limits):
            sentence = rule.sentence.format(**fields)
            assert sentence
            assert "{" not in sentence


def test_every_question_has_an_entry_for_every_series_with_a_sentence_where_it_is_refused():
    series = [facts("1"), facts("2", **T1), facts("3", **CT), facts("4", modality="SR", frame_count=0, rows=None)]
    plan = plan_study(series, [SEGMENTER])
    assert [(e.question, e.series_instance_uid) for e in plan.entries] == [
        (question, s.series_instance_uid) for question in FIVE_QUESTIONS for s in series
    ]
    for found in plan.entries:
        assert found.eligible == (found.reader is not None)
        assert found.eligible or (found.code is not None and found.sentence)


REFUSALS = [
    (Q.COMPRESSION_FRACTURE, {"plane": Plane.AXIAL}, ReasonCode.ORIENTATION, "the slices are axial"),
    (Q.COMPRESSION_FRACTURE, {"plane": Plane.OBLIQUE}, ReasonCode.ORIENTATION, "the slices are oblique"),
    (Q.COMPRESSION_FRACTURE, {"modality": "US"}, ReasonCode.MODALITY, "modality US is not read"),
    (
        Q.COMPRESSION_FRACTURE,
        {"modality": "CR", "plane": Plane.UNKNOWN, "view_position": "AP"},
        ReasonCode.ORIENTATION,
        "the radiograph is not known to be lateral",
    ),
    (Q.MODIC, CT, ReasonCode.MODALITY, "ct_axial (modality CT) does not show Modic change: it needs sagittal MR"),
    (Q.MODIC, NO_TIMES, ReasonCode.MISSING_SERIES, "the contrast is UNKNOWN"),
    (Q.MODIC, {"contrast_agent": True, **T1}, ReasonCode.POST_CONTRAST, "after contrast agent"),
    (Q.STENOSIS, T1, ReasonCode.MISSING_SERIES, "the contrast is T1; stenosis needs sagittal or axial T2 MR"),
    (Q.NEEDLE_PLACEMENT, {}, ReasonCode.MODALITY, "needs fluoroscopy or axial CT"),
    (Q.HARDWARE_LOOSENING, {}, ReasonCode.MODALITY, "needs axial CT or radiographs"),
    (Q.COMPRESSION_FRACTURE, {"image_type": ("O", "P", "LOCALIZER")}, ReasonCode.LOCALIZER, "a localizer (scout)"),
    (Q.COMPRESSION_FRACTURE, {"image_type": ("D", "S", "MPR")}, ReasonCode.DERIVED, "were computed from others"),
    (Q.COMPRESSION_FRACTURE, {"burned_in": True}, ReasonCode.BURNED_IN, "secondary captures or carry burned-in text"),
    (Q.COMPRESSION_FRACTURE, {"body_part_examined": "KNEE"}, ReasonCode.BODY_PART, "another part of the body (KNEE)"),
    (Q.STENOSIS, {"body_part_examined": "Head "}, ReasonCode.BODY_PART, "another part of the body (HEAD)"),
    (Q.COMPRESSION_FRACTURE, {"patient_age_years": 17.4}, ReasonCode.PAEDIATRIC, "was 17 years old, younger than 18"),
    (Q.MODIC, {"patient_age_years": 9.0}, ReasonCode.PAEDIATRIC, "was 9 years old, younger than 18"),
    (Q.MODIC, {"spacing_mm": (4.0, 1.8, 0.6)}, ReasonCode.SPACING, "1.80 mm apart; at most 1.50 mm"),
    (Q.COMPRESSION_FRACTURE, {"spacing_mm": (4.0, 1.8, 0.6)}, ReasonCode.SPACING, "1.80 mm apart; at most 1.50 mm"),
    (Q.COMPRESSION_FRACTURE, {"spacing_mm": (9.5, 0.6, 0.6)}, ReasonCode.SPACING, "9.50 mm apart; at most 8.00 mm"),
    (Q.COMPRESSION_FRACTURE, {"spacing_mm": None}, ReasonCode.SPACING, "give no spacing"),
    (Q.COMPRESSION_FRACTURE, {"shear_deg": 9.0}, ReasonCode.GEOMETRY, "9.0 degrees off the normal"),
    (Q.COMPRESSION_FRACTURE, {**CT, "frame_count": 6}, ReasonCode.TOO_FEW_SLICES, "6 slice(s); at least 20"),
    (Q.COMPRESSION_FRACTURE, {**CT, "spacing_mm": (5.0, 0.7, 0.7)}, ReasonCode.SPACING, "5.00 mm apart; at most 3.00"),
    (
        Q.COMPRESSION_FRACTURE,
        {"fault": (ReasonCode.DUPLICATE, "two slices"), "plane": Plane.SAGITTAL},
        ReasonCode.DUPLICATE,
        "two slices",
    ),
    (
        Q.COMPRESSION_FRACTURE,
        {"fault": (ReasonCode.MIXED, "three planes"), "plane": Plane.UNKNOWN},
        ReasonCode.MIXED,
        "three planes",
    ),
]


@pytest.mark.parametrize(("question", "changes", "code", "words"), REFUSALS)
def test_each_refusal_has_its_code_and_numbers(question, changes, code, words):
    found = entry(question, facts(**changes), EVERYTHING)
    assert not found.eligible
    assert found.reader is None
    assert found.code is code
    assert words in found.sentence


ACCEPTED = [
    (Q.COMPRESSION_FRACTURE, {}),
    (Q.COMPRESSION_FRACTURE, NO_TIMES),
    (Q.COMPRESSION_FRACTURE, {"contrast_agent": True}),
    (Q.COMPRESSION_FRACTURE, CT),
    (Q.COMPRESSION_FRACTURE, {**CT, "shear_deg": 20.0}),
    (Q.COMPRESSION_FRACTURE, {"patient_age_years": 18.0}),
    (Q.COMPRESSION_FRACTURE, {"patient_age_years": None}),
    (Q.MODIC, {"patient_age_years": None}),
    (Q.COMPRESSION_FRACTURE, {"body_part_examined": "LSPINE"}),
    (Q.COMPRESSION_FRACTURE, {"body_part_examined": "ABDOMEN"}),
    (Q.COMPRESSION_FRACTURE, {"body_part_examined": "made up", "series_description": "KNEE SAG T2"}),
    (Q.MODIC, T1),
    (Q.MODIC, STIR),
    (Q.STENOSIS, {"plane": Plane.AXIAL}),
    (Q.NEEDLE_PLACEMENT, {"modality": "XA", "plane": Plane.UNKNOWN, "spacing_mm": None}),
    (Q.HARDWARE_LOOSENING, {"modality": "DX", "plane": Plane.UNKNOWN, "spacing_mm": None, "frame_count": 1}),
]


@pytest.mark.parametrize(("question", "changes"), ACCEPTED)
def test_a_suitable_series_is_eligible_without_remark(question, changes):
    found = entry(question, facts(**changes), EVERYTHING)
    assert (found.eligible, found.reader, found.code, found.sentence) == (True, "all", None, None)


def test_one_slice_is_eligible_and_said_to_be_one():
    found = entry(Q.COMPRESSION_FRACTURE, facts(frame_count=1, spacing_mm=(0.0, 0.6, 0.6)), SEGMENTER)
    assert found.eligible
    assert found.code is ReasonCode.FEW_SLICES
    assert found.sentence == "the series has 1 slice(s), fewer than 5: measurements are limited to them"


def test_a_suitable_series_without_a_detector_says_so():
    found = entry(Q.COMPRESSION_FRACTURE, facts(**CT), SEGMENTER)
    assert found.code is ReasonCode.NO_MODEL
    assert found.sentence == (
        "no installed detector reads ct_axial series for vertebral compression fracture; mr_seg reads other series"
    )


class TestChosen:
    def test_the_preferred_role_wins_over_more_slices(self):
        plan = plan_study([facts("1", frame_count=40, **T1), facts("2", frame_count=11)], [SEGMENTER])
        assert plan.chosen == {"mr_seg": "2"}

    def test_more_frames_win_then_finer_spacing_then_the_uid(self):
        few, many = facts("1", frame_count=11), facts("2", frame_count=15)
        coarse, fine = facts("3", spacing_mm=(4.0, 0.9, 0.9)), facts("4", spacing_mm=(4.0, 0.5, 0.5))
        assert plan_study([few, many], [SEGMENTER]).chosen == {"mr_seg": "2"}
        assert plan_study([coarse, fine], [SEGMENTER]).chosen == {"mr_seg": "4"}
        assert plan_study([facts("9"), facts("8")], [SEGMENTER]).chosen == {"mr_seg": "8"}

    def test_the_order_of_the_series_does_not_matter(self):
        series = [facts(str(n), frame_count=10 + n % 3) for n in range(6)]
        assert plan_study(series, [SEGMENTER]).chosen == plan_study(series[::-1], [SEGMENTER]).chosen

    def test_unknown_contrast_is_read_when_there_is_nothing_better(self):
        unknown = facts("1", frame_count=60, **NO_TIMES)
        assert plan_study([unknown, facts("2")], [SEGMENTER]).chosen == {"mr_seg": "2"}
        assert plan_study([unknown], [SEGMENTER]).chosen == {"mr_seg": "1"}

    def test_a_refused_series_is_never_chosen(self):
        bad = facts("1", frame_count=60, fault=(ReasonCode.SPACING, "a gap"))
        assert plan_study([bad, facts("2", **T1)], [SEGMENTER]).chosen == {"mr_seg": "2"}
        assert plan_study([bad], [SEGMENTER]).chosen == {}

    def test_each_detector_chooses_for_its_own_questions(self):
        plan = plan_study([facts("1"), facts("2", **T1)], [SEGMENTER, MODIC])
        assert plan.chosen == {"mr_seg": "1", "modic": "2"}

    def test_a_detector_looks_at_a_second_contrast_that_could_answer_its_question_too(self):
        both = replace(MODIC, beside=MODIC.roles)
        plan = plan_study([facts("1"), facts("2", **T1), facts("3", frame_count=9)], [both])
        assert (plan.chosen, plan.beside) == ({"modic": "2"}, {"modic": {R.MR_SAGITTAL_T2: "1"}})
        after_agent = facts("4", **T1, contrast_agent=True)
        plan = plan_study([facts("1"), after_agent], [both])
        assert (plan.chosen, plan.beside) == ({"modic": "1"}, {"modic": {}})


class TestRefusal:
    """Why the study as a whole leaves a question open."""

    def test_wrong_modality_names_what_the_study_holds(self):
        code, sentence = plan_study([facts(**CT)], [SEGMENTER]).refusal(Q.MODIC)
        assert code is ReasonCode.MODALITY
        assert sentence.endswith("the study holds 1 ct_axial")

    def test_right_modality_without_the_right_series(self):
        plan = plan_study([facts("1", plane=Plane.AXIAL), facts("2", plane=Plane.CORONAL)], [SEGMENTER])
        code, sentence = plan.refusal(Q.COMPRESSION_FRACTURE)
        assert code is ReasonCode.MISSING_SERIES
        assert sentence.endswith("the study holds 1 mr_axial_t2, 1 mr_other")

    def test_a_suitable_series_without_model_comes_before_a_bad_one(self):
        bad = facts("1", fault=(ReasonCode.SPACING, "a gap"))
        code, _ = plan_study([bad, facts("2")], [SEGMENTER]).refusal(Q.STENOSIS)
        assert code is ReasonCode.NO_MODEL

    def test_a_bad_series_of_the_right_role_comes_before_unsuitable_ones(self):
        bad = facts("2", fault=(ReasonCode.SPACING, "a gap"))
        assert plan_study([facts("1", **CT), bad], [SEGMENTER]).refusal(Q.MODIC) == (ReasonCode.SPACING, "a gap")

    def test_no_series_at_all(self):
        code, sentence = plan_study([], [SEGMENTER]).refusal(Q.STENOSIS)
        assert code is ReasonCode.MISSING_SERIES
        assert "no series" in sentence

    def test_a_question_that_a_detector_read_but_did_not_answer(self):
        code, sentence = plan_study([facts("7")], [SEGMENTER]).refusal(Q.COMPRESSION_FRACTURE)
        assert code is ReasonCode.UNCERTAIN
        assert "mr_seg can read series 7" in sentence

    @pytest.mark.parametrize("question", FIVE_QUESTIONS)
    def test_there_is_always_a_reason(self, question):
        for series in ([], [facts(**CT)], [facts(modality="SR", frame_count=0, rows=None)]):
            code, sentence = plan_study(series, []).refusal(question)
            assert isinstance(code, ReasonCode)
            assert sentence


class TestSeriesRefusal:
    def test_none_for_a_series_that_can_be_read(self):
        assert plan_study([facts("1")], [SEGMENTER]).series_refusal("1") is None

    def test_the_fault_comes_before_a_missing_model(self):
        plan = plan_study([facts("1", fault=(ReasonCode.SPACING, "a gap"))], [SEGMENTER])
        assert plan.series_refusal("1") == (ReasonCode.SPACING, "a gap")

    def test_a_localizer_is_called_one(self):
        plan = plan_study([facts("1", image_type=("O", "P", "LOCALIZER"))], [SEGMENTER])
        assert plan.series_refusal("1")[0] is ReasonCode.LOCALIZER

    def test_an_object_that_is_no_image(self):
        plan = plan_study([facts("1", modality="SR", frame_count=0, rows=None)], [SEGMENTER])
        code, sentence = plan.series_refusal("1")
        assert code is ReasonCode.MODALITY
        assert "results or documents" in sentence


def test_rows_say_what_will_be_read():
    plan = plan_study([facts("1"), facts("2", **T1)], [SEGMENTER])
    rows = [row for row in plan.rows() if row.question is Q.COMPRESSION_FRACTURE]
    assert [(row.facts.series_instance_uid, row.role, row.eligible, row.chosen) for row in rows] == [
        ("1", R.MR_SAGITTAL_T2, True, True),
        ("2", R.MR_SAGITTAL_T1, True, False),
    ]
    assert len(plan.rows()) == len(plan.entries)


MARROW = replace(
    SEGMENTER,
    roles=(R.MR_SAGITTAL_T2, R.MR_SAGITTAL_T2_FS, R.MR_SAGITTAL_T1, R.MR_SAGITTAL_STIR),
    beside=(R.MR_SAGITTAL_STIR, R.MR_SAGITTAL_T2_FS),
    one_beside=True,
)
T2_FS = {"scan_options": ("FS",)}


@pytest.mark.parametrize(
    ("series", "chosen", "beside"),
    [
        ({"t2": {}, "stir": STIR}, "t2", {R.MR_SAGITTAL_STIR: "stir"}),
        ({"t2": {}, "fs": T2_FS}, "t2", {R.MR_SAGITTAL_T2_FS: "fs"}),
        ({"t2": {}, "fs": T2_FS, "stir": STIR}, "t2", {R.MR_SAGITTAL_STIR: "stir"}),
        ({"t1": T1, "stir": STIR}, "t1", {R.MR_SAGITTAL_STIR: "stir"}),
        ({"fs": T2_FS, "stir": STIR}, "fs", {}),
        ({"stir": STIR}, "stir", {}),
        ({"t2": {}, "t1": T1}, "t2", {}),
    ],
)
def test_one_series_beside_is_the_first_that_there_is_and_none_where_the_chosen_one_is_of_that_kind(
    series, chosen, beside
):
    plan = plan_study([facts(uid, **changes) for uid, changes in series.items()], [MARROW])
    assert plan.chosen == {"mr_seg": chosen}
    assert plan.beside == {"mr_seg": beside}
    assert plan.read_by("mr_seg") == {chosen, *beside.values()}


def test_an_axial_series_is_read_with_the_sagittal_one_beside_it_that_names_its_levels():
    segmenter = replace(SEGMENTER, questions=frozenset({Q.COMPRESSION_FRACTURE, Q.STENOSIS}))
    axial = Reads(
        name="axial", questions=frozenset({Q.STENOSIS}), roles=(R.MR_AXIAL_T2,), beside=(R.MR_SAGITTAL_T2,)
    )  # fmt: skip
    series = [facts("1"), facts("2", plane=Plane.AXIAL), facts("3", plane=Plane.AXIAL, **T1)]
    plan = plan_study(series, [segmenter, axial])
    assert plan.chosen == {"mr_seg": "1", "axial": "2"}
    assert plan.beside["axial"] == {R.MR_SAGITTAL_T2: "1"}
    assert plan.series_refusal("2") is None
    t1 = next(e for e in plan.entries if e.question is Q.STENOSIS and e.series_instance_uid == "3")
    assert t1.code is ReasonCode.MISSING_SERIES
    assert plan_study(series[1:], [segmenter, axial]).beside["axial"] == {}


FRAME = {"frame_of_reference_uids": ("1.9",)}
TALL = {"rows": 448, "columns": 448, "spacing_mm": (10.0, 1.2, 1.2), "frame_count": 3, **FRAME}
SCOUT = {**TALL, "image_type": ("O", "P", "LOCALIZER")}


@pytest.mark.parametrize(
    ("others", "names_from"),
    [
        ([SCOUT], "2"),
        ([{**TALL, **T1}], "2"),
        ([TALL], "2"),
        ([{**TALL, "rows": 300, "columns": 300}, {**TALL, "rows": 512}], "3"),
        ([{**TALL, "rows": 300, "columns": 300}], None),
        ([{**SCOUT, "frame_of_reference_uids": ("1.8",)}], None),
        ([{**SCOUT, "plane": Plane.CORONAL}], None),
        ([{**SCOUT, "modality": "CT"}], None),
        ([{**SCOUT, "fault": (ReasonCode.MIXED, "three planes")}], None),
        ([{**SCOUT, "burned_in": True}], None),
        ([{**SCOUT, "spacing_mm": (10.0, 2.5, 2.5)}], None),
    ],
    ids=lambda value: "" if isinstance(value, list) else str(value),
)
def test_levels_may_be_named_by_one_series_in_the_same_frame_that_shows_more(others, names_from):
    reader = replace(SEGMENTER, names_from=(R.LOCALIZER, *SEGMENTER.roles))
    series = [facts("1", **FRAME), *(facts(str(n), **changes) for n, changes in enumerate(others, start=2))]
    plan = plan_study(series, [reader])
    assert plan.chosen == {"mr_seg": "1"}
    assert plan.names_from.get("mr_seg") == names_from
    assert plan.read_by("mr_seg") == {"1"}
    assert plan_study(series, [SEGMENTER]).names_from == {}
