"""The rows of Storage Commitment: what peers asked of us, and what we asked of destinations.

Functions over a connection; the caller owns the transaction. Times are seconds since the epoch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, false, func, insert, select, update

from dicom_node.commitment import (
    Commitment,
    CommitmentReport,
    CommitmentRequest,
    FailedItem,
    FailureReason,
    Item,
)
from dicom_node.results import DeliveryState
from dicom_node.spool import Spool
from dicom_node.storage_classes import STORAGE_CLASSES
from dicom_node.tables import commitment_requests, deliveries, instances, results

UIDS_PER_QUERY = 500
"""Fewer than SQLite's default limit of 999 bound values."""
UNANSWERED = (Commitment.WAITING.value, Commitment.ASKED.value)
"""States of a delivery for which the destination does not answer yet."""
FAILURES_MOST = 3
"""Times that an object is delivered although the peer says afterwards that it has it not; then a person decides."""


class RequestState(StrEnum):
    """What became of a peer's request."""

    PENDING = "pending"
    """The peer was not told yet."""
    TOLD = "told"
    DEAD = "dead"
    """It could not be told; it may ask again."""


def record_request(connection: Connection, request: CommitmentRequest, ae_title: str, now: float) -> Row[Any]:
    """Write a peer's request down; the same one again is answered again, by the same row, as a new generation.

    A Transaction UID that the peer has used for other instances makes a row whose every instance fails.
    """
    items = json.dumps([[item.sop_class_uid, item.sop_instance_uid] for item in request.items])
    key = (
        commitment_requests.c.transaction_uid == request.transaction_uid,
        commitment_requests.c.calling_ae_title == ae_title,
    )
    earlier = connection.execute(select(commitment_requests).where(*key)).all()
    for row in earlier:
        if row.items == items:
            values = {"state": RequestState.PENDING.value, "attempts": 0, "reason": None, "requested_at": now}
            statement = update(commitment_requests).where(commitment_requests.c.id == row.id)
            changed = statement.values(generation=row.generation + 1, **values).returning(*commitment_requests.c)
            return connection.execute(changed).one()
    values = {"transaction_uid": request.transaction_uid, "calling_ae_title": ae_title, "items": items}
    values |= {"is_duplicate": bool(earlier), "requested_at": now, "state": RequestState.PENDING.value}
    made = insert(commitment_requests).values(generation=1, attempts=0, **values)
    return connection.execute(made.returning(*commitment_requests.c)).one()


def request_row(connection: Connection, identifier: int) -> Row[Any] | None:
    """One request."""
    query = select(commitment_requests).where(commitment_requests.c.id == identifier)
    return connection.execute(query).one_or_none()


def pending_request(connection: Connection, identifier: int, generation: int) -> Row[Any] | None:
    """A request whose peer has still to be told, and that was not asked anew."""
    row = request_row(connection, identifier)
    is_due = row is not None and row.generation == generation and row.state == RequestState.PENDING.value
    return row if is_due else None


def open_requests(connection: Connection, limit: int) -> list[Row[Any]]:
    """Requests of which the peer was not told, the newest first."""
    query = select(commitment_requests).where(commitment_requests.c.state != RequestState.TOLD.value)
    return list(connection.execute(query.order_by(commitment_requests.c.id.desc()).limit(limit)).all())


def delivery_counts(connection: Connection) -> list[Row[Any]]:
    """How many objects there are by destination, state and commitment."""
    keys = (deliveries.c.destination, deliveries.c.state, deliveries.c.commitment)
    query = select(*keys, func.count().label("objects")).group_by(*keys)
    return list(connection.execute(query.order_by(*keys)).all())


def mark_told(connection: Connection, row: Row[Any], report: CommitmentReport, now: float) -> None:
    """The peer was told, and has said so."""
    connection.execute(
        update(commitment_requests)
        .where(commitment_requests.c.id == row.id, commitment_requests.c.generation == row.generation)
        .values(
            state=RequestState.TOLD.value,
            told_at=now,
            reason=None,
            attempts=commitment_requests.c.attempts + 1,
            committed=len(report.committed),
            failed=len(report.failed),
        )
    )


