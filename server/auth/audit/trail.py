"""The trail itself: each row carries the SHA-256 of the row before it, so that a change or a gap shows.

A row's hash is over its number, the hash before it and the record. Rows that are cut off at the end leave a shorter
chain that is whole: ``spine-node audit verify`` prints the newest hash, and with ``--contains`` looks for one that was
noted earlier.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select, text

from server.auth.audit.record import AuditRecord, parse
from server.auth.tables import audit

START = "0" * 64
"""What stands for the hash of the row before the first."""
_LOCK = 0x5350_494E_41  # "SPINA": one writer at a time on PostgreSQL; on SQLite a transaction is that already


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row."""

    number: int
    record: AuditRecord
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a look along the whole chain found."""

    rows: int
    """How many rows hang together, from the first on."""
    newest_sha256: str
    """Of the last of them."""
    fault: str | None
    """One sentence about the first row that does not hang on the one before it."""
    contains: bool
    """Whether the hash that was looked for is one of them."""


def append(connection: Connection, record: AuditRecord) -> None:
    """Write one record, in the transaction of what it is about."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    newest = select(audit.c.number, audit.c.sha256).order_by(audit.c.number.desc()).limit(1)
    last = connection.execute(newest).one_or_none()
    number, previous = (1, START) if last is None else (last.number + 1, last.sha256)
    body = record.canonical()
    row = {"number": number, "record": body, "previous_sha256": previous}
    connection.execute(insert(audit).values(**row, sha256=_chained(number, previous, body)))


def entries(connection: Connection, *, limit: int, before: int | None = None) -> list[Entry]:
    """The newest first, from just under number `before` down."""
    query = select(audit).order_by(audit.c.number.desc()).limit(limit)
    if before is not None:
        query = query.where(audit.c.number < before)
    return [Entry(number=r.number, record=parse(r.record), sha256=r.sha256) for r in connection.execute(query)]


def entries_after(connection: Connection, number: int, *, limit: int) -> list[Entry]:
    """The oldest first, from just above a number up."""
    query = select(audit).where(audit.c.number > number).order_by(audit.c.number).limit(limit)
    return [Entry(number=r.number, record=parse(r.record), sha256=r.sha256) for r in connection.execute(query)]


def newest_number(connection: Connection) -> int:
    """Of the newest row; 0 without any."""
    return connection.execute(select(func.max(audit.c.number))).scalar() or 0


def verify(connection: Connection, *, looked_for: str = START) -> Verdict:
    """Follow the chain from its start to the first fault, or to its end."""
    previous, count, contains = START, 0, looked_for == START
    for number, body, before, sha256 in _rows(connection):
        fault = _fault(number, count + 1, body, (before, previous), sha256)
        if fault is not None:
            return Verdict(rows=count, newest_sha256=previous, fault=fault, contains=contains)
        previous, count = sha256, count + 1
        contains = contains or sha256 == looked_for
    return Verdict(rows=count, newest_sha256=previous, fault=None, contains=contains)


def _rows(connection: Connection) -> Iterator[tuple[int, str, str, str]]:
    query = select(audit.c.number, audit.c.record, audit.c.previous_sha256, audit.c.sha256).order_by(audit.c.number)
    with connection.execute(query, execution_options={"yield_per": 1000}) as rows:
        for row in rows:
            yield row.number, row.record, row.previous_sha256, row.sha256


def _fault(number: int, expected: int, body: str, links: tuple[str, str], sha256: str) -> str | None:
    if number != expected:
        return f"Row {expected} of the audit trail is missing; the next one is {number}."
    if links[0] != links[1]:
        return f"Row {number} of the audit trail does not follow from the row before it."
    if sha256 != _chained(number, links[0], body):
        return f"Row {number} of the audit trail was changed."
    return None


def _chained(number: int, previous: str, body: str) -> str:
    return hashlib.sha256(f"{number}\n{previous}\n{body}".encode()).hexdigest()
