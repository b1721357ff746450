"""Judging a claim on what comes with it, and keeping nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from claims.claim import ClaimRefusal
from claims.criteria import Catalogue
from claims.engine import evaluate
from claims.evidence import ClaimEvidence
from claims.intake import read_claims
from claims.reading import read_report
from inference.errors import Refusal
from inference.findings import StudyFindings
from inference.findings.encode import decode
from server.claims.reports import report_of

if TYPE_CHECKING:
    from server.http.claim_bodies import CheckBody


def check_once(tables: Catalogue, body: CheckBody) -> ClaimEvidence:
    """The evidence.

    Raises:
        ClaimRefusal: the file holds more than one claim, or what cannot be judged.
        ReportRefusal: a report cannot be read.
    """
    intake = read_claims(body.claim_bytes())
    if len(intake.claims) != 1:
        raise ClaimRefusal(f"One claim is checked at a time, got {len(intake.claims)}.")
    facts = [*intake.reports, *(report.facts for report in body.reports[len(intake.reports) :])]
    reports = [read_report(report_of(report.data(), fact)) for report, fact in zip(body.reports, facts, strict=False)]
    return evaluate(
        intake.claims[0],
        tables.table_for(intake.claims[0]),
        studies=intake.studies,
        findings=[_findings(document, place) for place, document in enumerate(body.findings, start=1)],
        reports=reports,
    )


def _findings(document: dict[str, Any], place: int) -> StudyFindings:
    try:
        return decode(json.dumps(document).encode())
    except Refusal:
        raise ClaimRefusal(f"Document {place} of the findings is not one of schema spine-findings/1.") from None
