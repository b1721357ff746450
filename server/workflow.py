"""The durable workflows: read one study revision, deliver its objects to one destination, submit an attachment.

    study:    begin -> read (in a child process; again if that was killed) -> record, which queues a delivery per
    destination
    deliver:  send, which queues the next try, delayed
    review:   make the report of a review -> record, which queues a delivery per destination
    attachment: submit one attachment of a claim, which queues the next try, delayed
    ask_commitment: ask a destination to answer for what it took, which queues the next look, delayed
    tell_commitment: tell a peer what this node answers for, which queues the next try, delayed

Each step returns a small JSON value that DBOS keeps: after a crash the workflow is replayed, finished steps are not.
While the database is away a step waits (server.database.patiently): only other faults count as tries.
An expected failure is a value, because a recorded exception comes back as another class (workflow.md 4). A step may
run twice, so each is
idempotent: UIDs and times are fixed by ``begin``, follow-up work has an id of its own and is queued in the
transaction that changes the rows, and a peer that gets an object twice gets the same bytes.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

from dbos import DBOS

from server.database import patiently
from server.work_queue import (
    ASKING_WORKFLOW,
    ATTACHMENT_WORKFLOW,
    DELIVERY_WORKFLOW,
    MAX_RECOVERIES,
    REVIEW_WORKFLOW,
    STUDY_WORKFLOW,
    TELLING_WORKFLOW,
)

Value: TypeAlias = dict[str, Any]


class StudyWork(Protocol):
    """What is done for one revision of a study (server.study_work)."""

    def begin(self, study_instance_uid: str, revision: int, generation: int, wait: int) -> Value:
        """``state``: ready, waiting or superseded; when ready, everything that later steps must not decide anew."""
        ...

    def read(self, study_instance_uid: str, revision: int, begun: Value) -> Value:
        """``state``: done, refused, failed, away (what computes is elsewhere: later), or ended (try again now)."""
        ...

    def record(self, study_instance_uid: str, revision: int, outcome: Value) -> Value:
        """Write the rows and queue the deliveries; ``state`` of the run."""
        ...


class DeliveryWork(Protocol):
    """What is done for one try of a delivery (server.delivery_work)."""

    def send(self, study_instance_uid: str, revision: int, destination: str, generation: int, attempt: int) -> Value:
        """``state``: delivered, dead, superseded, or retry."""
        ...


class ReviewWork(Protocol):
    """What is done for the report of one review (server.review_work)."""

    def make(self, study_instance_uid: str, number: int, generation: int, wait: int) -> Value:
        """``state``: done with what was made, failed with the reason, waiting or superseded."""
        ...

    def record(self, study_instance_uid: str, number: int, outcome: Value) -> Value:
        """Write the rows and queue the deliveries; ``state`` of the work."""
        ...


class AttachmentWork(Protocol):
    """What is done for one try to send an attachment of a claim (server.attachment_work)."""

    def send(self, control_number: str, generation: int, attempt: int) -> Value:
        """``state``: that of the attachment after the try, or superseded."""
        ...


class CommitmentWork(Protocol):
    """What is done for Storage Commitment (server.commitment_work)."""

    def ask(self, study_instance_uid: str, revision: int, destination: str, generation: int, attempt: int) -> Value:
        """``state``: answered, waiting, dead, off or superseded."""
        ...

    def tell(self, number: int, generation: int, attempt: int) -> Value:
        """``state``: told, retry, dead or superseded."""
        ...


def register(
    study_work: StudyWork,
    delivery_work: DeliveryWork,
    review_work: ReviewWork,
    attachment_work: AttachmentWork,
    commitment_work: CommitmentWork,
) -> None:
    """Make the workflows known to DBOS; after ``DBOS(...)`` and before ``DBOS.launch()``."""
    _register_study(study_work)
    _register_delivery(delivery_work)
    _register_review(review_work)
    _register_attachment(attachment_work)
    _register_commitment(commitment_work)


def _register_study(work: StudyWork) -> None:
    @DBOS.step(name="begin", retries_allowed=True, interval_seconds=0.5, max_attempts=5)
    def begin(study_instance_uid: str, revision: int, generation: int, wait: int) -> Value:
        return patiently(lambda: work.begin(study_instance_uid, revision, generation, wait))

    @DBOS.step(name="read")
    def read(study_instance_uid: str, revision: int, begun: Value) -> Value:
        return patiently(lambda: work.read(study_instance_uid, revision, begun))

    @DBOS.step(name="record", retries_allowed=True, interval_seconds=0.5, max_attempts=5)
    def record(study_instance_uid: str, revision: int, outcome: Value) -> Value:
        return patiently(lambda: work.record(study_instance_uid, revision, outcome))

    @DBOS.workflow(name=STUDY_WORKFLOW, max_recovery_attempts=MAX_RECOVERIES)
    def study(study_instance_uid: str, revision: int, generation: int, wait: int) -> Value:
        begun = begin(study_instance_uid, revision, generation, wait)
        if begun["state"] != "ready":
            return {"state": begun["state"]}
        outcome: Value = {"state": "ended"}
        for _ in range(begun["attempts"]):
            outcome = read(study_instance_uid, revision, begun)
            if outcome["state"] != "ended":
                break
        return record(study_instance_uid, revision, outcome)


def _register_delivery(work: DeliveryWork) -> None:
    @DBOS.step(name="send", retries_allowed=True, interval_seconds=0.5, max_attempts=5)
    def send(study_instance_uid: str, revision: int, destination: str, generation: int, attempt: int) -> Value:
        return patiently(lambda: work.send(study_instance_uid, revision, destination, generation, attempt))

    @DBOS.workflow(name=DELIVERY_WORKFLOW, max_recovery_attempts=MAX_RECOVERIES)
    def deliver(study_instance_uid: str, revision: int, destination: str, generation: int, attempt: int) -> Value:
        return send(study_instance_uid, revision, destination, generation, attempt)


def _register_review(work: ReviewWork) -> None:
    @DBOS.step(name="make_review", retries_allowed=True, interval_seconds=0.5, max_attempts=5)
    def make(study_instance_uid: str, number: int, generation: int, wait: int) -> Value:
        return patiently(lambda: work.make(study_instance_uid, number, generation, wait))

    @DBOS.step(name="record_review", retries_allowed=True, interval_seconds=0.5, max_attempts=5)
    def record(study_instance_uid: str, number: int, outcome: Value) -> Value:
        return patiently(lambda: work.record(study_instance_uid, number, outcome))

    @DBOS.workflow(name=REVIEW_WORKFLOW, max_recovery_attempts=MAX_RECOVERIES)
    def review(study_instance_uid: str, number: int, generation: int, wait: int) -> Value:
        outcome = make(study_instance_uid, number, generation, wait)
        if outcome["state"] in {"superseded", "waiting"}:
            return outcome
        return record(study_instance_uid, number, outcome)


def _register_attachment(work: AttachmentWork) -> None:
    @DBOS.step(name="submit", retries_allowed=True, interval_seconds=0.5, max_attempts=5)
    def submit(control_number: str, generation: int, attempt: int) -> Value:
        return patiently(lambda: work.send(control_number, generation, attempt))

    @DBOS.workflow(name=ATTACHMENT_WORKFLOW, max_recovery_attempts=MAX_RECOVERIES)
    def attachment(control_number: str, generation: int, attempt: int) -> Value:
        return submit(control_number, generation, attempt)


def _register_commitment(work: CommitmentWork) -> None:
    @DBOS.step(name="ask", retries_allowed=True, interval_seconds=0.5, max_attempts=5)
    def ask(study_instance_uid: str, revision: int, destination: str, generation: int, attempt: int) -> Value:
        return patiently(lambda: work.ask(study_instance_uid, revision, destination, generation, attempt))

    @DBOS.step(name="tell", retries_allowed=True, interval_seconds=0.5, max_attempts=5)
    def tell(number: int, generation: int, attempt: int) -> Value:
        return patiently(lambda: work.tell(number, generation, attempt))

    @DBOS.workflow(name=ASKING_WORKFLOW, max_recovery_attempts=MAX_RECOVERIES)
    def asking(study_instance_uid: str, revision: int, destination: str, generation: int, attempt: int) -> Value:
        return ask(study_instance_uid, revision, destination, generation, attempt)

    @DBOS.workflow(name=TELLING_WORKFLOW, max_recovery_attempts=MAX_RECOVERIES)
    def telling(number: int, generation: int, attempt: int) -> Value:
        return tell(number, generation, attempt)
