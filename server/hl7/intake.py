"""Taking a message of the report feed: its report is durable before the sender is told that it was accepted."""

from __future__ import annotations

import hashlib
import time

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from claims.reading import load_report
from claims.report import Report, ReportRefusal, SignedState
from inference.errors import Failure
from server.claims.documents import digest, to_text
from server.compose import Node
from server.database import reading
from server.events import event, fault
from server.hl7.message import NOTHING, Answer, Code, Message, MessageRefusal, acknowledge, check_report, parse
from server.tables import received_reports

FOLDER = "reports"
"""In the data folder: messages as they came."""
_TO_RETRY = "The message could not be kept; send it again later."


def take(node: Node, data: bytes) -> bytes:
    """Keep the report of one message; returns the acknowledgement. Never raises for what a message or a disk does."""
    message = NOTHING
    try:
        message = parse(data)
        check_report(message)
        _keep(node, message, data)
    except MessageRefusal as refusal:
        return _refused(message, refusal)
    except ReportRefusal as refusal:
        sentence = f"The report is not read: {refusal}."
        return _refused(message, MessageRefusal(Answer.FAILED, Code.OTHER, sentence))
    except (OSError, SQLAlchemyError, Failure) as error:
        fault("report_not_kept", error)
        return _refused(message, MessageRefusal(Answer.FAILED, Code.INTERNAL, _TO_RETRY))
    return acknowledge(message, Answer.ACCEPTED)


def _refused(message: Message, refusal: MessageRefusal) -> bytes:
    event("report_refused", status=refusal.answer.value, reason_code=refusal.error_code.value)
    return acknowledge(message, refusal.answer, refusal)


def _keep(node: Node, message: Message, data: bytes) -> None:
    identity = digest(message.field("MSH", 3), message.field("MSH", 4), message.control_id)
    sha256 = hashlib.sha256(data).hexdigest()
    with reading(node.engine) as connection:
        if _is_known(connection, identity, sha256):
            return
    withdraws = message.withdraws
    report = _withdrawal(message, sha256) if withdraws else load_report(data, report_format="hl7v2")
    number = _check(report)
    path = f"{FOLDER}/{identity[:2]}/{identity}"
    node.spool.write_result(path, data)
    row = {
        "identity": identity,
        "sha256": sha256,
        "path": path,
        "medical_record_number": number,
        "report": to_text(Report, report),
        "withdraws": withdraws,
        "received_at": time.time(),
    }
    try:
        with node.engine.begin() as connection:
            connection.execute(insert(received_reports).values(**row))
    except IntegrityError:  # the same control id on another connection meanwhile
        with reading(node.engine) as connection:
            _is_known(connection, identity, sha256)
        return
    event("report_received", state=report.signed.value)


def _is_known(connection: Connection, identity: str, sha256: str) -> bool:
    query = select(received_reports.c.sha256).where(received_reports.c.identity == identity)
    known = connection.execute(query).scalar()
    if known is not None and known != sha256:
        sentence = "Another message of this sender had the same control id (MSH-10); each has its own."
        raise MessageRefusal(Answer.REJECTED, Code.DUPLICATE, sentence)
    return known is not None


def _withdrawal(message: Message, sha256: str) -> Report:
    """A report in the place of one that is taken back; it says nothing."""
    number = message.part("OBR", 18, 1) or message.part("OBR", 3, 1)
    identifiers = (
        ("medical_record_number", message.part("PID", 3, 1)),
        ("birth_date", message.part("PID", 7, 1)[:8]),
        ("family_name", _words(message.part("PID", 5, 1))),
        ("given_name", _words(message.part("PID", 5, 2))),
    )
    return Report(
        id=number,
        text="",
        sha256=sha256,
        format="hl7v2",
        signed=SignedState.UNSIGNED,
        patient_identifiers=tuple((kind, value) for kind, value in identifiers if value),
    )


def _words(text: str) -> str:
    """Text of a message as its sender meant it, mostly."""
    data = text.encode("latin-1")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("windows-1252", errors="replace")


def _check(report: Report) -> str:
    """Refuse a report that could never be told whose and of what it is; returns its record number."""
    number = dict(report.patient_identifiers).get("medical_record_number", "")
    if not number:
        raise MessageRefusal(Answer.FAILED, Code.REQUIRED, "PID-3 (patient identifier) is missing.")
    if not report.id or report.id == report.sha256[:16]:
        sentence = "The accession number is missing (OBR-18, or OBR-3)."
        raise MessageRefusal(Answer.FAILED, Code.REQUIRED, sentence)
    return number
