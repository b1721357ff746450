"""HL7 v2 ORU^R01: the observation lines of a report, with their result status.

Fields and tables: HL7 v2.5.1, 2.7 (escaping), 4.5.3 (OBR), 7.4.2 (OBX); tables 0085 (OBX-11), 0123 (OBR-25), 0125
(OBX-2) and 0211 (MSH-18).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from datetime import datetime

import hl7

from claims.reading.header import read_modality, report_from_text
from claims.reading.pdf import MAGIC, MAX_BYTES, pdf_text
from claims.reading.plain import readable, words
from claims.report import Report, ReportRefusal, SignedState

_TEXT_TYPES = frozenset({"TX", "FT", "ST", ""})
_FINAL = frozenset({"F", "C", "U", "", "CORR"})
_NOT_FINAL = frozenset({"P", "R", "I", "S", "O"})
_VOID = frozenset({"D", "W", "X"})
_CHARSETS = {
    "": None,
    "ASCII": "ascii",
    "UNICODE UTF-8": "utf-8",
    "UNICODE": "utf-8",
    "UTF-8": "utf-8",
    "8859/1": "latin-1",
    "8859/2": "iso8859-2",
    "8859/5": "iso8859-5",
    "8859/15": "iso8859-15",
}
_ESCAPES = {
    "F": "|",
    "S": "^",
    "T": "&",
    "R": "~",
    "E": "\\",
    "X0D": "\n",
    "X0A": "\n",
    ".br": "\n",
    ".sp": "\n",
    ".ce": "\n",
}
"""HL7 v2.5.1, 2.7: the rest (highlighting, unknown ones) is nothing that a person reads."""
_ESCAPE = re.compile(r"\\([^\\]{0,20})\\")
_HEADINGS = {"IMP": "IMPRESSION", "ADT": "ADDENDUM", "GDT": "FINDINGS", "REC": "RECOMMENDATION"}
"""Suffixes of OBX-3 (HL7 v2.5.1, 7.2.4)."""
_NAMED = re.compile(
    r"\b(impression|addendum|findings?|history|indication|technique|comparison|conclusion)\b", re.IGNORECASE
)
_MODALITIES = frozenset({"MR", "CT", "NM", "PT", "DX", "CR"})


def from_hl7v2(data: bytes, *, report_id: str | None = None) -> Report:
    """A report of one ORU message; its lines are the OBX of type TX, FT, ST, or a PDF or text in ED.

    Signed: every line and OBR-25 final or corrected. Unsigned: any of them preliminary, partial or not verified.

    Raises:
        ReportRefusal: no HL7 v2, no ORU, more than one patient or message, or no report text in it.
    """
    if len(data) > MAX_BYTES:
        raise ReportRefusal(f"a report as HL7 v2 has at most {MAX_BYTES} bytes, this one has {len(data)}")
    message = _parse(data)
    kind = _field(message, "MSH", 9)
    if not kind.startswith("ORU"):
        raise ReportRefusal(f"a report comes as an ORU message, this HL7 v2 message is {kind[:20] or 'of no type'!r}")
    lines = [segment for segment in _all(message, "OBX") if _value(segment, 11).upper() not in _VOID]
    text = "\n".join(_text(lines))
    return report_from_text(
        text,
        data,
        report_format="hl7v2",
        id=report_id or _part(_field(message, "OBR", 18), 0) or _part(_field(message, "OBR", 3), 0),
        signed=_signed(message, lines),
        signed_by=_name(_field(message, "OBR", 32)) or _name(_value(lines[0], 16) if lines else ""),
        signed_at=_moment(_field(message, "OBR", 22)),
        study_date=day.date() if (day := _moment(_field(message, "OBR", 7))) else None,
        study_instance_uid=_study_uid(message),
        modality=_modality(message),
        patient_identifiers=_identifiers(message),
    )


def _parse(data: bytes) -> hl7.Message:
    raw = data.strip(b"\x0b\x1c\r\n \t\xef\xbb\xbf")
    if not raw.startswith(b"MSH"):
        raise ReportRefusal("the report is no HL7 v2 message: it does not begin with MSH")
    head = re.split(rb"[\r\n]", raw, maxsplit=1)[0].decode("latin-1")
    fields = head.split(head[3:4] or "|")
    named = fields[17].split("~")[0].upper() if len(fields) > 17 else ""  # noqa: PLR2004 - MSH-18
    if named not in _CHARSETS:
        raise ReportRefusal(f"the charset {named[:20]!r} in MSH-18 is not read; send UNICODE UTF-8")
    try:
        text = raw.decode(_CHARSETS[named] or "utf-8")
    except UnicodeDecodeError:
        if _CHARSETS[named]:
            raise ReportRefusal(f"the message is not in the charset {named!r} that its MSH-18 names") from None
        text = raw.decode("windows-1252", errors="replace")
    try:
        message = hl7.parse(re.sub(r"\r\n|\n", "\r", text))
    except (hl7.HL7Exception, ValueError, IndexError, KeyError, AssertionError):
        raise ReportRefusal("the HL7 v2 message is broken and could not be read") from None
    if len(_all(message, "MSH")) > 1 or len(_all(message, "PID")) > 1:
        raise ReportRefusal("the message holds more than one message or patient; send one report at a time")
    return message


def _all(message: hl7.Message, name: str) -> list[hl7.Segment]:
    return [segment for segment in message if str(segment[0]) == name]


def _field(message: hl7.Message, name: str, number: int) -> str:
    found = _all(message, name)
    return _value(found[0], number) if found else ""


def _value(segment: hl7.Segment, number: int) -> str:
    return str(segment[number]) if len(segment) > number else ""


def _part(value: str, number: int) -> str:
    parts = value.split("~", maxsplit=1)[0].split("^")
    return parts[number].strip() if len(parts) > number else ""


def _text(lines: Sequence[hl7.Segment]) -> Iterator[str]:
    """The text of the lines, with a heading where the observation identifier begins another section."""
    shown = ""
    for segment in lines:
        heading = _heading(_value(segment, 3))
        if heading and heading != shown:
            yield f"\n{heading}:"
        shown = heading or shown
        kind = _value(segment, 2).upper()
        if kind in _TEXT_TYPES:
            yield words(_unescape(_value(segment, 5).replace("~", "\n")))
        elif kind == "ED":
            yield _encapsulated(_value(segment, 5))


def _heading(identifier: str) -> str:
    suffix = identifier.split("^", maxsplit=1)[0].rpartition("&")[2].upper()
    named = _NAMED.search(identifier)
    return _HEADINGS.get(suffix) or (named[0].upper() if named else "")


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda match: _ESCAPES.get(re.sub(r"(?<=\.[a-z]{2})[+ ]?\d*$", "", match[1]), ""), text)


def _encapsulated(value: str) -> str:
    parts = [*value.split("^"), "", "", "", "", ""]
    subtype, encoding, payload = parts[2].upper(), parts[3].upper(), parts[4]
    if encoding != "BASE64":
        return _unescape(payload)
    try:
        content = base64.b64decode(payload, validate=False)
    except binascii.Error:
        raise ReportRefusal("an OBX of type ED says Base64 and is not") from None
    if "PDF" in subtype or content.startswith(MAGIC):
        return pdf_text(content)
    return readable(content)


def _signed(message: hl7.Message, lines: Sequence[hl7.Segment]) -> SignedState:
    states = {_value(segment, 11).upper() for segment in lines} | {
        _value(segment, 25).upper() for segment in _all(message, "OBR")
    }
    if states & _NOT_FINAL:
        return SignedState.UNSIGNED
    if states & _VOID:
        raise ReportRefusal("the message cancels its report (OBR-25 X); there is nothing to read")
    return SignedState.SIGNED if states <= _FINAL and states & {"F", "C"} else SignedState.UNKNOWN


def _name(value: str) -> str:
    """Family and given name of an XCN, or of the NDL of OBR-32, whose parts are subcomponents."""
    first = value.split("~", maxsplit=1)[0].split("^")
    parts = first[0].split("&") if "&" in first[0] else first
    family, given = [*parts, "", "", ""][1:3]
    return ", ".join(part.strip() for part in (family, given) if part.strip())


def _moment(value: str) -> datetime | None:
    digits = re.match(r"\d{8}(?:\d{4})?", value)
    if digits is None:
        return None
    try:
        return datetime.strptime(digits[0], "%Y%m%d%H%M" if len(digits[0]) > 8 else "%Y%m%d")  # noqa: DTZ007, PLR2004
    except ValueError:
        return None


def _study_uid(message: hl7.Message) -> str | None:
    for segment in _all(message, "OBX"):
        if "113014" in _value(segment, 3) or "study instance uid" in _value(segment, 3).lower():
            return _part(_value(segment, 5), 0) or None
    return None


def _modality(message: hl7.Message) -> str | None:
    section = _field(message, "OBR", 24).upper()
    return section if section in _MODALITIES else read_modality([_field(message, "OBR", 4)])


def _identifiers(message: hl7.Message) -> tuple[tuple[str, str], ...]:
    born = _moment(_field(message, "PID", 7))
    found = (
        ("medical_record_number", _part(_field(message, "PID", 3), 0)),
        ("birth_date", born.date().isoformat() if born else ""),
        ("family_name", _part(_field(message, "PID", 5), 0)),
        ("given_name", _part(_field(message, "PID", 5), 1)),
    )
    return tuple((name, value) for name, value in found if value)
