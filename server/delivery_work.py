"""The step of the delivery workflow: send what is still to be sent of a revision to a destination."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from dbos import DBOSClient
from sqlalchemy import Connection, Engine

from dicom_node.delivery import BackOff, SendOutcome, Verdict
from dicom_node.results import Delivery as Parcel
from dicom_node.results import DeliveryState, mark_delivery, pending_deliveries
from dicom_node.spool import Spool
from inference.errors import StorageFailure
from server.chains import is_current_delivery
from server.database import reading
from server.events import event, fault
from server.kernel import Value
from server.outbound import Send
from server.work_queue import Delivery, enqueue_asking, enqueue_delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySteps:
    """server.workflow.DeliveryWork over a real database, spool and destinations."""

    engine: Engine
    client: DBOSClient
    spool: Spool
    destinations: Mapping[str, Send]
    back_off: BackOff
    leave_if_lost: Callable[[], None]
    """Ends this process if its lease is not good for a while: another may be sending the same."""
    asked: frozenset[str] = frozenset()
    """Destinations that are asked to answer for what was delivered (Storage Commitment)."""

    def send(self, study_instance_uid: str, revision: int, destination: str, generation: int, attempt: int) -> Value:
        """Send, mark every object with its own answer, and queue the next try of those that may still succeed."""
        self.leave_if_lost()
        this = Delivery(
            study_instance_uid=study_instance_uid,
            revision=revision,
            destination=destination,
            generation=generation,
            attempt=attempt,
        )
        with reading(self.engine) as connection:
            if not is_current_delivery(connection, this):
                return {"state": "superseded"}
            parcels = pending_deliveries(connection, study_instance_uid, revision, destination)
        outcomes = self._outcomes(destination, parcels) if parcels else ()
        self.leave_if_lost()
        with self.engine.begin() as connection:
            return self._mark(connection, this, parcels, outcomes)

    def _outcomes(self, destination: str, parcels: Sequence[Parcel]) -> Sequence[SendOutcome]:
        send = self.destinations.get(destination)
        if send is None:
            return [_failed(parcel, f"Destination {destination} is not in the settings.") for parcel in parcels]
        try:
            return send([self.spool.path(parcel.path) for parcel in parcels])
        except StorageFailure as failure:
            fault("results_unreadable", failure, destination=destination)
            return [_failed(parcel, str(failure)) for parcel in parcels]

    def _mark(
        self, connection: Connection, this: Delivery, parcels: Sequence[Parcel], outcomes: Sequence[SendOutcome]
    ) -> Value:
        if not is_current_delivery(connection, this):
            return {"state": "superseded"}
        delay = self.back_off.delay_s(this.attempt)
        now = time.time()
        states = [
            mark_delivery(
                connection,
                parcel.id,
                outcome,
                now,
                attempts_left=delay is not None,
                wants_commitment=this.destination in self.asked,
            )
            for parcel, outcome in zip(parcels, outcomes, strict=True)
        ]
        for parcel, outcome, state in zip(parcels, outcomes, states, strict=True):
            event(
                "object_sent",
                destination=this.destination,
                sop_instance_uid=parcel.sop_instance_uid,
                state=state.value,
                attempt=this.attempt,
                status=outcome.status,
            )
        if delay is None or DeliveryState.RETRYING not in states:
            if this.destination in self.asked:
                enqueue_asking(self.client, connection, replace(this, attempt=1))
            return {"state": "dead" if DeliveryState.DEAD in states else "delivered"}
        enqueue_delivery(self.client, connection, replace(this, attempt=this.attempt + 1), delay=delay)
        return {"state": "retry", "delay": delay}


def _failed(parcel: Parcel, sentence: str) -> SendOutcome:
    return SendOutcome(sop_instance_uid=parcel.sop_instance_uid, verdict=Verdict.FAILED, status=None, sentence=sentence)
