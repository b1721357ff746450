"""An attachment of an invented claim, and the partner that it goes to."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from claims.attachment import Attachment, AttachmentDocument
from claims.attachments.partner import Partner
from claims.attachments.rules import control_number
from claims.claim import Claim, ClaimUse, Patient, ServiceLine
from inference.anatomy import Vertebra

MADE_AT = datetime(2026, 3, 9, 14, 5, 7, tzinfo=UTC)
SIGNED_AT = datetime(2026, 3, 2, 9, 30, 0, tzinfo=UTC)
PDF = b"%PDF-1.4\n1 0 obj ~*:^ << >> endobj\x00\xff\n%%EOF\n"
"""It holds every separator of X12, a zero and a byte that is no text."""
NPI = "1234567893"
PATIENT = Patient(
    member_id="MEMBER001", family_name="O'Neil-Doe", given_name="Jane", birth_date=date(1950, 1, 31), sex="F"
)
CLAIM = Claim(
    id="CLAIM-42",
    use=ClaimUse.CLAIM,
    patient=PATIENT,
    payer_id="12345",
    payer_name="Example Health Plan",
    provider_npi=NPI,
    organization_id="1407071236",
    service_date=date(2026, 3, 5),
    lines=(ServiceLine(number=1, procedure="22514", units=1, diagnoses=("M80.08XA",), bodies=(Vertebra.L1,)),),
)
PARTNER = Partner(
    sender_id="SPINECLINIC",
    receiver_id="PAYER01",
    submitter_name="Example Spine Clinic",
    submitter_id="ETIN001",
    tracking_system="urn:oid:2.999.1",
    member_system="urn:oid:2.999.2",
    payer_system="urn:oid:2.999.3",
)


def report(content: bytes = PDF, **changes: Any) -> AttachmentDocument:
    """The signed report as a document."""
    made = AttachmentDocument(
        title="MR lumbar spine: signed report & key images",
        loinc="18748-4",
        media_type="application/pdf",
        content=content,
    )
    return replace(made, **changes)


def attachment(**changes: Any) -> Attachment:
    """An attachment with one PDF, sent unasked; any field may be given anew."""
    made = Attachment(
        control_number=control_number(CLAIM.id, 1),
        claim=CLAIM,
        line=1,
        study_date=date(2026, 3, 1),
        author="Mary Smith, MD",
        author_organization="Example Radiology Group",
        custodian="Example Hospital",
        documents=(report(),),
        author_npi=NPI,
        signed_at=SIGNED_AT,
        study_instance_uid="1.2.826.0.1.3680043.8.498.1",
    )
    return replace(made, **changes)


def of_patient(**changes: Any) -> Attachment:
    """The same, of another patient."""
    return attachment(claim=replace(CLAIM, patient=replace(PATIENT, **changes)))
