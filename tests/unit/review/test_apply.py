"""From findings and a review to the reviewed findings: what stands, what was replaced, and what is refused by name."""

from __future__ import annotations

import json
from dataclasses import replace

import jsonschema
import pydicom
import pytest

from builders.dicom import SeriesPlan, small_voxels, write_series
from builders.findings import reference, spine_findings
from builders.reviews import reviewed
from dicom_node import codes
from inference.anatomy import REGULAR_VERTEBRAE, Disc, Site
from inference.errors import ReasonCode
from inference.findings import (
    Absent,
    Geometry,
    GeometryType,
    Grade,
    NotAssessed,
    Present,
    Question,
    ReviewReason,
    ReviewStatus,
)
from inference.findings.encode import decode, encode, schema
from inference.review import Action, Addition, Correction, Decision, Review, ReviewFault, ReviewRefusal, Shape
from inference.review.apply import REASON_WORDS
from inference.review.review import REASONS
from inference.review.scales import SCALES, SCALES_OF, TRANSITIONAL_DISCS

SPACING = (1.5, 0.75)
Q = Question


@pytest.fixture(scope="module")
def headers(tmp_path_factory):
    plan = SeriesPlan(voxels=small_voxels(5), pixel_spacing_mm=SPACING)
    return [pydicom.dcmread(p, stop_before_pixels=True) for p in write_series(tmp_path_factory.mktemp("s"), plan)]


@pytest.fixture
def findings(headers):
    return spine_findings(headers[0].StudyInstanceUID, reference(headers[2]), SPACING)


def at(document, question, level):
    return [f for f in document.findings if f.question is question and f.site.level == level]


def only(document, question, level):
    (finding,) = at(document, question, level)
    return finding


def reject(finding, reason=ReviewReason.NOT_THERE, note=None):
    return Decision(finding_id=finding.id, action=Action.REJECT, reason=reason, note=note)


def correct(finding, reason=ReviewReason.LEVEL, **correction):
    return Decision(finding_id=finding.id, action=Action.CORRECT, reason=reason, correction=Correction(**correction))


def accepting(*decisions, **more):
    return Review(decisions=decisions, accept_rest=True, **more)


def test_accepting_the_rest_changes_nothing_but_says_so(findings):
    after = reviewed(findings, accepting())
    assert [replace(f, review=None) for f in after.findings] == list(findings.findings)
    assert {f.review.status for f in after.findings} == {ReviewStatus.ACCEPTED}
    assert {f.review.reviewer for f in after.findings} == {"Jane Doe"}
    assert "Not reviewed" not in after.notice


def test_a_rejected_finding_says_nothing_any_more_and_keeps_what_the_ai_said(findings):
    fracture = only(findings, Q.COMPRESSION_FRACTURE, "L1")
    after = only(reviewed(findings, accepting(reject(fracture))), Q.COMPRESSION_FRACTURE, "L1")
    assert isinstance(after.assessment, NotAssessed)
    assert after.assessment.reason is ReasonCode.REJECTED
    assert (after.grades, after.measurements, after.evidence, after.probability) == ((), (), (), None)
    assert after.review.original == fracture
    assert after.id == fracture.id


def test_a_corrected_level_moves_the_finding_and_replaces_what_the_ai_said_there(findings):
    fracture, normal = (only(findings, Q.COMPRESSION_FRACTURE, level) for level in ("L1", "L2"))
    document = reviewed(findings, accepting(correct(fracture, level="L2")))
    moved, replaced = at(document, Q.COMPRESSION_FRACTURE, "L2")
    assert (moved.id, moved.assessment, moved.review.changed) == (fracture.id, Present(), ("level",))
    assert moved.review.original.site.level == "L1"
    assert moved.measurement("height_z_score") is None, "it compares with what is normal at L1"
    assert moved.measurement("height_loss") == fracture.measurement("height_loss")
    assert (replaced.id, replaced.review.reason) == (normal.id, ReviewReason.REPLACED)
    assert replaced.review.original == normal
    assert at(document, Q.COMPRESSION_FRACTURE, "L1") == []


