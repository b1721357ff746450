"""From measured foramina to findings: measured and never judged, each number equal to what is drawn for it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from builders.subject import COLUMN_MM, ROW_MM, empty_subject
from inference.anatomy import Disc, Laterality, Numbering, Region, Site, Vertebra
from inference.errors import ReasonCode
from inference.findings import NotAssessed, Question
from inference.foramen_findings import MEASURED_ONLY, foramen_findings
from inference.measure.foramen_fat import FatShare
from inference.measure.foramina import NO_PEDICLES
from inference.measure.reading import Foramen, ForamenReading, Length, SpineReading, Unmeasured
from inference.subject import Subject

L4_L5 = Disc.under(Vertebra.L4)
GONE = Unmeasured(reason=ReasonCode.TRUNCATION, sentence="no slice shows the pedicles")
BOX = Foramen(
    height=Length(mm=16.0, uncertainty_mm=1.5, start_index=(2.0, 20.0, 25.0), end_index=(2.0, 40.0, 25.0)),
    width=Length(mm=10.0, uncertainty_mm=1.5, start_index=(2.0, 35.0, 20.0), end_index=(2.0, 35.0, 40.0)),
    outline_index=((2.0, 20.0, 20.0), (2.0, 20.0, 40.0), (2.0, 40.0, 40.0), (2.0, 40.0, 20.0)),
    area_uncertainty_mm2=28.0,
)


@pytest.fixture
def subject() -> Subject:
    return empty_subject()


def reading(*foramina: ForamenReading) -> SpineReading:
    return SpineReading(
        numbering=Numbering(method="counted_from_sacrum", ambiguous=False, note=""),
        vertebrae=(),
        discs=(),
        canal=np.zeros((3, 60, 50), np.bool_),
        canal_levels=(),
        midsagittal_slice=1,
        size=None,
        foramina=foramina,
    )


def both_sides(left: Foramen | Unmeasured, right: Foramen | Unmeasured, level: Disc = L4_L5) -> SpineReading:
    sides = ((Laterality.LEFT, left), (Laterality.RIGHT, right))
    return reading(*(ForamenReading(level=level, side=side, foramen=foramen) for side, foramen in sides))


def test_a_foramen_is_measured_and_not_judged(subject):
    fat = {(L4_L5, Laterality.LEFT): FatShare(share=0.42, uncertainty=0.06)}
    left, right = foramen_findings(both_sides(BOX, BOX), subject, fat, "T2")
    assert left.question is Question.STENOSIS
    assert left.site == Site(level="L4-L5", side=Laterality.LEFT, region=Region.FORAMEN)
    assert left.assessment == NotAssessed(reason=ReasonCode.NO_MODEL, sentence=MEASURED_ONLY)
    assert left.grades == ()
    assert left.id != right.id
    values = {m.name: (m.value, m.unit, m.uncertainty) for m in left.measurements}
    assert values == {
        "foraminal_height": (16.0, "mm", 1.5),
        "foraminal_width": (10.0, "mm", 1.5),
        "foraminal_area": (160.0, "mm2", 28.0),
        "foraminal_fat_fraction": (42.0, "%", 6.0),
    }
    fat_method = next(m.method for m in left.measurements if m.name == "foraminal_fat_fraction")
    assert "on T2 without fat suppression" in fat_method
    assert right.measurement("foraminal_fat_fraction") is None


def test_the_outline_is_closed_on_its_slice_and_lines_are_as_long_as_they_say(subject):
    finding = foramen_findings(both_sides(BOX, BOX), subject, {}, "")[0]
    assert {e.source.sop_instance_uid for e in finding.evidence} == {"1.2.2"}
    (outline,) = (e for e in finding.evidence if e.measurement is None)
    assert outline.geometry.points[0] == outline.geometry.points[-1] == (20.5, 20.5)
    for line in (e for e in finding.evidence if e.measurement is not None):
        (x0, y0), (x1, y1) = line.geometry.points
        drawn = math.hypot((x1 - x0) * COLUMN_MM, (y1 - y0) * ROW_MM)
        assert finding.measurement(line.measurement).value == pytest.approx(drawn)


def test_one_that_could_not_be_measured_says_why(subject):
    _, right = foramen_findings(both_sides(BOX, GONE), subject, {}, "")
    assert right.assessment == NotAssessed(reason=ReasonCode.TRUNCATION, sentence=GONE.sentence)
    assert (right.measurements, right.evidence) == ((), ())


@pytest.mark.parametrize("level", [Disc.under(Vertebra.T12), Disc.under(Vertebra.L5)])
def test_only_lumbar_foramina_above_the_sacrum_are_reported(subject, level):
    assert foramen_findings(both_sides(BOX, BOX, level), subject, {}, "") == ()


def test_a_series_without_lumbar_pedicles_has_no_foramen_findings(subject):
    assert foramen_findings(reading(), subject, {}, "") == ()
    assert foramen_findings(both_sides(NO_PEDICLES, NO_PEDICLES), subject, {}, "") == ()
    assert len(foramen_findings(both_sides(NO_PEDICLES, BOX), subject, {}, "")) == 2
