"""What people and billing systems do with claims: hand one in, add a report, decide about a prompt, close it.

Everything is one transaction: the change, the row of the claim's history, and the new evaluation.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select
from sqlalchemy.exc import IntegrityError

from claims.claim import Claim, ClaimRefusal
from claims.intake import Intake, read_claims
from claims.matching import check_patient
from claims.report import Report, ReportRefusal
from claims.study import Study
from dicom_node.dicomweb.index import SearchIndex
from server.auth.roles import Principal
from server.claims.documents import digest, to_text
from server.claims.evaluation import evaluate_claim
from server.claims.history import Action, record_action, seal_history
from server.claims.material import find_material
from server.claims.received import read_ahead
from server.claims.rows import (
    MOST_REPORTS,
    ClaimState,
    NewReport,
    claim_row,
    insert_report,
    newest_evaluation,
    reports_of,
    set_state,
)
from server.compose import Node
from server.tables import claims

INDEX_BUDGET_S = 5.0
DECISIONS = frozenset({Action.PROMPT_ACCEPTED, Action.OVERRIDDEN, Action.NOTED, Action.CLOSED, Action.REOPENED})
"""What a person can decide, apart from adding and sending."""
NEEDS_REASON = frozenset({Action.OVERRIDDEN, Action.NOTED, Action.REOPENED})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """One file, as it was handed in."""

    key: str
    sha256: str
    by: Principal


class ClaimConflict(ClaimRefusal):
    """What is asked would have been right at another time, or under another key."""


def hand_in(node: Node, index: SearchIndex, data: bytes, key: str, by: Principal) -> tuple[list[str], bool]:
    """Keep the claims of a file and judge them; returns their ids, and whether they are new.

    Raises:
        ClaimRefusal: it is no file of claims, or one cannot be worked on.
        ClaimConflict: the key belongs to another file.
    """
    intake = read_claims(data)
    index.refresh(budget_s=INDEX_BUDGET_S)
    for claim in intake.claims:
        read_ahead(node, claim.patient.medical_record_number)
    request = _Request(key=key, sha256=digest(data), by=by)
    try:
        return _hand_in(node, intake, request)
    except IntegrityError:  # on PostgreSQL another request with this key was committed meanwhile
        return _hand_in(node, intake, request)


def _hand_in(node: Node, intake: Intake, request: _Request) -> tuple[list[str], bool]:
    with node.engine.begin() as connection:
        known = _of_key(connection, request.key, request.sha256)
        if known:
            return known, False
        made = [
            _keep(connection, claim, intake.studies, ordinal, request) for ordinal, claim in enumerate(intake.claims)
        ]
        for claim_id in made:
            record_action(connection, claim_id, Action.RECEIVED, request.by, about=request.sha256)
        for claim_id in made:
            evaluate_claim(connection, node, claim_row(connection, claim_id))
        for claim_id in made:
            seal_history(connection, claim_id, request.by)
        return made, True


def _of_key(connection: Connection, key: str, sha256: str) -> list[str]:
    query = select(claims.c.id, claims.c.request_sha256).where(claims.c.idempotency_key == key)
    rows = connection.execute(query.order_by(claims.c.ordinal)).all()
    if any(row.request_sha256 != sha256 for row in rows):
        raise ClaimConflict("The idempotency key of this file was used for another file of claims.")
    return [row.id for row in rows]


def _keep(connection: Connection, claim: Claim, studies: Iterable[Study], ordinal: int, request: _Request) -> str:
    now = time.time()
    claim_id = f"clm-{secrets.token_hex(8)}"
    connection.execute(
        insert(claims).values(
            id=claim_id,
            number=claim.id,
            idempotency_key=request.key,
            ordinal=ordinal,
            request_sha256=request.sha256,
            claim=to_text(Claim, claim),
            studies=json.dumps([to_text(Study, study) for study in studies]),
            medical_record_number=claim.patient.medical_record_number,
            state=ClaimState.OPEN.value,
            state_since=now,
            received_at=now,
            received_by=request.by.subject,
        )
    )
    return claim_id


def add_report(node: Node, claim_id: str, report: Report, data: bytes, by: Principal) -> tuple[Row[Any], bool]:
    """Add a report and judge the claim again; returns the evaluation, and whether the report is new.

    Raises:
        NotThere: no such claim.
        ClaimConflict: the claim is closed, or has as many reports as it may.
        ReportRefusal: another report of the claim has its number.
        PatientRefusal: it is not, or not surely, of the claim's patient.
    """
    with node.engine.begin() as connection:
        row = claim_row(connection, claim_id, lock=True)
        known = reports_of(connection, claim_id)
        if any(other.sha256 == report.sha256 for other in known):
            return _newest(connection, claim_id), False
        _check_open(row)
        if len(known) >= MOST_REPORTS:
            raise ClaimConflict(f"A claim has at most {MOST_REPORTS} reports, this one has {len(known)}.")
        if any(json.loads(other.report)["id"] == report.id for other in known):
            raise ReportRefusal("Another report of this claim has the same number; which of the two counts?")
        _check_patient(connection, node, row, report)
        new = NewReport(report=report, data=data, by=by.subject)
        insert_report(connection, node.spool, claim_id, len(known) + 1, new)
        record_action(connection, claim_id, Action.REPORT_ADDED, by, about=report.sha256)
        newest = evaluate_claim(connection, node, row)
        seal_history(connection, claim_id, by)
        return newest, True


def _newest(connection: Connection, claim_id: str) -> Row[Any]:
    newest = newest_evaluation(connection, claim_id)
    assert newest is not None  # noqa: S101 - a claim is judged in the transaction that keeps it
    return newest


def _check_patient(connection: Connection, node: Node, row: Row[Any], report: Report) -> None:
    """Refuse a report of somebody else; one that names nobody counts as of its study's patient."""
    found = find_material(connection, node.spool, row)
    of_study = (study.patient_identifiers for study in found.studies if study.uid == report.study_instance_uid)
    identifiers = report.patient_identifiers or next(of_study, ())
    check_patient(found.claim.patient, identifiers, "the report")


