"""One study through the pipeline with in-memory detectors: each question is answered; one refusal stops nothing."""

from dataclasses import replace

import pytest

from builders.detectors import CT, T2, Picky, Reader, fracture, load, read, study
from inference.anatomy import Numbering
from inference.errors import ReasonCode, SeriesRefusal
from inference.findings import FIVE_QUESTIONS, Absent, Grade, Measurement, NotAssessed, Present, Question
from inference.findings.encode import encode
from inference.pipeline import NOT_NUMBERED, DetectorResult, read_study
from inference.series.role import SeriesRole


def test_every_one_of_the_five_questions_is_answered_with_no_detector_at_all():
    document = read([T2], [])
    assert [f.question for f in document.findings] == list(FIVE_QUESTIONS)
    assert all(isinstance(f.assessment, NotAssessed) for f in document.findings)
    assert document.numbering == NOT_NUMBERED
    assert document.models == ()


def test_a_ct_answers_nothing_and_says_why():
    document = read([CT], [Reader("m", DetectorResult(findings=()))])
    reasons = {f.question: f.assessment.reason for f in document.findings}
    assert set(reasons) == set(FIVE_QUESTIONS)
    assert reasons[Question.MODIC] in {ReasonCode.MODALITY, ReasonCode.MISSING_SERIES}
    assert document.series[0].used_by == ()
    assert document.series[0].refused is not None


def test_findings_run_head_to_foot_and_levels_come_before_nothing_else():
    result = DetectorResult(
        findings=(fracture("L3"), fracture("T12")),
        numbering=Numbering(method="counted_from_sacrum", ambiguous=False, note=""),
    )
    document = read([T2], [Reader("m", result)])
    assert [f.site.level for f in document.of(Question.COMPRESSION_FRACTURE)] == ["T12", "L3"]
    assert document.numbering.method == "counted_from_sacrum"
    assert document.series[0].used_by == ("m",)
    assert [m.name for m in document.models] == ["m"]


def test_a_series_whose_pixels_cannot_be_read_gives_the_reason_and_stops_nothing():
    refusal = SeriesRefusal("the pixel data of 3 slices is truncated", code=ReasonCode.PIXEL_DATA)
    good = DetectorResult(findings=(fracture("L1"),))
    document = read([T2], [Reader("a", refusal), Reader("b", good)])
    first, second = document.of(Question.COMPRESSION_FRACTURE)
    assert first.assessment == NotAssessed(reason=ReasonCode.PIXEL_DATA, sentence=refusal.sentence)
    assert second.site.level == "L1"


def test_a_refused_series_states_its_refusal():
    refusal = SeriesRefusal("no spine", code=ReasonCode.BODY_PART)
    document = read([T2], [Reader("a", refusal)])
    assert document.series[0].refused == (ReasonCode.BODY_PART, "no spine")


def test_a_detector_that_fails_keeps_no_other_from_answering():
    good = DetectorResult(findings=(fracture("L1"),))
    document = read([T2], [Reader("a", ZeroDivisionError("a name")), Reader("b", good)])
    first, second = document.of(Question.COMPRESSION_FRACTURE)
    assert isinstance(first.assessment, NotAssessed)
    assert first.assessment.reason is ReasonCode.FAULT
    assert "ZeroDivisionError" in first.assessment.sentence
    assert "a name" not in first.assessment.sentence
    assert second.site.level == "L1"


def test_a_fault_is_raised_when_nobody_else_answered():
    with pytest.raises(ZeroDivisionError):
        read([T2], [Reader("a", ZeroDivisionError())])


def not_graded(level):
    why = NotAssessed(reason=ReasonCode.NO_MODEL, sentence="measured only")
    return replace(fracture(level), assessment=why)


@pytest.mark.parametrize("turned", [False, True])
def test_one_that_only_measures_leaves_the_answer_to_one_that_grades(turned):
    measures = Reader("a", DetectorResult(findings=(not_graded("L1"), not_graded("L2"))))
    grades = Reader("b", DetectorResult(findings=(fracture("L1"),)))
    found = read([T2], [grades, measures] if turned else [measures, grades]).of(Question.COMPRESSION_FRACTURE)
    assert [(f.site.level, isinstance(f.assessment, Present)) for f in found] == [("L1", True), ("L2", False)]


def measuring(finding, name, value):
    return replace(
        finding, measurements=(Measurement(name=name, value=value, unit="mm", uncertainty=None, method="m"),)
    )


def test_of_two_answers_the_later_detectors_stands_and_what_both_measured_is_kept():
    first = measuring(replace(fracture("L1"), assessment=Absent()), "anterior_height", 20.0)
    later = measuring(fracture("L1"), "middle_height", 19.0)
    readers = [Reader(name, DetectorResult(findings=(f,))) for name, f in (("a", first), ("b", later))]
    (found,) = read([T2], readers).of(Question.COMPRESSION_FRACTURE)
    assert isinstance(found.assessment, Present)
    assert {m.name: m.value for m in found.measurements} == {"middle_height": 19.0, "anterior_height": 20.0}


