"""In which order somebody should look at studies: the first line of the table PRIORITIES that fits a study.

What was not read or not assessed has a line of its own; silence never reads as normal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from dicom_node.store import StudyState
from inference.findings import (
    ACUTE_APPEARING,
    CHRONIC_APPEARING,
    FIVE_QUESTIONS,
    Finding,
    NotAssessed,
    Present,
    Question,
    ReviewReason,
    ReviewStatus,
    StudyFindings,
)
from inference.findings.summary import NAMES, summarise
from server.overlay_words import describe, describe_answer, is_rejected, said

NOT_READ = frozenset({StudyState.FAILED, StudyState.REFUSED})
SEVERE = frozenset({("canal_narrowing", "absolute"), ("sac_narrowing", "absolute")})
"""Grades (scale, value) that are called severe: narrower than the cut-off of absolute stenosis (inference.stenosis)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """A finding that was called present."""

    id: str
    question: Question
    level: str | None
    text: str
    grades: frozenset[tuple[str, str]]
    """(scale, value)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """A question that was not assessed for one reason, at some levels or for the study."""

    question: Question
    name: str
    reason: str
    sentence: str
    """Of the first level."""
    levels: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a reviewer changed, rejected or added."""

    id: str
    status: ReviewStatus
    ai: str | None
    """What the AI had said; None where it said nothing."""
    reviewed: str | None
    """What the reviewer said; None where it was rejected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a worklist says of one findings document."""

    called: tuple[Called, ...]
    answers: tuple[tuple[Question, str], ...]
    """One line for each of the five questions."""
    not_assessed: tuple[Unanswered, ...]
    nothing_assessed: bool
    numbering_note: str | None
    """Why the level names are uncertain; None where they are not."""
    changes: tuple[Change, ...] = ()
    """Empty where nobody reviewed it, and where everything was accepted."""


class Alarm(StrEnum):
    """How loudly a priority is shown."""

    URGENT = "urgent"
    ATTENTION = "attention"
    ROUTINE = "routine"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a priority is decided from."""

    state: StudyState
    summary: Summary | None
    """Of the newest revision that has findings."""

    @property
    def is_read(self) -> bool:
        """Whether the newest revision was read to its end."""
        return self.summary is not None and self.state is StudyState.DONE

    @property
    def called(self) -> tuple[Called, ...]:
        """What was called present."""
        return self.summary.called if self.summary else ()

    def grades_of(self, question: Question) -> Iterator[frozenset[tuple[str, str]]]:
        """The grades of each finding of a question that was called present."""
        return (called.grades for called in self.called if called.question is question)


@dataclass(frozen=True, slots=True, kw_only=True)
class Priority:
    """One line of the order."""

    code: str
    label: str
    alarm: Alarm
    fits: Callable[[Seen], bool]


def _is_acute(seen: Seen) -> bool:
    return any(("acuity", ACUTE_APPEARING) in grades for grades in seen.grades_of(Question.COMPRESSION_FRACTURE))


def _is_open(seen: Seen) -> bool:
    return any(("acuity", CHRONIC_APPEARING) not in grades for grades in seen.grades_of(Question.COMPRESSION_FRACTURE))


PRIORITIES: tuple[Priority, ...] = (
    Priority(code="acute_fracture", label="Acute-appearing fracture", alarm=Alarm.URGENT, fits=_is_acute),
    Priority(
        code="severe_stenosis",
        label="Severe canal stenosis",
        alarm=Alarm.URGENT,
        fits=lambda seen: any(grades & SEVERE for grades in seen.grades_of(Question.STENOSIS)),
    ),
    Priority(code="fracture", label="Fracture, acuity open", alarm=Alarm.ATTENTION, fits=_is_open),
    Priority(
        code="not_read",
        label="Not read",
        alarm=Alarm.ATTENTION,
        fits=lambda seen: seen.state in NOT_READ or (seen.state is StudyState.DONE and seen.summary is None),
    ),
    Priority(
        code="chronic_fracture",
        label="Chronic-appearing fracture",
        alarm=Alarm.ROUTINE,
        fits=lambda seen: any(seen.grades_of(Question.COMPRESSION_FRACTURE)),
    ),
    Priority(code="finding", label="Other finding", alarm=Alarm.ROUTINE, fits=lambda seen: bool(seen.called)),
    Priority(
        code="not_assessed",
        label="Nothing assessed",
        alarm=Alarm.ROUTINE,
        fits=lambda seen: seen.is_read and seen.summary is not None and seen.summary.nothing_assessed,
    ),
    Priority(
        code="nothing_called", label="Nothing called where assessed", alarm=Alarm.NONE, fits=lambda seen: seen.is_read
    ),
    Priority(code="waiting", label="Not read yet", alarm=Alarm.NONE, fits=lambda _: True),
)
"""What comes first, from top to bottom; the last line fits every study."""


def priority_of(seen: Seen) -> tuple[int, Priority]:
    """The place in the order, from 1, and the priority."""
    return next((rank, line) for rank, line in enumerate(PRIORITIES, start=1) if line.fits(seen))


def summary_of(document: StudyFindings) -> Summary:
    """What the worklist says of a document."""
    return Summary(
        called=tuple(_called(finding) for finding in document.findings if isinstance(finding.assessment, Present)),
        answers=tuple((question, summarise(question, document)) for question in FIVE_QUESTIONS),
        not_assessed=_not_assessed(document),
        nothing_assessed=all(isinstance(finding.assessment, NotAssessed) for finding in document.findings),
        numbering_note=document.numbering.note if document.numbering.ambiguous else None,
        changes=tuple(_changes(document)),
    )


def _changes(document: StudyFindings) -> Iterator[Change]:
    """What was accepted is no change, and neither is what another finding of the reviewer's stands for."""
    for finding in document.findings:
        review = finding.review
        if review is None or review.status is ReviewStatus.ACCEPTED or review.reason is ReviewReason.REPLACED:
            continue
        is_added = review.status is ReviewStatus.ADDED
        yield Change(
            id=finding.id,
            status=review.status,
            ai=None if is_added else describe_answer(review.original or said(finding)),
            reviewed=None if is_rejected(finding) else describe_answer(finding),
        )


def _called(finding: Finding) -> Called:
    return Called(
        id=finding.id,
        question=finding.question,
        level=finding.site.level,
        text=describe(finding),
        grades=frozenset((grade.scale, grade.value) for grade in finding.grades),
    )


def _not_assessed(document: StudyFindings) -> tuple[Unanswered, ...]:
    """Each question with each reason once; foramina, which are never judged, are left out."""
    groups: dict[tuple[Question, str], list[Finding]] = {}
    for finding in document.findings:
        if isinstance(finding.assessment, NotAssessed) and finding.site.region is None and not is_rejected(finding):
            groups.setdefault((finding.question, finding.assessment.reason.value), []).append(finding)
    return tuple(
        Unanswered(
            question=question,
            name=NAMES[question],
            reason=reason,
            sentence=group[0].assessment.sentence if isinstance(group[0].assessment, NotAssessed) else "",
            levels=tuple(finding.site.level for finding in group if finding.site.level),
        )
        for (question, reason), group in groups.items()
    )
