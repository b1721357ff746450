"""From slips and walls to findings: grades at their edges, lines of the right sign, and what is said of whom."""

from __future__ import annotations

import math

import pytest

from builders.subject import COLUMN_MM, ROW_MM, empty_subject
from inference.anatomy import Disc, Vertebra
from inference.errors import ReasonCode
from inference.findings import NotAssessed, Question
from inference.measure.reading import (
    Angle,
    CanalCompromise,
    Length,
    Slip,
    SlipReading,
    Unmeasured,
    WallReading,
)
from inference.subject import Subject
from inference.wall_findings import meyerding, slip_finding, wall_measurements

GONE = Unmeasured(reason=ReasonCode.TRUNCATION, sentence="Cut off.")


@pytest.fixture
def subject() -> Subject:
    return empty_subject()


def slip(mm: float, *, uncertainty_mm: float = 0.5, depth_mm: float = 34.0) -> Slip:
    columns = mm / COLUMN_MM
    offset = Length(
        mm=mm, uncertainty_mm=uncertainty_mm, start_index=(2.0, 30.0, 30.0 - columns), end_index=(2.0, 30.0, 30.0)
    )
    return Slip(offset=offset, percent=100 * mm / depth_mm, percent_uncertainty=100 * uncertainty_mm / depth_mm)


@pytest.mark.parametrize(
    ("found", "grade"),
    [
        (slip(0.0), 0),
        (slip(3.0), 0),
        (slip(3.1), 1),
        (slip(3.1, uncertainty_mm=1.6), 0),
        (slip(8.5), 1),
        (slip(8.6), 2),
        (slip(17.1), 3),
        (slip(33.9), 4),
        (slip(40.0), 5),
        (slip(60.0), 5),
        (slip(-3.0), 0),
        (slip(-4.0), None),
    ],
)
def test_meyerding_grades_forward_slips_beyond_three_millimetres_and_twice_the_uncertainty(found, grade):
    assert meyerding(found) == grade


def test_a_slip_without_millimetres_has_a_percentage_but_no_grade(subject):
    percent_only = Slip(offset=GONE, percent=20.0, percent_uncertainty=2.0)
    finding = slip_finding(SlipReading(level=Disc.under(Vertebra.L4), slip=percent_only), subject)
    assert finding.grades == ()
    assert [(m.name, m.value, m.unit) for m in finding.measurements] == [("slip_percent", 20.0, "%")]
    assert finding.evidence == ()


@pytest.mark.parametrize("mm", [6.0, -4.0])
def test_a_slip_keeps_its_sign_and_is_as_long_as_its_line(subject, mm):
    finding = slip_finding(SlipReading(level=Disc.under(Vertebra.L4), slip=slip(mm)), subject)
    assert (finding.question, finding.site.level) == (Question.SPONDYLOLISTHESIS, "L4-L5")
    assert isinstance(finding.assessment, NotAssessed)
    assert finding.assessment.reason is ReasonCode.NO_MODEL
    (line,) = finding.evidence
    (x0, y0), (x1, y1) = line.geometry.points
    measured = finding.measurement("slip")
    assert measured is not None
    assert abs(measured.value) == pytest.approx(math.hypot((x1 - x0) * COLUMN_MM, (y1 - y0) * ROW_MM))
    assert math.copysign(1, measured.value) == math.copysign(1, mm)
    assert line.source.sop_instance_uid == "1.2.2"


def test_an_unmeasured_slip_gives_its_own_reason(subject):
    finding = slip_finding(SlipReading(level=Disc.under(Vertebra.L5), slip=GONE), subject)
    assert finding.assessment == NotAssessed(reason=GONE.reason, sentence=GONE.sentence)
    assert finding.measurements == ()


def wall() -> WallReading:
    lordosis = Angle(
        degrees=-math.degrees(math.atan(8 / 10)),
        uncertainty_deg=1.0,
        upper=((1.0, 10.0, 10.0), (1.0, 10.0, 30.0)),
        lower=((1.0, 40.0, 10.0), (1.0, 30.0, 30.0)),
    )
    length = Length(mm=4.0, uncertainty_mm=0.4, start_index=(1.0, 20.0, 30.0), end_index=(1.0, 20.0, 38.0))
    canal = CanalCompromise(fraction=0.25, uncertainty=0.03, diameter=length)
    return WallReading(level=Vertebra.L1, wedge=GONE, kyphosis=lordosis, retropulsion=length, canal=canal)


def test_what_the_wall_does_to_the_canal_is_said_of_fractured_bodies_alone(subject):
    whole, fractured = (
        [(m.name, m.value) for m, _ in wall_measurements(wall(), subject, is_fractured=is_fractured)]
        for is_fractured in (False, True)
    )
    assert whole == [("local_kyphosis", -38.7)]
    assert fractured == [*whole, ("retropulsion", 4.0), ("canal_ap_diameter", 4.0), ("canal_compromise", 25.0)]


def test_an_angle_is_drawn_as_two_lines_of_one_slice(subject):
    ((_, (evidence,)),) = wall_measurements(wall(), subject, is_fractured=False)
    assert evidence.geometry.points == ((10.5, 10.5), (30.5, 10.5), (10.5, 40.5), (30.5, 30.5))
    assert evidence.source.sop_instance_uid == "1.2.1"


def test_without_a_reading_nothing_is_said(subject):
    assert list(wall_measurements(None, subject, is_fractured=True)) == []
