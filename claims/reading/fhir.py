"""FHIR R4 and R4B DiagnosticReport: what is presented, else the conclusion; nothing is fetched."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import date, datetime
from typing import Any

from claims.reading.header import read_modality, report_from_text
from claims.reading.pdf import MAX_BYTES, pdf_text
from claims.reading.plain import readable
from claims.report import Report, ReportRefusal, SignedState

_SIGNED = frozenset({"final", "amended", "corrected", "appended"})
_UNSIGNED = frozenset({"registered", "partial", "preliminary"})
_VOID = frozenset({"cancelled", "entered-in-error"})


def from_fhir(data: bytes, *, report_id: str | None = None) -> Report:
    """A report of one DiagnosticReport, alone or as the one of a Bundle.

    Signed by its status (http://hl7.org/fhir/R4/valueset-diagnostic-report-status.html): final, amended, corrected,
    appended. Text is every presentedForm of text, HTML or PDF that is in the resource, then the conclusion.

    Raises:
        ReportRefusal: no JSON, no DiagnosticReport or several, not valid, cancelled, or its text is only a link.
    """
    if len(data) > MAX_BYTES:
        raise ReportRefusal(f"a report as FHIR has at most {MAX_BYTES} bytes, this one has {len(data)}")
    resource = _validated(_diagnostic_report(data))
    status = str(resource.status)
    if status in _VOID:
        raise ReportRefusal(f"the DiagnosticReport is {status}; there is nothing to read")
    signers = [*(resource.resultsInterpreter or []), *(resource.performer or [])]
    numbers = [item.value for item in resource.identifier or [] if item.value]
    period = resource.effectivePeriod
    return report_from_text(
        _text(resource),
        data,
        report_format="fhir",
        id=report_id or (str(numbers[0]) if numbers else resource.id),
        signed=_state(status),
        signed_by=next((str(person.display) for person in signers if person.display), None),
        signed_at=_moment(resource.issued),
        study_date=_day(resource.effectiveDateTime or (period.start if period else None)),
        study_instance_uid=_study_uid(resource),
        modality=read_modality(_names(resource)),
        patient_identifiers=_identifiers(resource),
    )


def _diagnostic_report(data: bytes) -> dict[str, Any]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        raise ReportRefusal("the report is not JSON; FHIR reports are read as JSON") from None
    resources: list[Any] = [content] if isinstance(content, dict) else []
    if resources and content.get("resourceType") == "Bundle":
        entries = content.get("entry")
        resources = [e.get("resource") for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []
    found = [r for r in resources if isinstance(r, dict) and r.get("resourceType") == "DiagnosticReport"]
    if len(found) != 1:
        raise ReportRefusal(f"one FHIR DiagnosticReport is read at a time, this has {len(found)}")
    return found[0]


def _validated(content: dict[str, Any]) -> Any:
    # Loads some hundred modules; only a process that reads FHIR pays for it.
    from fhir.resources.R4B.diagnosticreport import DiagnosticReport  # noqa: PLC0415
    from pydantic import ValidationError  # noqa: PLC0415

    try:
        return DiagnosticReport.model_validate(content)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise ReportRefusal(f"the DiagnosticReport is not valid FHIR R4: see its {where or 'top level'}") from None


def _text(resource: Any) -> str:
    forms = resource.presentedForm or []
    parts = [part for form in forms if form.data is not None and (part := _form(form))]
    conclusion = str(resource.conclusion or "").strip()
    if conclusion and not any(conclusion in part for part in parts):
        parts.append(f"CONCLUSION:\n{conclusion}" if parts else conclusion)
    if not parts and any(form.url for form in forms):
        raise ReportRefusal("the DiagnosticReport only links to its text, and nothing is fetched; send the text in it")
    return "\n\n".join(parts)


def _form(form: Any) -> str:
    content = bytes(form.data) if isinstance(form.data, bytes | bytearray) else str(form.data).encode()
    content = _decoded(content)
    kind, _, parameters = str(form.contentType or "text/plain").lower().partition(";")
    if kind.strip() == "application/pdf":
        return pdf_text(content)
    if not kind.startswith("text/"):
        raise ReportRefusal(f"a presentedForm is text, HTML or PDF, this one is {kind[:40]!r}")
    charset = parameters.partition("charset=")[2].strip(" \"'") or None
    return readable(content, charset=charset)


def _decoded(content: bytes) -> bytes:
    try:
        return base64.b64decode(content, validate=True)
    except binascii.Error:
        return content


def _state(status: str) -> SignedState:
    if status in _SIGNED:
        return SignedState.SIGNED
    return SignedState.UNSIGNED if status in _UNSIGNED else SignedState.UNKNOWN


def _moment(value: Any) -> datetime | None:
    return value if isinstance(value, datetime) else None


def _day(value: Any) -> date | None:
    if isinstance(value, datetime):
        return value.date()
    return value if isinstance(value, date) else None


def _study_uid(resource: Any) -> str | None:
    studies = [study.identifier.value for study in resource.imagingStudy or [] if study.identifier]
    return next((str(uid).removeprefix("urn:oid:") for uid in studies if uid), None)


def _names(resource: Any) -> list[str]:
    concepts = [resource.code, *(resource.category or [])]
    return [
        str(name)
        for concept in concepts
        if concept
        for name in (concept.text, *(coding.display for coding in concept.coding or []))
        if name
    ]


def _identifiers(resource: Any) -> tuple[tuple[str, str], ...]:
    subject = resource.subject
    value = subject.identifier.value if subject and subject.identifier else None
    return (("medical_record_number", str(value)),) if value else ()
