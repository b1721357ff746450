"""The record of claims (tables claims, claim_reports, claim_evaluations): what was asked, added, and found."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, select, update

from claims.report import Report, SignedState
from dicom_node.spool import Spool
from server.claims.documents import to_text
from server.operations import NotThere
from server.tables import claim_evaluations, claim_reports, claims

FOLDER = PurePosixPath("claims")
"""In the data folder: reports as they were received, and packets."""
MOST_REPORTS = 50


class ClaimState(StrEnum):
    """Whether a claim is still worked on."""

    OPEN = "open"
    CLOSED = "closed"
    """Done with; it is not judged again until a person opens it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewReport:
    """A report that is added to a claim."""

    report: Report
    data: bytes
    by: str
    """Subject of who adds it."""
    source: str = ""
    """Which object or message it is, where it came by itself."""
    withdraws: bool = False
    """Whether it takes back the report of its number."""


def claim_row(connection: Connection, claim_id: str, *, lock: bool = False) -> Row[Any]:
    """One claim.

    Args:
        connection: of the caller.
        claim_id: ours.
        lock: let others who change the claim wait; on SQLite the transaction itself does.

    Raises:
        NotThere: there is none.
    """
    query = select(claims).where(claims.c.id == claim_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotThere(f"No claim is called {claim_id!r}.")
    return row


def claims_of_patient(connection: Connection, medical_record_number: str) -> list[str]:
    """Ids of the open claims of a record number."""
    which = (claims.c.medical_record_number == medical_record_number, claims.c.state == ClaimState.OPEN)
    return list(connection.execute(select(claims.c.id).where(*which).order_by(claims.c.received_at)).scalars())


def reports_of(connection: Connection, claim_id: str) -> list[Row[Any]]:
    """The reports of a claim, the first first."""
    query = select(claim_reports).where(claim_reports.c.claim_id == claim_id).order_by(claim_reports.c.ordinal)
    return list(connection.execute(query))


def insert_report(connection: Connection, spool: Spool, claim_id: str, ordinal: int, new: NewReport) -> None:
    """Add a report to a claim whose row the caller holds; its bytes are durable before its row is."""
    path = str(FOLDER / claim_id / f"report-{new.report.sha256}")
    spool.write_result(path, new.data)
    connection.execute(
        insert(claim_reports).values(
            claim_id=claim_id,
            ordinal=ordinal,
            sha256=new.report.sha256,
            path=path,
            report=to_text(Report, new.report),
            added_at=time.time(),
            added_by=new.by,
            source=new.source,
            withdraws=new.withdraws,
        )
    )


def standing(reports: Sequence[Row[Any]]) -> list[Row[Any]]:
    """The reports that count, the first first: of one number the newest, an unsigned one in place of no signed one.

    One that withdraws the report of its number leaves none.
    """
    found: dict[str, tuple[Row[Any], bool]] = {}
    for row in reports:
        report = json.loads(row.report)
        number, is_signed = report["id"], report["signed"] == SignedState.SIGNED
        earlier = found.get(number)
        if row.withdraws:
            found.pop(number, None)
        elif earlier is None or is_signed or not earlier[1]:
            found[number] = (row, is_signed)
    return sorted((row for row, _ in found.values()), key=lambda row: row.ordinal)


def newest_evaluation(connection: Connection, claim_id: str) -> Row[Any] | None:
    """What the evidence came to last."""
    query = select(claim_evaluations).where(claim_evaluations.c.claim_id == claim_id)
    return connection.execute(query.order_by(claim_evaluations.c.number.desc()).limit(1)).one_or_none()


def evaluations_of(connection: Connection, claim_id: str) -> list[Row[Any]]:
    """Everything that the evidence came to, the first first."""
    query = select(claim_evaluations).where(claim_evaluations.c.claim_id == claim_id)
    return list(connection.execute(query.order_by(claim_evaluations.c.number)))


def set_state(connection: Connection, claim_id: str, state: ClaimState) -> None:
    """Open or close a claim."""
    connection.execute(update(claims).where(claims.c.id == claim_id).values(state=state.value, state_since=time.time()))


def list_claims(
    connection: Connection, *, state: ClaimState | None, with_prompts: bool, limit: int, offset: int
) -> list[Row[Any]]:
    """Claims with their newest evaluation: those with prompts first, then the latest; one more than ``limit``."""
    query = _with_newest()
    if state is not None:
        query = query.where(claims.c.state == state)
    if with_prompts:
        query = query.where((claim_evaluations.c.prompts > 0) | claim_evaluations.c.refusal.is_not(None))
    order = (claim_evaluations.c.prompts.desc(), claims.c.received_at.desc(), claims.c.id)
    return list(connection.execute(query.order_by(*order).limit(limit + 1).offset(offset)))


def _with_newest() -> Select[Any]:
    newest = (
        select(claim_evaluations.c.claim_id, func.max(claim_evaluations.c.number).label("number"))
        .group_by(claim_evaluations.c.claim_id)
        .subquery()
    )
    both = (claim_evaluations.c.claim_id == newest.c.claim_id) & (claim_evaluations.c.number == newest.c.number)
    joined = claims.join(newest, newest.c.claim_id == claims.c.id).join(claim_evaluations, both)
    wanted = ("number", "evaluated_at", "verdict", "prompts", "refusal")
    columns = [claim_evaluations.c[name].label(f"evaluation_{name}") for name in wanted]
    return select(claims, *columns).select_from(joined)


def evaluation_json(row: Row[Any]) -> dict[str, Any]:
    """One evaluation as JSON values."""
    return {
        "number": row.number,
        "evaluated_at": row.evaluated_at,
        "verdict": row.verdict,
        "refusal": row.refusal,
        "evidence": None if row.evidence is None else json.loads(row.evidence),
        "left_out": json.loads(row.left_out),
    }
