"""Work that ended without saying so: a run, a delivery, a review's report or an attachment that no workflow stands for.

It happens when a workflow was started and killed so often that DBOS gives it up, or when the database refused its
last step.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from dbos import DBOSClient
from sqlalchemy import Connection, Engine, select, update

from dicom_node.commitment import Commitment
from dicom_node.commitment_rows import UNANSWERED
from dicom_node.results import OPEN_STATES, DeliveryState
from dicom_node.tables import deliveries
from server.attachment_rows import sweep_attachments
from server.events import event
from server.lease import INTERNAL_QUEUE
from server.review_rows import finish_review_run
from server.runs import UNFINISHED, RunState, fail_if_unfinished
from server.tables import delivery_chains, review_runs, runs
from server.work_queue import (
    ASKING_WORKFLOW,
    ATTACHMENT_WORKFLOW,
    DELIVERY_WORKFLOW,
    READ_QUEUES,
    REVIEW_WORKFLOW,
    STUDY_WORKFLOW,
    Delivery,
    review_workflow_id,
    study_workflow_id,
)
from server.workitems.service import take_up_waiting

ACTIVE = ["ENQUEUED", "DELAYED", "PENDING"]
_SETTLE_S = 60.0  # rows and queue are changed together, but are read here one after the other
_EVERY_S = 60.0
_READ = READ_QUEUES | {None, INTERNAL_QUEUE}
GIVEN_UP = "The work was begun and ended unexpectedly too often, and was given up; it can be retried."


@dataclass(slots=True)
class Sweep:
    """Runs at most once a minute, in one worker or in several."""

    engine: Engine
    client: DBOSClient
    _last: float = 0.0

    def __call__(self) -> None:
        """Sweep if the last time is long enough ago."""
        if time.monotonic() - self._last >= _EVERY_S:
            self._last = time.monotonic()
            self.run(time.time())

    def run(self, now: float) -> int:
        """Mark what nobody works on as failed or dead; returns how many."""
        names = [STUDY_WORKFLOW, DELIVERY_WORKFLOW, REVIEW_WORKFLOW, ATTACHMENT_WORKFLOW, ASKING_WORKFLOW]
        flows = self.client.list_workflows(status=ACTIVE, name=names, load_input=False, load_output=False)
        active = {flow.workflow_id for flow in flows}
        newer = [flow for flow in flows if flow.queue_name not in _READ]
        if newer:
            event("work_waits_for_newer_worker", count=len(newer))
        with self.engine.begin() as connection:
            given_up = sum(sweep(connection, active, now) for sweep in (_sweep_runs, _sweep_deliveries, _sweep_reviews))
            given_up += sweep_attachments(connection, active, now - _SETTLE_S, GIVEN_UP)
        take_up_waiting(self.engine, self.client, now)
        if given_up:
            event("work_given_up", count=given_up)
        return given_up


def _sweep_runs(connection: Connection, active: set[str], now: float) -> int:
    old = runs.c.queued_at < now - _SETTLE_S
    given_up = 0
    for run in connection.execute(select(runs).where(runs.c.state.in_(UNFINISHED), old)).all():
        own = study_workflow_id(run.study_instance_uid, run.revision, generation=run.generation)
        if not any(flow == own or flow.startswith(f"{own}/wait") for flow in active):
            given_up += fail_if_unfinished(
                connection,
                run.study_instance_uid,
                run.revision,
                generation=run.generation,
                now=now,
                reason=GIVEN_UP,
            )
    return given_up


def _sweep_deliveries(connection: Connection, active: set[str], now: float) -> int:
    of_chain = (
        (deliveries.c.study_instance_uid == delivery_chains.c.study_instance_uid)
        & (deliveries.c.revision == delivery_chains.c.revision)
        & (deliveries.c.destination == delivery_chains.c.destination)
    )
    query = (
        select(deliveries, delivery_chains.c.generation)
        .join(delivery_chains, of_chain)
        .where(
            deliveries.c.state.in_(OPEN_STATES) | deliveries.c.commitment.in_(UNANSWERED),
            deliveries.c.updated_at < now - _SETTLE_S,
        )
    )
    given_up = 0
    for row in connection.execute(query).all():
        tries = Delivery(
            study_instance_uid=row.study_instance_uid,
            revision=row.revision,
            destination=row.destination,
            generation=row.generation,
        ).workflow_id.rpartition("/")[0]
        if not any(flow.startswith(f"{tries}/") for flow in active):
            values = {"state": DeliveryState.DEAD.value, "reason": GIVEN_UP, "updated_at": now}
            values |= {"commitment": Commitment.FAILED.value} if row.commitment else {}
            given_up += connection.execute(
                update(deliveries).where(deliveries.c.id == row.id).values(**values)
            ).rowcount
    return given_up


def _sweep_reviews(connection: Connection, active: set[str], now: float) -> int:
    old = review_runs.c.queued_at < now - _SETTLE_S
    given_up = 0
    for run in connection.execute(select(review_runs).where(review_runs.c.state.in_(UNFINISHED), old)).all():
        own = review_workflow_id(run.study_instance_uid, run.number, generation=run.generation)
        if not any(flow == own or flow.startswith(f"{own}/wait") for flow in active):
            finish_review_run(connection, run.study_instance_uid, run.number, RunState.FAILED, GIVEN_UP)
            given_up += 1
    return given_up
