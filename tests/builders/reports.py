"""Radiology reports as bytes, in each format that they come in."""

from __future__ import annotations

import base64
import io
import json

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pypdf import PdfReader, PdfWriter
from reportlab.pdfgen.canvas import Canvas

from builders.dicom import derived_uid
from claims.report import Report, SignedState

LINES = (
    "EXAM: MRI LUMBAR SPINE WITHOUT CONTRAST 03/14/2026",
    "FINDINGS: Acute compression fracture of L1 with bone marrow edema on STIR. No retropulsion.",
    "IMPRESSION: Acute L1 compression fracture.",
)
SIGNATURE = "Electronically signed by: Dana Whitfield, MD on 03/14/2026 4:12 PM"
TEXT = "\n".join((*LINES, SIGNATURE))


def report(text: str) -> Report:
    return Report(id="R1", text=text, sha256="0" * 64, format="text", signed=SignedState.UNKNOWN)


def pdf(lines: tuple[str, ...] = (*LINES, SIGNATURE), *, pages: int = 1, password: str | None = None) -> bytes:
    """A PDF as a report system writes it; without lines it has pages and no text."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, invariant=True)
    for _ in range(pages):
        for number, line in enumerate(lines):
            canvas.drawString(40, 780 - 20 * number, line)
        canvas.showPage()
    canvas.save()
    if password is None:
        return buffer.getvalue()
    writer = PdfWriter(clone_from=PdfReader(buffer))
    writer.encrypt(password, algorithm="AES-256")
    locked = io.BytesIO()
    writer.write(locked)
    return locked.getvalue()


def oru(*observations: str, status: str = "F", charset: str = "UNICODE UTF-8", result: str = "F") -> bytes:
    """An ORU^R01 as a RIS sends it; each observation is OBX-2, OBX-3 and OBX-5 with ``|`` between them."""
    segments = [
        f"MSH|^~\\&|RIS|HOSPITAL|NODE|SPINE|20260314161500||ORU^R01^ORU_R01|42|P|2.5.1||||||{charset}",
        "PID|1||MR0042^^^HOSP^MR||WHITE^MARY||19480131|F",
        _request(result),
        *(
            f"OBX|{number}|{kind}|{name}|{number}|{value}||||||{status}"
            for number, (kind, name, value) in enumerate((o.split("|", 2) for o in observations), 1)
        ),
    ]
    return ("\r".join(segments) + "\r").encode(_ENCODINGS[charset])


def _request(result: str) -> str:
    """OBR with filler number, study date, accession number, when its result changed, its status and who signed."""
    fields = {1: "1", 2: "PL7", 3: "FL8", 4: "72148^MRI LUMBAR SPINE WO^C4", 7: "20260314101500", 18: "ACC123"}
    fields |= {22: "20260314161200", 24: "MR", 25: result, 32: "77&WHITFIELD&DANA"}
    return "|".join(("OBR", *(fields.get(number, "") for number in range(1, 33))))


_ENCODINGS = {"UNICODE UTF-8": "utf-8", "8859/1": "latin-1", "": "utf-8"}
ORU_LINES = tuple(f"TX|RAD&GDT^Report|{line}" for line in LINES)


def diagnostic_report(**changes: object) -> bytes:
    """A FHIR R4 DiagnosticReport with its text as presentedForm."""
    resource: dict[str, object] = {
        "resourceType": "DiagnosticReport",
        "id": "dr1",
        "identifier": [{"system": "urn:accession", "value": "ACC123"}],
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "24968-0"}], "text": "MRI Lumbar spine"},
        "subject": {"reference": "Patient/1", "identifier": {"value": "MR0042"}},
        "effectiveDateTime": "2026-03-14T10:15:00Z",
        "issued": "2026-03-14T16:12:00Z",
        "resultsInterpreter": [{"display": "Dana Whitfield, MD"}],
        "presentedForm": [presented("\n".join(LINES).encode(), "text/plain")],
    }
    resource.update(changes)
    return json.dumps({key: value for key, value in resource.items() if value is not None}).encode()


def presented(content: bytes, content_type: str) -> dict[str, str]:
    return {"contentType": content_type, "data": base64.b64encode(content).decode()}


def structured_report(*, verified: bool = True, root: tuple[str, str] = ("18748-4", "Imaging report")) -> bytes:
    """A Basic Text SR with Findings and Impression (TID 2000)."""
    document = Dataset()
    document.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    document.SOPInstanceUID = derived_uid("text report")
    document.StudyInstanceUID = derived_uid("study of the text report")
    document.StudyDate = "20260314"
    document.StudyDescription = "MRI LUMBAR SPINE"
    document.Modality = "SR"
    document.AccessionNumber = "ACC123"
    document.PatientID = "MR0042"
    document.PatientName = "White^Mary"
    document.PatientBirthDate = "19480131"
    document.VerificationFlag = "VERIFIED" if verified else "UNVERIFIED"
    if verified:
        observer = Dataset()
        observer.VerifyingObserverName = "Whitfield^Dana"
        observer.VerificationDateTime = "20260314161200"
        document.VerifyingObserverSequence = [observer]
    document.ConceptNameCodeSequence = [_code(*root)]
    document.ContentSequence = [
        _container("121070", "Findings", _text("121071", "Finding", LINES[1].removeprefix("FINDINGS: "))),
        _container("121072", "Impressions", _text("121073", "Impression", LINES[2].removeprefix("IMPRESSION: "))),
    ]
    document.file_meta = FileMetaDataset()
    document.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    document.file_meta.MediaStorageSOPClassUID = document.SOPClassUID
    document.file_meta.MediaStorageSOPInstanceUID = document.SOPInstanceUID
    buffer = io.BytesIO()
    document.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _code(value: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
    return code


def _container(value: str, meaning: str, *items: Dataset) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType, item.ContinuityOfContent = "CONTAINS", "CONTAINER", "SEPARATE"
    item.ConceptNameCodeSequence = [_code(value, meaning)]
    item.ContentSequence = list(items)
    return item


def _text(value: str, meaning: str, text: str) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType, item.TextValue = "CONTAINS", "TEXT", text
    item.ConceptNameCodeSequence = [_code(value, meaning)]
    return item