def test_the_grade_that_follows_from_a_measurement_is_kept_beside_anothers_answer():
    grades = (Grade(scale="meyerding", value="1"), Grade(scale="genant", value="3"))
    measured = replace(not_graded("L1"), grades=grades)
    answered = replace(fracture("L1"), grades=(Grade(scale="genant", value="2"),))
    readers = [Reader(name, DetectorResult(findings=(f,))) for name, f in (("a", measured), ("b", answered))]
    (found,) = read([T2], readers).of(Question.COMPRESSION_FRACTURE)
    assert isinstance(found.assessment, Present)
    assert {g.scale: g.value for g in found.grades} == {"genant": "2", "meyerding": "1"}


def test_a_finding_that_one_detector_calls_is_not_lost_because_a_closer_look_does_not():
    first = measuring(fracture("L1"), "anterior_height", 20.0)
    later = measuring(replace(fracture("L1"), assessment=Absent()), "middle_height", 19.0)
    readers = [Reader(name, DetectorResult(findings=(f,))) for name, f in (("a", first), ("b", later))]
    (found,) = read([T2], readers).of(Question.COMPRESSION_FRACTURE)
    assert isinstance(found.assessment, Present)
    assert {m.name for m in found.measurements} == {"anterior_height", "middle_height"}


def test_a_detector_sees_what_it_looks_at_besides_and_each_series_is_read_once():
    t1 = replace(T2, series_instance_uid="1.2.3.3", repetition_time_ms=600.0, echo_time_ms=10.0)
    roles = (SeriesRole.MR_SAGITTAL_T2, SeriesRole.MR_SAGITTAL_T1)
    one, two = (Reader(name, DetectorResult(findings=(fracture("L1"),))) for name in "ab")
    two.reads = replace(two.reads, roles=roles, beside=roles)
    loaded = []

    def counting(series_uid):
        loaded.append(series_uid)
        return load(series_uid)

    document = read_study(replace(study(T2, t1), load=counting), [one, two], software_version="0").findings
    assert one.saw == {SeriesRole.MR_SAGITTAL_T2: T2.series_instance_uid}
    assert two.saw == {SeriesRole.MR_SAGITTAL_T2: T2.series_instance_uid, SeriesRole.MR_SAGITTAL_T1: "1.2.3.3"}
    assert loaded == [T2.series_instance_uid, "1.2.3.3"]
    assert {use.uid: use.used_by for use in document.series} == {
        T2.series_instance_uid: ("a", "b"),
        "1.2.3.3": ("b",),
    }


def test_a_second_series_that_cannot_be_read_is_as_if_it_were_not_there():
    t1 = replace(T2, series_instance_uid="1.2.3.3", repetition_time_ms=600.0, echo_time_ms=10.0)
    reader = Reader("a", DetectorResult(findings=(fracture("L1"),)))
    roles = (SeriesRole.MR_SAGITTAL_T2, SeriesRole.MR_SAGITTAL_T1)
    reader.reads = replace(reader.reads, roles=roles, beside=roles)

    def failing(series_uid):
        if series_uid == "1.2.3.3":
            raise SeriesRefusal("truncated", code=ReasonCode.PIXEL_DATA)
        return load(series_uid)

    document = read_study(replace(study(T2, t1), load=failing), [reader], software_version="0").findings
    assert list(reader.saw) == [SeriesRole.MR_SAGITTAL_T2]
    assert isinstance(document.of(Question.COMPRESSION_FRACTURE)[0].assessment, Present)
    left_out = next(use for use in document.series if use.uid == "1.2.3.3")
    assert (left_out.used_by, left_out.refused) == ((), (ReasonCode.PIXEL_DATA, "truncated"))


def test_a_series_that_a_detector_could_not_use_says_so():
    t1 = replace(T2, series_instance_uid="1.2.3.3", repetition_time_ms=600.0, echo_time_ms=10.0)
    why = (ReasonCode.BODY_PART, "no spine")
    reader = Reader("a", DetectorResult(findings=(fracture("L1"),), unread={SeriesRole.MR_SAGITTAL_T1: why}))
    roles = (SeriesRole.MR_SAGITTAL_T2, SeriesRole.MR_SAGITTAL_T1)
    reader.reads = replace(reader.reads, roles=roles, beside=roles)
    chosen, left_out = read([T2, t1], [reader]).series
    assert (chosen.used_by, chosen.refused) == (("a",), None)
    assert (left_out.used_by, left_out.refused) == ((), why)


def test_where_the_chosen_series_is_refused_the_one_beside_it_is_not_listed_as_used():
    t1 = replace(T2, series_instance_uid="1.2.3.3", repetition_time_ms=600.0, echo_time_ms=10.0)
    reader = Reader("a", SeriesRefusal("upside down", code=ReasonCode.ORIENTATION))
    roles = (SeriesRole.MR_SAGITTAL_T2, SeriesRole.MR_SAGITTAL_T1)
    reader.reads = replace(reader.reads, roles=roles, beside=roles)
    chosen, beside = read([T2, t1], [reader]).series
    assert chosen.refused == (ReasonCode.ORIENTATION, "upside down")
    assert beside.used_by == ()
    assert beside.refused[0] is ReasonCode.ORIENTATION
    assert beside.refused[1].endswith("upside down")


