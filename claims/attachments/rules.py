"""What an attachment must be before any format is written: named refusals, and the control number.

A refusal names the field and never its value, which is a patient's.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping

from claims.attachment import Attachment, AttachmentDocument, AttachmentRefusal
from claims.check import is_npi, luhn

MEBIBYTE = 1 << 20
LARGEST_MIB = 64
"""Largest sum of an attachment's documents, in MiB, unless the site says otherwise: what published companion guides of
payers take before encoding."""

MAGIC: Mapping[str, tuple[bytes, ...]] = {
    "application/pdf": (b"%PDF-",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/tiff": (b"II*\x00", b"MM\x00*"),
    "text/plain": (b"",),
}
"""What may be attached, and how its bytes begin: those of the C-CDA value set SupportedFileFormats
(2.16.840.1.113883.11.20.7.1) that a radiology report comes in."""

_CONTROL_NUMBER = re.compile(r"[A-Z0-9-]{1,50}")
_LOINC = re.compile(r"[0-9]{1,5}-[0-9]")


def control_number(claim_id: str, ordinal: int) -> str:
    """The attachment control number of the n-th attachment (from 1) of a claim: the same again for the same claim.

    Opaque: a digest of the claim's number, so that it says nothing of the patient.
    """
    digest = hashlib.sha256(f"{claim_id}\n{ordinal}".encode()).digest()
    return f"SPN-{base64.b32encode(digest[:15]).decode('ascii')}"


def check_attachment(attachment: Attachment, *, largest_mib: float = LARGEST_MIB) -> None:
    """Refuse what no format could carry, or no payer could match to its claim.

    Raises:
        AttachmentRefusal: a field is missing or malformed, or the documents are too large.
    """
    claim = attachment.claim
    if not _CONTROL_NUMBER.fullmatch(attachment.control_number):
        raise AttachmentRefusal("An attachment control number has 1 to 50 of the characters A-Z, 0-9 and '-'.")
    if not is_npi(claim.provider_npi):
        raise AttachmentRefusal(
            "The claim's provider NPI is missing or its check digit is wrong; a payer matches the attachment by it."
        )
    if attachment.author_npi and not is_npi(attachment.author_npi):
        raise AttachmentRefusal("The NPI of the report's author has a wrong check digit; leave it empty if unknown.")
    if attachment.line is not None and attachment.line not in {line.number for line in claim.lines}:
        raise AttachmentRefusal(f"The claim has no service line {attachment.line}.")
    for name, value in _required(attachment):
        if not value.strip():
            raise AttachmentRefusal(f"The {name} is missing; an attachment cannot be matched without it.")
    for name, value in (*_required(attachment), *_optional(attachment)):
        if not value.isprintable():
            raise AttachmentRefusal(f"The {name} has a control or invisible character; give it as plain text.")
    _check_documents(attachment.documents, largest_mib)


def is_loinc(text: str) -> bool:
    """Whether a LOINC number has the form digits-digit with the right check digit (mod 10)."""
    return bool(_LOINC.fullmatch(text)) and luhn(text.replace("-", ""))


def _required(attachment: Attachment) -> Iterator[tuple[str, str]]:
    claim = attachment.claim
    yield "claim number", claim.id
    yield "payer's identifier", claim.payer_id
    yield "patient's member identifier", claim.patient.member_id or ""
    yield "patient's family name", claim.patient.family_name
    yield "author of the report", attachment.author
    yield "author's organisation", attachment.author_organization
    yield "custodian", attachment.custodian


def _optional(attachment: Attachment) -> Iterator[tuple[str, str]]:
    claim = attachment.claim
    yield "payer's name", claim.payer_name
    yield "organisation's identifier", claim.organization_id
    yield "patient's given name", claim.patient.given_name
    yield "medical record number", claim.patient.medical_record_number or ""
    yield "number of the payer's request", attachment.solicited or ""
    for document in attachment.documents:
        yield "title of a document", document.title


def _check_documents(documents: tuple[AttachmentDocument, ...], largest_mib: float) -> None:
    if not documents:
        raise AttachmentRefusal("An attachment has at least one document, the signed report; it has none.")
    size = sum(len(document.content) for document in documents)
    if size > largest_mib * MEBIBYTE:
        raise AttachmentRefusal(
            f"The documents have {size / MEBIBYTE:.0f} MiB together; an attachment takes {largest_mib:g} MiB: "
            f"attach the report and the key images, not the study."
        )
    for place, document in enumerate(documents, start=1):
        begins = MAGIC.get(document.media_type)
        if begins is None:
            raise AttachmentRefusal(
                f"Document {place} is {document.media_type!r}; an attachment takes {', '.join(sorted(MAGIC))}."
            )
        if not document.content or not document.content.startswith(begins):
            raise AttachmentRefusal(f"Document {place} is called {document.media_type} and its bytes are not.")
        if not is_loinc(document.loinc):
            raise AttachmentRefusal(
                f"Document {place} has the LOINC code {document.loinc!r}, whose form or check digit is wrong; "
                f"18748-4 is a diagnostic imaging study."
            )
