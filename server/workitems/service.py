"""What others do with workitems: create, update, claim, complete, cancel; each in one transaction.

A workitem that asks this node to read a study waits, SCHEDULED, until the study is here, and then follows its run.
Nobody else claims it; until this node does, whoever may can have it canceled.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dbos import DBOSClient
from sqlalchemy import Connection, Engine, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from dicom_node import store
from dicom_node.ups.elements import Dataset, Element, date_time
from dicom_node.ups.rules import Created, Task, canceled, check_completed, created, task_of, updated
from dicom_node.ups.states import Event, Lock, Status, UpsState, WorkitemRefusal, step
from server.runs import RunState, finish_run, requeue_run, run_of
from server.tables import workitems
from server.work_queue import enqueue_study
from server.workitems.rows import locked, new_uid, open_count

BY_REQUEST = "Canceled on request before it was read."


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of a request."""

    workitem_uid: str
    study_instance_uid: str | None
    warning: Status | None = None
    is_modified: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Workitems:
    """The workitems of one node."""

    engine: Engine
    client: DBOSClient
    ae_title: str
    clock: Callable[[], float] = time.time

    def create(self, given: Dataset, uid: str) -> Done:
        """Create a workitem; one that this node is to perform is taken up when its study is here.

        Raises:
            WebRefusal: 400, it is not what a workitem must be; 409, there is one with this UID.
        """
        made: Created = created(given, uid)
        task = task_of(made.document, self.ae_title)
        now = self.clock()
        row = {
            "workitem_uid": uid,
            "state": UpsState.SCHEDULED.value,
            "document": _text(made.document),
            "created_at": now,
            "changed_at": now,
        }
        try:
            with self.engine.begin() as connection:
                connection.execute(insert(workitems).values(**row, **_columns(task)))
                take_up(connection, self.client, uid, now)
        except IntegrityError:
            raise WorkitemRefusal(Status.DUPLICATE) from None
        return Done(workitem_uid=uid, study_instance_uid=task.study_instance_uid, is_modified=made.is_modified)

    def update(self, uid: str, changes: Dataset, transaction_uid: str | None) -> Done:
        """Replace elements.

        Raises:
            WebRefusal: the state or the Transaction UID does not allow it, or the elements cannot be replaced.
        """
        with self.engine.begin() as connection:
            row = _found(connection, uid)
            step(Event.UPDATE, UpsState(row.state), Lock(held=row.transaction_uid, given=transaction_uid))
            if row.is_for_us and row.revision is not None:
                raise WorkitemRefusal(Status.PERFORMER_REFUSES, "This node performs the workitem; it is queued.")
            document = updated(json.loads(row.document), changes)
            task = task_of(document, self.ae_title)
            now = self.clock()
            values = {"document": _text(document), "changed_at": now} | _columns(task)
            if row.state != UpsState.SCHEDULED:
                values["is_for_us"] = False  # another performer has it
            connection.execute(update(workitems).where(workitems.c.workitem_uid == uid).values(**values))
            take_up(connection, self.client, uid, now)
        return Done(workitem_uid=uid, study_instance_uid=task.study_instance_uid)

    def change_state(self, uid: str, event: Event, transaction_uid: str | None) -> Done:
        """Claim, complete or cancel, as the performer.

        Raises:
            WebRefusal: PS3.4 Table CC.1.1-2 does not allow it, or this node performs the workitem.
        """
        with self.engine.begin() as connection:
            row = _found(connection, uid)
            state = UpsState(row.state)
            after, warning = step(event, state, Lock(held=row.transaction_uid, given=transaction_uid))
            if row.is_for_us and after is not state:
                sentence = "This node performs the workitem itself; it can be canceled by a cancellation request."
                raise WorkitemRefusal(Status.PERFORMER_REFUSES, sentence)
            if after is not state:
                self._change(connection, row, after, transaction_uid)
        return Done(workitem_uid=uid, study_instance_uid=row.study_instance_uid, warning=warning)

    def _change(self, connection: Connection, row: Row[Any], after: UpsState, transaction_uid: str | None) -> None:
        now = self.clock()
        document: Dataset = json.loads(row.document)
        values: dict[str, Any] = {"state": after.value, "changed_at": now}
        match after:
            case UpsState.IN_PROGRESS:
                values["transaction_uid"] = transaction_uid
            case UpsState.COMPLETED:
                check_completed(document)
            case _:
                values["document"] = _text(canceled(document, date_time(now), {}))
        connection.execute(update(workitems).where(workitems.c.workitem_uid == row.workitem_uid).values(**values))

    def request_cancel(self, uid: str, asked: Mapping[str, Element]) -> Done:
        """Cancel a workitem that nobody has claimed; of its run too, where no other workitem waits for that.

        Raises:
            WebRefusal: 409, somebody performs it, or it is done.
        """
        with self.engine.begin() as connection:
            run, row = _found_with_run(connection, uid)
            state = UpsState(row.state)
            if row.is_for_us and (state is UpsState.IN_PROGRESS or (run is not None and run.state == RunState.RUNNING)):
                raise WorkitemRefusal(Status.PERFORMER_REFUSES)
            after, warning = step(Event.REQUEST_CANCEL, state, Lock(held=row.transaction_uid, given=None))
            if after is not state:
                self._cancel(connection, row, run, asked)
        return Done(workitem_uid=uid, study_instance_uid=row.study_instance_uid, warning=warning)

    def _cancel(
        self, connection: Connection, row: Row[Any], run: Row[Any] | None, asked: Mapping[str, Element]
    ) -> None:
        now = self.clock()
        values: dict[str, Any] = {
            "state": UpsState.CANCELED.value,
            "document": _text(canceled(json.loads(row.document), date_time(now), asked)),
            "transaction_uid": new_uid(),
            "finished_at": now,
            "changed_at": now,
        }
        connection.execute(update(workitems).where(workitems.c.workitem_uid == row.workitem_uid).values(**values))
        if (
            run is not None
            and run.state == RunState.QUEUED
            and not open_count(connection, row.study_instance_uid, row.revision)
        ):
            finish_run(connection, row.study_instance_uid, row.revision, RunState.REFUSED, now, reason=BY_REQUEST)


