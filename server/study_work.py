"""The steps of the study workflow: what is read, and what is written about it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dbos import DBOSClient
from sqlalchemy import Connection, Engine, Row

from dicom_node.results import ResultRecord, record_results
from dicom_node.store import instances_of
from dicom_node.uids import ObjectRole
from inference.errors import StorageFailure
from server.chains import start_deliveries
from server.events import event
from server.fence import take_up
from server.kernel import Ended, Kernel, Value
from server.lease import Tenure
from server.review_rows import earlier_review
from server.runs import (
    UNFINISHED,
    RunState,
    finish_run,
    has_unfinished_before,
    postpone_run,
    predecessor_path,
    run_of,
    start_run,
)
from server.tables import runs
from server.work_queue import enqueue_study

WAIT_S = 2.0
"""How long a revision waits before it looks again whether the earlier one is finished."""
FIRST_AWAY_S, LONGEST_AWAY_S = 5.0, 300.0
"""How long a revision waits for an inference server that is away: doubled each time, up to the longest, for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySteps:
    """server.workflow.StudyWork over a real database, spool and child process."""

    engine: Engine
    client: DBOSClient
    kernel: Kernel
    destinations: tuple[str, ...]
    attempts: int
    tenure: Tenure
    """Asked before each step, and where it publishes: another may have this worker's studies."""
    kept_roles: frozenset[str] = frozenset()
    """Roles of objects that no destination gets."""
    report_fault: Callable[[str | None], None] = lambda _: None
    """Told why this worker cannot read at all, and None when it can."""

    def begin(self, study_instance_uid: str, revision: int, generation: int, wait: int) -> Value:
        """Start the run, or wait for the earlier revision, whose SR is this one's predecessor."""
        with self.engine.begin() as connection:
            self.tenure.lock(connection)
            run = run_of(connection, study_instance_uid, revision, is_locked=True)
            if run is None or run.generation != generation or run.state not in UNFINISHED:
                return {"state": "superseded"}
            if has_unfinished_before(connection, study_instance_uid, revision):
                enqueue_study(
                    self.client,
                    connection,
                    study_instance_uid,
                    revision,
                    generation=generation,
                    wait=wait + 1,
                    delay=WAIT_S,
                )
                return {"state": "waiting"}
            content_at = start_run(connection, study_instance_uid, revision, time.time())
            return {
                "state": "ready",
                "content_at": content_at,
                "predecessor": predecessor_path(connection, study_instance_uid, revision),
                "earlier_text": predecessor_path(connection, study_instance_uid, revision, ObjectRole.TEXT_REPORT),
                "earlier_review": earlier_review(connection, study_instance_uid, revision),
                "attempts": self.attempts,
                "wait": wait,
            }

    def read(self, study_instance_uid: str, revision: int, begun: Value) -> Value:
        """Have the child process read the study and write its objects, in a folder that no other reading writes to."""
        with self.engine.begin() as connection:
            self.tenure.lock(connection)
            of_run = (runs.c.study_instance_uid == study_instance_uid, runs.c.revision == revision)
            taken = take_up(connection, runs, *of_run)
            paths = [row.path for row in instances_of(connection, study_instance_uid, revision)]
        answer = self.kernel.call(
            {
                "study_instance_uid": study_instance_uid,
                "revision": revision,
                "reading": taken.token if taken else 0,
                "paths": paths,
                "content_at": begun["content_at"],
                "predecessor": begun["predecessor"],
                "earlier_text": begun.get("earlier_text"),
                "earlier_review": begun.get("earlier_review"),
            }
        )
        if isinstance(answer, Ended):
            return {"state": "ended", "reason": answer.reason}
        self.report_fault(answer["reason"] if answer["state"] == "away" else None)
        return answer | {"wait": begun.get("wait", 0)} if answer["state"] == "away" else answer

    def record(self, study_instance_uid: str, revision: int, outcome: Value) -> Value:
        """Write the rows of the run and its objects, and queue the deliveries, in one transaction."""
        try:
            with self.engine.begin() as connection:
                self.tenure.lock(connection)
                return self._record(connection, study_instance_uid, revision, outcome)
        except StorageFailure as failure:  # one UID with two contents: nothing of it may leave
            with self.engine.begin() as connection:
                self.tenure.lock(connection)
                return self._record(
                    connection, study_instance_uid, revision, {"state": "failed", "reason": str(failure)}
                )

    def _record(self, connection: Connection, study_instance_uid: str, revision: int, outcome: Value) -> Value:
        run = run_of(connection, study_instance_uid, revision, is_locked=True)
        if run is None or run.state not in UNFINISHED:
            return {"state": "superseded"}
        if outcome["state"] == "away":
            return self._postpone(connection, run, outcome)
        now = time.time()
        state, reason = self._final(outcome)
        made = [
            ResultRecord(study_instance_uid=study_instance_uid, revision=revision, **item)
            for item in outcome.get("results", [])
        ]
        record_results(connection, made, now)
        finish_run(
            connection,
            study_instance_uid,
            revision,
            state,
            now,
            reason=reason,
            inference_s=outcome.get("seconds"),
            findings_path=outcome.get("findings_path"),
            findings_sha256=outcome.get("findings_sha256"),
        )
        if made:
            start_deliveries(
                connection,
                self.client,
                study_instance_uid,
                revision,
                destinations=self.destinations,
                now=now,
                kept_roles=self.kept_roles,
            )
        event(
            "study_finished",
            study_instance_uid=study_instance_uid,
            revision=revision,
            state=state.value,
            seconds=outcome.get("seconds"),
        )
        return {"state": state.value}

    def _postpone(self, connection: Connection, run: Row[Any], outcome: Value) -> Value:
        """Queue the run again for later, with the reason beside it; it is neither failed nor given up."""
        wait = int(outcome["wait"])
        postpone_run(connection, run.study_instance_uid, run.revision, outcome["reason"])
        enqueue_study(
            self.client,
            connection,
            run.study_instance_uid,
            run.revision,
            generation=run.generation,
            wait=wait + 1,
            delay=min(FIRST_AWAY_S * 2.0 ** min(wait, 16), LONGEST_AWAY_S),
        )
        event("study_postponed", study_instance_uid=run.study_instance_uid, revision=run.revision, wait=wait)
        return {"state": "postponed"}

    def _final(self, outcome: Value) -> tuple[RunState, str | None]:
        """The state of the run, and why, for every way in which reading can end."""
        if outcome["state"] == "ended":
            reason = (
                f"Reading the study failed {self.attempts} times; the last time {outcome.get('reason', 'unknown')}."
            )
            return RunState.FAILED, reason
        notes = " ".join(outcome.get("notes", []))
        return RunState(outcome["state"]), outcome.get("reason") or notes or None
