"""What findings add to a verdict by the reports: a disagreement for a person, and prompts; never a better verdict.

``with_findings`` can only put CONTRADICTS in a verdict's place and add to its prompts, whatever the findings are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from claims.engine.material import Material
from claims.engine.view import Outcome, View
from claims.engine.words import finding_pointers, study_pointer
from claims.evidence import Verdict
from claims.report import Polarity
from claims.study import Study
from inference.anatomy import Vertebra, parse_level
from inference.findings import (
    CHRONIC_APPEARING,
    Absent,
    Finding,
    Present,
    Question,
    ReviewReason,
    ReviewStatus,
    StudyFindings,
)

DEFORMED = frozenset({"1", "2", "3"})
"""Genant grades of a body that lost height: below the operating point the AI saw it and did not call it."""
DENYING = frozenset({ReviewReason.NOT_THERE, ReviewReason.ARTEFACT, ReviewReason.OTHER_CAUSE})
"""Reasons for which a physician rejects a finding that mean there is none; the others say nothing of the body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One finding, the document that it is of, and the study."""

    finding: Finding
    document: StudyFindings
    study: Study

    @property
    def is_reviewed(self) -> bool:
        """Whether a physician answers for it."""
        return self.document.review is not None and self.finding.review is not None

    @property
    def whose(self) -> str:
        """``the AI findings of the MR study of 2026-02-01``."""
        return f"the {'reviewed' if self.is_reviewed else 'AI'} findings of the {study_pointer(self.study).text}"


def seen(material: Material, question: Question, body: Vertebra | None) -> tuple[Seen, ...]:
    """The findings of a question at a body, or at a disc beside it; oldest study first."""
    studies = {study.uid: study for study in material.studies}
    return tuple(
        Seen(finding=finding, document=document, study=studies[document.study_instance_uid])
        for document in material.findings
        for finding in document.of(question)
        if body is not None and finding.site.level and body in _bodies(finding.site.level)
    )


def _bodies(level: str) -> tuple[Vertebra, ...]:
    parsed = parse_level(level)
    return (parsed,) if isinstance(parsed, Vertebra) else (parsed.above, parsed.below)


def with_findings(outcome: Outcome, view: View) -> Outcome:
    """The outcome with what the newest findings at the body raise."""
    question = view.rule.question
    found = seen(view.material, question, view.body) if question else ()
    newest = [one for one in found if one.study.uid == found[-1].study.uid]
    is_denied = all(_denies(one.finding) for one in newest)
    for one in newest:
        for raised in _raised(one, view, outcome.verdict, is_denied=is_denied):
            outcome = replace(
                outcome,
                verdict=raised.verdict,
                sentence=_joined(outcome.sentence, raised.sentence),
                prompts=outcome.prompts + raised.prompts,
                pointers=outcome.pointers + raised.pointers,
            )
    return outcome


def _joined(before: str, raised: str) -> str:
    """Both sentences, each once: both discs beside a body may raise the same."""
    return before if raised in before else f"{before} {raised}".strip()


def _raised(one: Seen, view: View, verdict: Verdict, *, is_denied: bool) -> Iterator[Outcome]:
    words, pointers = view.rule.finding_words, finding_pointers(one.finding, one.document, one.study)
    ask = f"Ask a radiologist to look at {view.at} again."
    if one.document.numbering.ambiguous:
        asked = f"The software is not certain of the levels of the {study_pointer(one.study).text}: compare {view.at}."
        yield Outcome(verdict=verdict, sentence="", prompts=view.prompt("compare_numbering", asked))
    if Polarity.AFFIRMED in view.polarities and is_denied:
        sentence = f"The signed report names {words} at {view.at}, but {one.whose} say that there is none."
        prompts = view.prompt("resolve_disagreement", f"{sentence} {ask}")
        yield Outcome(verdict=Verdict.CONTRADICTS, sentence=sentence, prompts=prompts, pointers=pointers)
    if view.polarities == {Polarity.NEGATED} and isinstance(one.finding.assessment, Present):
        sentence = f"{one.whose[:1].upper()}{one.whose[1:]} show {words} at {view.at}, but the signed report does not."
        prompts = view.prompt("resolve_disagreement", f"{sentence} {ask}")
        yield Outcome(verdict=Verdict.CONTRADICTS, sentence=sentence, prompts=prompts, pointers=pointers)
    is_fresh = any(said.statement.polarity is Polarity.AFFIRMED for said in view.sign)
    if is_fresh and any(grade.scale == "acuity" and grade.value == CHRONIC_APPEARING for grade in one.finding.grades):
        sentence = f"The report names {view.rule.sign_words} at {view.at}; in {one.whose} it appears old."
        prompts = view.prompt("resolve_disagreement", f"{sentence} {ask}")
        yield Outcome(verdict=verdict, sentence="", prompts=prompts, pointers=pointers)


def _denies(finding: Finding) -> bool:
    """Absent, and not merely below the operating point; what a physician rejected is that whatever its grade was."""
    if finding.review is not None and finding.review.status is ReviewStatus.REJECTED:
        return finding.review.reason in DENYING
    deformed = any(grade.scale == "genant" and grade.value in DEFORMED for grade in finding.grades)
    return isinstance(finding.assessment, Absent) and not deformed