def test_a_series_that_was_left_for_another_says_so_and_is_not_refused():
    fewer = replace(T2, series_instance_uid="1.2.3.3", frame_count=9)
    taken, left = read([T2, fewer], [Reader("a", DetectorResult(findings=(fracture("L1"),)))]).series
    assert taken.warnings == ()
    assert (left.used_by, left.refused) == ((), None)
    ((code, sentence),) = left.warnings
    assert code is ReasonCode.NOT_CHOSEN
    assert f"{T2.series_instance_uid} was taken, as it has 15 slices, not 9" in sentence


def test_a_series_that_is_refused_gives_way_to_another_of_its_role():
    fewer = replace(T2, series_instance_uid="1.2.3.3", frame_count=9)
    document = read([T2, fewer], [Picky("a", {T2.series_instance_uid: ReasonCode.BODY_PART})])
    assert isinstance(document.of(Question.COMPRESSION_FRACTURE)[0].assessment, Present)
    first, second = document.series
    assert (first.used_by, first.refused) == ((), (ReasonCode.BODY_PART, "no spine"))
    assert (second.used_by, second.refused, second.warnings) == (("a",), None, ())


def test_where_every_series_of_a_role_is_refused_each_says_why():
    fewer = replace(T2, series_instance_uid="1.2.3.3", frame_count=9)
    refusals = {T2.series_instance_uid: ReasonCode.BODY_PART, "1.2.3.3": ReasonCode.ORIENTATION}
    document = read([T2, fewer], [Picky("a", refusals)])
    assert [s.refused for s in document.series] == [(code, "no spine") for code in refusals.values()]
    assert document.of(Question.COMPRESSION_FRACTURE)[0].assessment.reason is ReasonCode.ORIENTATION


@pytest.mark.parametrize("code", [ReasonCode.MISSING_SERIES, ReasonCode.FAULT])
def test_what_another_series_would_meet_as_well_is_asked_once(code):
    fewer = replace(T2, series_instance_uid="1.2.3.3", frame_count=9)
    document = read([T2, fewer], [Picky("a", {T2.series_instance_uid: code})])
    assert document.of(Question.COMPRESSION_FRACTURE)[0].assessment.reason is code


def test_what_lacks_a_series_says_what_is_wrong_with_the_one_that_there_is():
    roles = (SeriesRole.MR_SAGITTAL_T2, SeriesRole.MR_SAGITTAL_T1)
    times = {"repetition_time_ms": 600.0, "echo_time_ms": 10.0}
    t1 = replace(T2, series_instance_uid="1.2.3.3", fault=(ReasonCode.SPACING, "2 slices are missing"), **times)
    lacking = replace(fracture("L1"), assessment=NotAssessed(reason=ReasonCode.MISSING_SERIES, sentence="It needs T1."))
    reader = Reader("a", DetectorResult(findings=(lacking,)))
    reader.reads = replace(reader.reads, roles=roles, beside=roles)
    (found,) = read([T2, t1], [reader]).of(Question.COMPRESSION_FRACTURE)
    assert found.assessment.reason is ReasonCode.SPACING
    assert found.assessment.sentence == "It needs T1. The study has one, but 2 slices are missing."
    (alone,) = read([T2], [reader]).of(Question.COMPRESSION_FRACTURE)
    assert alone.assessment == lacking.assessment


def test_the_same_input_gives_the_same_bytes():
    result = DetectorResult(findings=(fracture("L3"), fracture("T12")))
    assert encode(read([T2, CT], [Reader("m", result)])) == encode(read([T2, CT], [Reader("m", result)]))


class TestNames:
    """A localizer in the same frame is at hand for the names of the levels, and listed as used only where it was."""

    LOCALIZER = replace(
        T2,
        series_instance_uid="1.2.3.8",
        rows=640,
        image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"),
        frame_of_reference_uids=("1.9",),
    )
    SERIES = (replace(T2, frame_of_reference_uids=("1.9",)), LOCALIZER)

    def reader(self, **result):
        reader = Reader("m", DetectorResult(findings=(fracture("L1"),), **result))
        reader.reads = replace(reader.reads, names_from=(SeriesRole.LOCALIZER,))
        return reader

    def test_it_is_at_hand_and_stays_a_localizer_that_nothing_is_measured_on(self):
        reader = self.reader()
        document = read(self.SERIES, [reader])
        assert reader.saw == {SeriesRole.MR_SAGITTAL_T2: "1.2.3.1", SeriesRole.LOCALIZER: "1.2.3.8"}
        assert document.series[1].used_by == ()
        assert document.series[1].refused[0] is ReasonCode.LOCALIZER

    def test_it_is_listed_as_used_where_it_named_the_levels(self):
        document = read(self.SERIES, [self.reader(named_from="1.2.3.8")])
        assert [use.used_by for use in document.series] == [("m",), ("m",)]
        assert document.series[1].refused is None
