"""Which images may go, and when: by age and by room, never while something needs them.

What needs a study's images is one table, NEEDS: each line a sentence for people and a condition that the database
checks. A study goes only if no line holds, which is checked again under the lock of its row; each deletion is a row of
the audit trail.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, Row, Select, exists, func, or_, select

from dicom_node.commitment import Commitment
from dicom_node.expiry import EXPIRABLE, UIDS_PER_QUERY, Cause, expire, lock_study, remove_files
from dicom_node.results import DeliveryState
from dicom_node.store import IMAGE_CLASS_UIDS
from dicom_node.tables import deliveries, instances, studies, web_studies
from dicom_node.ups.states import UpsState
from server.attachment_rows import OPEN as OPEN_ATTACHMENTS
from server.auth.audit.record import AuditKind, record_of
from server.auth.audit.trail import append
from server.auth.roles import NODE
from server.claims.rows import ClaimState
from server.compose import Node
from server.database import reading
from server.events import event, fault
from server.runs import UNFINISHED, RunState
from server.tables import claim_attachments, claims, review_runs, runs, study_holds, workitems

DAY_S = 86_400.0
GIB = 1024**3
AT_ONCE = 50
"""Studies in one round; the next round takes the next."""
LOOK_S = 60.0
"""Between two rounds."""
_S = studies.c

Condition: TypeAlias = Callable[[], ColumnElement[bool]]


@dataclass(frozen=True, slots=True)
class Need:
    """Why the images of a study are kept."""

    sentence: str
    holds: Condition
    """Over a row of the table studies."""


def _of_study(table: Any, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(table.c.study_instance_uid == _S.study_instance_uid, *conditions).correlate(studies)


def _of_claim() -> ColumnElement[bool]:
    """An open claim of the study's patient, or one that names the study, or of who knows whom."""
    is_open = claims.c.state != ClaimState.CLOSED.value
    number = select(web_studies.c.patient_id).where(web_studies.c.study_instance_uid == _S.study_instance_uid)
    is_patient = claims.c.medical_record_number == number.correlate(studies).scalar_subquery()
    names_it = claims.c.studies.contains(_S.study_instance_uid)
    is_unknown = ~_of_study(web_studies)
    return exists().where(is_open, or_(is_patient, names_it, is_unknown)).correlate(studies)


NEEDS: tuple[Need, ...] = (
    Need("It is under legal hold.", lambda: _of_study(study_holds)),
    Need("An instance is on its way to the object store.", lambda: _of_study(instances, instances.c.waits_for_upload)),
    Need("It is being received, read, or its reading failed.", lambda: _S.state.not_in(EXPIRABLE)),
    Need("A revision waits for a worker or is with one.", lambda: _of_study(runs, runs.c.state.in_(UNFINISHED))),
    Need(
        "A result was not delivered.",
        lambda: _of_study(deliveries, deliveries.c.state != DeliveryState.DELIVERED.value),
    ),
    Need(
        "A destination does not answer for a result yet (Storage Commitment).",
        lambda: _of_study(
            deliveries,
            deliveries.c.commitment.is_not(None),
            deliveries.c.commitment != Commitment.COMMITTED.value,
        ),
    ),
    Need(
        "The report of a review is being made, or could not be.",
        lambda: _of_study(review_runs, review_runs.c.state.in_((*UNFINISHED, RunState.FAILED))),
    ),
    Need(
        "A workitem on it is open.",
        lambda: _of_study(workitems, workitems.c.state.in_((UpsState.SCHEDULED, UpsState.IN_PROGRESS))),
    ),
    Need("A claim of its patient is open.", _of_claim),
    Need(
        "An attachment of a claim was not sent.",
        lambda: _of_study(claim_attachments, claim_attachments.c.state.in_(OPEN_ATTACHMENTS)),
    ),
)
"""In the order in which they are said; the first that holds is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A study whose images are due to go."""

    study_instance_uid: str
    last_received_at: float
    """Of its last image."""
    instance_count: int
    size_bytes: int
    cause: Cause
    kept_because: str | None
    """Sentence of the first need; None where nothing needs it."""


def _with_images(*conditions: ColumnElement[bool]) -> Select[Any]:
    """Studies that have images: the time of the last one, their number and size; the oldest first."""
    last = func.max(instances.c.received_at).label("last")
    size = func.sum(instances.c.size_bytes).label("size")
    return (
        select(instances.c.study_instance_uid, last, func.count().label("instances"), size)
        .where(instances.c.sop_class_uid.in_(IMAGE_CLASS_UIDS), *conditions)
        .group_by(instances.c.study_instance_uid)
        .order_by(last, instances.c.study_instance_uid)
    )


