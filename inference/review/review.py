"""A review of the findings of one revision: every decision of one person, as values.

Policy is in the tables: which reasons go with which action. Points are (column, row), see inference.geometry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from inference.anatomy import Site
from inference.findings import Geometry, Grade, Question, ReviewReason


class Action(StrEnum):
    """What a person decides about one finding."""

    ACCEPT = "accept"
    REJECT = "reject"
    CORRECT = "correct"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A shape that the reviewer drew on an image of the study."""

    sop_instance_uid: str
    frame: int | None
    """From 1; None for a single-frame image."""
    geometry: Geometry
    measurement: str | None = None
    """The name of the measurement that it is drawn anew for; None where it marks or outlines the finding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What is right instead; what is None stays as it was."""

    level: str | None = None
    assessment: str | None = None
    """``present`` or ``absent``; who wants to say neither rejects the finding."""
    grades: tuple[Grade, ...] | None = None
    """Each replaces the grade of its scale."""
    shapes: tuple[Shape, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is decided about one finding."""

    finding_id: str
    action: Action
    reason: ReviewReason | None = None
    """Required to reject and to correct."""
    note: str | None = None
    """Required where the reason is another one."""
    correction: Correction | None = None
    """Where the action is to correct."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """A finding that the AI did not report."""

    question: Question
    site: Site
    assessment: str = "present"
    """``present`` or ``absent``: the AI did not look there, and the reviewer did."""
    grades: tuple[Grade, ...] = ()
    shapes: tuple[Shape, ...] = ()
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """All that one person decided about the findings of one revision."""

    decisions: tuple[Decision, ...] = ()
    additions: tuple[Addition, ...] = ()
    accept_rest: bool = False
    """Accept every finding that no decision names."""


REASONS: Mapping[Action, frozenset[ReviewReason]] = {
    Action.ACCEPT: frozenset(),
    Action.REJECT: frozenset(
        {
            ReviewReason.NOT_THERE,
            ReviewReason.ARTEFACT,
            ReviewReason.OTHER_CAUSE,
            ReviewReason.IMAGE_QUALITY,
            ReviewReason.LEVEL,
            ReviewReason.GEOMETRY,
            ReviewReason.OTHER,
        }
    ),
    Action.CORRECT: frozenset(set(ReviewReason) - {ReviewReason.REPLACED, ReviewReason.IMAGE_QUALITY}),
}
"""Which reasons go with which action."""