def test_two_levels_may_change_places(findings):
    fracture, normal = (only(findings, Q.COMPRESSION_FRACTURE, level) for level in ("L1", "L2"))
    document = reviewed(findings, accepting(correct(fracture, level="L2"), correct(normal, level="L1")))
    assert only(document, Q.COMPRESSION_FRACTURE, "L2").assessment == Present()
    assert only(document, Q.COMPRESSION_FRACTURE, "L1").assessment == Absent()


def test_a_corrected_answer_takes_the_ais_probability_with_it(findings):
    fracture = only(findings, Q.COMPRESSION_FRACTURE, "L1")
    decision = correct(fracture, ReviewReason.NOT_THERE, assessment="absent")
    after = only(reviewed(findings, accepting(decision)), Q.COMPRESSION_FRACTURE, "L1")
    assert (after.assessment, after.grades, after.probability, after.operating_point) == (Absent(), (), None, None)
    assert after.review.changed == ("assessment",)


def test_a_corrected_grade_leaves_the_other_scales(findings):
    fracture = only(findings, Q.COMPRESSION_FRACTURE, "L1")
    decision = correct(fracture, ReviewReason.GRADE, grades=(Grade(scale="genant", value="3"),))
    after = only(reviewed(findings, accepting(decision)), Q.COMPRESSION_FRACTURE, "L1")
    assert set(after.grades) == {Grade(scale="genant_shape", value="wedge"), Grade(scale="genant", value="3")}


def test_a_line_drawn_anew_is_measured_anew_and_takes_along_what_followed_from_it(findings, headers):
    fracture = only(findings, Q.COMPRESSION_FRACTURE, "L1")
    line = Geometry(type=GeometryType.POLYLINE, points=((8.0, 6.0), (8.0, 16.0)))
    shape = Shape(sop_instance_uid=headers[1].SOPInstanceUID, frame=None, geometry=line, measurement="anterior_height")
    decision = correct(fracture, ReviewReason.GEOMETRY, shapes=(shape,))
    after = only(reviewed(findings, accepting(decision), headers), Q.COMPRESSION_FRACTURE, "L1")
    height = after.measurement("anterior_height")
    assert (height.value, height.unit, height.uncertainty) == (15.0, "mm", None)  # 10 rows of 1.5 mm
    assert after.measurement("height_loss") is None
    assert after.measurement("middle_height") == fracture.measurement("middle_height")
    (evidence,) = [e for e in after.evidence if e.measurement == "anterior_height"]
    assert evidence.source == reference(headers[1])


def test_an_added_finding_is_present_and_marked_where_it_was_seen(findings, headers):
    mark = Shape(
        sop_instance_uid=headers[1].SOPInstanceUID,
        frame=None,
        geometry=Geometry(type=GeometryType.POINT, points=((4.0, 5.0),)),
    )
    addition = Addition(
        question=Q.COMPRESSION_FRACTURE,
        site=Site(level="T12"),
        grades=(Grade(scale="genant", value="1"),),
        shapes=(mark,),
        note="Subtle.",
    )
    after = only(reviewed(findings, accepting(additions=(addition,)), headers), Q.COMPRESSION_FRACTURE, "T12")
    assert (after.assessment, after.review.status, after.model) == (Present(), ReviewStatus.ADDED, None)
    assert after.evidence[0].geometry.points == ((4.0, 5.0),)


