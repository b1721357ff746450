"""From marrow numbers to acuity: the table of patterns at its edges, and a sentence wherever no acuity is given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inference.anatomy import Site, Vertebra
from inference.errors import ReasonCode
from inference.findings import Absent, Calibration, Finding, GeometryType, Grade, NotAssessed, Present, Question
from inference.geometry import FrameReference, Volume
from inference.marrow_findings import (
    NO_FAT_SUPPRESSED,
    MarrowPattern,
    MarrowPolicy,
    SeriesMarrow,
    pattern_of,
    with_marrow,
)
from inference.measure.marrow import BodyMarrow
from inference.measure.reading import Unmeasured
from inference.provenance import ModelIdentity
from inference.spine_findings import Subject

POLICY = MarrowPolicy()
MODEL = ModelIdentity(name="m", version="1", sha256="0" * 64, training_data="synthetic")
QUIET = BodyMarrow(
    ratio=1.02, ratio_uncertainty=0.12, z=0.2, share=0.002, share_uncertainty=0.001,
    upper=0.0, middle=0.01, lower=0.0, width=0.05, brightest_index=(1.0, 5.0, 6.0),
)  # fmt: skip
OEDEMA = replace(QUIET, ratio=4.2, z=11.0, share=0.97, upper=0.95, middle=0.99, lower=0.96, width=0.97)
BAND = replace(QUIET, ratio=1.7, z=4.4, share=0.24, upper=0.7, middle=0.02, lower=0.0, width=0.9)
FOCUS = replace(QUIET, ratio=1.2, z=1.8, share=0.07, upper=0.2, middle=0.01, lower=0.0, width=0.3)


@pytest.mark.parametrize(
    ("marrow", "pattern"),
    [
        (QUIET, MarrowPattern.ORDINARY),
        (replace(QUIET, share=0.05, z=2.99), MarrowPattern.ORDINARY),
        (OEDEMA, MarrowPattern.OEDEMA),
        (replace(OEDEMA, share=0.25, middle=0.25, z=3.0), MarrowPattern.OEDEMA),
        (replace(OEDEMA, z=2.99), MarrowPattern.UNCLEAR),
        (replace(OEDEMA, share=0.24, middle=0.5), MarrowPattern.UNCLEAR),
        (BAND, MarrowPattern.BAND),
        (replace(BAND, upper=0.1, lower=0.6), MarrowPattern.BAND),
        (replace(BAND, share=0.5, lower=0.7), MarrowPattern.BAND),
        (FOCUS, MarrowPattern.FOCUS),
        (replace(FOCUS, width=0.6), MarrowPattern.UNCLEAR),
        (replace(QUIET, z=5.0), MarrowPattern.FOCUS),
    ],
)
def test_the_patterns_at_their_edges(marrow, pattern):
    assert pattern_of(marrow, POLICY) is pattern


def subject():
    sources = tuple(FrameReference(sop_class_uid="1.2", sop_instance_uid=f"1.2.{i}") for i in range(3))
    affine = np.array([[4.0, 0, 0, 0], [0, 0, 0.5, 0], [0, -0.5, 0, 0], [0, 0, 0, 1]])
    volume = Volume(voxels=np.zeros((3, 20, 20), np.float32), affine=affine, sources=sources, series_instance_uid="1.3")
    return Subject(study_instance_uid="1.2.3", volume=volume, model=MODEL)


def fracture(assessment, level="L1", **values):
    grades = (Grade(scale="genant", value="2"),)
    return Finding(
        id="2.25.1", question=Question.COMPRESSION_FRACTURE, site=Site(level=level), assessment=assessment,
        grades=grades, operating_point="height loss >= 25 %", **values,
    )  # fmt: skip


def judged(finding, marrow):
    levels = {Vertebra.L1: marrow}
    (result,) = with_marrow([finding], SeriesMarrow(levels=levels, subject=subject(), policy=POLICY, series="STIR"))
    return result


@pytest.mark.parametrize(("marrow", "acuity"), [(OEDEMA, "acute-appearing"), (QUIET, "chronic-appearing")])
def test_a_called_fracture_with_a_clear_pattern_has_an_acuity(marrow, acuity):
    found = judged(fracture(Present()), marrow)
    assert found.grades == (Grade(scale="genant", value="2"), Grade(scale="acuity", value=acuity))
    assert found.note is None
    assert found.calibration is Calibration.NONE
    assert found.operating_point == f"height loss >= 25 %; {POLICY.statement}"


@pytest.mark.parametrize(("marrow", "says"), [(BAND, "Modic 1"), (FOCUS, "Schmorl"), (replace(OEDEMA, z=1), "neither")])
def test_a_called_fracture_with_another_pattern_has_none_and_says_why(marrow, says):
    found = judged(fracture(Present(), note="First."), marrow)
    assert [g.scale for g in found.grades] == ["genant"]
    assert found.note.startswith("First. Acuity not assessed (E_UNCERTAIN): ")
    assert says in found.note


@pytest.mark.parametrize("assessment", [Absent(), NotAssessed(reason=ReasonCode.UNCERTAIN, sentence="No.")])
def test_oedema_without_a_called_fracture_is_a_note_and_never_an_acuity(assessment):
    found = judged(fracture(assessment), OEDEMA)
    assert found.assessment == assessment
    assert [g.scale for g in found.grades] == ["genant"]
    assert "97% of the body on STIR without a called height loss" in found.note
    assert "a physician must look" in found.note


@pytest.mark.parametrize("marrow", [BAND, FOCUS, QUIET])
def test_other_patterns_without_a_fracture_are_measured_and_nothing_else(marrow):
    found = judged(fracture(Absent()), marrow)
    assert found.note is None
    assert found.operating_point == "height loss >= 25 %"
    assert found.measurement("marrow_signal_ratio").value == round(marrow.ratio, 2)


def test_numbers_and_the_mark_on_the_fat_suppressed_series():
    found = judged(fracture(Present()), OEDEMA)
    assert {m.name: (m.value, m.unit, m.uncertainty) for m in found.measurements} == {
        "marrow_signal_ratio": (4.2, "1", 0.12),
        "marrow_signal_z_score": (11.0, "1", None),
        "marrow_oedema_share": (97.0, "%", 0.1),
    }
    (mark,) = found.evidence
    assert mark.measurement == "marrow_oedema_share"
    assert mark.source.sop_instance_uid == "1.2.1"
    assert (mark.geometry.type, mark.geometry.points) == (GeometryType.POINT, ((6.5, 5.5),))
    assert judged(fracture(Present()), QUIET).evidence == ()


def test_without_a_fat_suppressed_series_a_called_fracture_says_so_and_an_absent_one_nothing():
    called, absent = with_marrow([fracture(Present()), fracture(Absent(), level="L2")], NO_FAT_SUPPRESSED)
    assert called.note.startswith("Acuity not assessed (E_MISSING_SERIES): no sagittal STIR or fat-saturated T2")
    assert called.measurements == absent.measurements == ()
    assert absent.note is None


def test_a_level_that_was_not_measured_or_not_shown_says_so():
    why = Unmeasured(reason=ReasonCode.TRUNCATION, sentence="the body is cut")
    assert judged(fracture(Present()), why).note == "Acuity not assessed (E_TRUNCATION): the body is cut."
    assert "does not show the level" in judged(fracture(Present(), level="L4"), OEDEMA).note


def test_other_questions_stay_as_they_are():
    disc = Finding(id="2.25.2", question=Question.DISC_DEGENERATION, site=Site(level="L1-L2"), assessment=Absent())
    study = fracture(Absent(), level=None)
    assert with_marrow([disc, study], NO_FAT_SUPPRESSED) == (disc, study)
