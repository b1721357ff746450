"""A report as an object of the PACS: an SR document in prose, or a PDF in a DICOM wrapper."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EncapsulatedPDFStorage,
    EnhancedSRStorage,
)

from claims.reading import load_report
from claims.reading.dicom_sr import from_dicom_sr
from claims.report import Report, ReportRefusal, SignedState
from dicom_node.reader.values import PARSE_ERRORS
from server.claims.patients import iso_day

REPORT_CLASSES = (
    EncapsulatedPDFStorage,
    BasicTextSRStorage,
    EnhancedSRStorage,
    ComprehensiveSRStorage,
    Comprehensive3DSRStorage,
)
"""SOP classes that a radiologist's report comes in (PS3.4 B.5)."""
_SIGNED = {"VERIFIED": SignedState.SIGNED, "UNVERIFIED": SignedState.UNSIGNED}
"""Verification Flag of an encapsulated document (PS3.3 C.24.2); where it has none, its words say it, or nobody."""


_MEASUREMENTS = "126000"
"""DCM, Imaging Measurement Report (PS3.16 TID 1500)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadObject:
    """A report and what is kept of it: an SR as it came, of a wrapped PDF the PDF."""

    report: Report
    data: bytes


def read_object(data: bytes, sop_class_uid: str) -> ReadObject | None:
    """The report of a PS3.10 file; None where it is a machine's measurements and no report.

    Raises:
        ReportRefusal: it is a report that cannot be read.
    """
    try:
        header = dcmread(io.BytesIO(data))
        if sop_class_uid != EncapsulatedPDFStorage:
            return None if _title(header) == _MEASUREMENTS else ReadObject(report=from_dicom_sr(data), data=data)
        document = _document(header)
        return ReadObject(report=_with_header(load_report(document, report_format="pdf"), header), data=document)
    except PARSE_ERRORS:
        raise ReportRefusal("it is no readable DICOM file") from None


def _title(header: Dataset) -> str:
    names = header.get("ConceptNameCodeSequence")
    return str(names[0].get("CodeValue", "")) if names else ""


def _document(header: Dataset) -> bytes:
    """Its bytes without what pads them to an even length (PS3.3 C.24.2.1, Encapsulated Document Length)."""
    document = bytes(header.get("EncapsulatedDocument") or b"")
    length = header.get("EncapsulatedDocumentLength")
    return document[:length] if isinstance(length, int) and 0 < length <= len(document) else document


def _with_header(report: Report, header: Dataset) -> Report:
    """What the header says stands; who the words are of is kept beside who the header is of, and has to agree."""
    name = header.get("PatientName")
    identifiers = {
        "medical_record_number": str(header.get("PatientID") or "").strip(),
        "birth_date": iso_day(str(header.get("PatientBirthDate") or "")) or "",
        "name": str(name or ""),
    }
    said = {kind: value for kind, value in identifiers.items() if value}
    flag = str(header.get("VerificationFlag") or "")
    return replace(
        report,
        id=str(header.get("AccessionNumber") or "").strip() or str(header.SOPInstanceUID),
        signed=_SIGNED.get(flag, report.signed),
        study_instance_uid=str(header.StudyInstanceUID),
        patient_identifiers=tuple((said | dict(report.patient_identifiers)).items()),
    )
