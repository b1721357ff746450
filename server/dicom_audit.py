"""What the receiver witnesses, written to the audit trail by a thread of its own, so that no sender waits for it.

Many devices open an association for each image. What they transfer of one study within a few seconds is one record.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import replace

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from dicom_node.witness import AssociationEvent, AssociationEventKind
from server.auth.audit.recently import Recently, key_of
from server.auth.audit.record import AuditKind, AuditRecord, Outcome
from server.auth.audit.trail import append
from server.events import fault

MOST_WAITING = 10_000
"""Records that wait for a database that does not answer; what comes then is counted and said in the log."""
SETTLE_S = 5.0
"""A transfer is recorded so long after its last association, with the instances of all of them."""
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
        self._open: dict[tuple[str, ...], tuple[AuditRecord, float]] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dicom-audit", daemon=True)

    def __call__(self, event: AssociationEvent) -> None:
        """Have it written; the same refusal, or begin, again within ten minutes adds no row."""
        record = record_of_event(event)
        if record.kind is not AuditKind.INSTANCES_RECEIVED and not self._recently.is_new(key_of(record)):
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
        is_last = False
        while not is_last:
            is_last = self._stopping.is_set() and self._waiting.empty()
            if not self._write(self._due(self._batch(), is_last=is_last)):
                return

    def _write(self, records: list[AuditRecord]) -> bool:
        """Write them, however long the database takes; whether it took them before the end."""
        while records:
            try:
                with self._engine.begin() as connection:
                    for record in records:
                        append(connection, record)
                records = []
            except SQLAlchemyError as error:
                fault("audit_trail_fault", error)
                if self._stopping.wait(_RETRY_S):
                    return False
        return True

    def _due(self, records: list[AuditRecord], *, is_last: bool) -> list[AuditRecord]:
        """What is to be written now: everything but transfers that may go on."""
        now = time.monotonic()
        due = [record for record in records if record.kind is not AuditKind.INSTANCES_RECEIVED]
        for record in records:
            if record.kind is AuditKind.INSTANCES_RECEIVED:
                before = self._open.get(key_of(record))
                count = record.instances + (before[0].instances if before else 0)
                self._open[key_of(record)] = (replace(record, instances=count), now)
        settled = [key for key, (_, last) in self._open.items() if is_last or now - last >= SETTLE_S]
        return due + [self._open.pop(key)[0] for key in settled]

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
