"""The report of a review through bytes: who answers for it, what it succeeds, and what became of each finding."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders.findings import context_of, reference, spine_findings
from builders.reviews import reviewed
from dicom_node.derived import from_bytes, to_bytes
from dicom_node.equipment import person_name
from dicom_node.rejection import encode_rejection
from dicom_node.sr import encode_report
from dicom_node.sr.checklist import children, groups_of, value_of, violations
from inference.anatomy import Site
from inference.findings import Geometry, GeometryType, Grade, Question, ReviewReason
from inference.review import Action, Addition, Correction, Decision, Review, Shape

SPACING = (1.5, 0.75)


def encoded(series, findings, **context):
    made = context_of(series.plan.study_instance_uid, **context)
    return from_bytes(to_bytes(encode_report(findings, sources=series.sources, context=made)))


@pytest.fixture(scope="module")
def findings(series):
    return spine_findings(series.plan.study_instance_uid, reference(series.headers[2]), SPACING)


@pytest.fixture(scope="module")
def ai_report(series, findings):
    return encoded(series, findings)


def at(findings, question, level):
    return next(f for f in findings.findings if f.question is question and f.site.level == level)


def the_review(series, findings):
    """L1's fracture is at T12 and of grade 3, the slip is rejected, one fracture was missed; the rest is accepted."""
    fracture = at(findings, Question.COMPRESSION_FRACTURE, "L1")
    slip = at(findings, Question.SPONDYLOLISTHESIS, "L2-L3")
    mark = Shape(
        sop_instance_uid=series.headers[1].SOPInstanceUID,
        frame=None,
        geometry=Geometry(type=GeometryType.POINT, points=((4.0, 5.0),)),
    )
    return Review(
        accept_rest=True,
        decisions=(
            Decision(
                finding_id=fracture.id,
                action=Action.CORRECT,
                reason=ReviewReason.LEVEL,
                correction=Correction(level="T12", grades=(Grade(scale="genant", value="3"),)),
            ),
            Decision(finding_id=slip.id, action=Action.REJECT, reason=ReviewReason.ARTEFACT, note="Scoliosis."),
        ),
        additions=(Addition(question=Question.COMPRESSION_FRACTURE, site=Site(level="L4"), shapes=(mark,)),),
    )


@pytest.fixture(scope="module")
def document(series, findings):
    return reviewed(findings, the_review(series, findings), series.headers)


@pytest.fixture(scope="module")
def report(series, document, ai_report):
    return encoded(series, document, predecessor=ai_report)


@pytest.mark.peer("dicom3tools")
@pytest.mark.peer("dcmtk")
def test_validators_find_nothing(tmp_path, series, report, ai_report, dciodvfy, dcentvfy, dsrdump):
    path, predecessor = tmp_path / "verified.dcm", tmp_path / "ai.dcm"
    path.write_bytes(to_bytes(report))
    predecessor.write_bytes(to_bytes(ai_report))
    assert dciodvfy(path) == []
    assert dcentvfy(path, predecessor, *series.paths) == []
    text = dsrdump(path)
    assert "VERIFIED" in text
    assert "Doe" in text


def test_checklist_finds_nothing(series, report, ai_report):
    headers = {str(header.SOPInstanceUID): header for header in series.headers}
    assert violations(report, headers, verified=True) == ()
    assert violations(ai_report, headers, verified=True) != ()
    assert violations(report, headers) != ()


def test_a_person_answers_for_it_and_it_succeeds_the_report_that_was_reviewed(report, ai_report):
    assert (report.CompletionFlag, report.VerificationFlag) == ("COMPLETE", "VERIFIED")
    (observer,) = report.VerifyingObserverSequence
    assert str(observer.VerifyingObserverName) == "Doe^Jane"
    assert observer.VerifyingOrganization == "General Hospital"
    assert str(observer.VerificationDateTime) == "20261125080500+0000"
    (study,) = report.PredecessorDocumentsSequence
    (named,) = study.ReferencedSeriesSequence
    assert named.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == ai_report.SOPInstanceUID
    assert report.SeriesInstanceUID != ai_report.SeriesInstanceUID
    assert report.SeriesDescription == "Spine: verified by Jane Doe"
    assert report.SeriesNumber == 9501