def test_what_was_measured_inside_an_outline_goes_with_the_outline(findings, headers):
    """An area used to stay that was of the outline before."""
    fracture = only(findings, Q.COMPRESSION_FRACTURE, "L1")
    square = ((2.0, 2.0), (6.0, 2.0), (6.0, 6.0), (2.0, 6.0), (2.0, 2.0))
    outline = replace(fracture.evidence[0], geometry=Geometry(type=GeometryType.POLYLINE, points=square))
    area = replace(fracture.measurements[0], name="dural_sac_area", unit="mm2")
    drawn = replace(fracture, measurements=(*fracture.measurements, area), evidence=(*fracture.evidence, outline))
    document = replace(findings, findings=(drawn, *findings.findings[1:]))
    larger = Geometry(type=outline.geometry.type, points=tuple((x * 2, y * 2) for x, y in square))
    shape = Shape(sop_instance_uid=headers[2].SOPInstanceUID, frame=None, geometry=larger)
    correction = Correction(shapes=(shape,))
    decision = Decision(finding_id=drawn.id, action=Action.CORRECT, reason=ReviewReason.GEOMETRY, correction=correction)

    after = only(
        reviewed(document, Review(decisions=(decision,), accept_rest=True), headers), Q.COMPRESSION_FRACTURE, "L1"
    )

    assert [e.geometry for e in after.evidence if e.geometry.type is GeometryType.POLYLINE and not e.measurement] == [
        larger
    ]
    assert after.measurement("dural_sac_area") is None
    assert after.measurement("anterior_height") is not None


def test_a_reviewer_may_add_that_something_is_absent_where_nobody_looked(findings):
    seen = Addition(question=Q.COMPRESSION_FRACTURE, site=Site(level="T12"), assessment="absent")

    after = reviewed(findings, Review(additions=(seen,), accept_rest=True))

    added = only(after, Q.COMPRESSION_FRACTURE, "T12")
    assert isinstance(added.assessment, Absent)
    assert (added.review.status, added.review.reason) == (ReviewStatus.ADDED, None)
    with pytest.raises(ReviewRefusal, match=r"present or absent, got 'maybe'"):
        reviewed(findings, Review(additions=(replace(seen, assessment="maybe"),), accept_rest=True))


def test_the_reviewed_document_is_valid_and_read_back(findings, headers):
    fracture = only(findings, Q.COMPRESSION_FRACTURE, "L1")
    addition = Addition(question=Q.MODIC, site=Site(level="L3"))
    document = reviewed(findings, accepting(correct(fracture, level="T12"), additions=(addition,)))
    encoded = encode(document)
    jsonschema.validate(json.loads(encoded), schema())
    assert decode(encoded) == document
    assert encode(reviewed(findings, accepting(correct(fracture, level="T12"), additions=(addition,)))) == encoded


F = ReviewFault
REFUSED = [
    (F.FINDING, lambda f: accepting(replace(reject(f), finding_id="1.2.3"))),
    (F.FINDING, lambda f: accepting(reject(f), reject(f))),
    (F.INCOMPLETE, lambda f: Review(decisions=(reject(f),))),
    (F.REASON, lambda f: accepting(reject(f, None))),
    (F.REASON, lambda f: accepting(reject(f, ReviewReason.REPLACED))),
    (F.REASON, lambda f: accepting(reject(f, ReviewReason.OTHER, " "))),
    (F.REASON, lambda f: accepting(Decision(finding_id=f.id, action=Action.ACCEPT, reason=ReviewReason.GRADE))),
    (F.EMPTY, lambda f: accepting(Decision(finding_id=f.id, action=Action.CORRECT, reason=ReviewReason.LEVEL))),
    (F.EMPTY, lambda f: accepting(replace(reject(f), correction=Correction(level="L2")))),
    (F.EMPTY, lambda f: accepting(correct(f, level="L1"))),
    (F.EMPTY, lambda f: accepting(correct(f, grades=(Grade(scale="genant", value="2"),)))),
    (F.LEVEL, lambda f: accepting(correct(f, level="L9"))),
    (F.LEVEL, lambda f: accepting(correct(f, level="L1-L2"))),
    (F.LEVEL, lambda _: accepting(additions=(Addition(question=Q.STENOSIS, site=Site(level="L1-L4")),))),
    (F.GRADE, lambda f: accepting(correct(f, grades=(Grade(scale="genant", value="4"),)))),
    (F.GRADE, lambda f: accepting(correct(f, grades=(Grade(scale="pfirrmann", value="3"),)))),
    (F.GRADE, lambda f: accepting(correct(f, grades=(Grade(scale="genant", value="1"),) * 2))),
    (F.ASSESSMENT, lambda f: accepting(correct(f, assessment="not_assessed"))),
    (F.CONTRADICTION, lambda _: accepting(additions=(Addition(question=Q.MODIC, site=Site(level="L3")),) * 2)),
]


