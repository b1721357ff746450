"""Judging a claim: what its evidence comes to now, kept only where that is something else than before."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, insert

from claims.claim import ClaimRefusal
from claims.criteria import Catalogue, load_catalogue
from claims.encode import to_json
from claims.engine import evaluate
from claims.evidence import ClaimEvidence
from server.auth.roles import NODE
from server.claims.documents import canonical, digest
from server.claims.history import seal_history
from server.claims.material import Found, find_material
from server.claims.notices import queue_notice
from server.claims.received import add_received
from server.claims.rows import newest_evaluation
from server.compose import Node
from server.events import event
from server.tables import claim_evaluations


@cache
def catalogue(folders: tuple[Path, ...]) -> Catalogue:
    """The criteria tables, read once."""
    return load_catalogue(folders)


def tables_of(node: Node) -> Catalogue:
    """The criteria tables of the node: those that come with it, and those of the site's folder."""
    folder = node.settings.claim_criteria_dir
    return catalogue(() if folder is None else (folder,))


def judge(found: Found, tables: Catalogue) -> ClaimEvidence:
    """The evidence.

    Raises:
        ClaimRefusal: the claim cannot be judged.
    """
    return evaluate(
        found.claim,
        tables.table_for(found.claim),
        studies=found.studies,
        findings=found.findings,
        reports=found.reports,
    )


def evaluate_claim(connection: Connection, node: Node, row: Row[Any]) -> Row[Any]:
    """Judge an open claim whose row the caller holds, with the reports that came for it.

    A new row, and a notice of it, only where something changed.
    """
    found, tables = find_material(connection, node.spool, row), tables_of(node)
    added, refused = add_received(connection, node, row, found, tables)
    if added:
        found = find_material(connection, node.spool, row)
    made = _kept(connection, node, row.id, found, canonical([list(pair) for pair in (*found.left_out, *refused)]))
    if added:
        seal_history(connection, row.id, NODE)
    return made


def _kept(connection: Connection, node: Node, claim_id: str, found: Found, left_out: str) -> Row[Any]:
    """The newest evaluation, which is a new one where it came to something else than the one before."""
    tables = tables_of(node)
    inputs = digest(found.sha256, left_out, *sorted(f"{table.id} {table.version}" for table in tables.tables))
    last = newest_evaluation(connection, claim_id)
    if last is not None and last.inputs_sha256 == inputs:
        return last
    values = {**_outcome(found, tables), "left_out": left_out}
    if last is not None and all(getattr(last, name) == value for name, value in values.items()):
        return last
    number = 1 if last is None else last.number + 1
    connection.execute(
        insert(claim_evaluations).values(
            claim_id=claim_id, number=number, inputs_sha256=inputs, evaluated_at=time.time(), **values
        )
    )
    if node.settings.claim_webhook:
        queue_notice(connection, claim_id, number)
    event("claim_evaluated", claim=claim_id, evaluation=number, verdict=values["verdict"])
    made = newest_evaluation(connection, claim_id)
    assert made is not None  # noqa: S101 - it was just written
    return made


def _outcome(found: Found, tables: Catalogue) -> dict[str, Any]:
    try:
        evidence = judge(found, tables)
    except ClaimRefusal as refusal:
        return {"verdict": None, "prompts": 0, "refusal": str(refusal), "evidence": None}
    return {
        "verdict": evidence.verdict.value,
        "prompts": len(evidence.prompts),
        "refusal": None,
        "evidence": canonical(to_json(evidence)),
    }
