"""Which of several series of one role is read, and what is said of the others."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from inference.errors import ReasonCode
from inference.findings import Question
from inference.geometry import Plane
from inference.series.choice import PREFERENCES, Reads
from inference.series.eligibility import plan_study
from inference.series.facts import SeriesFacts
from inference.series.role import SeriesRole

Q, R = Question, SeriesRole
T1 = {"repetition_time_ms": 600.0, "echo_time_ms": 10.0}
SEGMENTER = Reads(
    name="segmenter",
    questions=frozenset({Q.COMPRESSION_FRACTURE, Q.STENOSIS}),
    roles=(R.MR_SAGITTAL_T2, R.MR_SAGITTAL_T1),
)
GRADER = Reads(
    name="grader",
    questions=frozenset({Q.MODIC}),
    roles=(R.MR_SAGITTAL_T2, R.MR_SAGITTAL_T1),
    beside=(R.MR_SAGITTAL_T2, R.MR_SAGITTAL_T1),
)
AXIAL = Reads(
    name="axial",
    questions=frozenset({Q.STENOSIS}),
    roles=(R.MR_AXIAL_T2,),
    beside=(R.MR_SAGITTAL_T2,),
    all_parts=True,
)


def t2(uid: str, **changes) -> SeriesFacts:
    values = {
        "study_instance_uid": "1.2", "series_instance_uid": uid, "modality": "MR",
        "sop_class_uids": ("1.2.840.10008.5.1.4.1.1.4",), "frame_count": 15, "rows": 512, "columns": 512,
        "plane": Plane.SAGITTAL, "spacing_mm": (4.0, 0.6, 0.6), "image_type": ("ORIGINAL", "PRIMARY", "M"),
        "scanning_sequence": ("SE",), "repetition_time_ms": 3500.0, "echo_time_ms": 110.0,
    }  # fmt: skip
    return SeriesFacts(**(values | changes))


MORNING, NOON = datetime(2026, 1, 2, 9, 0), datetime(2026, 1, 2, 12, 0)  # noqa: DTZ001
PAIRS = [
    ({"body_part_examined": "LSPINE"}, {"body_part_examined": "CSPINE"}, "BodyPartExamined"),
    ({"body_part_examined": "L-Spine"}, {"body_part_examined": None}, "BodyPartExamined"),
    ({"body_part_examined": "SPINE"}, {"body_part_examined": "NECK"}, "BodyPartExamined"),
    ({}, {"contrast_agent": True}, "without contrast agent"),
    ({}, {"image_type": ("DERIVED", "PRIMARY", "M")}, "original, not derived"),
    ({}, {"frame_count": 11}, "has 15 slices, not 11"),
    ({}, {"spacing_mm": (4.0, 0.9, 0.9)}, "voxels are smaller"),
    ({"acquired_at": NOON}, {"acquired_at": MORNING}, "acquired later"),
    ({"acquired_at": NOON}, {"acquired_at": None}, "acquired later"),
    ({"series_number": 7}, {"series_number": 3}, "series number is higher"),
    ({"acquired_at": NOON, "series_number": 3}, {"acquired_at": NOON, "series_number": None}, "number is higher"),
]  # fmt: skip


@pytest.mark.parametrize(("better", "other", "words"), PAIRS)
@pytest.mark.parametrize("turned", [False, True])
def test_the_better_of_two_is_read_and_the_other_says_by_what(better, other, words, turned):
    series = [t2("1" if turned else "2", **better), t2("2" if turned else "1", **other)]
    plan = plan_study(series, [SEGMENTER])
    read, left = (facts.series_instance_uid for facts in series)
    assert plan.chosen == {"segmenter": read}
    assert list(plan.left_out) == [left]
    assert plan.left_out[left].startswith(f"The series was not read: of the mr_sagittal_t2 series, {read} was taken")
    assert words in plan.left_out[left]


def axial(uid: str, *heights_mm: tuple[float, float], **changes) -> SeriesFacts:
    values = {"plane": Plane.AXIAL, "frame_count": 5, "frame_of_reference_uids": ("2.25.7",), "heights_mm": heights_mm}
    return t2(uid, **(values | changes))


L3_L4, L4_L5, L5_S1 = (25.0, 45.0), (-10.0, 10.0), (-45.0, -25.0)


def test_axial_series_of_one_disc_each_are_read_together_the_better_ones_first():
    series = [axial("1", L5_S1, plane=Plane.OBLIQUE), axial("2", L4_L5), axial("3", L3_L4, frame_count=6)]
    plan = plan_study(series, [AXIAL])
    assert (plan.chosen, plan.parts, plan.left_out) == ({"axial": "3"}, {"axial": ("2", "1")}, {})
    assert plan.read_by("axial") == {"1", "2", "3"}


def test_of_an_axial_series_that_was_acquired_again_one_is_read_with_the_others():
    first, again = axial("1", L4_L5, acquired_at=MORNING), axial("2", (-11.0, 9.0), acquired_at=NOON)
    plan = plan_study([first, again, axial("3", L5_S1, frame_count=9)], [AXIAL])
    assert (plan.chosen, plan.parts) == ({"axial": "3"}, {"axial": ("2",)})
    assert list(plan.left_out) == ["1"]
    assert "of the mr_axial_t2 series, 2 was taken, as it was acquired later" in plan.left_out["1"]


def test_a_series_of_all_discs_stands_alone_before_those_of_one_each():
    plan = plan_study([axial("1", L3_L4, L4_L5, L5_S1, frame_count=15), axial("2", L4_L5)], [AXIAL])
    assert (plan.chosen, plan.parts, list(plan.left_out)) == ({"axial": "1"}, {"axial": ()}, ["2"])


def test_blocks_that_share_the_body_between_two_discs_are_read_together():
    plan = plan_study([axial("1", (-20.0, 45.0), frame_count=16), axial("2", (-45.0, -10.0))], [AXIAL])
    assert plan.parts == {"axial": ("2",)}


@pytest.mark.parametrize(
    "changes",
    [
        {"contrast_agent": True}, {"image_type": ("DERIVED", "PRIMARY", "M")}, {"frame_of_reference_uids": ("2.25.8",)},
        {"frame_of_reference_uids": ()}, {"body_part_examined": "CSPINE"}, {"heights_mm": ()},
    ],
)  # fmt: skip
def test_what_does_not_go_with_the_chosen_series_is_left(changes):
    plan = plan_study([axial("1", L4_L5, frame_count=9), axial("2", L5_S1, **changes)], [AXIAL])
    assert (plan.chosen, plan.parts, list(plan.left_out)) == ({"axial": "1"}, {"axial": ()}, ["2"])


def test_a_detector_that_does_not_read_all_parts_reads_one():
    plan = plan_study([axial("1", L4_L5), axial("2", L5_S1)], [replace(AXIAL, all_parts=False)])
    assert (plan.chosen, plan.parts, list(plan.left_out)) == ({"axial": "1"}, {"axial": ()}, ["2"])


def test_oblique_slices_come_after_axial_ones():
    plan = plan_study([axial("1", L5_S1, plane=Plane.OBLIQUE, frame_count=9), axial("2", L5_S1)], [AXIAL])
    assert plan.chosen == {"axial": "2"}
    assert "turned less" in plan.left_out["1"]


def test_what_stands_first_outweighs_all_that_follows():
    worse = [
        {"body_part_examined": "CSPINE"}, {"contrast_agent": True}, {"image_type": ("DERIVED", "PRIMARY", "M")},
        {"frame_count": 5}, {"spacing_mm": (4.0, 0.9, 0.9)}, {"acquired_at": MORNING}, {"series_number": 1},
    ]  # fmt: skip
    assert len(worse) == len(PREFERENCES) - 1  # a sagittal series is never oblique
    usual = {"acquired_at": NOON, "series_number": 2}
    for place in range(len(worse)):
        later = {key: value for change in worse[place + 1 :] for key, value in change.items()}
        series = [t2("1", **{**usual, **worse[place]}), t2("2", **{**usual, **later})]
        assert plan_study(series, [SEGMENTER]).chosen == {"segmenter": "2"}, worse[place]


def test_two_that_nothing_tells_apart_are_told_by_their_uid():
    plan = plan_study([t2("9"), t2("8")], [SEGMENTER])
    assert plan.chosen == {"segmenter": "8"}
    assert "nothing tells the two apart" in plan.left_out["9"]


def test_a_slice_step_that_differs_by_rounding_does_not_outweigh_a_later_acquisition():
    first = t2("1", spacing_mm=(3.999996, 0.6, 0.6), acquired_at=MORNING)
    assert plan_study([first, t2("2", acquired_at=NOON)], [SEGMENTER]).chosen == {"segmenter": "2"}


def test_a_series_of_another_role_names_what_was_taken_instead():
    plan = plan_study([t2("1"), t2("2", **T1)], [SEGMENTER])
    assert plan.left_out == {
        "2": "The series was not read: segmenter takes mr_sagittal_t2 rather than mr_sagittal_t1, and series 1 is one."
    }


def test_what_any_detector_reads_is_not_left_out():
    plan = plan_study([t2("1"), t2("2", **T1)], [SEGMENTER, GRADER])
    assert plan.left_out == {}


def test_of_two_t1_the_one_beside_is_named():
    plan = plan_study([t2("1"), t2("2", **T1), t2("3", frame_count=9, **T1)], [GRADER])
    assert plan.beside == {"grader": {R.MR_SAGITTAL_T1: "2"}}
    assert "of the mr_sagittal_t1 series, 2 was taken, as it has 15 slices, not 9" in plan.left_out["3"]


def test_a_series_that_cannot_be_read_is_refused_and_not_left_out():
    bad = t2("2", fault=(ReasonCode.SPACING, "a gap"))
    plan = plan_study([t2("1"), bad], [SEGMENTER, AXIAL])
    assert plan.left_out == {}
    assert plan.series_refusal("2") == (ReasonCode.SPACING, "a gap")


def test_all_detectors_take_the_same_of_two_t2():
    series = [t2("1", acquired_at=MORNING), t2("2", acquired_at=NOON), t2("3", plane=Plane.AXIAL)]
    plan = plan_study(series, [SEGMENTER, GRADER, AXIAL])
    assert plan.chosen == {"segmenter": "2", "grader": "2", "axial": "3"}
    assert plan.beside["axial"] == {R.MR_SAGITTAL_T2: "2"}


class TestShortcomings:
    """What keeps a series of a suitable role from a question that it is not read for."""

    SERIES = (t2("1"), t2("2", contrast_agent=True, **T1))

    def test_of_a_series(self):
        plan = plan_study(self.SERIES, [SEGMENTER, GRADER])
        ((code, sentence),) = plan.shortcomings("2")
        assert code is ReasonCode.POST_CONTRAST
        assert "after contrast agent" in sentence
        assert plan.shortcomings("1") == ()

    def test_of_the_roles_that_a_detector_lacks(self):
        plan = plan_study(self.SERIES, [SEGMENTER, GRADER])
        assert plan.shortcoming(Q.MODIC, {R.MR_SAGITTAL_T1})[0] is ReasonCode.POST_CONTRAST
        assert plan.shortcoming(Q.MODIC, {R.MR_SAGITTAL_STIR}) is None
