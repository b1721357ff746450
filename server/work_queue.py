"""DBOS as this node uses it: names, versions, the serializer, and the client that other roles enqueue with.

Only worker processes launch DBOS. The receiver and the web role hold a client, and enqueue in the transaction that
changes their own rows, so that a study is handed over and its work exists, or neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from dbos import DBOSClient, DBOSPortableJSONSerializer, EnqueueOptions, _serialization
from sqlalchemy import Connection, Engine

from server.database import dbos_url

APPLICATION = "spine-node"
VERSION = "1"
"""Constant for ever: by default it is a digest of the source, and every edit would strand running work. Change a
workflow with ``DBOS.patch``."""

WORK_FORMAT = 1
"""Grows when a piece of work is written in a way that an older worker cannot read (another argument, another step).
Work of each format is in queues of its own, and a worker listens to those of its format and below: while hosts are
upgraded one by one, an older worker leaves newer work to newer workers instead of failing it."""


def queue_name(kind: str, work_format: int = WORK_FORMAT) -> str:
    """The queue of work of one format; the first has the bare name."""
    return kind if work_format == 1 else f"{kind}.{work_format}"


def queues_of(kind: str) -> tuple[str, ...]:
    """The queues that this version reads."""
    return tuple(queue_name(kind, number) for number in range(1, WORK_FORMAT + 1))


STUDY_KIND, DELIVERY_KIND, COMMITMENT_KIND = "study", "deliver", "commit"
"""Commitment is apart, so that a worker of before it, beside a newer one, takes nothing that it does not know."""
STUDY_QUEUE, DELIVERY_QUEUE = queue_name(STUDY_KIND), queue_name(DELIVERY_KIND)
COMMITMENT_QUEUE = queue_name(COMMITMENT_KIND)
READ_QUEUES = frozenset((*queues_of(STUDY_KIND), *queues_of(DELIVERY_KIND), *queues_of(COMMITMENT_KIND)))
STUDY_WORKFLOW = "study"
DELIVERY_WORKFLOW = "deliver"
REVIEW_WORKFLOW = "review"
ATTACHMENT_WORKFLOW = "attachment"
ASKING_WORKFLOW = "ask_commitment"
TELLING_WORKFLOW = "tell_commitment"
MAX_RECOVERIES = 10
"""Takeovers and restarts, those of an upgrade too, before a workflow counts as one that kills its worker. What computes
runs in a child process, with a smaller limit of its own (study_attempts)."""


def _refuse_pickle(*_args: object, **_kwargs: object) -> NoReturn:
    """Stand in for pickle: a row that says it is pickled would run code of whoever wrote it."""
    raise TypeError("pickle is disabled: every value in the work queue is JSON")


def disable_pickle() -> None:
    """Make DBOS unable to unpickle, whatever a row says; called before any DBOS object is made."""
    setattr(_serialization.DefaultSerializer, "serialize", _refuse_pickle)  # noqa: B010 - mypy refuses to assign to a method
    setattr(_serialization.DefaultSerializer, "deserialize", _refuse_pickle)  # noqa: B010


def make_client(engine: Engine) -> DBOSClient:
    """A client of the work queue in the same database; it neither launches nor migrates anything."""
    disable_pickle()
    return DBOSClient(
        system_database_url=dbos_url(engine),
        serializer=DBOSPortableJSONSerializer(),
        application_name=APPLICATION,
        retry_connection_errors=False,
        lazy=True,
    )


def _enqueue(
    client: DBOSClient, connection: Connection, options: EnqueueOptions, delay: float, *arguments: str | int
) -> None:
    if delay > 0:
        options["delay_seconds"] = delay
    client.enqueue_in_transaction(connection, options, *arguments)


def study_workflow_id(study_instance_uid: str, revision: int, *, generation: int = 1, wait: int = 0) -> str:
    """The id of the work on one revision: the same work is never queued twice."""
    again = f"/again{generation}" if generation > 1 else ""
    waited = f"/wait{wait}" if wait else ""
    return f"{study_instance_uid}/r{revision}{again}{waited}"


def enqueue_study(
    client: DBOSClient,
    connection: Connection,
    study_instance_uid: str,
    revision: int,
    *,
    generation: int = 1,
    wait: int = 0,
    delay: float = 0.0,
) -> None:
    """Queue the work on one revision, in the caller's transaction; ``delay`` in seconds."""
    options = EnqueueOptions(
        workflow_name=STUDY_WORKFLOW,
        queue_name=STUDY_QUEUE,
        workflow_id=study_workflow_id(study_instance_uid, revision, generation=generation, wait=wait),
    )
    _enqueue(client, connection, options, delay, study_instance_uid, revision, generation, wait)


