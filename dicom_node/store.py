"""The rows about what was received: every statement on the tables studies, instances and quarantine.

Each function works on a connection whose transaction belongs to the caller. The rules that make several receivers and
assemblers safe on one database, on SQLite (BEGIN IMMEDIATE) and on PostgreSQL (READ COMMITTED) alike:

- whoever adds instances touches the row of their study *first*, studies in the order of their UIDs;
- whoever hands a study over does it with one UPDATE that also checks the state and the last arrival that it saw.

So an arrival either happens before the hand-over, and belongs to it, or after it, and puts the study back to receiving.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from typing import Any

from sqlalchemy import (
    Connection,
    RowMapping,
    Select,
    Table,
    delete,
    func,
    select,
    update,
)

from dicom_node.storage_classes import STORAGE_CLASSES, StorageKind, kind_of
from dicom_node.tables import deliveries, instances, quarantine, removals, results, studies
from dicom_node.verdicts import Verdict

DELIVERED = "delivered"
"""DeliveryState.DELIVERED of dicom_node.results, which the receiver does not import."""
IMAGE_CLASS_UIDS = tuple(uid for uid, entry in STORAGE_CLASSES.items() if entry.kind is StorageKind.IMAGE)


class StudyState(StrEnum):
    """Where a study is. Every state but receiving belongs to the study's current revision."""

    RECEIVING = "receiving"
    """Instances arrive, or may still arrive."""
    COMPLETE = "complete"
    """Handed over to the workflow; not begun yet."""
    RUNNING = "running"
    """A worker reads it."""
    DONE = "done"
    """Its results were made."""
    FAILED = "failed"
    """Our failure; may be retried."""
    REFUSED = "refused"
    """Nothing in it can be read; the reason says why."""
    EXPIRED = "expired"
    """Its images were deleted by the rules of retention; what was found and made of it is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A row of the table studies, with the number of its instances (ours that came back not counted)."""

    study_instance_uid: str
    state: StudyState
    revision: int
    first_received_at: float
    last_received_at: float
    expected_instances: int | None
    source_ae_title: str
    reason: str | None
    instance_count: int
    pending_images: int
    """Images that no revision has used yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A row of the table instances, except for the revision, which the hand-over decides."""

    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    path: str
    size_bytes: int
    sha256: str
    received_at: float
    source_ae_title: str
    ours: bool = False
    waits_for_upload: bool = False
    """Hosts share an object store, and it is not there yet."""

    @property
    def is_image(self) -> bool:
        """Whether this instance makes its study worth a run."""
        return not self.ours and kind_of(self.sop_class_uid) is StorageKind.IMAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineEntry:
    """A row of the table quarantine. UIDs are None when the data set did not say them."""

    sop_instance_uid: str | None
    study_instance_uid: str | None
    path: str
    verdict: Verdict
    reason: str
    sha256: str
    received_at: float
    source_ae_title: str


def forget_damaged(connection: Connection, instance: Instance) -> bool:
    """Remove the row of an instance whose bytes were lost, so that it can be sent again; whether there was one."""
    named = (instances.c.sop_instance_uid == instance.sop_instance_uid) & (instances.c.path == instance.path)
    return connection.execute(delete(instances).where(named)).rowcount == 1


def record_quarantine(connection: Connection, entry: QuarantineEntry) -> None:
    """Add a row for bytes that were set aside; the same bytes are listed once."""
    insert = insert_into(quarantine, connection.dialect.name)
    values = {name: getattr(entry, name) for name in QuarantineEntry.__slots__}
    connection.execute(insert.on_conflict_do_nothing(index_elements=[quarantine.c.path]).values(**values))


def list_quarantine(connection: Connection) -> list[QuarantineEntry]:
    """Everything that was set aside, oldest first."""
    columns = [quarantine.c[name] for name in QuarantineEntry.__slots__]
    rows = connection.execute(select(*columns).order_by(quarantine.c.id)).mappings()
    return [QuarantineEntry(**{**row, "verdict": Verdict(row["verdict"])}) for row in rows]


def result_sop_class(connection: Connection, sop_instance_uid: str) -> str | None:
    """The SOP class of one of our own results, or None when we made no such instance."""
    query = select(results.c.sop_class_uid).where(results.c.sop_instance_uid == sop_instance_uid)
    return connection.execute(query).scalar_one_or_none()


def study(connection: Connection, study_instance_uid: str) -> Study | None:
    """One study, or None when nothing of it was received."""
    row = connection.execute(_studies().where(studies.c.study_instance_uid == study_instance_uid)).mappings().first()
    return _as_study(row) if row else None


def list_studies(connection: Connection, *, state: StudyState | None = None, limit: int | None = None) -> list[Study]:
    """Studies, the one with the latest arrival first."""
    query = _studies().order_by(studies.c.last_received_at.desc(), studies.c.study_instance_uid).limit(limit)
    if state is not None:
        query = query.where(studies.c.state == state)
    return [_as_study(row) for row in connection.execute(query).mappings()]


def studies_of(connection: Connection, study_instance_uids: Sequence[str]) -> dict[str, Study]:
    """The studies of these UIDs that were received."""
    query = _studies().where(studies.c.study_instance_uid.in_(study_instance_uids))
    found = (_as_study(row) for row in connection.execute(query).mappings())
    return {one.study_instance_uid: one for one in found}


