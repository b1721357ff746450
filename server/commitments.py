"""Storage Commitment on the node's own database and work queue, for the receiver and for workers.

The receiver writes a request down and queues the work that tells the peer, in one transaction; a report on what this
node asked for moves its deliveries on, wherever it arrives.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from dbos import DBOSClient
from sqlalchemy import Connection, Engine, Row
from sqlalchemy.exc import SQLAlchemyError

from dicom_node import commitment_rows
from dicom_node.commitment import CommitmentReport, CommitmentRequest
from dicom_node.delivery import BackOff
from dicom_node.spool import Spool
from inference.errors import StorageFailure
from server.chains import next_generation
from server.database import reading
from server.events import event
from server.work_queue import CommitmentTelling, Delivery, enqueue_delivery, enqueue_telling

FIRST_WAIT_S = 10.0
"""The peer may be told on the association of its request first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitments:
    """dicom_node.commitment_scp.CommitmentService of this node."""

    engine: Engine
    spool: Spool
    client: DBOSClient
    back_off: BackOff

    def take_request(self, request: CommitmentRequest, ae_title: str) -> int:
        """Write a peer's request down and queue the report; its number."""
        with self._writing() as connection:
            row = commitment_rows.record_request(connection, request, ae_title, time.time())
            telling = CommitmentTelling(number=row.id, generation=row.generation)
            enqueue_telling(self.client, connection, telling, delay=FIRST_WAIT_S)
        event("commitment_requested", ae_title=ae_title, transaction_uid=request.transaction_uid)
        return int(row.id)

    def report(self, number: int) -> CommitmentReport:
        """What is held at this moment of what a request names."""
        try:
            with reading(self.engine) as connection:
                return commitment_rows.evaluate(connection, self.spool, _row(connection, number))
        except SQLAlchemyError as error:
            raise _refused(error) from error

    def told(self, number: int, report: CommitmentReport) -> None:
        """The peer has taken the report."""
        with self._writing() as connection:
            row = _row(connection, number)
            commitment_rows.mark_told(connection, row, report, time.time())
        log_told(row, report)

    def take_report(self, report: CommitmentReport) -> bool:
        """Settle what a destination answers; an object that it has not got is delivered again, after a wait."""
        with self._writing() as connection:
            settled = commitment_rows.settle(connection, report, time.time())
            for key in sorted({(row.study_instance_uid, row.revision, row.destination) for row in settled.again}):
                delivery = Delivery(
                    study_instance_uid=key[0],
                    revision=key[1],
                    destination=key[2],
                    generation=next_generation(connection, *key),
                )
                enqueue_delivery(self.client, connection, delivery, delay=self.back_off.first_s)
        event(
            "commitment_report",
            transaction_uid=report.transaction_uid,
            is_known=settled.is_known,
            committed=settled.committed,
            again=len(settled.again),
            dead=settled.dead,
        )
        return settled.is_known

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        try:
            with self.engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise _refused(error) from error


def log_told(row: Row[tuple[object, ...]], report: CommitmentReport) -> None:
    """One line of the log about a report that a peer has taken."""
    event(
        "commitment_told",
        ae_title=row.calling_ae_title,
        transaction_uid=report.transaction_uid,
        committed=len(report.committed),
        failed=len(report.failed),
    )


def _row(connection: Connection, number: int) -> Row[tuple[object, ...]]:
    row = commitment_rows.request_row(connection, number)
    if row is None:
        raise StorageFailure(f"The request for storage commitment {number} is not in the database.")
    return row


def _refused(error: SQLAlchemyError) -> StorageFailure:
    return StorageFailure(f"The database refused ({type(error).__name__}).")