def review_workflow_id(study_instance_uid: str, number: int, *, generation: int = 1, wait: int = 0) -> str:
    """The id of the work on the report of one review: the same work is never queued twice."""
    waited = f"/wait{wait}" if wait else ""
    return f"{study_instance_uid}/review{number}/g{generation}{waited}"


def enqueue_review(
    client: DBOSClient,
    connection: Connection,
    study_instance_uid: str,
    number: int,
    *,
    generation: int = 1,
    wait: int = 0,
    delay: float = 0.0,
) -> None:
    """Queue the report of a review, in the caller's transaction; beside deliveries, so that it waits for no study."""
    options = EnqueueOptions(
        workflow_name=REVIEW_WORKFLOW,
        queue_name=DELIVERY_QUEUE,
        workflow_id=review_workflow_id(study_instance_uid, number, generation=generation, wait=wait),
    )
    _enqueue(client, connection, options, delay, study_instance_uid, number, generation, wait)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One try to deliver the objects of a revision to one destination."""

    study_instance_uid: str
    revision: int
    destination: str
    generation: int = 1
    """Grows when a person retries; the tries of an older generation stop."""
    attempt: int = 1

    @property
    def workflow_id(self) -> str:
        """The same try is never queued twice."""
        revision = f"{self.study_instance_uid}/r{self.revision}"
        return f"{revision}/deliver/{self.destination}/g{self.generation}/try{self.attempt}"

    @property
    def arguments(self) -> tuple[str, int, str, int, int]:
        """What the workflow is called with."""
        return self.study_instance_uid, self.revision, self.destination, self.generation, self.attempt


def enqueue_delivery(client: DBOSClient, connection: Connection, delivery: Delivery, *, delay: float = 0.0) -> None:
    """Queue one try, in the caller's transaction; ``delay`` in seconds."""
    options = EnqueueOptions(
        workflow_name=DELIVERY_WORKFLOW, queue_name=DELIVERY_QUEUE, workflow_id=delivery.workflow_id
    )
    _enqueue(client, connection, options, delay, *delivery.arguments)


def attachment_workflow_id(control_number: str, *, generation: int = 1, attempt: int = 1) -> str:
    """The id of one try to send an attachment: the same try is never queued twice."""
    return f"attachment/{control_number}/g{generation}/try{attempt}"


def enqueue_attachment(
    client: DBOSClient,
    connection: Connection,
    control_number: str,
    *,
    generation: int = 1,
    attempt: int = 1,
    delay: float = 0.0,
) -> None:
    """Queue one try, in the caller's transaction; ``delay`` in seconds."""
    options = EnqueueOptions(
        workflow_name=ATTACHMENT_WORKFLOW,
        queue_name=DELIVERY_QUEUE,
        workflow_id=attachment_workflow_id(control_number, generation=generation, attempt=attempt),
    )
    _enqueue(client, connection, options, delay, control_number, generation, attempt)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentTelling:
    """One try to tell a peer what this node commits to (dicom_node.tables.commitment_requests)."""

    number: int
    generation: int
    """Grows when the peer asks the same again."""
    attempt: int = 1

    @property
    def workflow_id(self) -> str:
        """The same try is never queued twice."""
        return f"commitment/{self.number}/g{self.generation}/try{self.attempt}"


def enqueue_telling(
    client: DBOSClient, connection: Connection, telling: CommitmentTelling, *, delay: float = 0.0
) -> None:
    """Queue one try, in the caller's transaction; ``delay`` in seconds."""
    options = EnqueueOptions(
        workflow_name=TELLING_WORKFLOW, queue_name=COMMITMENT_QUEUE, workflow_id=telling.workflow_id
    )
    _enqueue(client, connection, options, delay, telling.number, telling.generation, telling.attempt)


def asking_workflow_id(delivery: Delivery) -> str:
    """The id of one try to have a destination commit to what was delivered to it."""
    return f"{delivery.workflow_id}/commit"


def enqueue_asking(client: DBOSClient, connection: Connection, delivery: Delivery, *, delay: float = 0.0) -> None:
    """Queue one try to ask a destination for commitment, in the caller's transaction; ``delay`` in seconds."""
    options = EnqueueOptions(
        workflow_name=ASKING_WORKFLOW, queue_name=COMMITMENT_QUEUE, workflow_id=asking_workflow_id(delivery)
    )
    _enqueue(client, connection, options, delay, *delivery.arguments)
