"""Chains of tries: at most one is at work for each revision and destination; a newer one ends the older."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from dbos import DBOSClient
from sqlalchemy import Connection, insert, select, update

from dicom_node.results import queue_deliveries
from server.tables import delivery_chains
from server.work_queue import Delivery, enqueue_delivery


def start_deliveries(
    connection: Connection,
    client: DBOSClient,
    study_instance_uid: str,
    revision: int,
    *,
    destinations: Iterable[str],
    now: float,
    kept_roles: Collection[str] = (),
) -> None:
    """Queue what is new of a revision for every destination, and the try that sends it, in the caller's transaction.

    Objects of ``kept_roles`` (uids.ObjectRole) stay here.
    """
    names = sorted(set(destinations))
    queue_deliveries(connection, study_instance_uid, revision, names, now, kept_roles=kept_roles)
    for destination in names:
        generation = next_generation(connection, study_instance_uid, revision, destination)
        delivery = Delivery(
            study_instance_uid=study_instance_uid, revision=revision, destination=destination, generation=generation
        )
        enqueue_delivery(client, connection, delivery)


def next_generation(connection: Connection, study_instance_uid: str, revision: int, destination: str) -> int:
    """Begin a chain of tries, the first or one that ends the older; returns its generation."""
    key = {"study_instance_uid": study_instance_uid, "revision": revision, "destination": destination}
    raised = connection.execute(
        update(delivery_chains)
        .where(*(delivery_chains.c[name] == value for name, value in key.items()))
        .values(generation=delivery_chains.c.generation + 1)
        .returning(delivery_chains.c.generation)
    ).scalar_one_or_none()
    if raised is not None:
        return int(raised)
    connection.execute(insert(delivery_chains).values(**key, generation=1))
    return 1


def is_current_delivery(connection: Connection, this: Delivery) -> bool:
    """Whether no newer chain of tries was begun, by a person or because the peer lacks what it was sent."""
    query = select(delivery_chains.c.generation).where(
        delivery_chains.c.study_instance_uid == this.study_instance_uid,
        delivery_chains.c.revision == this.revision,
        delivery_chains.c.destination == this.destination,
    )
    return connection.execute(query).scalar_one_or_none() == this.generation
