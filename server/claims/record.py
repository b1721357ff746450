"""What the node keeps of a claim, as JSON values: a line of the list, and the whole record."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row

from claims.study import Study
from server.attachments import AttachmentStatus, attachments_of
from server.claims.attach import destination_names, still_missing
from server.claims.documents import plain
from server.claims.history import actions_of
from server.claims.material import claim_of, find_material
from server.claims.reports import reports_json
from server.claims.rows import claim_row, evaluation_json, evaluations_of, newest_evaluation, reports_of
from server.compose import Node


def history_json(connection: Connection, node: Node, claim_id: str) -> dict[str, Any]:
    """Everything that was handed in, added, found and done.

    Raises:
        NotThere: no such claim.
    """
    row = claim_row(connection, claim_id)
    found = find_material(connection, node.spool, row)
    newest = newest_evaluation(connection, claim_id)
    return {
        **line_json(row, newest),
        "claim": plain(claim_of(row)),
        "studies": [_study_json(study) for study in found.studies],
        "reports": reports_json(reports_of(connection, claim_id)),
        "attachments": [attachment_json(status) for status in attachments_of(node.engine, row.number)],
        "missing": [plain(prompt) for prompt in still_missing(node, newest, found)],
        "destinations": destination_names(node),
        "actions": actions_of(connection, claim_id),
        "evaluations": [evaluation_json(made) for made in evaluations_of(connection, claim_id)],
    }


def attachment_json(status: AttachmentStatus) -> dict[str, Any]:
    """Where an attachment stands; times in seconds since the epoch."""
    return dict(plain(status))


def _study_json(study: Study) -> dict[str, Any]:
    """One study of the claim's patient, newest facts; levels are those that were found on it."""
    return {
        "study_instance_uid": study.uid,
        "date": plain(study.date),
        "modality": study.modality,
        "levels": plain(study.levels),
        "has_fat_suppressed": study.has_fat_suppressed,
    }


def line_json(row: Row[Any], newest: Row[Any] | None) -> dict[str, Any]:
    """One line of a list."""
    claim = claim_of(row)
    return {
        "id": row.id,
        "number": row.number,
        "state": row.state,
        "use": claim.use.value,
        "service_date": claim.service_date.isoformat(),
        "procedures": [line.procedure for line in claim.lines],
        "bodies": [body.name for body in claim.bodies],
        "received_at": row.received_at,
        "verdict": None if newest is None else newest.verdict,
        "prompts": 0 if newest is None else newest.prompts,
        "refusal": None if newest is None else newest.refusal,
        "evaluation": None if newest is None else newest.number,
    }


def listed_json(row: Row[Any]) -> dict[str, Any]:
    """The same of a row that carries its newest evaluation."""
    made = {name: getattr(row, f"evaluation_{name}") for name in ("number", "verdict", "prompts", "refusal")}
    return line_json(row, None) | {
        "verdict": made["verdict"],
        "prompts": made["prompts"],
        "refusal": made["refusal"],
        "evaluation": made["number"],
    }