def needs_of(connection: Connection, study_instance_uids: Sequence[str]) -> dict[str, str]:
    """The sentence of the first need of each study that something needs."""
    columns = [need.holds().label(f"need{number}") for number, need in enumerate(NEEDS)]
    query = select(_S.study_instance_uid, *columns).where(_S.study_instance_uid.in_(study_instance_uids))
    found = {}
    for uid, *holds in connection.execute(query):
        sentences = [need.sentence for need, does_hold in zip(NEEDS, holds, strict=True) if does_hold]
        if sentences:
            found[uid] = sentences[0]
    return found


def survey(connection: Connection, *, days: float, budget_bytes: int, now: float) -> Iterator[Candidate]:
    """Every study whose images are due, the oldest first, with what would become of it now.

    Args:
        connection: to read with.
        days: images are kept so long after the study's last instance; 0: for ever.
        budget_bytes: most that all images may take; 0: no limit.
        now: seconds since the epoch.
    """
    rows = connection.execute(_with_images()).all()
    over = sum(int(row.size) for row in rows) - budget_bytes if budget_bytes else 0
    for start in range(0, len(rows), UIDS_PER_QUERY):
        some = [row for row in rows[start : start + UIDS_PER_QUERY] if over > 0 or _is_old(row, days, now)]
        needs = needs_of(connection, [row.study_instance_uid for row in some])
        for row in some:
            needed = needs.get(row.study_instance_uid)
            is_old = _is_old(row, days, now)
            if not is_old and over <= 0:
                continue
            over -= 0 if needed else int(row.size)
            yield Candidate(
                study_instance_uid=row.study_instance_uid,
                last_received_at=row.last,
                instance_count=row.instances,
                size_bytes=int(row.size),
                cause=Cause.AGE if is_old else Cause.BUDGET,
                kept_because=needed,
            )


def _is_old(row: Row[Any], days: float, now: float) -> bool:
    return bool(days) and row.last < now - days * DAY_S


def survey_of(node: Node, now: float | None = None) -> list[Candidate]:
    """The survey by the node's settings."""
    settings = node.settings
    with reading(node.engine) as connection:
        return list(
            survey(
                connection,
                days=settings.retention_days,
                budget_bytes=int(settings.received_max_gib * GIB),
                now=time.time() if now is None else now,
            )
        )


def is_set(node: Node) -> bool:
    """Whether the site wants anything deleted at all."""
    return bool(node.settings.retention_days or node.settings.received_max_gib)


def delete_expired(node: Node, *, at_once: int = AT_ONCE) -> int:
    """Delete what the settings let go, and the files of what went before; returns how many studies."""
    gone = 0
    if is_set(node):
        going = [one for one in survey_of(node) if one.kept_because is None]
        gone = sum(_delete(node, one) for one in going[:at_once])
    remove_files(node.engine, node.spool)
    return gone


def _delete(node: Node, candidate: Candidate) -> bool:
    uid, cause = candidate.study_instance_uid, candidate.cause
    with node.engine.begin() as connection:
        if not _is_still_free(connection, candidate):
            return False
        expired = expire(connection, node.spool, uid, cause, time.time())
        if expired is None:
            return False
        about = f"{expired.instance_count} instances, {expired.size_bytes} bytes, by {cause.value}"
        append(connection, record_of(AuditKind.STUDY_DELETED, NODE, studies=(uid,), about=about))
    event("study_expired", study_instance_uid=uid, instances=expired.instance_count, bytes=expired.size_bytes)
    return True


def _is_still_free(connection: Connection, candidate: Candidate) -> bool:
    """Under the lock of the study's row, without which no instance, run or hold is added."""
    uid = candidate.study_instance_uid
    lock_study(connection, uid)
    row = connection.execute(_with_images(instances.c.study_instance_uid == uid)).one_or_none()
    return row is not None and row.last == candidate.last_received_at and not needs_of(connection, [uid])


class RetentionWatch:
    """A thread of a worker that deletes what may go: not the lease's, which must not wait for a disk."""

    def __init__(self, node: Node) -> None:
        """Nothing runs before ``start``; it ends with the process, which may be killed at any moment of it."""
        self._node = node
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)

    def start(self) -> None:
        """Begin: at once with what a kill has left."""
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                delete_expired(self._node)
            except Exception as error:  # noqa: BLE001 - a boundary: one bad file or a lost connection ends no thread
                fault("retention_fault", error)
            time.sleep(LOOK_S)