def mark_not_told(connection: Connection, row: Row[Any], reason: str, *, is_last: bool) -> None:
    """A try to tell the peer failed."""
    state = RequestState.DEAD if is_last else RequestState.PENDING
    connection.execute(
        update(commitment_requests)
        .where(commitment_requests.c.id == row.id, commitment_requests.c.generation == row.generation)
        .values(state=state.value, reason=reason, attempts=commitment_requests.c.attempts + 1)
    )


def evaluate(connection: Connection, spool: Spool, row: Row[Any]) -> CommitmentReport:
    """What this node holds at this moment of what a request names: committed rows whose bytes are there."""
    items = [Item(*pair) for pair in json.loads(row.items)]
    held = dict(_held(connection, [item.sop_instance_uid for item in items]))
    failed: dict[Item, int] = {}
    for item in items:
        reason = FailureReason.DUPLICATE_TRANSACTION_UID if row.is_duplicate else _failure(item, held, spool)
        if reason is not None:
            failed[item] = reason
    return CommitmentReport(
        transaction_uid=row.transaction_uid,
        committed=tuple(item for item in items if item not in failed),
        failed=tuple(FailedItem(item, failed[item]) for item in items if item in failed),
    )


class _Kept(NamedTuple):
    sop_class_uid: str
    path: str
    waits_for_upload: bool
    """It is durable on the host that received it."""


def _held(connection: Connection, uids: Sequence[str]) -> Iterator[tuple[str, _Kept]]:
    """What was received, and what this node made, by SOP Instance UID."""
    for table, waits in ((results, false()), (instances, instances.c.waits_for_upload)):
        columns = (table.c.sop_instance_uid, table.c.sop_class_uid, table.c.path, waits)
        for start in range(0, len(uids), UIDS_PER_QUERY):
            some = uids[start : start + UIDS_PER_QUERY]
            for uid, *values in connection.execute(select(*columns).where(columns[0].in_(some))):
                yield uid, _Kept(*values)


def _failure(item: Item, held: Mapping[str, _Kept], spool: Spool) -> FailureReason | None:
    if item.sop_instance_uid not in held:
        is_taken = item.sop_class_uid in STORAGE_CLASSES
        unsupported = FailureReason.REFERENCED_SOP_CLASS_NOT_SUPPORTED
        return FailureReason.NO_SUCH_OBJECT_INSTANCE if is_taken else unsupported
    kept = held[item.sop_instance_uid]
    if kept.sop_class_uid != item.sop_class_uid:
        return FailureReason.CLASS_INSTANCE_CONFLICT
    return None if kept.waits_for_upload or spool.holds(kept.path) else FailureReason.PROCESSING_FAILURE


def to_ask_for(
    connection: Connection, study_instance_uid: str, revision: int, destination: str, *, asked_before: float
) -> list[Row[Any]]:
    """Delivered objects that the destination was not asked about, or was asked about so long ago that it is again."""
    waiting = deliveries.c.commitment == Commitment.WAITING.value
    unanswered = (deliveries.c.commitment == Commitment.ASKED.value) & (deliveries.c.updated_at <= asked_before)
    query = (
        select(deliveries, results.c.sop_class_uid)
        .join(results, results.c.sop_instance_uid == deliveries.c.sop_instance_uid)
        .where(
            deliveries.c.study_instance_uid == study_instance_uid,
            deliveries.c.revision == revision,
            deliveries.c.destination == destination,
            deliveries.c.state == DeliveryState.DELIVERED.value,
            waiting | unanswered,
        )
    )
    return list(connection.execute(query.order_by(deliveries.c.id)).all())


def is_any_unanswered(connection: Connection, of: tuple[str, int, str]) -> bool:
    """Whether a destination has still to answer for something; `of`: study, revision, destination."""
    query = select(func.count()).select_from(deliveries).where(*_unanswered(of))
    return connection.execute(query).scalar_one() > 0


