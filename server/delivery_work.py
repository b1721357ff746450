"""The step of the delivery workflow: send what is still to be sent of a revision to a destination."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from dbos import DBOSClient
from sqlalchemy import ColumnElement, Connection, Engine

from dicom_node.delivery import BackOff, SendOutcome, Verdict
from dicom_node.results import Delivery as Parcel
from dicom_node.results import DeliveryState, mark_delivery, pending_deliveries
from dicom_node.spool import Spool
from inference.errors import StorageFailure
from server.auth.audit.record import AuditKind, AuditRecord, Outcome
from server.auth.audit.trail import append
from server.database import patiently
from server.events import event, fault
from server.fence import Fence, Overtaken, take_up
from server.kernel import Value
from server.lease import Tenure
from server.outbound import Send
from server.tables import delivery_chains
from server.work_queue import Delivery, enqueue_asking, enqueue_delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySteps:
    """server.workflow.DeliveryWork over a real database, spool and destinations."""

    engine: Engine
    client: DBOSClient
    spool: Spool
    destinations: Mapping[str, Send]
    back_off: BackOff
    tenure: Tenure
    """Asked right before each object leaves, and where its answer is recorded: another may be sending the same."""
    asked: frozenset[str] = frozenset()
    """Destinations that are asked to answer for what was delivered (Storage Commitment)."""

    def send(self, study_instance_uid: str, revision: int, destination: str, generation: int, attempt: int) -> Value:
        """Send, mark each object with its own answer, and queue the next try of those that may still succeed."""
        this = Delivery(
            study_instance_uid=study_instance_uid,
            revision=revision,
            destination=destination,
            generation=generation,
            attempt=attempt,
        )
        with self.engine.begin() as connection:
            self.tenure.lock(connection)
            taken = take_up(connection, delivery_chains, *_current(this))
            parcels = pending_deliveries(connection, study_instance_uid, revision, destination)
            if taken is not None and parcels and attempt == 1:
                append(connection, _audited(AuditKind.SENDING_BEGUN, this))
        if taken is None:
            return {"state": "superseded"}
        gate = SendGate(
            engine=self.engine,
            tenure=self.tenure,
            fence=taken,
            delivery=this,
            parcels={self.spool.path(parcel.path): parcel for parcel in parcels},
            is_last=self.back_off.delay_s(attempt) is None,
            wants_commitment=destination in self.asked,
        )
        try:
            self._send(destination, gate)
            with self.engine.begin() as connection:
                gate.lock(connection)
                return self._follow(connection, this, gate.marked.values())
        except Overtaken:
            event("send_overtaken", destination=destination, study_instance_uid=study_instance_uid, revision=revision)
            return {"state": "superseded"}

    def _send(self, destination: str, gate: SendGate) -> None:
        send = self.destinations.get(destination)
        if not gate.parcels:
            return
        if send is None:
            gate.fail_all(f"Destination {destination} is not in the settings.")
            return
        try:
            send(list(gate.parcels), gate)
        except StorageFailure as failure:
            fault("results_unreadable", failure, destination=destination)
            gate.fail_all(str(failure))

    def _follow(self, connection: Connection, this: Delivery, states: Collection[DeliveryState]) -> Value:
        delay = self.back_off.delay_s(this.attempt)
        accepted = sum(state is DeliveryState.DELIVERED for state in states)
        is_over = delay is None or DeliveryState.RETRYING not in states
        if accepted or (is_over and states):
            append(connection, _audited(AuditKind.INSTANCES_SENT, this, accepted, len(states)))
        if delay is None or is_over:
            if this.destination in self.asked:
                enqueue_asking(self.client, connection, replace(this, attempt=1))
            return {"state": "dead" if DeliveryState.DEAD in states else "delivered"}
        enqueue_delivery(self.client, connection, replace(this, attempt=this.attempt + 1), delay=delay)
        return {"state": "retry", "delay": delay}


@dataclass(slots=True, kw_only=True)
class SendGate:
    """dicom_node.delivery.Gate of one try: nothing leaves, and nothing is recorded, once the work is in other hands."""

    engine: Engine
    tenure: Tenure
    fence: Fence
    delivery: Delivery
    parcels: Mapping[Path, Parcel]
    is_last: bool
    """Whether this is the last try."""
    wants_commitment: bool
    """Whether the destination is asked afterwards to answer for what it took."""
    marked: dict[Path, DeliveryState] = field(default_factory=dict)
    """What was marked so far."""

    def before(self, file: Path, /) -> None:
        """Ask the database whose work it is, then renew the lease; between that and the socket is nothing that waits.

        Raises:
            Overtaken: the work is another's.
            LeaseLost: this worker was declared dead.
        """
        del file
        with self.engine.begin() as connection:
            self.lock(connection)
        self.tenure.assure()

    def after(self, file: Path, outcome: SendOutcome, /) -> None:
        """Mark the object at once: who takes the work over sends only what is not marked."""
        parcel = self.parcels[file]
        state = patiently(lambda: self._mark(parcel, outcome))
        self.marked[file] = state
        event(
            "object_sent",
            destination=self.delivery.destination,
            sop_instance_uid=parcel.sop_instance_uid,
            state=state.value,
            attempt=self.delivery.attempt,
            status=outcome.status,
        )

    def _mark(self, parcel: Parcel, outcome: SendOutcome) -> DeliveryState:
        with self.engine.begin() as connection:
            self.lock(connection)
            return mark_delivery(
                connection,
                parcel.id,
                outcome,
                time.time(),
                attempts_left=not self.is_last,
                wants_commitment=self.wants_commitment,
            )

    def fail_all(self, sentence: str) -> None:
        """Mark every object that is left as not sent, for one reason of ours."""
        for path, parcel in [(p, parcel) for p, parcel in self.parcels.items() if p not in self.marked]:
            self.after(path, _failed(parcel, sentence))

    def lock(self, connection: Connection) -> None:
        """See that this worker lives and has the work, until the transaction ends."""
        self.tenure.lock(connection)
        self.fence.check(connection)


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


def _current(this: Delivery) -> tuple[ColumnElement[bool], ...]:
    """The chain of tries that this one belongs to, where no person has started a newer one."""
    return (
        delivery_chains.c.study_instance_uid == this.study_instance_uid,
        delivery_chains.c.revision == this.revision,
        delivery_chains.c.destination == this.destination,
        delivery_chains.c.generation == this.generation,
    )
