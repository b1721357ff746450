"""The record of the work on each study revision: what was queued, what came of it, and when.

    queued -> running -> done | refused | failed        failed, refused -> queued  (a person retries: the generation
    grows)

The study's own row follows the run of its newest revision, unless instances are arriving again.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, desc, func, select, update

from dicom_node.spool import RESULTS
from dicom_node.store import StudyState, mark_study
from dicom_node.tables import results, studies
from server.tables import runs
from server.workitems.rows import (
    EQUIPMENT_FAILURE,
    NOT_SUPPORTED,
    cancel_workitems,
    complete_workitems,
    queue_workitems,
    start_workitems,
)


class RunState(StrEnum):
    """Where the work on one revision stands."""

    QUEUED = "queued"
    """Handed over; nobody works on it yet."""
    RUNNING = "running"
    """A worker has begun."""
    DONE = "done"
    """SR and SEG exist and are queued for delivery."""
    REFUSED = "refused"
    """The study is outside what we accept; final, with the reason."""
    FAILED = "failed"
    """Our failure; may be retried, with the reason."""


UNFINISHED = (RunState.QUEUED, RunState.RUNNING)
_STUDY_STATE = {
    RunState.QUEUED: StudyState.COMPLETE,
    RunState.RUNNING: StudyState.RUNNING,
    RunState.DONE: StudyState.DONE,
    RunState.REFUSED: StudyState.REFUSED,
    RunState.FAILED: StudyState.FAILED,
}


def queue_run(connection: Connection, study_instance_uid: str, revision: int, now: float) -> None:
    """Add the row of a new revision."""
    connection.execute(
        runs.insert().values(
            study_instance_uid=study_instance_uid,
            revision=revision,
            generation=1,
            state=RunState.QUEUED,
            last_received_at=select(studies.c.last_received_at)
            .where(studies.c.study_instance_uid == study_instance_uid)
            .scalar_subquery(),
            queued_at=now,
        )
    )
    queue_workitems(connection, study_instance_uid, revision, now)


def run_of(
    connection: Connection, study_instance_uid: str, revision: int, *, is_locked: bool = False
) -> Row[Any] | None:
    """One run; with ``is_locked`` nobody else changes it before the transaction ends."""
    query = select(runs).where(*_is(study_instance_uid, revision))
    return connection.execute(query.with_for_update() if is_locked else query).one_or_none()


def runs_of(connection: Connection, study_instance_uid: str) -> list[Row[Any]]:
    """Every run of a study, oldest revision first."""
    query = select(runs).where(runs.c.study_instance_uid == study_instance_uid).order_by(runs.c.revision)
    return list(connection.execute(query))


def finished_run(connection: Connection, study_instance_uid: str, revision: int | None = None) -> Row[Any] | None:
    """The newest run that is done, or the one of a revision; None where there is no such."""
    done = [run for run in runs_of(connection, study_instance_uid) if run.state == RunState.DONE]
    return next((run for run in reversed(done) if revision in (None, run.revision)), None)


def has_unfinished_before(connection: Connection, study_instance_uid: str, revision: int) -> bool:
    """Whether an earlier revision is still being worked on; its SR would be this one's predecessor."""
    query = select(func.count()).where(
        runs.c.study_instance_uid == study_instance_uid, runs.c.revision < revision, runs.c.state.in_(UNFINISHED)
    )
    return bool(connection.execute(query).scalar_one())


def predecessor_path(connection: Connection, study_instance_uid: str, revision: int, role: str = "sr") -> str | None:
    """Path of the newest SR, or object of another role, of an earlier revision, relative to the results folder.

    The role is one of uids.ObjectRole, which the receiver cannot afford to import.
    """
    query = (
        select(results.c.path)
        .where(
            results.c.study_instance_uid == study_instance_uid, results.c.revision < revision, results.c.role == role
        )
        .order_by(desc(results.c.revision))
        .limit(1)
    )
    return connection.execute(query).scalar_one_or_none()


