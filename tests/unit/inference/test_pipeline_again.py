"""Series that are read together, and what is read again after one of them was refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders.detectors import T2, Picky, Reader, fracture, load, read, study
from inference.errors import ReasonCode, SeriesRefusal
from inference.findings import Question
from inference.geometry import Plane
from inference.pipeline import DetectorResult, read_study
from inference.series.eligibility import Reads
from inference.series.role import SeriesRole


def axial(uid, low, **changes):
    heights = ((low, low + 20.0),)
    place = {"plane": Plane.AXIAL, "heights_mm": heights, "frame_of_reference_uids": ("1.9",), "frame_count": 5}
    return replace(T2, series_instance_uid=uid, **{**place, **changes})


class OfParts(Reader):
    """A detector that reads axial series of several parts of the spine together."""

    def __init__(self, answer):
        super().__init__("parts", answer)
        self.reads = Reads(
            name="parts", questions=frozenset({Question.STENOSIS}), roles=(SeriesRole.MR_AXIAL_T2,), all_parts=True
        )
        self.looked = []

    def read(self, volume, study_instance_uid, progress, by_role):
        self.looked.append([stack.series_instance_uid for stack in (volume, *volume.other_stacks)])
        return super().read(volume, study_instance_uid, progress, by_role)


PARTS = (axial("1.2.3.5", 0.0), axial("1.2.3.6", 35.0), axial("1.2.3.7", 36.0, frame_count=4))
STENOSED = DetectorResult(findings=(replace(fracture("L4"), question=Question.STENOSIS),))


def test_series_of_several_parts_are_read_as_one_and_all_are_used():
    reader = OfParts(STENOSED)
    first, second, repeated = read(PARTS, [reader]).series
    assert reader.looked == [["1.2.3.5", "1.2.3.6"]]
    assert (first.used_by, second.used_by, repeated.used_by) == (("parts",), ("parts",), ())
    assert [code for code, _ in repeated.warnings] == [ReasonCode.NOT_CHOSEN]


@pytest.mark.parametrize(
    ("broken", "looked"), [("1.2.3.6", ["1.2.3.5", "1.2.3.7"]), ("1.2.3.5", ["1.2.3.6"])]
)  # fmt: skip
def test_a_part_that_cannot_be_loaded_gives_way_to_its_repetition_and_says_why(broken, looked):
    reader = OfParts(STENOSED)

    def failing(series_uid):
        if series_uid == broken:
            raise SeriesRefusal("truncated", code=ReasonCode.PIXEL_DATA)
        return load(series_uid)

    series = read_study(replace(study(*PARTS), load=failing), [reader], software_version="0").findings.series
    assert reader.looked == [looked]
    assert {s.uid: s.refused for s in series if s.refused} == {broken: (ReasonCode.PIXEL_DATA, "truncated")}
    assert {s.uid for s in series if s.used_by} == set(looked)


def test_where_the_series_beside_is_refused_no_other_part_is_tried_and_all_say_why():
    refusal = SeriesRefusal("no spine beside", code=ReasonCode.BODY_PART, series_instance_uid=T2.series_instance_uid)
    reader = OfParts(refusal)
    first, second, _ = read(PARTS, [reader]).series
    assert reader.looked == [["1.2.3.5", "1.2.3.6"]]
    assert first.refused == second.refused == (ReasonCode.BODY_PART, "no spine beside")


class Counting(Picky):
    """A detector that counts how often it is asked."""

    def __init__(self, name, refusals, roles):
        super().__init__(name, refusals)
        self.reads = replace(self.reads, roles=roles)
        self.looked = []

    def read(self, volume, study_instance_uid, progress, by_role):
        self.looked.append(volume.series_instance_uid)
        return super().read(volume, study_instance_uid, progress, by_role)


def test_only_detectors_from_the_first_whose_series_changed_are_asked_again():
    times = {"repetition_time_ms": 600.0, "echo_time_ms": 10.0}
    t1, fewer = (replace(T2, series_instance_uid=uid, frame_count=n, **times) for uid, n in (("3", 15), ("4", 9)))
    of_t2, of_t1 = (SeriesRole.MR_SAGITTAL_T2,), (SeriesRole.MR_SAGITTAL_T1,)
    first, second = Counting("a", {}, of_t2), Counting("b", {}, of_t1)
    third, last = Counting("c", {"3": ReasonCode.BODY_PART}, of_t1), Counting("d", {}, of_t2)
    document = read([T2, t1, fewer], [first, second, third, last])
    t2 = T2.series_instance_uid
    assert [reader.looked for reader in (first, second, third, last)] == [[t2], ["3", "4"], ["3", "4"], [t2]]
    assert {s.uid: s.used_by for s in document.series} == {t2: ("a", "d"), "3": (), "4": ("b", "c")}