def instances_of(connection: Connection, study_instance_uid: str, revision: int | None = None) -> list[Instance]:
    """The instances of a study, by series and SOP Instance UID; with a revision only those that it was made from.

    Our own objects that came back are never among them.
    """
    query = (
        select(*(instances.c[name] for name in Instance.__slots__))
        .where(instances.c.study_instance_uid == study_instance_uid, instances.c.ours.is_(False))
        .order_by(instances.c.series_instance_uid, instances.c.sop_instance_uid)
    )
    if revision is not None:
        query = query.where(instances.c.revision <= revision)
    return [Instance(**row) for row in connection.execute(query).mappings()]


def hand_over(
    connection: Connection,
    study_instance_uid: str,
    *,
    last_received_at: float,
    expected_instances: int | None = None,
    note: str | None = None,
) -> int | None:
    """Close the current set of instances: state complete, revision one higher, and its instances marked with it.

    Args:
        connection: in the transaction in which the workflow is also enqueued.
        study_instance_uid: the study.
        last_received_at: the last arrival that the decision was based on.
        expected_instances: what the source said that it holds, when it was asked.
        note: one sentence for the study's row.

    Returns:
        The new revision, or None when an instance arrived or another assembler was faster: nothing was changed.
    """
    closed = connection.execute(
        update(studies)
        .where(
            studies.c.study_instance_uid == study_instance_uid,
            studies.c.state == StudyState.RECEIVING,
            studies.c.last_received_at == last_received_at,
        )
        .values(
            state=StudyState.COMPLETE,
            revision=studies.c.revision + 1,
            reason=note,
            expected_instances=expected_instances,
        )
        .returning(studies.c.revision)
    ).scalar_one_or_none()
    if closed is None:
        return None
    connection.execute(
        update(instances)
        .where(
            instances.c.study_instance_uid == study_instance_uid,
            instances.c.revision.is_(None),
            instances.c.ours.is_(False),
        )
        .values(revision=closed)
    )
    return int(closed)


def prolong(connection: Connection, study_instance_uids: Iterable[str], now: float) -> None:
    """An instance of these studies is arriving: those that are receiving are not quiet, whoever asks."""
    connection.execute(
        update(studies)
        .where(
            studies.c.study_instance_uid.in_(sorted(study_instance_uids)),
            studies.c.state == StudyState.RECEIVING,
            studies.c.last_received_at < now,
        )
        .values(last_received_at=now)
    )


def refuse_receiving(connection: Connection, study_instance_uid: str, *, last_received_at: float, reason: str) -> bool:
    """Close a study that has nothing to read; an image that arrives later opens it again."""
    changed = connection.execute(
        update(studies)
        .where(
            studies.c.study_instance_uid == study_instance_uid,
            studies.c.state == StudyState.RECEIVING,
            studies.c.last_received_at == last_received_at,
        )
        .values(state=StudyState.REFUSED, reason=reason)
    )
    return changed.rowcount == 1


def mark_study(
    connection: Connection, study_instance_uid: str, revision: int, state: StudyState, reason: str | None = None
) -> bool:
    """Move a handed-over study on; False (and nothing is changed) when a later instance has made it receive again.

    A workflow of revision 1 that ends while revision 2 is being received must not say that the study is done.
    """
    changed = connection.execute(
        update(studies)
        .where(
            studies.c.study_instance_uid == study_instance_uid,
            studies.c.revision == revision,
            studies.c.state != StudyState.RECEIVING,
        )
        .values(state=state, reason=func.coalesce(reason, studies.c.reason))
    )
    return changed.rowcount == 1


def delivered_results(connection: Connection, study_instance_uid: str) -> int:
    """How many of our own objects a source that we deliver to holds of this study, and counts among its instances."""
    query = select(func.count(deliveries.c.sop_instance_uid.distinct())).where(
        deliveries.c.study_instance_uid == study_instance_uid, deliveries.c.state == DELIVERED
    )
    return int(connection.execute(query).scalar_one())


def known_paths(connection: Connection, paths: Iterable[str]) -> set[str]:
    """Which of these relative paths a row of instances, quarantine or removals names."""
    wanted = list(paths)
    found: set[str] = set()
    for column in (instances.c.path, quarantine.c.path, removals.c.path):
        found.update(connection.execute(select(column).where(column.in_(wanted))).scalars())
    return found


def _studies() -> Select[Any]:
    of_study = (instances.c.study_instance_uid == studies.c.study_instance_uid) & instances.c.ours.is_(False)
    count = select(func.count()).select_from(instances).where(of_study).scalar_subquery()
    pending = (
        select(func.count())
        .select_from(instances)
        .where(of_study, instances.c.revision.is_(None), instances.c.sop_class_uid.in_(IMAGE_CLASS_UIDS))
        .scalar_subquery()
    )
    return select(studies, count.label("instance_count"), pending.label("pending_images"))


def _as_study(row: RowMapping) -> Study:
    values = {name: row[name] for name in Study.__slots__}
    return Study(**{**values, "state": StudyState(values["state"])})


def insert_into(table: Table, dialect: str) -> Any:
    """INSERT ... ON CONFLICT: SQLAlchemy has no common form of it, and the other database's form is not loaded."""
    return import_module(f"sqlalchemy.dialects.{dialect}").insert(table)