def start_run(connection: Connection, study_instance_uid: str, revision: int, now: float) -> float:
    """Mark a run as begun; returns the time inside its objects, which the first start fixes for all later ones."""
    connection.execute(
        update(runs)
        .where(*_is(study_instance_uid, revision))
        .values(
            state=RunState.RUNNING,
            reason=None,
            started_at=now,
            finished_at=None,
            content_at=func.coalesce(runs.c.content_at, now),
        )
    )
    mark_study(connection, study_instance_uid, revision, _STUDY_STATE[RunState.RUNNING])
    start_workitems(connection, study_instance_uid, revision, now)
    query = select(runs.c.content_at).where(*_is(study_instance_uid, revision))
    return float(connection.execute(query).scalar_one())


def finish_run(
    connection: Connection,
    study_instance_uid: str,
    revision: int,
    state: RunState,
    now: float,
    *,
    reason: str | None = None,
    **values: str | float | None,
) -> None:
    """Mark a run as done, refused or failed; ``values`` are further columns (findings, seconds)."""
    connection.execute(
        update(runs)
        .where(*_is(study_instance_uid, revision))
        .values(state=state, reason=reason, finished_at=now, **values)
    )
    mark_study(connection, study_instance_uid, revision, _STUDY_STATE[state], reason)
    if state is RunState.DONE:
        complete_workitems(connection, study_instance_uid, revision, now)
    else:
        code = NOT_SUPPORTED if state is RunState.REFUSED else EQUIPMENT_FAILURE
        cancel_workitems(connection, study_instance_uid, revision, now, reason=reason, code=code)


def requeue_run(connection: Connection, study_instance_uid: str, revision: int, now: float) -> int:
    """Queue a finished run again; returns its new generation."""
    connection.execute(
        update(runs)
        .where(*_is(study_instance_uid, revision))
        .values(state=RunState.QUEUED, generation=runs.c.generation + 1, queued_at=now, reason=None)
    )
    if mark_study(connection, study_instance_uid, revision, _STUDY_STATE[RunState.QUEUED]):
        no_reason = update(studies).where(studies.c.study_instance_uid == study_instance_uid).values(reason=None)
        connection.execute(no_reason)
    queue_workitems(connection, study_instance_uid, revision, now)
    return int(connection.execute(select(runs.c.generation).where(*_is(study_instance_uid, revision))).scalar_one())


def postpone_run(connection: Connection, study_instance_uid: str, revision: int, reason: str) -> None:
    """Put a run that had begun back into the queue, with one sentence about what it waits for."""
    query = update(runs).where(*_is(study_instance_uid, revision)).values(state=RunState.QUEUED, reason=reason)
    connection.execute(query)
    mark_study(connection, study_instance_uid, revision, _STUDY_STATE[RunState.QUEUED])


def fail_if_unfinished(
    connection: Connection, study_instance_uid: str, revision: int, *, generation: int, now: float, reason: str
) -> bool:
    """Mark a run as failed whose workflow ended without saying so; returns whether it was unfinished."""
    run = run_of(connection, study_instance_uid, revision)
    if run is None or run.generation != generation or run.state not in UNFINISHED:
        return False
    finish_run(connection, study_instance_uid, revision, RunState.FAILED, now, reason=reason)
    return True


def results_folder(study_instance_uid: str, revision: int) -> str:
    """Where the objects of one revision are kept, relative to the spool's root.

    Each reading writes into a folder of its own below it: a worker that was taken for dead and goes on, perhaps with
    an older version of the software, never writes over what another one made and published.
    """
    fan_out = hashlib.sha256(study_instance_uid.encode()).hexdigest()[:2]
    return f"{RESULTS}/{fan_out}/{study_instance_uid}/r{revision}"


def _is(study_instance_uid: str, revision: int) -> tuple[Any, Any]:
    return runs.c.study_instance_uid == study_instance_uid, runs.c.revision == revision