@pytest.mark.parametrize(("fault", "make"), REFUSED)
def test_what_cannot_be_is_refused_by_name(findings, fault, make):
    with pytest.raises(ReviewRefusal) as refused:
        reviewed(findings, make(only(findings, Q.COMPRESSION_FRACTURE, "L1")))
    assert refused.value.fault is fault
    assert refused.value.sentence.endswith(".")


def test_two_answers_at_one_site_that_were_both_decided_are_a_contradiction(findings):
    fracture, normal = (only(findings, Q.COMPRESSION_FRACTURE, level) for level in ("L1", "L2"))
    accepted = Decision(finding_id=normal.id, action=Action.ACCEPT)
    with pytest.raises(ReviewRefusal, match="Two answers to compression_fracture would stand at L2"):
        reviewed(findings, accepting(correct(fracture, level="L2"), accepted))
    reviewed(findings, accepting(correct(fracture, level="L2"), reject(normal)))


POINTS = {
    "outside": ("anterior_height", ((8.0, 6.0), (8.0, 99.0))),
    "three points": ("anterior_height", ((8.0, 6.0), (8.0, 7.0), (8.0, 8.0))),
    "no length": ("anterior_height", ((8.0, 6.0), (8.0, 6.0))),
    "no such line": ("height_loss", ((8.0, 6.0), (8.0, 9.0))),
    "open outline": (None, ((8.0, 6.0), (8.0, 9.0), (9.0, 9.0), (9.0, 7.0))),
    "not a number": (None, ((float("nan"), 6.0), (8.0, 9.0), (9.0, 9.0), (float("nan"), 6.0))),
}


@pytest.mark.parametrize("case", POINTS)
def test_shapes_that_a_finding_cannot_have_are_refused(findings, headers, case):
    measurement, points = POINTS[case]
    geometry = Geometry(type=GeometryType.POLYLINE, points=points)
    shape = Shape(sop_instance_uid=headers[1].SOPInstanceUID, frame=None, geometry=geometry, measurement=measurement)
    decision = correct(only(findings, Q.COMPRESSION_FRACTURE, "L1"), ReviewReason.GEOMETRY, shapes=(shape,))
    with pytest.raises(ReviewRefusal) as refused:
        reviewed(findings, accepting(decision), headers)
    assert refused.value.fault is ReviewFault.GEOMETRY
    with pytest.raises(ReviewRefusal, match="is none"):
        reviewed(findings, accepting(decision), headers[2:])


def test_reviewed_findings_are_not_reviewed_again(findings):
    with pytest.raises(ReviewRefusal):
        reviewed(reviewed(findings, accepting()), accepting())


def test_every_scale_and_level_that_a_reviewer_may_name_has_a_code():
    assert {scale: set(values) for scale, values in SCALES.items()} == {
        scale: set(values) for scale, (_, values) in codes.GRADES.items()
    }
    assert set().union(*SCALES_OF.values()) == set(SCALES)
    discs = [Disc.under(v).name for v in REGULAR_VERTEBRAE if v.below is not None and v.name != "C1"]
    for name in (*discs, *TRANSITIONAL_DISCS, *(v.name for v in REGULAR_VERTEBRAE), "T13", "L6"):
        assert codes.level_code(name)


def test_every_reason_has_words_and_goes_with_some_action():
    assert set(REASON_WORDS) == set(ReviewReason)
    assert set().union(*REASONS.values()) == set(ReviewReason) - {ReviewReason.REPLACED}
