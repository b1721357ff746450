"""Attaching the evidence of a kept claim: the signed report and the summary, to a destination, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dbos import DBOSClient
from sqlalchemy import Row

from claims.attachment import Attachment, AttachmentDocument, AttachmentRefusal
from claims.attachments.gate import missing, require_open
from claims.attachments.pwk import pwk_segment
from claims.attachments.rules import control_number
from claims.claim import ClaimRefusal
from claims.evidence import Prompt
from claims.packet import SUMMARY_NAME
from claims.report import ReadReport, Report, SignedState
from server.attachments import AttachmentStatus, Submission, queue_attachment
from server.auth.roles import Principal
from server.claim_destinations import claim_destinations
from server.claims.history import Action, is_recorded, record_action, seal_history
from server.claims.material import Found
from server.claims.packet_maker import Packets
from server.claims.packets import Ready, bring_up_to_date, evidence_of, ready
from server.claims.rows import ClaimState, claim_row, reports_of
from server.compose import Node
from server.database import reading

IMAGING_STUDY = "18748-4"
"""LOINC: Diagnostic imaging study, the type of a radiology report in the CDex value set."""
AS_THEY_CAME = {"pdf": "application/pdf"}
"""Formats of reports that a payer can open, with their media type; of the others the text is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked for."""

    destination: str
    key: str
    """Chosen by the client: the same key again is the same attachment."""
    line: int | None = None
    solicited: str | None = None
    """The payer's number from its request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """What came of an order."""

    status: AttachmentStatus
    is_new: bool
    pwk: str
    """The segment that goes on the 837, so that the payer waits for the attachment."""


def still_missing(node: Node, newest: Row[Any] | None, found: Found) -> tuple[Prompt, ...]:
    """What is to be done before the evidence of a claim may be sent, by its newest evaluation and its material."""
    try:
        evidence = evidence_of(node, newest, found)
    except ClaimRefusal as refusal:
        return (Prompt(code="judge", sentence=str(refusal)),)
    return missing(evidence, found.reports, found.findings)


def attach(packets: Packets, client: DBOSClient, claim_id: str, order: Order, by: Principal) -> Attached:
    """Make the attachment and queue its sending.

    Raises:
        NotThere: no such claim or destination.
        AttachmentRefusal: something is missing, or it was sent before.
        ClaimRefusal: the claim cannot be judged, or is closed.
        Failure: its packet cannot be made now.
    """
    node = packets.node
    bring_up_to_date(node, claim_id)
    with reading(node.engine) as connection:
        claim = ready(connection, node, claim_id)
        paths = {row.sha256: row.path for row in reports_of(connection, claim_id)}
    if claim.row.state != ClaimState.OPEN:
        raise ClaimRefusal("The claim is closed; a person can open it again.")
    require_open(claim.evidence, claim.found.reports, claim.found.findings)
    summary = AttachmentDocument(
        title="Imaging evidence summary",
        loinc=IMAGING_STUDY,
        media_type="application/pdf",
        content=packets.file(claim_id, SUMMARY_NAME),
    )
    signed = [read for read in claim.found.reports if read.report.signed is SignedState.SIGNED]
    documents = tuple(_report(node, read, paths[read.report.sha256]) for read in signed)
    made = _attachment(claim, signed[-1].report, (*documents, summary), order, node.settings.organisation)
    submission = Submission(
        attachment=made,
        destination=order.destination,
        evidence=claim.evidence,
        reports=claim.found.reports,
        findings=claim.found.findings,
        by=by,
    )
    status, is_new = queue_attachment(node, client, submission)
    with node.engine.begin() as connection:
        claim_row(connection, claim_id, lock=True)
        if not is_recorded(connection, claim_id, Action.ATTACHED, status.control_number):
            record_action(connection, claim_id, Action.ATTACHED, by, about=status.control_number)
            seal_history(connection, claim_id, by)
    return Attached(status=status, is_new=is_new, pwk=pwk_segment(made))


def destination_names(node: Node) -> list[str]:
    """Where attachments can go."""
    return sorted(claim_destinations(node.settings))


def _attachment(
    claim: Ready, report: Report, documents: tuple[AttachmentDocument, ...], order: Order, organisation: str
) -> Attachment:
    study = next((s for s in claim.found.studies if s.uid == report.study_instance_uid), None)
    day = report.study_date or (study.date if study else None)
    if day is None:
        raise AttachmentRefusal("The signed report does not say the day of its images; add it with its study or day.")
    return Attachment(
        control_number=control_number(f"{claim.row.id}/{order.key}", 1),
        claim=claim.found.claim,
        line=order.line,
        study_date=day,
        author=report.signed_by or "",
        author_organization=organisation,
        custodian=organisation,
        documents=documents,
        solicited=order.solicited,
        signed_at=report.signed_at,
        study_instance_uid=report.study_instance_uid,
    )


def _report(node: Node, read: ReadReport, path: str) -> AttachmentDocument:
    """The signed report as it came where a payer can open that, else its text."""
    report = read.report
    media_type = AS_THEY_CAME.get(report.format)
    return AttachmentDocument(
        title=f"Signed radiology report {report.id}",
        loinc=IMAGING_STUDY,
        media_type=media_type or "text/plain",
        content=node.spool.path(path).read_bytes() if media_type else report.text.encode(),
    )
