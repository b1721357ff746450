"""The steps of Storage Commitment: ask a destination to answer for what it was sent, tell a peer what we answer for."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row

from dicom_node import commitment_rows
from dicom_node.commitment import CommitmentRequest, Item
from inference.errors import PeerFailure
from server.chains import is_current_delivery
from server.commitments import Commitments, log_told
from server.database import reading
from server.events import event, fault
from server.kernel import Value
from server.lease import Tenure
from server.outbound import AskCommitment, TellCommitment
from server.work_queue import CommitmentTelling, Delivery, enqueue_asking, enqueue_telling


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentSteps:
    """server.workflow.CommitmentWork over a real database and real peers."""

    commitments: Commitments
    destinations: Mapping[str, AskCommitment]
    """Those that are asked, by name."""
    peers: Mapping[str, TellCommitment]
    """How to tell who may ask us, by AE title."""
    wait_s: float
    """How long a destination may take for its report before it is asked anew."""
    tenure: Tenure
    """Asked before anything leaves, and where it is recorded: another may be doing the same."""

    def ask(self, study_instance_uid: str, revision: int, destination: str, generation: int, attempt: int) -> Value:
        """Ask for what was delivered and is not answered for, and queue the next look."""
        this = Delivery(
            study_instance_uid=study_instance_uid,
            revision=revision,
            destination=destination,
            generation=generation,
            attempt=attempt,
        )
        transaction_uid = f"2.25.{uuid.uuid4().int}"
        with self.commitments.engine.begin() as connection:
            self.tenure.lock(connection)
            if not is_current_delivery(connection, this):
                return {"state": "superseded"}
            if destination not in self.destinations:
                commitment_rows.stop_asking(connection, (study_instance_uid, revision, destination))
                return {"state": "off"}
            rows = self._open(connection, this, transaction_uid)
        failure = self._request(destination, transaction_uid, rows) if rows else None
        with self.commitments.engine.begin() as connection:
            self.tenure.lock(connection)
            return self._after(connection, this, transaction_uid, failure)

    def _open(self, connection: Connection, this: Delivery, transaction_uid: str) -> list[Row[Any]]:
        now = time.time()
        key = (this.study_instance_uid, this.revision, this.destination)
        rows = commitment_rows.to_ask_for(connection, *key, asked_before=now - self.wait_s)
        if rows:
            commitment_rows.mark_asked(connection, rows, transaction_uid, now)
        return rows

    def _request(self, destination: str, transaction_uid: str, rows: list[Row[Any]]) -> str | None:
        """Send the request; why it was not taken."""
        self.tenure.assure()
        items = tuple(Item(row.sop_class_uid, row.sop_instance_uid) for row in rows)
        try:
            request = CommitmentRequest(transaction_uid=transaction_uid, items=items)
            self.destinations[destination](request, self.commitments.take_report)
        except PeerFailure as failure:
            fault("commitment_not_asked", failure, destination=destination)
            return str(failure)
        event("commitment_asked", destination=destination, transaction_uid=transaction_uid, count=len(items))
        return None

    def _after(self, connection: Connection, this: Delivery, transaction_uid: str, failure: str | None) -> Value:
        delay = self.commitments.back_off.delay_s(this.attempt)
        if failure is not None:
            commitment_rows.mark_not_asked(connection, transaction_uid, failure, time.time(), is_last=delay is None)
        key = (this.study_instance_uid, this.revision, this.destination)
        if not commitment_rows.is_any_unanswered(connection, key):
            return {"state": "answered" if failure is None else "dead"}
        if delay is None:
            now = time.time()
            commitment_rows.give_up(connection, key, "The peer took the requests, and never reported.", now)
            return {"state": "dead"}
        if is_current_delivery(connection, this):
            wait = delay if failure is not None else self.wait_s
            enqueue_asking(self.commitments.client, connection, replace(this, attempt=this.attempt + 1), delay=wait)
        return {"state": "waiting"}

    def tell(self, number: int, generation: int, attempt: int) -> Value:
        """Tell the peer, if it was not told on the association of its request."""
        commitments = self.commitments
        with reading(commitments.engine) as connection:
            row = commitment_rows.pending_request(connection, number, generation)
            if row is None:
                return {"state": "superseded"}
            report = commitment_rows.evaluate(connection, commitments.spool, row)
        reason = None
        self.tenure.assure()
        try:
            self._peer(row.calling_ae_title)(report)
        except PeerFailure as failure:
            reason = str(failure)
        with commitments.engine.begin() as connection:
            self.tenure.lock(connection)
            if reason is None:
                commitment_rows.mark_told(connection, row, report, time.time())
                log_told(row, report)
                return {"state": "told"}
            delay = commitments.back_off.delay_s(attempt)
            is_last = delay is None or row.calling_ae_title not in self.peers
            commitment_rows.mark_not_told(connection, row, reason, is_last=is_last)
            if is_last or delay is None:
                event("commitment_not_told", ae_title=row.calling_ae_title, attempt=attempt)
                return {"state": "dead"}
            following = CommitmentTelling(number=number, generation=generation, attempt=attempt + 1)
            enqueue_telling(commitments.client, connection, following, delay=delay)
        return {"state": "retry"}

    def _peer(self, ae_title: str) -> TellCommitment:
        tell = self.peers.get(ae_title)
        if tell is None:
            raise PeerFailure(
                f"AE title {ae_title} is not in commitment_peers, and did not wait for the report on its association."
            )
        return tell
