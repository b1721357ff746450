"""The document of one study: findings.json, schema ``spine-findings/1``.

Canonical: keys sorted, UTF-8, two-space indent, numbers rounded where they were computed; the same input gives the
same bytes. No clock, host, path or patient identity is in it.
"""

from __future__ import annotations

from dataclasses import dataclass

from inference.anatomy import Numbering
from inference.errors import ReasonCode
from inference.findings.finding import Finding, Question
from inference.findings.reviewed import DocumentReview
from inference.provenance import RESEARCH_USE, REVIEWED_RESEARCH_USE, ModelIdentity

SCHEMA = "spine-findings/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesUse:
    """One series of the study: what it is, and what it was used for or why not."""

    uid: str
    modality: str
    plane: str
    contrast: str
    role: str
    """Short role name like ``mr_sagittal_t2``, ``ct_axial``, ``localizer``, ``other``."""
    used_by: tuple[str, ...] = ()
    """Names of the models (or questions) that read it."""
    refused: tuple[ReasonCode, str] | None = None
    """Code and sentence, when nothing used it."""
    warnings: tuple[tuple[ReasonCode, str], ...] = ()
    """What limits the reading of a series that was used, or why one that could be read was not (W_NOT_CHOSEN)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFindings:
    """Everything that is said about one study."""

    study_instance_uid: str
    series: tuple[SeriesUse, ...]
    numbering: Numbering
    findings: tuple[Finding, ...]
    models: tuple[ModelIdentity, ...]
    software_version: str
    review: DocumentReview | None = None
    """The review that it has been through; None as the AI gave it."""

    @property
    def notice(self) -> str:
        """What stands in everything that is made of it."""
        return RESEARCH_USE if self.review is None else REVIEWED_RESEARCH_USE

    def of(self, question: Question) -> tuple[Finding, ...]:
        """The findings of one question, in document order."""
        return tuple(f for f in self.findings if f.question is question)
