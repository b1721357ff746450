"""The record of attachments of claims (table claim_attachments): where each stands, and how it is tried again.

making -> queued -> retrying -> sent -> acknowledged | refused      the answer may come with the request, or later
queued, retrying -> refused | dead      refused, dead, sent -> queued      a person tries again
"""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Any

from dbos import DBOSClient
from sqlalchemy import Connection, Row, select, update

from server.tables import claim_attachments
from server.work_queue import attachment_workflow_id, enqueue_attachment


class AttachmentState(StrEnum):
    """Where an attachment stands."""

    MAKING = "making"
    """Its number is taken, its bytes are not written yet; where that does not change, it is submitted again."""
    QUEUED = "queued"
    """Committed; not tried yet."""
    RETRYING = "retrying"
    """A try failed; the next one is queued."""
    SENT = "sent"
    """The payer has it and has not said what it makes of it."""
    ACKNOWLEDGED = "acknowledged"
    """The payer accepted it."""
    REFUSED = "refused"
    """The payer refused it for good: in the dead letter, until a person retries it."""
    DEAD = "dead"
    """Out of tries: in the dead letter, until a person retries it."""


OPEN = (AttachmentState.QUEUED, AttachmentState.RETRYING)
"""A try is queued."""
FIXED = (AttachmentState.MAKING, AttachmentState.ACKNOWLEDGED)
"""Nothing to try again."""
DEAD_LETTER = (AttachmentState.REFUSED, AttachmentState.DEAD)


def find_attachment(connection: Connection, control_number: str) -> Row[Any] | None:
    """One attachment by its control number."""
    query = select(claim_attachments).where(claim_attachments.c.control_number == control_number)
    return connection.execute(query).one_or_none()


def unfinished_attachments(connection: Connection, limit: int) -> list[Row[Any]]:
    """What no payer has accepted yet, the newest first."""
    which = claim_attachments.c.state != AttachmentState.ACKNOWLEDGED
    return list(
        connection.execute(
            select(claim_attachments).where(which).order_by(claim_attachments.c.number.desc()).limit(limit)
        )
    )


def change_attachment(connection: Connection, control_number: str, **values: Any) -> None:
    """Write new values, and the time."""
    which = claim_attachments.c.control_number == control_number
    connection.execute(update(claim_attachments).where(which).values(**values, updated_at=time.time()))


def requeue_attachment(connection: Connection, client: DBOSClient, control_number: str) -> bool:
    """Queue an attachment again, the same bytes, unless the payer accepted it; whether there was one to queue."""
    row = find_attachment(connection, control_number)
    if row is None or row.state in FIXED:
        return False
    generation = row.generation + 1
    change_attachment(
        connection,
        control_number,
        state=AttachmentState.QUEUED.value,
        generation=generation,
        attempts=0,
        reason=None,
        next_try_at=None,
    )
    enqueue_attachment(client, connection, control_number, generation=generation)
    return True


def sweep_attachments(connection: Connection, active: set[str], before: float, reason: str) -> int:
    """Mark what no workflow of `active` stands for any more as dead; returns how many."""
    which = (claim_attachments.c.state.in_(OPEN), claim_attachments.c.updated_at < before)
    given_up = 0
    for row in connection.execute(select(claim_attachments).where(*which)).all():
        tries = attachment_workflow_id(row.control_number, generation=row.generation).rpartition("/")[0]
        if not any(flow.startswith(f"{tries}/") for flow in active):
            values = {"state": AttachmentState.DEAD.value, "reason": reason, "next_try_at": None}
            change_attachment(connection, row.control_number, **values)
            given_up += 1
    return given_up