def take_up(connection: Connection, client: DBOSClient, uid: str, now: float) -> None:
    """Give a workitem for this node to the run of its study, when the study is here and nothing of it is arriving.

    A study that was read gives its results at once, because reading it again would make the same; one that was
    refused or failed is read again; one whose images have expired waits for them.
    """
    row = locked(connection, uid)
    if row is None or not row.is_for_us or not row.is_ready or row.revision is not None:
        return
    study = store.study(connection, row.study_instance_uid)
    if row.state != UpsState.SCHEDULED or study is None or study.state is store.StudyState.RECEIVING:
        return
    run = run_of(connection, study.study_instance_uid, study.revision, is_locked=True)
    if run is None:
        return
    if run.state in {RunState.FAILED, RunState.REFUSED}:
        if study.state is store.StudyState.EXPIRED:
            return
        generation = requeue_run(connection, study.study_instance_uid, study.revision, now)
        enqueue_study(client, connection, study.study_instance_uid, study.revision, generation=generation)
        return
    values: dict[str, Any] = {"revision": study.revision, "changed_at": now}
    if run.state != RunState.QUEUED:
        values |= {"state": UpsState.IN_PROGRESS.value, "transaction_uid": new_uid(), "started_at": now}
    if run.state == RunState.DONE:
        values |= {"state": UpsState.COMPLETED.value, "finished_at": now}
    connection.execute(update(workitems).where(workitems.c.workitem_uid == uid).values(**values))


def take_up_waiting(engine: Engine, client: DBOSClient, now: float) -> int:
    """Take up what was missed, because a study was handed over while its workitem was being made; returns how many."""
    waiting = (workitems.c.is_for_us, workitems.c.is_ready, workitems.c.revision.is_(None))
    query = select(workitems.c.workitem_uid).where(*waiting, workitems.c.state == UpsState.SCHEDULED.value)
    with engine.begin() as connection:
        uids = list(connection.execute(query).scalars())
        for uid in uids:
            take_up(connection, client, uid, now)
    return len(uids)


def _found_with_run(connection: Connection, uid: str) -> tuple[Row[Any] | None, Row[Any]]:
    """A workitem and its run, locked in the order in which a worker locks them: two orders can wait for each other."""
    row = connection.execute(select(workitems).where(workitems.c.workitem_uid == uid)).one_or_none()
    is_performed = row is not None and row.is_for_us and row.revision is not None
    run = run_of(connection, row.study_instance_uid, row.revision, is_locked=True) if row and is_performed else None
    locked_row = _found(connection, uid)
    is_same = row is not None and locked_row.revision == row.revision
    return (run, locked_row) if is_same else _found_with_run(connection, uid)


def _found(connection: Connection, uid: str) -> Row[Any]:
    row = locked(connection, uid)
    if row is None:
        raise WorkitemRefusal(Status.UNKNOWN)
    return row


def _columns(task: Task) -> dict[str, Any]:
    return {
        "is_for_us": task.is_for_us,
        "is_ready": task.is_ready,
        "study_instance_uid": task.study_instance_uid,
    }


def _text(document: Dataset) -> str:
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
