"""From numbers to answers: the policy at its edges, and each number equal to the line drawn for it."""

import math
from dataclasses import replace

import numpy as np
import pytest

from inference.anatomy import Disc, Numbering, Vertebra
from inference.errors import ReasonCode
from inference.findings import Absent, NotAssessed, Present, Question
from inference.geometry import FrameReference, Volume, affine_from_orientation
from inference.measure.reading import (
    CanalReading,
    DiscReading,
    FractureShape,
    HeightLoss,
    Heights,
    Length,
    SpineReading,
    Unmeasured,
    VertebraReading,
)
from inference.provenance import ModelIdentity
from inference.spine_findings import ONLY_ON_T2, FracturePolicy, Subject, findings_of, segmentation_of
from inference.stenosis import LOWEST, LUMBAR, StenosisPolicy

MODEL = ModelIdentity(name="m", version="1", sha256="0" * 64, training_data="synthetic")
ROW_MM, COLUMN_MM = 0.8, 0.5


def subject(slices=3):
    sources = tuple(FrameReference(sop_class_uid="1.2", sop_instance_uid=f"1.2.{i}") for i in range(slices))
    affine = affine_from_orientation((0, 0, 0), (0, 1, 0, 0, 0, -1), (ROW_MM, COLUMN_MM), (4, 0, 0))
    voxels = np.zeros((slices, 60, 50), np.float32)
    volume = Volume(voxels=voxels, affine=affine, sources=sources, series_instance_uid="1.3")
    return Subject(study_instance_uid="1.2.3", volume=volume, model=MODEL)


def length(column):
    return Length(mm=28.8, uncertainty_mm=0.4, start_index=(1.0, 10.0, column), end_index=(1.0, 46.0, column))


def loss(fraction, z, genant, shape=FractureShape.WEDGE):
    return HeightLoss(
        fraction=fraction,
        uncertainty=0.05,
        z=z,
        genant=genant,
        shape=shape if genant else None,
        probability_moderate=0.7,
        expected_mm=(29.0, 28.0, 29.0),
    )


def vertebra(the_loss, heights=None):
    mask = np.zeros((3, 60, 50), bool)
    mask[:, 10:46, 10:40] = True
    body = mask.copy()
    body[:, :, 30:] = False
    return VertebraReading(
        level=Vertebra.L1,
        mask=mask,
        body=body,
        centre_index=(1.2, 28.0, 20.0),
        touches_edge=False,
        heights=heights or Heights(anterior=length(12.0), middle=length(20.0), posterior=length(28.0)),
        loss=the_loss,
    )


def reading(the_loss, heights=None):
    level = Disc(above=Vertebra.L1, below=Vertebra.L2)
    gone = Unmeasured(reason=ReasonCode.TRUNCATION, sentence="Cut off.")
    disc = DiscReading(
        level=level,
        mask=np.zeros((3, 60, 50), bool),
        centre_index=(1.0, 50.0, 20.0),
        down_index=(0.0, 1.0, 0.0),
        back_index=(0.0, 0.0, 1.0),
        height=length(20.0),
        anterior_height=gone,
        posterior_height=length(28.0),
    )
    return SpineReading(
        numbering=Numbering(method="counted_from_sacrum", ambiguous=False, note=""),
        vertebrae=(vertebra(the_loss, heights),),
        discs=(disc,),
        canal=np.ones((3, 60, 50), bool),
        canal_levels=(CanalReading(level=level, ap_diameter=gone),),
        midsagittal_slice=1,
        size=None,
    )


def fracture(the_loss, heights=None):
    return findings_of(reading(the_loss, heights), subject(), FracturePolicy(), None)[0]


@pytest.mark.parametrize(
    ("fraction", "z", "genant", "answer"),
    [
        (0.25, -3.0, 2, Present()),
        (0.45, -6.0, 3, Present()),
        (0.249, -6.0, 1, Absent()),
        (0.30, -2.9, 2, Absent()),
        (0.0, 0.0, 0, Absent()),
    ],
)
def test_the_operating_point_needs_both_loss_and_z(fraction, z, genant, answer):
    assert fracture(loss(fraction, z, genant)).assessment == answer


def test_a_deformity_below_the_operating_point_is_named_as_possible():
    finding = fracture(loss(0.22, -4.0, 1))
    assert finding.assessment == Absent()
    assert finding.note == (
        "Possible Genant grade 1 deformity, below the operating point (height loss >= 25 % and z <= -3)."
    )


def test_an_unmeasured_vertebra_is_not_assessed_for_its_own_reason():
    gone = Unmeasured(reason=ReasonCode.TRUNCATION, sentence="L1 touches the edge of the image.")
    finding = findings_of(reading(gone, heights=None), subject(), FracturePolicy(), None)[0]
    assert finding.assessment == NotAssessed(reason=ReasonCode.TRUNCATION, sentence="L1 touches the edge of the image.")
    assert finding.grades == ()
    assert finding.probability is None


