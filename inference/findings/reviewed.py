"""Who reviewed findings, and the words for what was decided about them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ReviewStatus(StrEnum):
    """What became of a finding in a review."""

    ACCEPTED = "accepted"
    """It stands as the AI gave it."""
    CORRECTED = "corrected"
    """It stands with what the reviewer changed."""
    REJECTED = "rejected"
    """It does not stand; what the AI said is kept beside it."""
    ADDED = "added"
    """The reviewer saw it; the AI did not say it."""


class ReviewReason(StrEnum):
    """Why a finding was rejected, corrected or added."""

    NOT_THERE = "R_NOT_THERE"
    """What the AI called is not there."""
    MISSED = "R_MISSED"
    """It is there, and the AI did not call it."""
    ARTEFACT = "R_ARTEFACT"
    """An artefact of the image was taken for a finding."""
    OTHER_CAUSE = "R_OTHER_CAUSE"
    """What is seen has another cause, like a variant, an operation or another disease."""
    IMAGE_QUALITY = "R_IMAGE_QUALITY"
    """The images do not allow the answer."""
    LEVEL = "R_LEVEL"
    """It is at another level."""
    GRADE = "R_GRADE"
    """Its grade is another."""
    GEOMETRY = "R_GEOMETRY"
    """Its mark, line or outline is in the wrong place."""
    REPLACED = "R_REPLACED"
    """The reviewer put another finding at its site; given by the software, never by a person."""
    OTHER = "R_OTHER"
    """Another reason, in the reviewer's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewer:
    """The person who answers for a review."""

    name: str
    """As a person writes it, or as a DICOM person name (``Family^Given``)."""
    identifier: str
    """Login name or staff number: what the site knows the person by."""
    organisation: str

    @property
    def display_name(self) -> str:
        """The name in reading order: ``Jane Doe`` for ``Doe^Jane``."""
        family, *rest = (part.strip() for part in self.name.split("=")[0].split("^"))
        return " ".join(part for part in (*rest[:2], family) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentReview:
    """The review that a document of findings has been through."""

    number: int
    """Counts the reviews of a study, from 1."""
    revision: int
    """The revision of the study whose findings were reviewed."""
    reviewer: Reviewer
    reviewed_at: datetime
    """In UTC, to the second."""
    supersedes: int | None = None
    """Number of the review that this one replaces."""
