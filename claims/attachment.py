"""One attachment, whatever way it goes to the payer: everything that a 275, a C-CDA or a CDex call carries.

Built once and written by each format, so that they cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from claims.claim import Claim
from inference.errors import Refusal


class AttachmentRefusal(Refusal):
    """An attachment cannot be made or sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentDocument:
    """One document of an attachment."""

    title: str
    loinc: str
    """Type of the document, like ``18748-4`` (Diagnostic imaging study)."""
    media_type: str
    """``application/pdf`` ..."""
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """What is sent for one claim."""

    control_number: str
    """The attachment control number: equals PWK06 of the claim; opaque, ``[A-Z0-9-]``, at most 50 characters."""
    claim: Claim
    line: int | None
    """Service line that it belongs to; None: the claim as a whole."""
    study_date: date
    author: str
    """The radiologist who signed the report."""
    author_organization: str
    custodian: str
    documents: tuple[AttachmentDocument, ...]
    """The first is the main one."""
    solicited: str | None = None
    """The payer's number from its request (277 RFAI); None: sent unasked."""
