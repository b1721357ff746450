"""Deleting the images of a study: rows first, files afterwards, so that a kill at any moment leaves no doubt.

In one transaction the study becomes *expired*, the rows of its images and of the search index go, and every file is
listed in the table removals. Then the files are unlinked; what a kill leaves is unlinked at the next sweep. Which study
may go is the caller's to decide (server.retention). Reports and other documents that came with it stay, as does what
this node made of it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, func, insert, select, update

from dicom_node.object_store import ObjectStoreFailure
from dicom_node.spool import Spool
from dicom_node.store import IMAGE_CLASS_UIDS, StudyState
from dicom_node.tables import (
    expirations,
    instances,
    removals,
    results,
    studies,
    web_headers,
    web_instances,
    web_series,
    web_studies,
)

EXPIRABLE = (StudyState.DONE, StudyState.REFUSED, StudyState.EXPIRED)
"""States of a study that nobody works on."""
UIDS_PER_QUERY = 500
"""Fewer than SQLite's default limit of 999 bound values."""
FILES_AT_ONCE = 200
"""Files unlinked in one transaction: a receiver waits for its end, some milliseconds."""

log = logging.getLogger(__name__)


class Cause(StrEnum):
    """Why a study went."""

    AGE = "age"
    """Its last instance is older than the site keeps images."""
    BUDGET = "budget"
    """The images took more room than the site gives them, and it was the oldest that could go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """What went."""

    study_instance_uid: str
    instance_count: int
    size_bytes: int


def lock_study(connection: Connection, study_instance_uid: str) -> str | None:
    """The state of a study, which nobody changes before the transaction ends; None where there is none."""
    query = select(studies.c.state).where(studies.c.study_instance_uid == study_instance_uid)
    return connection.execute(query.with_for_update()).scalar_one_or_none()


def expire(connection: Connection, spool: Spool, study_instance_uid: str, cause: Cause, now: float) -> Expired | None:
    """Take a study out of the rows, its files still to be removed; None where it is not one that may go.

    The caller has locked the study (`lock_study`), has found that nothing needs it, and calls `remove_files` after the
    commit.
    """
    marked = connection.execute(
        update(studies)
        .where(studies.c.study_instance_uid == study_instance_uid, studies.c.state.in_(EXPIRABLE))
        .values(state=StudyState.EXPIRED)
        .returning(studies.c.revision)
    ).scalar_one_or_none()
    of_study = instances.c.study_instance_uid == study_instance_uid
    images = (of_study, instances.c.sop_class_uid.in_(IMAGE_CLASS_UIDS))
    columns = (instances.c.sop_instance_uid, instances.c.path, instances.c.size_bytes)
    rows = connection.execute(select(*columns).where(*images)).all()
    if marked is None or not rows:
        return None
    files = [(row.path, spool.inode(row.path)) for row in rows]
    listed = [
        {"path": path, "study_instance_uid": study_instance_uid, "inode": inode} for path, inode in files if inode
    ]
    if listed:
        of_before = removals.c.path.in_(select(instances.c.path).where(*images))
        connection.execute(delete(removals).where(of_before))  # the file has come again, and is another one
        connection.execute(insert(removals), listed)
    modalities = _modalities(connection, study_instance_uid)
    connection.execute(delete(instances).where(*images))
    _forget_in_index(connection, study_instance_uid, [row.sop_instance_uid for row in rows])
    gone = Expired(
        study_instance_uid=study_instance_uid,
        instance_count=len(rows),
        size_bytes=sum(row.size_bytes for row in rows),
    )
    connection.execute(
        insert(expirations).values(
            study_instance_uid=study_instance_uid,
            revision=marked,
            expired_at=now,
            instance_count=gone.instance_count,
            size_bytes=gone.size_bytes,
            modalities=",".join(modalities),
            cause=cause.value,
        )
    )
    return gone


def _modalities(connection: Connection, study_instance_uid: str) -> list[str]:
    query = select(web_series.c.modality).where(web_series.c.study_instance_uid == study_instance_uid)
    return sorted({modality for modality in connection.execute(query).scalars() if modality})


def _forget_in_index(connection: Connection, study_instance_uid: str, uids: Sequence[str]) -> None:
    """What has gone goes from the search index, with the series and the study of which nothing is left."""
    left = [
        select(table.c.sop_instance_uid, table.c.series_instance_uid).where(
            table.c.study_instance_uid == study_instance_uid
        )
        for table in (results, instances)
    ]
    kept = {uid: series for query in left for uid, series in connection.execute(query)}
    going = [uid for uid in uids if uid not in kept]
    for start in range(0, len(going), UIDS_PER_QUERY):
        for table in (web_instances, web_headers):
            some = going[start : start + UIDS_PER_QUERY]
            connection.execute(delete(table).where(table.c.sop_instance_uid.in_(some)))
    of_series = web_series.c.study_instance_uid == study_instance_uid
    is_kept = web_series.c.series_instance_uid.in_(sorted(set(kept.values())))
    connection.execute(delete(web_series).where(of_series, ~is_kept))
    if not kept:  # else the study's row says whose the rest is
        connection.execute(delete(web_studies).where(web_studies.c.study_instance_uid == study_instance_uid))


def remove_files(engine: Engine, spool: Spool) -> int:
    """Unlink the files of expired studies; what a kill has left, too. Returns how many were there.

    A file that cannot be unlinked stays listed, and is tried again at the next call.
    """
    removed = 0
    try:
        for count in _removed(engine, spool):
            removed += count
    except ObjectStoreFailure as failure:
        log.warning("expired_objects_not_removed", extra={"reason": str(failure)})
    return removed


def _removed(engine: Engine, spool: Spool) -> Iterator[int]:
    last = ""
    while rows := _some_removals(engine, after=last):
        last = rows[-1][0]
        with engine.begin() as connection:
            answers = {path: _remove(spool, path, inode) for path, inode in rows}
            settled = [path for path, is_removed in answers.items() if is_removed is not None]
            connection.execute(delete(removals).where(removals.c.path.in_(settled)))
        yield sum(is_removed is True for is_removed in answers.values())


def _remove(spool: Spool, path: str, inode: int) -> bool | None:
    """Whether it was there, and is not any more; None: it could not be unlinked."""
    try:
        return spool.remove_file(path, inode)
    except OSError as error:
        log.warning("expired_file_not_removed", extra={"error": type(error).__name__, "errno": error.errno})
        return None


def _some_removals(engine: Engine, *, after: str) -> list[tuple[str, int]]:
    columns = (removals.c.path, removals.c.inode)
    query = select(*columns).where(removals.c.path > after).order_by(removals.c.path).limit(FILES_AT_ONCE)
    with engine.connect() as connection:
        return [(path, inode) for path, inode in connection.execute(query)]


def has_expired_since(connection: Connection, study_instance_uid: str, received_at: float) -> bool:
    """Whether what was received then of a study has expired since: bytes that a crash has left are not to come back."""
    query = select(func.count()).where(
        expirations.c.study_instance_uid == study_instance_uid, expirations.c.expired_at >= received_at
    )
    return connection.execute(query).scalar_one() > 0


def expirations_of(connection: Connection, study_instance_uid: str) -> list[Row[Any]]:
    """What was deleted of a study, the first first."""
    query = select(expirations).where(expirations.c.study_instance_uid == study_instance_uid)
    return list(connection.execute(query.order_by(expirations.c.id)).all())
