"""Attachments of claims: queued once the gate is open, sent durably, and what became of them.

An attachment is made once, when it is queued: every try sends the same bytes under the same control numbers, so that a
payer that got it twice, after a crash or a lost answer, can tell, and counts it once.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dbos import DBOSClient
from sqlalchemy import Connection, Engine, Row, delete, insert, select, text, update

from claims.attachment import Attachment, AttachmentRefusal
from claims.attachments.acknowledgement import Answer, read_acknowledgement, require_known
from claims.attachments.cdex import MEDIA_TYPE, write_cdex
from claims.attachments.envelope import X12_MEDIA_TYPE, core_envelope
from claims.attachments.gate import require_open
from claims.attachments.rules import check_attachment
from claims.attachments.x12_275 import write_275
from claims.attachments.x12_elements import GUIDES
from claims.attachments.x12_writer import CONTROL_NUMBERS, Envelope
from claims.evidence import ClaimEvidence
from claims.report import ReadReport
from inference.errors import StorageFailure
from inference.findings import StudyFindings
from server.attachment_rows import (
    DEAD_LETTER,
    AttachmentState,
    change_attachment,
    find_attachment,
)
from server.auth.roles import Principal
from server.claim_destinations import ClaimDestination, DestinationKind, claim_destinations
from server.compose import Node
from server.database import reading
from server.events import event
from server.operations import NotThere
from server.tables import claim_attachments
from server.work_queue import enqueue_attachment

FOLDER = "attachments"
"""In the data folder: what was and is to be sent; it holds the signed reports."""
_DIGITS = re.compile(r"[0-9]{1,9}")
SAYS = {Answer.ACCEPTED: AttachmentState.ACKNOWLEDGED, Answer.REFUSED: AttachmentState.REFUSED}
"""What an answer that came apart makes of an attachment; one that decides nothing leaves it."""
_LOCK = 0x5350_494E_43  # "SPINC": one attachment is committed at a time on PostgreSQL; on SQLite a transaction is that


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What is to be sent, and what says that it may be."""

    attachment: Attachment
    destination: str
    """Name of a claim destination."""
    evidence: ClaimEvidence
    reports: Sequence[ReadReport]
    findings: Sequence[StudyFindings]
    """Of the claim's studies, after their newest review where there is one."""
    by: Principal

    @property
    def content_sha256(self) -> str:
        """Of what is attached to which claim for whom, whatever its number."""
        made = self.attachment
        documents = [hashlib.sha256(document.content).hexdigest() for document in made.documents]
        words = (made.claim.id, self.destination, str(made.line), made.solicited or "", *documents)
        return hashlib.sha256("\n".join(words).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentStatus:
    """Where one attachment stands; times in seconds since the epoch (UTC)."""

    control_number: str
    claim_id: str
    destination: str
    state: AttachmentState
    attempts: int
    reason: str | None
    """One sentence about the last try or answer."""
    queued_by: str
    queued_at: float
    next_try_at: float | None
    sent_at: float | None
    answered_at: float | None
    interchange_control_number: int
    """ISA13 of the 275, as acknowledgements name it."""


def queue_attachment(node: Node, client: DBOSClient, submission: Submission) -> tuple[AttachmentStatus, bool]:
    """Commit an attachment and queue its sending; returns where it stands, and whether it is new.

    The same attachment again, under the same control number, is not sent a second time.

    Raises:
        NotThere: no destination has that name.
        AttachmentRefusal: the gate is closed, the attachment is not one that can be sent, or it was submitted before
            under another number, or with another content under this one.
        SettingRefusal: the destinations cannot be used.
        StorageFailure: its bytes could not be made durable; the same again completes it.
    """
    made = submission.attachment
    destination = _destination(node, submission)
    require_open(submission.evidence, submission.reports, submission.findings)
    check_attachment(made, largest_mib=node.settings.claim_attachment_max_mib)
    with node.engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        row = _known(connection, submission) or _reserve(connection, submission)
    is_new = row.state == AttachmentState.MAKING and _make(node, client, made, destination, row)
    return attachment_status(node.engine, made.control_number), is_new


def attachment_status(engine: Engine, control_number: str) -> AttachmentStatus:
    """Where an attachment stands.

    Raises:
        NotThere: none has that control number.
    """
    with reading(engine) as connection:
        return _status(_there(find_attachment(connection, control_number), control_number))


def attachments_of(engine: Engine, claim_id: str) -> tuple[AttachmentStatus, ...]:
    """Every attachment of a claim, the first first."""
    query = select(claim_attachments).where(claim_attachments.c.claim_id == claim_id)
    with reading(engine) as connection:
        return tuple(_status(row) for row in connection.execute(query.order_by(claim_attachments.c.number)))


def record_acknowledgement(engine: Engine, data: bytes) -> AttachmentStatus:
    """Take an answer that came apart from the request: a TA1, 999 or 277CA that names the attachment.

    Raises:
        AttachmentRefusal: it is no acknowledgement.
        NotThere: it names no attachment of this node.
    """
    acknowledgement = read_acknowledgement(data)
    require_known(acknowledgement)
    with engine.begin() as connection:
        row = _named(connection, acknowledgement.references)
        state = SAYS.get(acknowledgement.answer, AttachmentState(row.state))
        if row.state != AttachmentState.REFUSED:  # after a refusal only a person goes on
            change_attachment(
                connection,
                row.control_number,
                state=state.value,
                reason=f"{acknowledgement.kind}: {acknowledgement.code}",
                answered_at=time.time(),
                next_try_at=None,
            )
            event("attachment_answered", attachment=row.control_number, state=state.value)
        return _status(_there(find_attachment(connection, row.control_number), row.control_number))


def _destination(node: Node, submission: Submission) -> ClaimDestination:
    known = claim_destinations(node.settings)
    destination = known.get(submission.destination)
    if destination is None:
        names = ", ".join(sorted(known)) or "none"
        raise NotThere(f"No claim destination is called {submission.destination!r}; known are {names}.")
    if destination.payer_ids and submission.attachment.claim.payer_id not in destination.payer_ids:
        raise AttachmentRefusal(f"Claim destination {submission.destination} does not reach the payer of this claim.")
    return destination


def _known(connection: Connection, submission: Submission) -> Row[Any] | None:
    number, content = submission.attachment.control_number, submission.content_sha256
    row = find_attachment(connection, number)
    if row is not None:
        if row.content_sha256 != content:
            raise AttachmentRefusal(
                f"Attachment {number} was submitted with another content; another attachment has its own number."
            )
        return row
    same = select(claim_attachments.c.control_number, claim_attachments.c.state).where(
        claim_attachments.c.content_sha256 == content, claim_attachments.c.state.not_in(DEAD_LETTER)
    )
    earlier = connection.execute(same.limit(1)).one_or_none()
    if earlier is not None:
        raise AttachmentRefusal(
            f"The same documents were submitted for this claim as attachment {earlier.control_number} "
            f"({earlier.state}); they are not sent twice."
        )
    return None


def _reserve(connection: Connection, submission: Submission) -> Row[Any]:
    """Write the row, whose number goes into the bytes; they are made after it, so that no writer waits for them."""
    made, now = submission.attachment, float(int(time.time()))
    values = {
        "control_number": made.control_number,
        "claim_id": made.claim.id,
        "study_instance_uid": made.study_instance_uid,
        "destination": submission.destination,
        "content_sha256": submission.content_sha256,
        "path": f"{FOLDER}/{made.control_number}",
        "content_type": "",
        "sha256": "",
        "queued_by": submission.by.subject,
        "queued_by_name": submission.by.display_name,
        "queued_at": now,
        "state": AttachmentState.MAKING.value,
        "generation": 1,
        "attempts": 0,
        "updated_at": now,
    }
    return connection.execute(insert(claim_attachments).values(**values).returning(claim_attachments)).one()


def _make(node: Node, client: DBOSClient, made: Attachment, destination: ClaimDestination, row: Row[Any]) -> bool:
    """Write the bytes and queue the first try; whether that was done here. Again after a crash: the same bytes."""
    is_ours = (claim_attachments.c.number == row.number, claim_attachments.c.state == AttachmentState.MAKING)
    try:
        content_type, body = _body(made, destination, row.number, datetime.fromtimestamp(row.queued_at, UTC))
        node.spool.write_result(row.path, body)
    except AttachmentRefusal:
        with node.engine.begin() as connection:
            connection.execute(delete(claim_attachments).where(*is_ours))
        raise
    except OSError as error:
        raise StorageFailure(f"The attachment cannot be written: {error.strerror}.") from error
    known = {"content_type": content_type, "sha256": hashlib.sha256(body).hexdigest(), "updated_at": time.time()}
    with node.engine.begin() as connection:
        statement = update(claim_attachments).where(*is_ours).values(**known, state=AttachmentState.QUEUED.value)
        if not connection.execute(statement).rowcount:
            return False
        enqueue_attachment(client, connection, row.control_number)
    event("attachment_queued", attachment=row.control_number, destination=row.destination)
    return True


def _body(made: Attachment, destination: ClaimDestination, number: int, now: datetime) -> tuple[str, bytes]:
    partner = destination.partner
    if destination.kind is DestinationKind.CDEX:
        return MEDIA_TYPE, write_cdex(made, partner, made_at=now)
    guide = GUIDES[destination.guide]
    payload = write_275(made, Envelope(guide=guide, partner=partner, control_number=number, made_at=now))
    if destination.kind is DestinationKind.X12:
        return X12_MEDIA_TYPE, payload
    return core_envelope(payload, guide=guide, partner=partner, control_number=made.control_number, made_at=now)


def _named(connection: Connection, references: Sequence[str]) -> Row[Any]:
    """The attachment that an answer names: by its own number, or by that of its interchange."""
    numbers = {int(one) for one in references if _DIGITS.fullmatch(one)}
    query = select(claim_attachments).where(
        claim_attachments.c.control_number.in_(references)
        | (claim_attachments.c.number % CONTROL_NUMBERS).in_(sorted(numbers))
    )
    row = connection.execute(query.order_by(claim_attachments.c.number.desc()).limit(1)).one_or_none()
    if row is None:
        raise NotThere("The acknowledgement names no attachment of this node.")
    return row


def _there(row: Row[Any] | None, control_number: str) -> Row[Any]:
    if row is None:
        raise NotThere(f"No attachment has the control number {control_number!r}.")
    return row


def _status(row: Row[Any]) -> AttachmentStatus:
    return AttachmentStatus(
        control_number=row.control_number,
        claim_id=row.claim_id,
        destination=row.destination,
        state=AttachmentState(row.state),
        attempts=row.attempts,
        reason=row.reason,
        queued_by=row.queued_by,
        queued_at=row.queued_at,
        next_try_at=row.next_try_at,
        sent_at=row.sent_at,
        answered_at=row.answered_at,
        interchange_control_number=row.number % CONTROL_NUMBERS,
    )
