"""DICOM SR: the text of a report document, its headings, and whether it was verified."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError

from claims.reading.header import read_modality, report_from_text
from claims.reading.pdf import MAX_BYTES
from claims.report import Report, ReportRefusal, SignedState

MAX_ITEMS = 20_000
MAX_DEPTH = 50
UNREADABLE = (
    InvalidDicomError, BytesLengthException, OSError, EOFError, ValueError, LookupError, TypeError, AttributeError,
    NotImplementedError, OverflowError, MemoryError, RecursionError, struct.error, zlib.error,
)  # fmt: skip
"""What pydicom raises on bytes that are no data set: the list of dicom_node.reader.values, which claims do not see."""
_PROSE = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.88.11",  # Basic Text SR
        "1.2.840.10008.5.1.4.1.1.88.22",  # Enhanced SR
        "1.2.840.10008.5.1.4.1.1.88.33",  # Comprehensive SR
        "1.2.840.10008.5.1.4.1.1.88.34",  # Comprehensive 3D SR
    }
)
"""PS3.4 annex B.5: the SR storage classes that a radiologist's report comes in."""
_MEASUREMENTS = "126000"
"""DCM, Imaging Measurement Report (TID 1500): measurements, mostly a machine's, and no report in prose."""


def from_dicom_sr(data: bytes, *, report_id: str | None = None) -> Report:
    """A report of one SR document: containers as headings (TID 2000), text, codes and numbers as lines.

    Signed by its Verification Flag (PS3.3 C.17.2): VERIFIED, with the first Verifying Observer.

    Raises:
        ReportRefusal: no DICOM, no SR of prose, a measurement report, or too large or deep.
    """
    if len(data) > MAX_BYTES:
        raise ReportRefusal(f"a report as DICOM SR has at most {MAX_BYTES} bytes, this one has {len(data)}")
    try:
        return _report(_parse(data), data, report_id)
    except UNREADABLE:
        raise ReportRefusal("the report is no readable DICOM file; send Part 10 bytes") from None


def _report(document: Dataset, data: bytes, report_id: str | None) -> Report:
    """The report of a document, whose values pydicom reads only when they are asked for, and may find damaged then."""
    observers = document.get("VerifyingObserverSequence") or [Dataset()]
    is_verified = document.get("VerificationFlag") == "VERIFIED"
    return report_from_text(
        "\n".join(_lines(document, 0, [0])).strip(),
        data,
        report_format="dicom-sr",
        id=report_id or str(document.get("AccessionNumber") or "") or str(document.get("SOPInstanceUID") or ""),
        signed=SignedState.SIGNED if is_verified else SignedState.UNSIGNED,
        signed_by=str(observers[0].get("VerifyingObserverName") or ""),
        signed_at=_moment(str(observers[0].get("VerificationDateTime") or "")),
        study_date=_day(str(document.get("StudyDate") or "")),
        study_instance_uid=str(document.get("StudyInstanceUID") or ""),
        modality=read_modality([str(document.get("StudyDescription") or ""), _title(document)]),
        patient_identifiers=_identifiers(document),
    )


def _parse(data: bytes) -> Dataset:
    document = dcmread(io.BytesIO(data))
    kind, root = str(document.get("SOPClassUID") or ""), _code(document)
    if kind not in _PROSE:
        raise ReportRefusal(
            f"a report is a Basic Text, Enhanced or Comprehensive SR, this is {kind[:64] or 'no SOP class'}"
        )
    if root == _MEASUREMENTS:
        raise ReportRefusal("the SR is a measurement report (TID 1500), not a radiologist's report in prose")
    return document


def _code(item: Dataset) -> str:
    names = item.get("ConceptNameCodeSequence")
    return str(names[0].get("CodeValue", "")) if names else ""


def _title(item: Dataset) -> str:
    names = item.get("ConceptNameCodeSequence")
    return str(names[0].get("CodeMeaning", "")) if names else ""


def _lines(item: Dataset, depth: int, count: list[int]) -> Iterator[str]:
    for child in item.get("ContentSequence") or ():
        count[0] += 1
        if depth > MAX_DEPTH or count[0] > MAX_ITEMS:
            raise ReportRefusal(f"an SR report has at most {MAX_ITEMS} items, {MAX_DEPTH} deep; this one has more")
        yield from _line(child)
        yield from _lines(child, depth + 1, count)


def _line(child: Dataset) -> Iterator[str]:
    title, kind = _title(child), child.get("ValueType")
    if kind == "CONTAINER" and title:
        yield f"\n{title.upper()}:"
    elif kind == "TEXT":
        heading = "" if title.lower() in _ITEM_NAMES else f"{title.upper()}:\n"
        yield f"{heading}{child.get('TextValue', '')}"
    elif kind == "CODE" and child.get("ConceptCodeSequence"):
        if child.get("RelationshipType") in ("CONTAINS", "INFERRED FROM"):
            yield f"{title}: {child.ConceptCodeSequence[0].get('CodeMeaning', '')}."
    elif kind == "NUM" and child.get("MeasuredValueSequence"):
        value = child.MeasuredValueSequence[0]
        units = value.get("MeasurementUnitsCodeSequence")
        yield f"{title}: {value.get('NumericValue', '')} {units[0].get('CodeValue', '') if units else ''}."


_ITEM_NAMES = frozenset(["finding", "impression", "conclusion", "history", "indication", "description"]) | {
    "",
    "report text",
}
"""CID 7002 and the like: an item of a section that its container already names."""


def _day(value: str) -> date | None:
    moment = _moment(value)
    return moment.date() if moment else None


def _moment(value: str) -> datetime | None:
    for length, form in ((12, "%Y%m%d%H%M"), (8, "%Y%m%d")):
        try:
            return datetime.strptime(value[:length], form)  # noqa: DTZ007 - as written, without its offset
        except ValueError:
            continue
    return None


def _identifiers(document: Dataset) -> tuple[tuple[str, str], ...]:
    name: Any = document.get("PatientName")
    born = _day(str(document.get("PatientBirthDate") or ""))
    found = (
        ("medical_record_number", str(document.get("PatientID") or "")),
        ("birth_date", born.isoformat() if born else ""),
        ("family_name", str(name.family_name) if name else ""),
        ("given_name", str(name.given_name) if name else ""),
    )
    return tuple((key, value) for key, value in found if value)
