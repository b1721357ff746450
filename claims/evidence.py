"""What the evidence for a claim comes to: a verdict for each body, an answer for each criterion, and the prompts.

Sources of the words: the prompt logic and the rules in docs/user-guide/claims.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from inference.anatomy import Vertebra


class Verdict(StrEnum):
    """How the evidence for one billed body stands; the claim's is the first of these that any body has."""

    CONTRADICTS = "CONTRADICTS"
    """Report says no or old fracture, another Modic type or another level; or AI and report disagree."""
    NO_EVIDENCE = "NO_EVIDENCE"
    """No study and no report."""
    REPORT_MISSING = "REPORT_MISSING"
    """A study, but no signed report."""
    PARTIAL = "PARTIAL"
    """The report names it; its acuity sign, type, side or retained view is absent, uncertain or not stated."""
    SUPPORTS = "SUPPORTS"
    """The signed report names at this body what the policy asks: fracture and acuity sign, Modic type 1 or 2, ..."""


class CriterionState(StrEnum):
    """Three answers, never two; never approved, covered or denied."""

    MET = "met"
    NOT_MET = "not met"
    NOT_DETERMINABLE = "not determinable"


class Source(StrEnum):
    """Who can answer."""

    IMAGES = "images"
    REPORT = "report"
    CHART = "chart"


class PointerKind(StrEnum):
    """What a pointer leads to."""

    STUDY = "study"
    INSTANCE = "instance"
    SR_ITEM = "sr_item"
    SENTENCE = "sentence"
    MEASUREMENT = "measurement"
    CLAIM_FIELD = "claim_field"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """Where a person finds what an answer rests on."""

    kind: PointerKind
    reference: str
    """Study or SOP Instance UID, tracking UID of the finding, report id, or the claim's field."""
    text: str
    """The quoted sentence, or the measurement with its unit, method and date, in plain words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CriterionAnswer:
    """One criterion of the policy, answered."""

    criterion: str
    """Id in the criteria table."""
    title: str
    answered_by: tuple[Source, ...]
    state: CriterionState
    sentence: str
    """Why, in plain words."""
    body: Vertebra | None = None
    """None: about the claim as a whole."""
    pointers: tuple[Pointer, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What a person is asked to do."""

    code: str
    """Stable, like ``attach_signed_report``."""
    sentence: str
    """In plain words, for a coder."""
    body: Vertebra | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyEvidence:
    """One billed body."""

    body: Vertebra
    verdict: Verdict
    sentence: str
    pointers: tuple[Pointer, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcordanceFact:
    """A fact on codes, levels or units; never a suggestion of another code."""

    code: str
    sentence: str
    agrees: bool | None
    """None: cannot be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimEvidence:
    """All of it, for one claim, at one moment; the same inputs give the same value."""

    claim_id: str
    policy: str
    policy_version: str
    verdict: Verdict
    bodies: tuple[BodyEvidence, ...]
    criteria: tuple[CriterionAnswer, ...]
    concordance: tuple[ConcordanceFact, ...]
    prompts: tuple[Prompt, ...]
    is_of_fracture: bool = True
    """Whether the policy asks for a fracture; attachments are made for such claims only."""
    policy_documents: tuple[str, ...] = ()
    """Numbers of the policy's published documents that hold in the claim's jurisdiction, like ``L35130``."""
