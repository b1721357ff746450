"""Reports of claims: from the bytes that came, and what came with them, to a Report; and as JSON values."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from sqlalchemy import Row

from claims.intake.own import ReportFacts
from claims.report import Report, ReportRefusal, SignedState


def report_of(data: bytes, media_type: str, facts: ReportFacts) -> Report:
    """The report.

    Raises:
        ReportRefusal: it is of a type that is not read.
    """
    sha256 = hashlib.sha256(data).hexdigest()
    if media_type.partition(";")[0].strip().lower() != "text/plain":
        raise ReportRefusal(f"A report is text/plain, got {media_type[:60]!r}.")
    return Report(
        id=facts.id or sha256[:16],
        text=data.decode("utf-8", "replace"),
        sha256=sha256,
        format="text",
        signed=facts.signed or SignedState.UNKNOWN,
        signed_by=facts.signed_by,
        study_date=facts.study_date,
        study_instance_uid=facts.study_instance_uid,
        modality=facts.modality,
        patient_identifiers=facts.patient.identifiers,
    )


def report_json(row: Row[Any]) -> dict[str, Any]:
    """One report of a claim, without its text."""
    report = json.loads(row.report)
    wanted = ("id", "format", "signed", "signed_by", "signed_at", "study_date", "study_instance_uid", "modality")
    return {name: report[name] for name in wanted} | {
        "sha256": row.sha256,
        "added_at": row.added_at,
        "added_by": row.added_by,
    }
