"""Rows about the objects that this node made and where they went (tables results, deliveries).

Functions over a connection; the caller owns the transaction. Recording and queueing may be repeated: the same call
twice leaves the same rows. Times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, Row, Select, case, func, insert, select, update

from dicom_node.delivery import SendOutcome, Verdict
from dicom_node.tables import deliveries, results
from inference.errors import StorageFailure


class DeliveryState(StrEnum):
    """Where one object stands on its way to one destination."""

    PENDING = "pending"
    """Not tried yet."""
    RETRYING = "retrying"
    """Tried in vain; will be tried again."""
    DELIVERED = "delivered"
    """The peer has it."""
    DEAD = "dead"
    """Refused for good, or out of attempts: in the dead letter, until a person retries it."""


WAITING = "waiting"
"""Commitment.WAITING of dicom_node.commitment, which needs more than rows."""
OPEN_STATES: tuple[DeliveryState, ...] = (DeliveryState.PENDING, DeliveryState.RETRYING)


SENDING_ORDER: tuple[str, ...] = (
    "seg",
    "sr",
    "pr",
    "text_sr",
    "key_image",
    "verified_sr",
    "verified_text",
    "rejection_note",
    "excerpt",
    "document",
    "report_attachment",
)
"""Roles (uids.ObjectRole, which the receiver cannot afford to import): what is referred to goes first."""
_SENDING_ORDER = case({role: place for place, role in enumerate(SENDING_ORDER)}, value=results.c.role)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRecord:
    """One object that this node made."""

    sop_instance_uid: str
    study_instance_uid: str
    revision: int
    role: str
    """uids.ObjectRole."""
    sop_class_uid: str
    series_instance_uid: str
    path: str
    """Relative to the results folder."""
    sha256: str
    """Of the whole file, lower-case hexadecimal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One object on its way to one destination."""

    id: int
    study_instance_uid: str
    revision: int
    destination: str
    sop_instance_uid: str
    role: str
    path: str
    state: DeliveryState
    attempts: int
    reason: str | None
    updated_at: float
    commitment: str | None
    """dicom_node.commitment.Commitment; None where the destination is not asked to answer for the object."""


def record_results(connection: Connection, records: Sequence[ResultRecord], now: float) -> None:
    """Write the rows of finished objects; an object that is recorded already, with the same bytes, stays as it is.

    Raises:
        StorageFailure: a SOP Instance UID is recorded with other bytes; one UID never names two objects (PS3.5 9.1).
    """
    for record in records:
        query = select(results.c.sha256).where(results.c.sop_instance_uid == record.sop_instance_uid)
        known = connection.execute(query).scalar_one_or_none()
        if known is None:
            connection.execute(insert(results).values(created_at=now, **_values(record)))
        elif known != record.sha256:
            raise StorageFailure(
                f"SOP Instance UID {record.sop_instance_uid} is recorded with other content "
                f"(sha256 {known[:12]}..., now {record.sha256[:12]}...)."
            )


def _values(record: ResultRecord) -> dict[str, object]:
    return {name: getattr(record, name) for name in ResultRecord.__dataclass_fields__}


def results_of(
    connection: Connection, study_instance_uid: str, revision: int | None = None
) -> tuple[ResultRecord, ...]:
    """Objects of a study, of one revision or of all, in order of revision, role and UID."""
    query = select(results).where(results.c.study_instance_uid == study_instance_uid)
    if revision is not None:
        query = query.where(results.c.revision == revision)
    query = query.order_by(results.c.revision, results.c.role, results.c.sop_instance_uid)
    rows = connection.execute(query).mappings()
    return tuple(ResultRecord(**{name: row[name] for name in ResultRecord.__dataclass_fields__}) for row in rows)


def is_ours(connection: Connection, sop_instance_uid: str) -> bool:
    """Whether this node made the instance: such a one that comes back starts nothing (loop guard)."""
    query = select(func.count()).select_from(results).where(results.c.sop_instance_uid == sop_instance_uid)
    return bool(connection.execute(query).scalar_one())


def queue_deliveries(
    connection: Connection,
    study_instance_uid: str,
    revision: int,
    destinations: Iterable[str],
    now: float,
    *,
    kept_roles: Collection[str] = (),
) -> int:
    """Make a pending delivery of every object of the revision to every destination; returns how many are new.

    Objects of ``kept_roles`` are for viewers that ask this node, and for no destination.
    """
    new = 0
    for record in results_of(connection, study_instance_uid, revision):
        for destination in () if record.role in kept_roles else sorted(set(destinations)):
            query = select(deliveries.c.id).where(
                deliveries.c.destination == destination,
                deliveries.c.sop_instance_uid == record.sop_instance_uid,
            )
            if connection.execute(query).first() is None:
                values = {"study_instance_uid": study_instance_uid, "revision": revision, "destination": destination}
                values |= {"sop_instance_uid": record.sop_instance_uid, "state": DeliveryState.PENDING.value}
                connection.execute(insert(deliveries).values(attempts=0, updated_at=now, **values))
                new += 1
    return new


def pending_deliveries(
    connection: Connection, study_instance_uid: str, revision: int, destination: str
) -> tuple[Delivery, ...]:
    """What is still to be sent of a revision to a destination, in the order of SENDING_ORDER."""
    query = _deliveries().where(
        deliveries.c.study_instance_uid == study_instance_uid,
        deliveries.c.revision == revision,
        deliveries.c.destination == destination,
        deliveries.c.state.in_([state.value for state in OPEN_STATES]),
    )
    return tuple(_delivery(row) for row in connection.execute(query.order_by(_SENDING_ORDER, deliveries.c.id)))


def list_deliveries(
    connection: Connection,
    *,
    study_instance_uid: str | None = None,
    states: Sequence[DeliveryState] = (),
    limit: int = 1000,
) -> tuple[Delivery, ...]:
    """Deliveries of a study or of all, in some states or in any, the latest change first."""
    query = _deliveries()
    if study_instance_uid is not None:
        query = query.where(deliveries.c.study_instance_uid == study_instance_uid)
    if states:
        query = query.where(deliveries.c.state.in_([state.value for state in states]))
    query = query.order_by(deliveries.c.updated_at.desc(), deliveries.c.id.desc()).limit(limit)
    return tuple(_delivery(row) for row in connection.execute(query))


def mark_delivery(
    connection: Connection,
    delivery_id: int,
    outcome: SendOutcome,
    now: float,
    *,
    attempts_left: bool,
    wants_commitment: bool = False,
) -> DeliveryState:
    """Record what a peer answered, and count the attempt; a failure with no attempt left goes to the dead letter.

    With ``wants_commitment`` the peer is to be asked whether it answers for what it took.
    """
    state = _next_state(outcome.verdict, attempts_left=attempts_left)
    reason = None if state is DeliveryState.DELIVERED else outcome.sentence
    connection.execute(
        update(deliveries)
        .where(deliveries.c.id == delivery_id)
        .values(
            state=state.value,
            attempts=deliveries.c.attempts + 1,
            reason=reason,
            updated_at=now,
            commitment=WAITING if wants_commitment and state is DeliveryState.DELIVERED else None,
        )
    )
    return state


def _next_state(verdict: Verdict, *, attempts_left: bool) -> DeliveryState:
    match verdict:
        case Verdict.ACCEPTED:
            return DeliveryState.DELIVERED
        case Verdict.REFUSED:
            return DeliveryState.DEAD
        case Verdict.FAILED:
            return DeliveryState.RETRYING if attempts_left else DeliveryState.DEAD


def revive_deliveries(connection: Connection, delivery_ids: Sequence[int], now: float) -> int:
    """Take deliveries out of the dead letter, with their attempts counted anew; returns how many were there."""
    result = connection.execute(
        update(deliveries)
        .where(deliveries.c.id.in_(delivery_ids), deliveries.c.state == DeliveryState.DEAD.value)
        .values(state=DeliveryState.PENDING.value, attempts=0, reason=None, updated_at=now)
    )
    return int(result.rowcount)


def _deliveries() -> Select[tuple[object, ...]]:
    columns = (
        deliveries.c.id,
        deliveries.c.study_instance_uid,
        deliveries.c.revision,
        deliveries.c.destination,
        deliveries.c.sop_instance_uid,
        results.c.role,
        results.c.path,
        deliveries.c.state,
        deliveries.c.attempts,
        deliveries.c.reason,
        deliveries.c.updated_at,
        deliveries.c.commitment,
    )
    joined = deliveries.join(results, results.c.sop_instance_uid == deliveries.c.sop_instance_uid)
    return select(*columns).select_from(joined)


def _delivery(row: Row[tuple[object, ...]]) -> Delivery:
    values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping
    return Delivery(**{**values, "state": DeliveryState(values["state"])})
