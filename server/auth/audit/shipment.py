"""How far the trail has gone to an audit record repository: the row that a sender takes, moves on and gives back.

The trail is the queue: its rows are numbered without a gap and never change, so that one number says what a repository
has taken. A sender that ends between the repository's taking and the commit sends the same rows again, never fewer.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from server.auth.audit.trail import newest_number
from server.auth.tables import audit_shipments


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipment:
    """What one repository has."""

    repository: str
    number: int
    """Of the last row that it has taken."""
    waiting: int
    """Rows that it has not."""
    fault: str | None
    """One sentence about the last try; None where it succeeded."""


def list_shipments(connection: Connection) -> list[Shipment]:
    """Every repository that was ever sent to."""
    newest = newest_number(connection)
    rows = connection.execute(select(audit_shipments).order_by(audit_shipments.c.repository))
    return [
        Shipment(repository=row.repository, number=row.number, waiting=max(newest - row.number, 0), fault=row.fault)
        for row in rows
    ]


def find_shipment(connection: Connection, repository: str) -> Shipment | None:
    """What that repository has; None before the first try."""
    return next((one for one in list_shipments(connection) if one.repository == repository), None)


def hold(connection: Connection, repository: str, holder: str, *, now: float, until: float) -> int | None:
    """Be the one process that sends to a repository; the number of the last row that it has, None where another is."""
    if find_shipment(connection, repository) is None:
        _begin(connection, repository, holder, now)
    mine = or_(audit_shipments.c.holder == holder, audit_shipments.c.held_until < now)
    taken = connection.execute(
        update(audit_shipments)
        .where(audit_shipments.c.repository == repository, mine)
        .values(holder=holder, held_until=until)
    )
    if not taken.rowcount:
        return None
    number = select(audit_shipments.c.number).where(audit_shipments.c.repository == repository)
    return int(connection.execute(number).scalar_one())


def note_sent(connection: Connection, repository: str, number: int, *, now: float) -> None:
    """Move on to the last row that the repository has taken; never back."""
    where = (audit_shipments.c.repository == repository, audit_shipments.c.number <= number)
    values = {"number": number, "fault": None, "changed_at": now}
    connection.execute(update(audit_shipments).where(*where).values(**values))


def note_fault(connection: Connection, repository: str, sentence: str, *, now: float) -> None:
    """Keep why it did not take anything."""
    where = audit_shipments.c.repository == repository
    connection.execute(update(audit_shipments).where(where).values(fault=sentence, changed_at=now))


def _begin(connection: Connection, repository: str, holder: str, now: float) -> None:
    row = {"repository": repository, "number": 0, "holder": holder, "held_until": now, "changed_at": now}
    try:
        with connection.begin_nested():
            connection.execute(insert(audit_shipments).values(**row))
    except IntegrityError:
        return  # another process was quicker
