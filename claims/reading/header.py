"""What the text of a report says of itself: signed or not, by whom and when, which examination, which patient."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from claims.report import Report, ReportRefusal, SignedState

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})[a-z]*\.?"
_DATE = re.compile(
    r"(?P<y>\d{4})-(?P<m>\d\d)-(?P<d>\d\d)"
    r"|(?P<a>\d\d?)[/.-](?P<b>\d\d?)[/.-](?P<year>\d{4}|\d\d(?!\d))"
    rf"|(?P<day>\d\d?)(?:st|nd|rd|th)?[ -](?:of )?{_MONTH}[ -],? ?(?P<of>\d{{4}})"
    rf"|{_MONTH.replace('month', 'first')} (?P<then>\d\d?)(?:st|nd|rd|th)?,? (?P<in>\d{{4}})",
    re.IGNORECASE,
)
_CLOCK = re.compile(r"\s*(?:at|,)?\s*(?P<hour>\d\d?):(?P<minute>\d\d)(?::\d\d)?\s*(?P<half>[ap]\.?m)?", re.IGNORECASE)
_SIGNED = re.compile(
    r"(?:electronically|digitally|e-?)[ -]?(?:signed|authenticated|verified|approved)(?: and \w+)?(?: by)?\s*:?"
    r"|\b(?:signed(?: and (?:finalized|verified))?|finali[sz]ed|attested|read and (?:signed|finali[sz]ed)|verified"
    r"|authenticated|authori[sz]ed) (?:electronically )?by\s*:?|\bfinal (?:report|read) by\s*:?",
    re.IGNORECASE,
)
_UNSIGNED = re.compile(
    r"dictated but not (?:read|signed)"
    r"|not (?:(?:yet|been|electronically) )*(?:signed|verified|authenticated|finali[sz]ed)"
    r"|\bunsigned\b|\bunverified\b|(?:pending|awaiting) (?:signature|verification|attending|final)"
    r"|^[ \t*=_-]*(?:preliminary|prelim|draft|wet read|provisional)\b[^.\n]{0,40}$"
    r"|status\s*:\s*(?:preliminary|draft|unsigned)",
    re.IGNORECASE | re.MULTILINE,
)
_NAME = re.compile(r"[ \t]*(?P<name>(?:(?!\bon\b|\bat\b|\d|\n|;|\(|Date|Time|Signed).){3,80})")
_EXAM_DATE = re.compile(
    r"(?:date of (?:exam(?:ination)?|study|service)|(?:exam(?:ination)?|study|service) date"
    r"|date (?:performed|of procedure)|performed(?: on)?)\s*:?\s*",
    re.IGNORECASE,
)
_EXAM_LINE = re.compile(
    r"^[ \t*=-]*(?:exam(?:ination)?|study|procedure|type of exam)[ \t]*:[ \t]*(?P<what>.+)$",
    re.IGNORECASE | re.MULTILINE,
)
_MODALITIES: tuple[tuple[str, str], ...] = (
    ("NM", r"\b(?:nm|bone scan|scintigra\w+|spect)\b"),
    ("PT", r"\bpet\b"),
    ("MR", r"\b(?:mri?|magnetic resonance)\b"),
    ("CT", r"\b(?:ct|computed tomography)\b"),
    ("DX", r"\b(?:x-?rays?|xr|radiographs?|plain films?)\b"),
)
_IDENTIFIERS: tuple[tuple[str, str], ...] = (
    (
        "medical_record_number",
        r"\b(?:mrn|medical record (?:number|no\.?|#)|patient id|pt id)\s*[:#]?\s*(?P<value>[A-Z0-9][A-Z0-9-]{2,19})\b",
    ),
    ("accession_number", r"\baccession(?: (?:number|no\.?|#))?\s*[:#]?\s*(?P<value>[A-Z0-9][A-Z0-9.-]{2,29})\b"),
)
_BIRTH = re.compile(r"\b(?:dob|date of birth|birth ?date|born)\s*:?\s*", re.IGNORECASE)
_SEARCHED = 4000
"""Characters at each end of a report where its header and its signature stand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What a text says of being signed."""

    state: SignedState
    by: str | None = None
    at: datetime | None = None


def read_signature(text: str) -> Signature:
    """SIGNED where a signature line says by whom; UNSIGNED where the text calls itself a draft; both are UNKNOWN."""
    signed = list(_SIGNED.finditer(text))
    denied = list(_UNSIGNED.finditer(text))
    if not signed or any(_touches(match, line) for match in signed[-1:] for line in denied):
        return Signature(state=SignedState.UNSIGNED if denied else SignedState.UNKNOWN)
    last = signed[-1]
    named = _NAME.match(text, last.end())
    by = named["name"].strip(" ,.:*_-") if named else ""
    found = _DATE.search(text, last.end(), last.end() + 160)
    at = _moment(text, found) if found else None
    if not by and at is None:
        return Signature(state=SignedState.UNKNOWN)
    return Signature(state=SignedState.UNKNOWN if denied else SignedState.SIGNED, by=by or None, at=at)


def _touches(signed: re.Match[str], denied: re.Match[str]) -> bool:
    return denied.start() <= signed.start() < denied.end()


def read_date(text: str) -> date | None:
    """The first date of a text that exists; ``03/04/2026`` is read as in the United States, 4 March."""
    return next((day for match in _DATE.finditer(text) if (day := _day(match))), None)


def _day(match: re.Match[str]) -> date | None:
    parts = match.groupdict()
    if parts["y"]:
        year, month, day = int(parts["y"]), int(parts["m"]), int(parts["d"])
    elif parts["a"]:
        year, month, day = int(parts["year"]), int(parts["a"]), int(parts["b"])
        year += 2000 if year < 100 else 0  # noqa: PLR2004 - a year of two digits
        if month > 12:  # noqa: PLR2004 - then it is the day
            month, day = day, month
    elif parts["month"]:
        year, month, day = int(parts["of"]), _MONTHS.index(parts["month"].lower()) + 1, int(parts["day"])
    else:
        year, month, day = int(parts["in"]), _MONTHS.index(parts["first"].lower()) + 1, int(parts["then"])
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _moment(text: str, match: re.Match[str]) -> datetime | None:
    day = _day(match)
    clock = _CLOCK.match(text, match.end())
    if day is None:
        return None
    if clock is None or int(clock["minute"]) > 59 or int(clock["hour"]) > 23:  # noqa: PLR2004 - a clock
        return datetime.combine(day, time())
    half = (clock["half"] or "").lower().replace(".", "")
    hour = int(clock["hour"]) % 12 + (12 if half == "pm" else 0) if half else int(clock["hour"])
    return datetime.combine(day, time(hour, int(clock["minute"])))


def read_modality(words: Iterable[str]) -> str | None:
    """The modality that the first of some texts names: ``NM``, ``PT``, ``MR``, ``CT`` or ``DX``."""
    for text in words:
        for modality, pattern in _MODALITIES:
            if re.search(pattern, text, re.IGNORECASE):
                return modality
    return None


def report_from_text(text: str, data: bytes, *, report_format: str, **known: Any) -> Report:
    """A report whose format says nothing beside the text; what the format does say comes in ``known`` and stands.

    Raises:
        ReportRefusal: there is no text.
    """
    if not text.strip():
        raise ReportRefusal(f"the {report_format} report has no text; send the words that the radiologist signed")
    head = text[:_SEARCHED]
    signature = read_signature(text)
    exam = [match["what"] for match in _EXAM_LINE.finditer(head)]
    found: dict[str, Any] = {
        "signed": signature.state,
        "signed_by": signature.by,
        "signed_at": signature.at,
        "study_date": _exam_date(head),
        "modality": read_modality([*exam, "\n".join(head.splitlines()[:5])]),
        "patient_identifiers": _identifiers(head),
    }
    digest = hashlib.sha256(data).hexdigest()
    values = found | {name: value for name, value in known.items() if value not in (None, (), "")}
    values["id"] = values.get("id") or dict(found["patient_identifiers"]).get("accession_number") or digest[:16]
    return Report(text=text, sha256=digest, format=report_format, **values)


def _exam_date(head: str) -> date | None:
    for match in _EXAM_DATE.finditer(head):
        if day := read_date(head[match.end() : match.end() + 30]):
            return day
    return next((day for m in _EXAM_LINE.finditer(head) if (day := read_date(m["what"]))), None)


def _identifiers(head: str) -> tuple[tuple[str, str], ...]:
    found = [
        (name, match["value"]) for name, pattern in _IDENTIFIERS if (match := re.search(pattern, head, re.IGNORECASE))
    ]
    birth = _BIRTH.search(head)
    day = read_date(head[birth.end() : birth.end() + 30]) if birth else None
    return (*found, ("birth_date", day.isoformat())) if day else tuple(found)
