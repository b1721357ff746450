"""What a person can have done to the work, by HTTP or on the command line: complete a study now, retry what failed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from dbos import DBOSClient
from sqlalchemy import Connection, Engine, Row, or_, select, update

from dicom_node import store
from dicom_node.assembly import Assembler
from dicom_node.results import OPEN_STATES, DeliveryState
from dicom_node.tables import deliveries
from inference.errors import Refusal
from server.attachment_rows import requeue_attachment
from server.chains import next_generation
from server.compose import Node, assembly_rules
from server.database import reading
from server.expired import images_are_gone
from server.review_rows import requeue_failed_reviews
from server.runs import UNFINISHED, RunState, finished_run, queue_run, requeue_run, runs_of
from server.work_queue import Delivery, enqueue_delivery, enqueue_study

RETRYABLE = (RunState.FAILED, RunState.REFUSED)
_MOST_DIGITS = 10  # of the number of a delivery


class NotThere(Refusal):
    """What was asked for does not exist here."""


def require_finished_run(connection: Connection, study_instance_uid: str, revision: int | None) -> Row[Any]:
    """The newest run of a study that is done, or the one of a revision.

    Raises:
        NotThere: there is none (yet).
    """
    run = finished_run(connection, study_instance_uid, revision)
    if run is None:
        raise NotThere(
            f"Study {study_instance_uid} has no findings{f' of revision {revision}' if revision else ''} yet."
        )
    return run


@dataclass(frozen=True, slots=True)
class HandOver:
    """Gives a complete study to the workers, in the transaction that counted its revision."""

    client: DBOSClient

    def __call__(self, connection: Connection, study_instance_uid: str, revision: int) -> None:
        """Write the run's row and queue the work."""
        queue_run(connection, study_instance_uid, revision, time.time())
        enqueue_study(self.client, connection, study_instance_uid, revision)


def complete(node: Node, client: DBOSClient, study_instance_uid: str) -> int:
    """Hand a study over without waiting for its quiet period; returns the revision, the current one if nothing is new.

    Raises:
        NotThere: nothing of that study was received.
        Refusal: it has no image.
        Failure: instances are arriving at this moment.
    """
    with reading(node.engine) as connection:
        if store.study(connection, study_instance_uid) is None:
            raise NotThere(f"No instance of study {study_instance_uid} was received.")
    assembler = Assembler(node.engine, node.spool, assembly_rules(node.settings), HandOver(client))
    return assembler.complete_now(study_instance_uid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """What was queued again."""

    revisions: tuple[int, ...]
    deliveries: int
    """Objects that will be sent again."""
    reviews: tuple[int, ...] = ()
    """Reviews of which the report is made again."""
    attachments: tuple[str, ...] = ()
    """Attachments of claims that will be sent again."""


def retry(engine: Engine, client: DBOSClient, identifier: str) -> Retried:
    """Queue again what failed: a study, an object (by its UID), a delivery, an attachment of a claim (by its number).

    A study that failed or was refused is read again, the report of a review that failed is made again; an object in
    the dead letter, or waiting for its next try, is sent at once.

    Raises:
        NotThere: nothing has that identifier.
        Refusal: nothing of it failed.
    """
    with engine.begin() as connection:
        study_runs = runs_of(connection, identifier)
        waiting = _open_deliveries(connection, identifier)
        revisions = tuple(run.revision for run in study_runs if run.state in RETRYABLE)
        made_again = requeue_failed_reviews(connection, client, identifier)
        attached = (identifier,) if requeue_attachment(connection, client, identifier) else ()
        known = store.study(connection, identifier)
        if revisions and known is not None and known.state is store.StudyState.EXPIRED:
            raise images_are_gone(identifier)
        if not revisions and not waiting and not made_again and not attached:
            raise _nothing_to_retry(connection, identifier, study_runs)
        now = time.time()
        for revision in revisions:
            generation = requeue_run(connection, identifier, revision, now)
            enqueue_study(client, connection, identifier, revision, generation=generation)
        _requeue_deliveries(connection, client, waiting, now)
    return Retried(revisions=revisions, deliveries=len(waiting), reviews=made_again, attachments=attached)


def _open_deliveries(connection: Connection, identifier: str) -> list[Row[Any]]:
    known = [deliveries.c.study_instance_uid == identifier, deliveries.c.sop_instance_uid == identifier]
    if identifier.isascii() and identifier.isdecimal() and len(identifier) <= _MOST_DIGITS:
        known.append(deliveries.c.id == int(identifier))
    query = select(deliveries).where(or_(*known), deliveries.c.state.in_((*OPEN_STATES, DeliveryState.DEAD)))
    return list(connection.execute(query.order_by(deliveries.c.id)).all())


def _requeue_deliveries(connection: Connection, client: DBOSClient, rows: list[Row[Any]], now: float) -> None:
    chains = {(row.study_instance_uid, row.revision, row.destination) for row in rows}
    numbers = [row.id for row in rows]
    anew = {"state": DeliveryState.PENDING.value, "attempts": 0, "reason": None, "updated_at": now}
    anew |= {"commitment": None, "commitment_failures": 0}
    connection.execute(update(deliveries).where(deliveries.c.id.in_(numbers)).values(**anew))
    for study_instance_uid, revision, destination in sorted(chains):
        generation = next_generation(connection, study_instance_uid, revision, destination)
        delivery = Delivery(
            study_instance_uid=study_instance_uid, revision=revision, destination=destination, generation=generation
        )
        enqueue_delivery(client, connection, delivery)


def _nothing_to_retry(connection: Connection, identifier: str, study_runs: list[Row[Any]]) -> Refusal:
    if any(run.state in UNFINISHED for run in study_runs):
        return Refusal(f"Study {identifier} is being worked on; there is nothing to retry.")
    delivered = select(deliveries.c.id).where(
        or_(deliveries.c.study_instance_uid == identifier, deliveries.c.sop_instance_uid == identifier)
    )
    if study_runs or connection.execute(delivered.limit(1)).first() is not None:
        return Refusal(f"Nothing of {identifier} failed; there is nothing to retry.")
    return NotThere(f"No study, object or delivery has the identifier {identifier!r}.")
