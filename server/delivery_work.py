"""The step of the delivery workflow: send what is still to be sent of a revision to a destination."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dbos import DBOSClient
from sqlalchemy import Connection, Engine, select

from dicom_node.delivery import BackOff, SendOutcome, Verdict
from dicom_node.results import Delivery as Parcel
from dicom_node.results import DeliveryState, mark_delivery, pending_deliveries
from dicom_node.spool import Spool
from inference.errors import StorageFailure
from server.auth.audit.record import AuditKind, AuditRecord, Outcome
from server.auth.audit.trail import append
from server.database import reading
from server.events import event, fault
from server.kernel import Value
from server.outbound import Send
from server.tables import delivery_chains
from server.work_queue import Delivery, enqueue_delivery


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
            if not _is_current(connection, this):
                return {"state": "superseded"}
            parcels = pending_deliveries(connection, study_instance_uid, revision, destination)
        if parcels and attempt == 1:
            with self.engine.begin() as connection:
                append(connection, _audited(AuditKind.SENDING_BEGUN, this))
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
        if not _is_current(connection, this):
            return {"state": "superseded"}
        delay = self.back_off.delay_s(this.attempt)
        now = time.time()
        states = [
            mark_delivery(connection, parcel.id, outcome, now, attempts_left=delay is not None)
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
        accepted = sum(outcome.verdict is Verdict.ACCEPTED for outcome in outcomes)
        is_over = delay is None or DeliveryState.RETRYING not in states
        if accepted or (is_over and states):
            append(connection, _audited(AuditKind.INSTANCES_SENT, this, accepted, len(outcomes)))
        if delay is None or is_over:
            return {"state": "dead" if DeliveryState.DEAD in states else "delivered"}
        following = Delivery(
            study_instance_uid=this.study_instance_uid,
            revision=this.revision,
            destination=this.destination,
            generation=this.generation,
            attempt=this.attempt + 1,
        )
        enqueue_delivery(self.client, connection, following, delay=delay)
        return {"state": "retry", "delay": delay}


def _audited(kind: AuditKind, this: Delivery, accepted: int = 0, sent: int = 0) -> AuditRecord:
    """A transfer that this node makes; a failure where the destination did not take everything."""
    return AuditRecord(
        kind=kind,
        outcome=Outcome.SUCCESS if accepted == sent else Outcome.MINOR_FAILURE,
        at=time.time(),
        subject=this.destination,
        display_name=this.destination,
        role="",
        method="settings",
        address="",
        studies=(this.study_instance_uid,),
        instances=accepted,
    )


def _failed(parcel: Parcel, sentence: str) -> SendOutcome:
    return SendOutcome(sop_instance_uid=parcel.sop_instance_uid, verdict=Verdict.FAILED, status=None, sentence=sentence)


def _is_current(connection: Connection, this: Delivery) -> bool:
    """Whether no person has started a newer chain of tries."""
    query = select(delivery_chains.c.generation).where(
        delivery_chains.c.study_instance_uid == this.study_instance_uid,
        delivery_chains.c.revision == this.revision,
        delivery_chains.c.destination == this.destination,
    )
    return connection.execute(query).scalar_one_or_none() == this.generation