def decide(node: Node, claim_id: str, action: Action, by: Principal, *, about: str, body: str, reason: str) -> None:
    """Record what a person decides; closing and opening change the claim, nothing changes the evidence.

    Raises:
        NotThere: no such claim.
        ClaimConflict: the claim is closed or open already, or no open prompt is the one that is named.
        ClaimRefusal: a reason is missing, or it is nothing that a person decides.
    """
    if action not in DECISIONS:
        raise ClaimRefusal(f"A person decides {', '.join(sorted(DECISIONS))}, got {action}.")
    if action in NEEDS_REASON and not reason.strip():
        raise ClaimRefusal(f"{action.value} needs a reason in words.")
    with node.engine.begin() as connection:
        row = claim_row(connection, claim_id, lock=True)
        if action is Action.REOPENED:
            if row.state == ClaimState.OPEN:
                raise ClaimConflict("The claim is open already.")
            set_state(connection, claim_id, ClaimState.OPEN)
        else:
            _check_open(row)
        if action in {Action.PROMPT_ACCEPTED, Action.OVERRIDDEN}:
            _check_prompt(connection, claim_id, about, body)
        if action is Action.CLOSED:
            set_state(connection, claim_id, ClaimState.CLOSED)
        record_action(connection, claim_id, action, by, about=about, body=body, reason=reason)
        if action is Action.REOPENED:
            evaluate_claim(connection, node, claim_row(connection, claim_id))
        seal_history(connection, claim_id, by)


def _check_open(row: Row[Any]) -> None:
    if row.state != ClaimState.OPEN:
        raise ClaimConflict("The claim is closed; a person can open it again.")


def _check_prompt(connection: Connection, claim_id: str, code: str, body: str) -> None:
    newest = newest_evaluation(connection, claim_id)
    evidence = None if newest is None or newest.evidence is None else json.loads(newest.evidence)
    prompts = [] if evidence is None else evidence["prompts"]
    if not any(p["code"] == code and (p["body"] or "") == body for p in prompts):
        where = f" at {body}" if body else ""
        raise ClaimConflict(f"The claim has no open prompt {code!r}{where}.")