def test_a_later_review_also_names_the_earlier_verified_report(series, findings, ai_report, report):
    again = reviewed(findings, Review(accept_rest=True), number=2)
    second = from_bytes(
        to_bytes(
            encode_report(
                again,
                sources=series.sources,
                context=replace(
                    context_of(series.plan.study_instance_uid, predecessor=ai_report), earlier_verified=report
                ),
            )
        )
    )
    named = {
        str(instance.ReferencedSOPInstanceUID)
        for study in second.PredecessorDocumentsSequence
        for item in study.ReferencedSeriesSequence
        for instance in item.ReferencedSOPSequence
    }
    assert named == {ai_report.SOPInstanceUID, report.SOPInstanceUID}
    assert second.SOPInstanceUID != report.SOPInstanceUID
    assert second.SeriesDescription == "Spine review 2: verified by Jane Doe"


def test_what_was_rejected_is_not_drawn_and_what_was_corrected_says_so(report):
    labels = [str(children(group, "121106")[0].TextValue) for group in groups_of(report)]
    assert labels[0] == ("T12: compression fracture, wedge, Genant 3, height loss 31 % (corrected by Jane Doe)")
    assert not any("slip" in label for label in labels)
    assert labels[-1] == "L4: compression fracture (added by Jane Doe)"


def test_every_statement_says_what_became_of_it(report):
    (box,) = children(report, "C0034375")
    statements = [item for item in children(box, value_type="CODE") if children(item, "REVIEW")]
    said = {
        str(children(item, "121106")[0].TextValue): value_of(children(item, "REVIEW")[0], "ConceptCodeSequence")
        for item in statements
    }
    assert set(said.values()) == {"ACCEPTED", "CORRECTED", "REJECTED", "ADDED"}
    (rejected,) = [text for text, status in said.items() if status == "REJECTED"]
    assert rejected == (
        "L2-L3: spondylolisthesis: not assessed. Rejected by Jane Doe: an artefact. "
        'The AI said: present. Note: "Scoliosis."'
    )
    (corrected,) = [text for text, status in said.items() if status == "CORRECTED"]
    assert corrected == (
        "T12: vertebral compression fracture: present. Corrected by Jane Doe. "
        "The AI said: L1: present, Genant 2, wedge."
    )
    assert "Not reviewed" not in to_bytes(report).decode("latin-1")


def test_the_same_review_gives_the_same_bytes_and_another_one_another_object(series, findings, document, ai_report):
    def made(reviewed_document):
        context = context_of(series.plan.study_instance_uid, predecessor=ai_report)
        return encode_report(reviewed_document, sources=series.sources, context=context)

    assert to_bytes(made(document)) == to_bytes(made(document))
    other = reviewed(findings, Review(accept_rest=True))
    assert made(other).SOPInstanceUID != made(document).SOPInstanceUID


def test_a_verified_report_needs_the_one_that_was_reviewed(series, document):
    with pytest.raises(ValueError, match="predecessor"):
        encoded(series, document)


@pytest.mark.peer("dicom3tools")
@pytest.mark.peer("dcmtk")
@pytest.mark.parametrize(("why", "title"), [("quality", "113001"), ("patient_safety", "113037")])
def test_a_rejection_note_names_what_is_rejected(tmp_path, series, document, ai_report, dciodvfy, dsrdump, why, title):
    note = encode_rejection(
        [ai_report],
        why=why,
        review=document.review,
        source=series.headers[0],
        context=context_of(series.plan.study_instance_uid),
    )
    path = tmp_path / "ko.dcm"
    path.write_bytes(to_bytes(note))
    assert dciodvfy(path) == []
    assert "Jane Doe" in dsrdump(path)
    assert value_of(note, "ConceptNameCodeSequence") == title
    (study,) = note.CurrentRequestedProcedureEvidenceSequence
    assert study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == (
        ai_report.SOPInstanceUID
    )


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Doe^Jane", "Doe^Jane"),
        ("Jane Doe", "Jane Doe^"),
        ("Müller^Zoë", "Muller^Zoe"),
        ("Yamada^Tarou=山田^太郎", "Yamada^Tarou"),
        ("Doe\\Jane\n", "DoeJane^"),
        ("x" * 80, "x" * 63 + "^"),
    ],
)
def test_person_names_are_written_in_ascii(written, name):
    assert person_name(written) == name