def test_every_length_equals_the_line_drawn_for_it():
    for finding in findings_of(reading(loss(0.3, -4, 2)), subject(), FracturePolicy(), None):
        for evidence in finding.evidence:
            if evidence.measurement is None:
                continue
            (x0, y0), (x1, y1) = evidence.geometry.points
            drawn = math.hypot((x1 - x0) * COLUMN_MM, (y1 - y0) * ROW_MM)
            assert finding.measurement(evidence.measurement).value == round(drawn, 2)


def test_image_points_start_at_the_corner_of_the_first_pixel():
    finding = fracture(loss(0.3, -4, 2))
    assert finding.evidence[0].geometry.points == ((20.5, 28.5),)
    assert finding.evidence[0].source.sop_instance_uid == "1.2.1"


def canal(mm, level=LUMBAR[2], policy=StenosisPolicy(), slices=9):  # noqa: B008 - a frozen value
    narrow = Length(mm=mm, uncertainty_mm=0.5, start_index=(1.0, 20.0, 10.0), end_index=(1.0, 20.0, 10.0 + mm / 0.5))
    one = replace(reading(loss(0, 0, 0)), canal_levels=(CanalReading(level=level, ap_diameter=narrow),))
    findings = findings_of(one, subject(slices), FracturePolicy(), policy)
    return next(f for f in findings if f.question is Question.STENOSIS)


@pytest.mark.parametrize(
    ("mm", "answer", "narrowing"),
    [(8.0, Present, "absolute"), (9.4, Present, "absolute"), (10.6, Absent, "relative"), (12.5, Absent, "none")],
)
def test_a_narrow_canal_is_stenosis_and_a_relatively_narrow_one_is_named(mm, answer, narrowing):
    finding = canal(mm)
    assert isinstance(finding.assessment, answer)
    assert [(g.scale, g.value) for g in finding.grades] == [("canal_narrowing", narrowing)]
    assert finding.operating_point == "mid-sagittal canal diameter < 10 mm"
    assert finding.measurement("canal_ap_diameter").value == pytest.approx(mm)


@pytest.mark.parametrize("mm", [9.6, 10.4])
def test_a_diameter_that_cannot_be_told_from_the_cut_off_is_not_answered(mm):
    finding = canal(mm)
    assert finding.assessment.reason is ReasonCode.UNCERTAIN
    assert finding.grades == ()
    assert finding.measurement("canal_ap_diameter").value == pytest.approx(mm)


def test_a_small_sac_at_the_lowest_disc_is_no_stenosis_by_itself_and_a_wide_one_is_none():
    assert canal(7.0, LOWEST).assessment.reason is ReasonCode.UNCERTAIN
    assert isinstance(canal(13.0, LOWEST).assessment, Absent)


def test_a_single_slice_may_run_beside_the_sac_so_that_only_a_wide_one_is_an_answer():
    narrow = canal(8.0, slices=2)
    assert narrow.assessment.reason is ReasonCode.UNCERTAIN
    assert "middle" in narrow.assessment.sentence
    assert narrow.grades == ()
    assert isinstance(canal(13.0, slices=2).assessment, Absent)


def test_thoracic_canals_are_measured_only():
    finding = canal(8.0, Disc(above=Vertebra.T12, below=Vertebra.L1))
    assert finding.assessment.reason is ReasonCode.NO_MODEL
    assert finding.measurements


def test_on_another_contrast_the_canal_is_measured_but_stenosis_is_not_told():
    finding = canal(8.0, policy=None)
    assert finding.assessment == NotAssessed(reason=ReasonCode.MISSING_SERIES, sentence=ONLY_ON_T2)
    assert finding.measurements


def test_a_site_may_choose_its_cut_off_and_the_result_states_it():
    finding = canal(8.0, policy=StenosisPolicy(absolute_mm=7.0))
    assert isinstance(finding.assessment, Absent)
    assert finding.operating_point == "mid-sagittal canal diameter < 7 mm"


def test_discs_and_canal_that_cannot_be_measured_say_why():
    _, disc, canal = findings_of(reading(loss(0, 0, 0)), subject(), FracturePolicy(), StenosisPolicy())
    assert disc.question is Question.DISC_DEGENERATION
    assert disc.assessment.reason is ReasonCode.NO_MODEL
    assert [m.name for m in disc.measurements] == ["middle_disc_height", "posterior_disc_height"]
    assert canal.question is Question.STENOSIS
    assert canal.assessment.reason is ReasonCode.TRUNCATION
    assert canal.measurements == ()


def test_segments_share_the_tracking_uid_of_their_finding_and_empty_ones_are_left_out():
    segmentation = segmentation_of(reading(loss(0, 0, 0)), subject())
    labels = [s.label for s in segmentation.segments]
    assert labels == ["L1 vertebra", "L1 vertebral body", "spinal canal"]
    assert segmentation.segments[0].tracking_uid == fracture(loss(0, 0, 0)).id
    assert len({s.tracking_uid for s in segmentation.segments}) == 3
