"""What the receiver witnesses, written to the audit trail by a thread of its own, so that no sender waits for it."""

from __future__ import annotations

import queue
import threading
import time

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from dicom_node.witness import AssociationEvent, AssociationEventKind
from server.auth.audit.recently import Recently, key_of
from server.auth.audit.record import AuditKind, AuditRecord, Outcome
from server.auth.audit.trail import append
from server.events import fault

MOST_WAITING = 10_000
"""Records that wait for a database that does not answer; what comes then is counted and said in the log."""
_LOOK_S = 0.2
_RETRY_S = 1.0
_BATCH = 500

_KINDS = {
    AssociationEventKind.REFUSED: AuditKind.ASSOCIATION_REFUSED,
    AssociationEventKind.BEGUN: AuditKind.RECEIVING_BEGUN,
    AssociationEventKind.TRANSFERRED: AuditKind.INSTANCES_RECEIVED,
}


class DicomAudit:
    """A witness of associations (dicom_node.witness)."""

    def __init__(self, engine: Engine) -> None:
        """Nothing is written before ``start``."""
        self._engine = engine
        self._waiting: queue.Queue[AuditRecord] = queue.Queue(MOST_WAITING)
        self._recently = Recently()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dicom-audit", daemon=True)

    def __call__(self, event: AssociationEvent) -> None:
        """Have it written; the same refusal again within ten minutes adds no row."""
        record = record_of_event(event)
        if record.kind is AuditKind.ASSOCIATION_REFUSED and not self._recently.is_new(key_of(record)):
            return
        try:
            self._waiting.put_nowait(record)
        except queue.Full:
            fault("audit_record_lost", reason=f"{MOST_WAITING} records wait for the database.")

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Write what waits, and end."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not (self._stopping.is_set() and self._waiting.empty()):
            records = self._batch()
            while records:
                try:
                    with self._engine.begin() as connection:
                        for record in records:
                            append(connection, record)
                    records = []
                except SQLAlchemyError as error:
                    fault("audit_trail_fault", error)
                    if self._stopping.wait(_RETRY_S):
                        return

    def _batch(self) -> list[AuditRecord]:
        """What waits, the first of it awaited for a moment."""
        records = []
        try:
            records.append(self._waiting.get(timeout=_LOOK_S))
            while len(records) < _BATCH:
                records.append(self._waiting.get_nowait())
        except queue.Empty:
            pass
        return records


def record_of_event(event: AssociationEvent) -> AuditRecord:
    """An association's event as a record: the AE title is who asks, the certificate or the address how we know it."""
    is_refusal = event.kind is AssociationEventKind.REFUSED
    return AuditRecord(
        kind=_KINDS[event.kind],
        outcome=Outcome.MINOR_FAILURE if is_refusal else Outcome.SUCCESS,
        at=time.time(),
        subject=event.calling_ae_title or "unknown",
        display_name=event.user or event.calling_ae_title or "unknown",
        role="",
        method="certificate" if event.origin.certificate is not None else "address",
        address=event.origin.address,
        studies=(event.study_instance_uid,) if event.study_instance_uid else (),
        object=f"association: {event.reason}" if is_refusal else "",
        instances=event.instances,
    )
