"""One way in: bytes of any format to a Report."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from claims.reading.dicom_sr import from_dicom_sr
from claims.reading.fhir import from_fhir
from claims.reading.hl7v2 import from_hl7v2
from claims.reading.pdf import MAGIC, from_pdf
from claims.reading.plain import from_text
from claims.report import Report, ReportRefusal

FORMATS: Mapping[str, Callable[..., Report]] = {
    "text": from_text,
    "pdf": from_pdf,
    "hl7v2": from_hl7v2,
    "fhir": from_fhir,
    "dicom-sr": from_dicom_sr,
}
"""The adapter of each format."""
_PREAMBLE = 128


def load_report(data: bytes, *, report_format: str | None = None, report_id: str | None = None) -> Report:
    """A report as it came.

    Args:
        data: the bytes.
        report_format: one of FORMATS; None: told from the bytes.
        report_id: its number; else the one that it carries.

    Raises:
        ReportRefusal: the format is not one of FORMATS, or its adapter refuses.
    """
    name = report_format or _told(data)
    if name not in FORMATS:
        raise ReportRefusal(f"a report comes as one of {', '.join(FORMATS)}, not as {name[:40]!r}")
    return FORMATS[name](data, report_id=report_id)


def _told(data: bytes) -> str:
    head = data[:1024].lstrip(b"\xef\xbb\xbf\x0b\r\n\t ")
    if data[_PREAMBLE : _PREAMBLE + 4] == b"DICM":
        return "dicom-sr"
    if head.startswith(MAGIC):
        return "pdf"
    if head.startswith(b"MSH") and len(head) > 3 and not head[3:4].isalnum():  # noqa: PLR2004 - the field separator
        return "hl7v2"
    return "fhir" if head.startswith(b"{") and _is_json(data) else "text"


def _is_json(data: bytes) -> bool:
    try:
        return isinstance(json.loads(data), dict)
    except (ValueError, RecursionError):
        return False