def mark_asked(connection: Connection, rows: Sequence[Row[Any]], transaction_uid: str, now: float) -> None:
    """Before the request leaves: its report may come sooner than the response to it."""
    connection.execute(
        update(deliveries)
        .where(deliveries.c.id.in_([row.id for row in rows]))
        .values(commitment=Commitment.ASKED.value, transaction_uid=transaction_uid, updated_at=now)
    )


def mark_not_asked(connection: Connection, transaction_uid: str, reason: str, now: float, *, is_last: bool) -> None:
    """The peer did not take the request; after the last try the objects are in the dead letter."""
    values: dict[str, object] = {"commitment": Commitment.WAITING.value, "reason": reason, "updated_at": now}
    if is_last:
        values |= {"commitment": Commitment.FAILED.value, "state": DeliveryState.DEAD.value}
    asked = deliveries.c.commitment == Commitment.ASKED.value
    connection.execute(
        update(deliveries).where(deliveries.c.transaction_uid == transaction_uid, asked).values(**values)
    )


def give_up(connection: Connection, of: tuple[str, int, str], reason: str, now: float) -> None:
    """What a destination has not answered for goes to the dead letter; `of`: study, revision, destination."""
    values = {"state": DeliveryState.DEAD.value, "commitment": Commitment.FAILED.value, "reason": reason}
    connection.execute(update(deliveries).where(*_unanswered(of)).values(updated_at=now, **values))


def stop_asking(connection: Connection, of: tuple[str, int, str]) -> None:
    """The settings do not have the destination asked any more: what was delivered to it is delivered."""
    connection.execute(update(deliveries).where(*_unanswered(of)).values(commitment=None))


def _unanswered(of: tuple[str, int, str]) -> tuple[ColumnElement[bool], ...]:
    study_instance_uid, revision, destination = of
    return (
        deliveries.c.study_instance_uid == study_instance_uid,
        deliveries.c.revision == revision,
        deliveries.c.destination == destination,
        deliveries.c.commitment.in_(UNANSWERED),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What a report changed."""

    is_known: bool
    """Whether this node asked with that Transaction UID."""
    committed: int = 0
    again: tuple[Row[Any], ...] = ()
    """Deliveries that are to be made again."""
    dead: int = 0


def settle(connection: Connection, report: CommitmentReport, now: float) -> Settled:
    """Write down what a destination answers; an object that it has not got is to be delivered again, or is dead.

    The same report again changes nothing. What it does not name stays asked for.
    """
    of_transaction = deliveries.c.transaction_uid == report.transaction_uid
    rows = {row.sop_instance_uid: row for row in connection.execute(select(deliveries).where(of_transaction))}
    open_rows = {uid: row for uid, row in rows.items() if row.commitment == Commitment.ASKED.value}
    committed = [open_rows[i.sop_instance_uid].id for i in report.committed if i.sop_instance_uid in open_rows]
    connection.execute(
        update(deliveries)
        .where(deliveries.c.id.in_(committed))
        .values(commitment=Commitment.COMMITTED.value, reason=None, updated_at=now)
    )
    again = []
    dead = 0
    for failed in report.failed:
        row = open_rows.get(failed.item.sop_instance_uid)
        if row is not None and row.id not in committed:
            is_last = row.commitment_failures + 1 >= FAILURES_MOST
            _mark_failed(connection, row, failed.sentence, now, is_last=is_last)
            dead += is_last
            again += [] if is_last else [row]
    return Settled(is_known=bool(rows), committed=len(committed), again=tuple(again), dead=dead)


def _mark_failed(connection: Connection, row: Row[Any], reason: str, now: float, *, is_last: bool) -> None:
    state = DeliveryState.DEAD if is_last else DeliveryState.RETRYING
    connection.execute(
        update(deliveries)
        .where(deliveries.c.id == row.id)
        .values(
            state=state.value,
            commitment=Commitment.FAILED.value,
            commitment_failures=deliveries.c.commitment_failures + 1,
            reason=reason,
            updated_at=now,
        )
    )
