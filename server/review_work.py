"""The steps of the review workflow: the verified report of a committed review, and its delivery.

It runs in the worker itself, beside deliveries: it reads headers and computes nothing, and a person waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbos import DBOSClient
from sqlalchemy import Connection, Row

from dicom_node.object_store import ObjectStoreFailure
from dicom_node.results import ResultRecord, record_results, results_of
from dicom_node.store import instances_of
from dicom_node.uids import ObjectRole
from inference.errors import Failure, Refusal, StorageFailure
from server.chains import start_deliveries
from server.compose import Node
from server.database import reading
from server.events import event, fault, frames_of
from server.kernel import Value
from server.lease import Tenure
from server.made_objects import result_values
from server.review_objects import ReviewInput, ReviewSettings, make_objects, verified_name, verified_text_name
from server.review_rows import finish_review_run, review_of
from server.runs import UNFINISHED, RunState, results_folder
from server.settings import OFF
from server.work_queue import enqueue_review

_COMPANIONS = (ObjectRole.SEGMENTATION, ObjectRole.PRESENTATION, ObjectRole.TEXT_REPORT, ObjectRole.KEY_IMAGE)
_VERIFIED = (verified_name, verified_text_name)
WAIT_S = 1.0
"""How long a report waits before it looks again whether that of the earlier review, its predecessor, is made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewSteps:
    """server.workflow.ReviewWork over a real database and spool."""

    node: Node
    client: DBOSClient
    destinations: tuple[str, ...]
    tenure: Tenure
    """Asked where something is written: another may have this worker's work."""

    def make(self, study_instance_uid: str, number: int, generation: int, wait: int) -> Value:
        """Write the verified report, and the rejection note where the site wants one and all was rejected."""
        with self.node.engine.begin() as connection:
            self.tenure.lock(connection)
            row = review_of(connection, study_instance_uid, number)
            if row.generation != generation or row.state not in UNFINISHED:
                return {"state": "superseded"}
            if self._waits_for_earlier(connection, row):
                enqueue_review(
                    self.client,
                    connection,
                    study_instance_uid,
                    number,
                    generation=generation,
                    wait=wait + 1,
                    delay=WAIT_S,
                )
                return {"state": "waiting"}
        with reading(self.node.engine) as connection:  # files may have to be fetched: nobody waits for it
            request = self._input(connection, row)
        self.tenure.assure()
        return _guarded(request, self._write)

    def record(self, study_instance_uid: str, number: int, outcome: Value) -> Value:
        """Write the rows of the objects, and queue the deliveries, in one transaction."""
        try:
            with self.node.engine.begin() as connection:
                self.tenure.lock(connection)
                return self._record(connection, study_instance_uid, number, outcome)
        except StorageFailure as failure:  # one UID with two contents: nothing of it may leave
            with self.node.engine.begin() as connection:
                failed = {"state": RunState.FAILED, "reason": str(failure)}
                return self._record(connection, study_instance_uid, number, failed)

    def _waits_for_earlier(self, connection: Connection, row: Row[Any]) -> bool:
        if row.supersedes is None:
            return False
        return review_of(connection, row.study_instance_uid, row.supersedes).state in UNFINISHED

    def _input(self, connection: Connection, row: Row[Any]) -> ReviewInput:
        study, revision, path = row.study_instance_uid, row.revision, self.node.spool.path
        made = results_of(connection, study, revision)
        kept = self.node.settings.kept_roles()  # an archive is told nothing of what it never got
        earlier: dict[str, Path] = {}
        if row.supersedes is not None:
            older = review_of(connection, study, row.supersedes)
            names = {f"{results_folder(study, older.revision)}/{name(older.number)}" for name in _VERIFIED}
            known = results_of(connection, study, older.revision)
            earlier = {record.role: path(record.path) for record in known if record.path in names}
        return ReviewInput(
            findings=path(row.findings_path),
            sources=tuple(path(instance.path) for instance in instances_of(connection, study, revision)),
            report=next(path(record.path) for record in made if record.role == ObjectRole.REPORT),
            companions=tuple(path(r.path) for r in made if r.role in _COMPANIONS and r.role not in kept),
            text=next((path(record.path) for record in made if record.role == ObjectRole.TEXT_REPORT), None),
            earlier_verified=earlier.get(ObjectRole.VERIFIED_REPORT),
            earlier_text=earlier.get(ObjectRole.VERIFIED_TEXT),
            folder=results_folder(study, revision),
        )

    def _write(self, request: ReviewInput) -> Value:
        from server.detectors import config_digest  # noqa: PLC0415 - loads what measures, which few workers need here

        settings, spool = self.node.settings, self.node.spool
        made = make_objects(
            request,
            lambda name, data: spool.write_result(f"{request.folder}/{name}", data),
            ReviewSettings(
                ae_title=settings.ae_title,
                config_digest=config_digest(settings),
                rejection_note=settings.rejection_note,
                text_report=settings.text_report != OFF,
            ),
        )
        return {"state": RunState.DONE.value, "results": result_values(made, request.folder)}

    def _record(self, connection: Connection, study_instance_uid: str, number: int, outcome: Value) -> Value:
        row = review_of(connection, study_instance_uid, number)
        if row.state not in UNFINISHED:
            return {"state": "superseded"}
        now = time.time()
        state, made = RunState(outcome["state"]), outcome.get("results", [])
        records = [ResultRecord(study_instance_uid=study_instance_uid, revision=row.revision, **item) for item in made]
        record_results(connection, records, now)
        finish_review_run(connection, study_instance_uid, number, state, outcome.get("reason"))
        if made:
            start_deliveries(
                connection,
                self.client,
                study_instance_uid,
                row.revision,
                destinations=self.destinations,
                now=now,
                kept_roles=self.node.settings.kept_roles(),
            )
        event("review_finished", study_instance_uid=study_instance_uid, review=number, state=state.value)
        return {"state": state.value}


def _guarded(request: ReviewInput, write: Callable[[ReviewInput], Value]) -> Value:
    """What goes wrong with one report, as a value; it can be retried."""
    try:
        return write(request)
    except ObjectStoreFailure:
        raise  # the step waits
    except (Refusal, Failure) as error:
        return {"state": RunState.FAILED.value, "reason": str(error)}
    except Exception as error:  # noqa: BLE001 - the boundary of one report: its text may quote a dataset
        fault("review_fault", error)
        place = frames_of(error)[-1] if error.__traceback__ else "unknown place"
        reason = f"A fault of the program: {type(error).__name__} at {place}."
        return {"state": RunState.FAILED.value, "reason": reason}
