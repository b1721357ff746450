"""The audit trail, for administrators."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query

from server.auth.audit.dicom import audit_message
from server.auth.audit.fhir import audit_event
from server.auth.audit.record import AuditRecord
from server.auth.audit.trail import Entry, entries
from server.database import reading
from server.http.access import LARGEST_INTEGER, Limit, TheNode

router = APIRouter(prefix="/api/v1/audit", tags=["audit"])
Before = Annotated[int | None, Query(ge=1, le=LARGEST_INTEGER)]


class Form(StrEnum):
    """How a record is said."""

    PLAIN = "plain"
    """Its fields."""
    DICOM = "dicom"
    """A DICOM audit message (XML, PS3.15 A.5) as text."""
    FHIR = "fhir"
    """A FHIR R4 AuditEvent."""


@router.get("", summary="The audit trail, newest first.")
def audit_trail(node: TheNode, limit: Limit = 100, before: Before = None, form: Form = Form.PLAIN) -> dict[str, Any]:
    """``next_before`` is null on the last page; as ``before`` it gives the page after this one."""
    with reading(node.engine) as connection:
        found = entries(connection, limit=limit + 1, before=before)
    shown = found[:limit]
    following = shown[-1].number if len(found) > limit else None
    records = [_shown(entry, form, node.settings.ae_title) for entry in shown]
    return {"records": records, "next_before": following}


def _shown(entry: Entry, form: Form, source: str) -> dict[str, Any]:
    return {"number": entry.number, "sha256": entry.sha256, "record": _said(entry.record, form, source)}


def _said(record: AuditRecord, form: Form, source: str) -> str | dict[str, Any]:
    match form:
        case Form.PLAIN:
            return dict(json.loads(record.canonical()))
        case Form.DICOM:
            return audit_message(record, source=source)
        case Form.FHIR:
            return audit_event(record, source=source)
