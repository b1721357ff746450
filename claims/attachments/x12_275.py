"""The X12 275, Additional Information to Support a Health Care Claim: 006020X314 and 005010X210.

Draft, structurally tested: see claims.attachments.x12_elements for what it is written from.

    BGN   02 sent unasked | 11 answers a 277
    1000A NM1*PR payer            1000B NM1*41 submitter     1000C NM1*1P provider (NPI)
    1000D NM1*QC patient (member id), REF claim number, DTP*472 service date
    2000A LX per document, TRN*1 = PWK06 | TRN*2 = TRN02 of the 277, STC what was asked, REF*FJ service line
    2100B DTP*368 date sent, CAT*AE*HL (an HL7 document), 6020: OOI and BDS; 5010: EFI and BIN
"""

from __future__ import annotations

import base64
from collections.abc import Iterator

from claims.attachment import Attachment
from claims.attachments.ccda import write_ccda
from claims.attachments.x12_writer import Envelope, binary_segment, interchange, segment

UNASKED, ANSWER = "02", "11"
"""BGN01: transaction set purpose."""
DOCUMENTATION_REQUEST = "R4"
"""STC01-1 of what was asked for: claim status category "documentation requests" (X12 external code list 507)."""
_SUBMITTED, _SERVICE = "368", "472"  # DTP01
_PERSON, _ORGANIZATION = "1", "2"  # NM102
_CRLF = b"\r\n"


def write_275(attachment: Attachment, envelope: Envelope) -> bytes:
    """The interchange with one 275; each document goes as a C-CDA. The same arguments give the same bytes.

    Raises:
        AttachmentRefusal: a value does not fit into its element.
    """
    return interchange(envelope, [*_heading(attachment, envelope), *_documents(attachment, envelope)])


def _heading(attachment: Attachment, envelope: Envelope) -> Iterator[bytes]:
    claim, partner, made = attachment.claim, envelope.partner, envelope.made_at
    patient = claim.patient
    purpose = ANSWER if attachment.solicited else UNASKED
    yield segment("BGN", purpose, attachment.control_number, f"{made:%Y%m%d}", f"{made:%H%M}")
    yield _name("PR", (claim.payer_name or claim.payer_id,), "PI", claim.payer_id)
    yield _name("41", (partner.submitter_name,), "46", partner.submitter_id)
    yield _name("1P", (attachment.author_organization,), "XX", claim.provider_npi)
    yield _name("QC", (patient.family_name, patient.given_name), "MI", patient.member_id or "")
    yield segment("REF", envelope.guide.claim_reference, claim.id)
    yield segment("DTP", _SERVICE, "D8", f"{claim.service_date:%Y%m%d}")


def _name(entity: str, name: tuple[str, ...], qualifier: str, identifier: str) -> bytes:
    """NM1: a name of one part is an organization's, one of two a person's, the family name first."""
    kind = _PERSON if len(name) > 1 else _ORGANIZATION
    last, first = (*name, "")[:2]
    return segment("NM1", entity, kind, last, first, "", "", "", qualifier, identifier)


def _documents(attachment: Attachment, envelope: Envelope) -> Iterator[bytes]:
    today = f"{envelope.made_at:%Y%m%d}"
    member_system = envelope.partner.member_system
    for number, document in enumerate(attachment.documents, start=1):
        yield segment("LX", str(number))
        if attachment.solicited:
            yield segment("TRN", "2", attachment.solicited)
            yield segment("STC", (DOCUMENTATION_REQUEST, document.loinc, "", "LOI"), today)
        else:
            yield segment("TRN", "1", attachment.control_number)
        if attachment.line is not None:
            yield segment("REF", "FJ", str(attachment.line))
        yield segment("DTP", _SUBMITTED, "D8", today)
        yield segment("CAT", "AE", "HL")
        xml = write_ccda(attachment, document, made_at=envelope.made_at, member_system=member_system)
        if envelope.guide.is_filtered:
            yield segment("OOI", "1", "47", "ATTACHMENT")
            entity = _mime_entity(xml, f"{attachment.control_number}-{number}.xml")
            yield binary_segment("BDS", "B64", data=base64.b64encode(entity))
        else:
            yield segment("EFI", "05")
            yield binary_segment("BIN", data=xml)


def _mime_entity(xml: bytes, file_name: str) -> bytes:
    """The document as a MIME entity with a base64 body, which the filter of BDS encodes once more (006020X314)."""
    headers = (
        b"MIME-Version: 1.0",
        b"Content-Type: text/xml; charset=UTF-8",
        b"Content-Transfer-Encoding: base64",
        b'Content-Disposition: attachment; filename="' + file_name.encode("ascii") + b'"',
    )
    return _CRLF.join((*headers, b"", base64.encodebytes(xml).replace(b"\n", _CRLF)))
