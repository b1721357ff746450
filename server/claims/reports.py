"""Reports of claims: from the bytes that came, and what came with them, to a Report; and as JSON values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Row

from claims.intake.own import ReportFacts
from claims.reading import load_report
from claims.report import Report
from server.claims.rows import standing


def report_of(data: bytes, facts: ReportFacts) -> Report:
    """The report: what it says of itself, and what came with it where that stands before or is missing.

    Who it is of is never overruled: identifiers that came with it only fill in what it does not carry.

    Raises:
        ReportRefusal: it cannot be read.
    """
    report = load_report(data, report_id=facts.id)
    identifiers = dict(facts.patient.identifiers) | dict(report.patient_identifiers)
    return replace(
        report,
        signed=facts.signed or report.signed,
        signed_by=facts.signed_by or report.signed_by,
        study_date=facts.study_date or report.study_date,
        study_instance_uid=facts.study_instance_uid or report.study_instance_uid,
        modality=facts.modality or report.modality,
        patient_identifiers=tuple(identifiers.items()),
    )


def reports_json(rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """The reports of a claim, each without its text, and whether it stands."""
    counted = {row.ordinal for row in standing(rows)}
    return [_report_json(row) | {"stands": row.ordinal in counted} for row in rows]


def _report_json(row: Row[Any]) -> dict[str, Any]:
    report = json.loads(row.report)
    wanted = ("id", "format", "signed", "signed_by", "signed_at", "study_date", "study_instance_uid", "modality")
    return {name: report[name] for name in wanted} | {
        "sha256": row.sha256,
        "added_at": row.added_at,
        "added_by": row.added_by,
        "source": row.source.partition(" ")[0] or "request",
        "withdraws": row.withdraws,
    }
