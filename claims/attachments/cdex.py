"""Da Vinci CDex 2.1.0 ``$submit-attachment``: the Parameters that a payer's FHIR R4 server takes.

By agreement between partners; HIPAA adopted the 275, not FHIR. Each parameter is the element of the 275 that the
guide's own mapping names, so that both say the same: TrackingId is TRN02, PayerId NM109 of the payer, ProviderId that
of the provider, MemberId that of the patient, ServiceDate DTP03, LineItem and Code are of the document's STC.
"""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any, TypeAlias

from claims.attachment import Attachment, AttachmentDocument
from claims.attachments.partner import Partner
from claims.claim import ClaimUse

MEDIA_TYPE = "application/fhir+json"
OPERATION = "$submit-attachment"
PROFILE = "http://hl7.org/fhir/us/davinci-cdex/StructureDefinition/cdex-parameters-submit-attachment"
NPI_SYSTEM, LOINC_SYSTEM = "http://hl7.org/fhir/sid/us-npi", "http://loinc.org"
Json: TypeAlias = dict[str, Any]


def write_cdex(attachment: Attachment, partner: Partner, *, made_at: datetime) -> bytes:
    """The Parameters as compact JSON; the same arguments give the same bytes."""
    document = {
        "resourceType": "Parameters",
        "meta": {"profile": [PROFILE]},
        "parameter": [*_matching(attachment, partner), *_attachments(attachment, partner, made_at), _final()],
    }
    return json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def _matching(attachment: Attachment, partner: Partner) -> list[Json]:
    claim = attachment.claim
    tracking = attachment.solicited or attachment.control_number
    system = partner.payer_system if attachment.solicited else partner.tracking_system
    found = [
        _identifier("TrackingId", system, tracking),
        {"name": "AttachTo", "valueCode": claim.use.value},
        _identifier("PayerId", partner.payer_system, claim.payer_id),
        _identifier("ProviderId", NPI_SYSTEM, claim.provider_npi),
        _identifier("MemberId", partner.member_system, claim.patient.member_id or ""),
    ]
    if claim.use is ClaimUse.CLAIM:
        found.append({"name": "ServiceDate", "valueDateTime": claim.service_date.isoformat()})
    return found


def _attachments(attachment: Attachment, partner: Partner, made_at: datetime) -> list[Json]:
    parts = []
    for document in attachment.documents:
        code = {"coding": [{"system": LOINC_SYSTEM, "code": document.loinc}], "text": document.title}
        line = [] if attachment.line is None else [{"name": "LineItem", "valueString": str(attachment.line)}]
        content = {"name": "Content", "resource": _reference(attachment, document, partner, made_at)}
        parts.append({"name": "Attachment", "part": [*line, {"name": "Code", "valueCodeableConcept": code}, content]})
    return parts


def _reference(attachment: Attachment, document: AttachmentDocument, partner: Partner, made_at: datetime) -> Json:
    """The document as a DocumentReference, the content that every CDex server takes."""
    member = _value(partner.member_system, attachment.claim.patient.member_id or "")
    concept = {"coding": [{"system": LOINC_SYSTEM, "code": document.loinc}], "text": document.title}
    return {
        "resourceType": "DocumentReference",
        "status": "current",
        "docStatus": "final",
        "type": concept,
        "subject": {"type": "Patient", "identifier": member},
        "date": made_at.isoformat(timespec="seconds"),
        "author": [{"display": attachment.author}],
        "custodian": {"display": attachment.custodian},
        "content": [
            {
                "attachment": {
                    "contentType": document.media_type,
                    "data": base64.b64encode(document.content).decode("ascii"),
                    "title": document.title,
                }
            }
        ],
        "context": {"period": dict.fromkeys(("start", "end"), attachment.study_date.isoformat())},
    }


def _final() -> Json:
    return {"name": "Final", "valueBoolean": True}


def _identifier(name: str, system: str, value: str) -> Json:
    return {"name": name, "valueIdentifier": _value(system, value)}


def _value(system: str, value: str) -> Json:
    return {"system": system, "value": value} if system else {"value": value}
