"""The step of the attachment workflow: one try to submit an attachment, its answer recorded, the next try queued."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dbos import DBOSClient
from sqlalchemy import Connection, Row

from claims.attachments.acknowledgement import NOTHING, Answer
from dicom_node.delivery import Verdict
from inference.errors import SettingRefusal
from server.attachment_rows import OPEN, AttachmentState, change_attachment, find_attachment
from server.attachment_sender import Submitted, submit
from server.auth.audit.record import AuditKind, AuditRecord, Outcome
from server.auth.audit.trail import append
from server.claim_destinations import ClaimDestination
from server.compose import Node, back_off
from server.database import patiently
from server.events import event
from server.fence import Fence, Overtaken, take_up
from server.kernel import Value
from server.lease import Tenure
from server.tables import claim_attachments
from server.work_queue import enqueue_attachment

AFTER = {
    Answer.ACCEPTED: AttachmentState.ACKNOWLEDGED,
    Answer.WAITING: AttachmentState.SENT,
    Answer.REFUSED: AttachmentState.REFUSED,
}
"""What an attachment is after the payer took it, by what the payer said of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentSteps:
    """server.workflow.AttachmentWork over a real database, spool and destinations."""

    node: Node
    client: DBOSClient
    destinations: Mapping[str, ClaimDestination]
    tenure: Tenure
    """Asked right before it is sent, and where the answer is recorded: another may be sending the same."""

    def send(self, control_number: str, generation: int, attempt: int) -> Value:
        """Submit, record what became of it with an audit record, and queue the next try where there is one."""
        with self.node.engine.begin() as connection:
            self.tenure.lock(connection)
            row = _current(connection, control_number, generation)
            taken = take_up(connection, claim_attachments, claim_attachments.c.control_number == control_number)
        if row is None or taken is None:
            return {"state": "superseded"}
        outcome = self._submit(row)
        try:
            return patiently(lambda: self._close(row, taken, attempt, outcome))
        except Overtaken:
            event("send_overtaken", destination=row.destination, attachment=control_number)
            return {"state": "superseded"}

    def _close(self, row: Row[Any], taken: Fence, attempt: int, outcome: Submitted) -> Value:
        with self.node.engine.begin() as connection:
            self.tenure.lock(connection)
            taken.check(connection)
            if _current(connection, row.control_number, row.generation) is None:
                return {"state": "superseded"}
            return self._record(connection, row, attempt, outcome)

    def _submit(self, row: Row[Any]) -> Submitted:
        destination = self.destinations.get(row.destination)
        if destination is None:
            return _failed(f"Claim destination {row.destination} is not in the settings.")
        try:
            body = self.node.spool.path(row.path).read_bytes()
        except OSError as error:
            return _failed(f"What is to be sent cannot be read: {error.strerror}.")
        if hashlib.sha256(body).hexdigest() != row.sha256:
            return _failed("What is to be sent is not what was queued: its digest differs.")
        timeout_s = self.node.settings.delivery_timeout
        self.tenure.assure()
        try:
            return submit(row.destination, destination, row.content_type, body, timeout_s=timeout_s)
        except SettingRefusal as refusal:
            return _failed(str(refusal))

    def _record(self, connection: Connection, row: Row[Any], attempt: int, outcome: Submitted) -> Value:
        now, number = time.time(), row.control_number
        delay = back_off(self.node.settings).delay_s(attempt)
        state = _state(outcome, may_try_again=delay is not None)
        is_again = state is AttachmentState.RETRYING and delay is not None
        values: dict[str, Any] = {"state": state.value, "attempts": attempt, "reason": outcome.sentence}
        values["next_try_at"] = now + delay if is_again and delay is not None else None
        if outcome.verdict is Verdict.ACCEPTED:
            values["sent_at"] = now
        if outcome.acknowledgement is not NOTHING:
            values["answered_at"] = now
        change_attachment(connection, number, **values)
        append(connection, self._audited(row, now, outcome))
        event("attachment_sent", attachment=number, destination=row.destination, state=state.value, attempt=attempt)
        if is_again and delay is not None:
            enqueue_attachment(
                self.client, connection, number, generation=row.generation, attempt=attempt + 1, delay=delay
            )
        return {"state": state.value}

    def _audited(self, row: Row[Any], now: float, outcome: Submitted) -> AuditRecord:
        """The export, as done for the person who queued it."""
        is_there = outcome.verdict is Verdict.ACCEPTED
        return AuditRecord(
            kind=AuditKind.EXPORTED,
            outcome=Outcome.SUCCESS if is_there else Outcome.MINOR_FAILURE,
            at=now,
            subject=row.queued_by,
            display_name=row.queued_by_name,
            role="",
            method="queued",
            address="",
            studies=(row.study_instance_uid,) if row.study_instance_uid else (),
            object=f"attachment {row.control_number} to {row.destination}",
        )


def _current(connection: Connection, control_number: str, generation: int) -> Row[Any] | None:
    """The row, where no person has started a newer chain of tries and nothing has ended this one."""
    row = find_attachment(connection, control_number)
    return row if row is not None and row.generation == generation and row.state in OPEN else None


def _state(outcome: Submitted, *, may_try_again: bool) -> AttachmentState:
    if outcome.verdict is Verdict.ACCEPTED:
        return AFTER[outcome.acknowledgement.answer]
    if outcome.verdict is Verdict.REFUSED:
        return AttachmentState.REFUSED
    return AttachmentState.RETRYING if may_try_again else AttachmentState.DEAD


def _failed(sentence: str) -> Submitted:
    return Submitted(verdict=Verdict.FAILED, acknowledgement=NOTHING, sentence=sentence)
