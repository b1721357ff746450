"""What people did with a claim, and why: rows in a chain of hashes, one chain for each claim.

A row's hash is over its number, the hash before it and the record, so that a change or a gap shows
(``spine-node claims history``). Who read a claim stands in the audit trail, and the newest hash of every change too, so
that a chain that was cut off at its end, or written anew, shows as well.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select

from server.auth.audit.trail import START
from server.auth.roles import Principal
from server.claims.documents import canonical
from server.claims.seals import Seal, Sealed, seal
from server.tables import claim_actions


class Action(StrEnum):
    """What was done."""

    RECEIVED = "received"
    REPORT_ADDED = "report_added"
    PROMPT_ACCEPTED = "prompt_accepted"
    """A person took on what a prompt asks."""
    OVERRIDDEN = "overridden"
    """A person goes on without what a prompt asks, and says why."""
    NOTED = "noted"
    CLOSED = "closed"
    REOPENED = "reopened"
    ATTACHED = "attached"
    EXPORTED = "exported"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRecord:
    """One row."""

    action: Action
    at: float
    """Seconds since the epoch (UTC), to the millisecond."""
    subject: str
    display_name: str
    about: str = ""
    """Code of the prompt, digest of the report, or control number of the attachment."""
    body: str = ""
    """Vertebral body of the prompt."""
    reason: str = ""


def record_action(
    connection: Connection,
    claim_id: str,
    action: Action,
    by: Principal,
    *,
    about: str = "",
    body: str = "",
    reason: str = "",
) -> None:
    """Add a row, in the caller's transaction, which holds the claim's row."""
    record = ActionRecord(
        action=action,
        at=round(time.time(), 3),
        subject=by.subject,
        display_name=by.display_name,
        about=about,
        body=body,
        reason=reason,
    )
    last = _newest(connection, claim_id)
    number, previous = (1, START) if last is None else (last.number + 1, last.sha256)
    text = canonical(asdict(record))
    values = {"claim_id": claim_id, "number": number, "record": text, "previous_sha256": previous}
    connection.execute(insert(claim_actions).values(**values, sha256=_chained(claim_id, number, previous, text)))


def seal_history(connection: Connection, claim_id: str, by: Principal) -> None:
    """Write the hash of the newest row to the audit trail: the last statement of a transaction that added rows."""
    last = _newest(connection, claim_id)
    if last is not None:
        seal(connection, Seal(what=Sealed.HISTORY, number=last.number, sha256=last.sha256), claim_id, by)


def actions_of(connection: Connection, claim_id: str) -> list[dict[str, Any]]:
    """Every row of a claim as JSON values, the first first."""
    return [
        {"number": row.number, "sha256": row.sha256, **json.loads(row.record)} for row in _rows(connection, claim_id)
    ]


def is_recorded(connection: Connection, claim_id: str, action: Action, about: str) -> bool:
    """Whether a row says that this was done; so that what is asked for again, after a kill, is recorded once."""
    return any(one["action"] == action and one["about"] == about for one in actions_of(connection, claim_id))


def fault_of(connection: Connection, claim_id: str) -> str | None:
    """One sentence about the first row that does not hang on the one before it; None where the chain is whole."""
    previous = START
    for expected, row in enumerate(_rows(connection, claim_id), start=1):
        if row.number != expected:
            return f"Row {expected} of the claim's history is missing; the next one is {row.number}."
        if row.previous_sha256 != previous:
            return f"Row {expected} of the claim's history does not follow from the row before it."
        if row.sha256 != _chained(claim_id, row.number, previous, row.record):
            return f"Row {expected} of the claim's history was changed."
        previous = row.sha256
    return None


def number_of_actions(connection: Connection, claim_id: str) -> int:
    """How many rows there are."""
    query = select(func.count()).select_from(claim_actions).where(claim_actions.c.claim_id == claim_id)
    return int(connection.execute(query).scalar_one())


def _newest(connection: Connection, claim_id: str) -> Row[Any, Any] | None:
    query = select(claim_actions.c.number, claim_actions.c.sha256).where(claim_actions.c.claim_id == claim_id)
    return connection.execute(query.order_by(claim_actions.c.number.desc()).limit(1)).one_or_none()


def _rows(connection: Connection, claim_id: str) -> Iterator[Any]:
    query = select(claim_actions).where(claim_actions.c.claim_id == claim_id).order_by(claim_actions.c.number)
    yield from connection.execute(query)


def _chained(claim_id: str, number: int, previous: str, record: str) -> str:
    return hashlib.sha256(f"{claim_id}\n{number}\n{previous}\n{record}".encode()).hexdigest()
