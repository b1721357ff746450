"""Why a review cannot be applied, by name."""

from __future__ import annotations

from enum import StrEnum

from inference.errors import Refusal


class ReviewFault(StrEnum):
    """What is wrong with a review; machine-readable, stable."""

    SUPERSEDED = "E_REVIEW_SUPERSEDED"
    """It is of a revision, or after a review, that is not the newest any more."""
    FINDING = "E_REVIEW_FINDING"
    """It names a finding that this revision does not have, or one finding twice."""
    INCOMPLETE = "E_REVIEW_INCOMPLETE"
    """It leaves findings undecided, and does not accept the rest."""
    REASON = "E_REVIEW_REASON"
    """A reason is missing, or does not go with the decision."""
    EMPTY = "E_REVIEW_EMPTY"
    """A correction changes nothing."""
    LEVEL = "E_REVIEW_LEVEL"
    """A level is none, or none where such a finding can be."""
    GRADE = "E_REVIEW_GRADE"
    """A grade is not on a scale of its question."""
    ASSESSMENT = "E_REVIEW_ASSESSMENT"
    """A correction or an added finding says neither present nor absent."""
    GEOMETRY = "E_REVIEW_GEOMETRY"
    """A shape is not on an image of the study, or is not one that the finding can have."""
    CONTRADICTION = "E_REVIEW_CONTRADICTION"
    """Two answers to one question would stand at one site."""
    REVIEWER = "E_REVIEW_REVIEWER"
    """It does not say who reviewed."""
    KEY = "E_REVIEW_KEY"
    """Its idempotency key was used for another review."""


class ReviewRefusal(Refusal):
    """The review cannot be applied to these findings."""

    def __init__(self, sentence: str, *, fault: ReviewFault) -> None:
        """Keep the sentence, and what is wrong."""
        super().__init__(sentence)
        self.fault = fault
