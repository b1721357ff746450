"""From findings and a review of them to the reviewed findings.

Explicit decisions win over "accept the rest": where the reviewer moves a finding to another level or adds one, what the
AI said to that question there is replaced (``R_REPLACED``), unless it was decided by name, which is a contradiction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from inference.errors import ReasonCode
from inference.findings import (
    Absent,
    Assessment,
    Calibration,
    DocumentReview,
    Finding,
    FindingReview,
    NotAssessed,
    Present,
    ReviewReason,
    ReviewStatus,
    StudyFindings,
)
from inference.provenance import tracking_uid
from inference.review.images import Images
from inference.review.refusal import ReviewFault, ReviewRefusal
from inference.review.review import REASONS, Action, Addition, Correction, Decision, Review
from inference.review.scales import check_grades, check_level
from inference.review.shapes import marks, redrawn

ANSWERS: Mapping[str, Assessment] = {"present": Present(), "absent": Absent()}
FROM_LEVEL_NORMS = frozenset({"height_z_score"})
"""Measurements that compare with what is normal at one level (inference.measure.morphometry): they do not move."""
REASON_WORDS: Mapping[ReviewReason, str] = {
    ReviewReason.NOT_THERE: "it is not there",
    ReviewReason.MISSED: "it was missed",
    ReviewReason.ARTEFACT: "an artefact",
    ReviewReason.OTHER_CAUSE: "another cause",
    ReviewReason.IMAGE_QUALITY: "the images do not allow the answer",
    ReviewReason.LEVEL: "another level",
    ReviewReason.GRADE: "another grade",
    ReviewReason.GEOMETRY: "mark or outline in the wrong place",
    ReviewReason.REPLACED: "another finding stands at this site",
    ReviewReason.OTHER: "another reason",
}


def apply_review(findings: StudyFindings, review: Review, about: DocumentReview, images: Images) -> StudyFindings:
    """The reviewed findings: every one with its review, those that were added last.

    Args:
        findings: As the AI gave them.
        review: What was decided.
        about: Who, when and which revision.
        images: The images of the study, for shapes that the reviewer drew.

    Raises:
        ReviewRefusal: the review does not fit these findings.
    """
    if findings.review is not None:
        raise ReviewRefusal("A review is of the findings as the AI gave them.", fault=ReviewFault.SUPERSEDED)
    by_id = {finding.id: finding for finding in findings.findings}
    decisions = _decisions(review, by_id)
    name = about.reviewer.display_name
    reviewed = [_decided(f, decisions.get(f.id), name, images) for f in findings.findings]
    added = [_added(addition, findings.study_instance_uid, name, images) for addition in review.additions]
    if len({finding.id for finding in added}) < len(added):
        raise ReviewRefusal("A finding is added once at its site, got two.", fault=ReviewFault.CONTRADICTION)
    together = tuple(_without_replaced([*reviewed, *added], decisions, name))
    return replace(findings, findings=together, review=about)


def _decisions(review: Review, by_id: Mapping[str, Finding]) -> dict[str, Decision]:
    decisions = {decision.finding_id: decision for decision in review.decisions}
    if len(decisions) < len(review.decisions):
        raise ReviewRefusal("Each finding is decided once, got two decisions for one.", fault=ReviewFault.FINDING)
    for decision in review.decisions:
        if decision.finding_id not in by_id:
            raise ReviewRefusal(f"This revision has no finding {decision.finding_id}.", fault=ReviewFault.FINDING)
        _check_reason(decision)
    undecided = len(by_id) - len(decisions)
    if undecided and not review.accept_rest:
        raise ReviewRefusal(
            f"{undecided} of {len(by_id)} findings are not decided; decide each, or accept the rest.",
            fault=ReviewFault.INCOMPLETE,
        )
    return decisions


def _check_reason(decision: Decision) -> None:
    allowed = REASONS[decision.action]
    if decision.reason not in (allowed or {None}):
        words = f"one of {', '.join(sorted(allowed))}" if allowed else "none"
        got = "none" if decision.reason is None else decision.reason.value
        raise ReviewRefusal(f"The reason to {decision.action} is {words}, got {got}.", fault=ReviewFault.REASON)
    if decision.reason is ReviewReason.OTHER and not (decision.note or "").strip():
        raise ReviewRefusal("Another reason is said in a note, got none.", fault=ReviewFault.REASON)
    if (decision.correction is not None) is not (decision.action is Action.CORRECT):
        raise ReviewRefusal("A correction goes with the action correct, and only with it.", fault=ReviewFault.EMPTY)


def _decided(finding: Finding, decision: Decision | None, name: str, images: Images) -> Finding:
    if decision is None or decision.action is Action.ACCEPT:
        note = None if decision is None else decision.note
        return replace(finding, review=FindingReview(status=ReviewStatus.ACCEPTED, reviewer=name, note=note))
    if decision.action is Action.REJECT or decision.correction is None:
        return _rejected(finding, decision.reason, decision.note, name)
    corrected, changed = _corrected(finding, decision.correction, images)
    review = FindingReview(
        status=ReviewStatus.CORRECTED,
        reviewer=name,
        reason=decision.reason,
        note=decision.note,
        changed=changed,
        original=finding,
    )
    return replace(corrected, review=review)


def _rejected(finding: Finding, reason: ReviewReason | None, note: str | None, name: str) -> Finding:
    """Nothing is said any more: a program that does not know reviews must not take it for an answer."""
    why = REASON_WORDS[reason or ReviewReason.OTHER]
    return Finding(
        id=finding.id,
        question=finding.question,
        site=finding.site,
        assessment=NotAssessed(reason=ReasonCode.REJECTED, sentence=f"Rejected by {name}: {why}."),
        model=finding.model,
        review=FindingReview(status=ReviewStatus.REJECTED, reviewer=name, reason=reason, note=note, original=finding),
    )


def _corrected(finding: Finding, correction: Correction, images: Images) -> tuple[Finding, tuple[str, ...]]:
    """The finding as it is right, and what was changed."""
    right = _with_level(finding, correction.level)
    right = _with_answer(right, correction.assessment)
    if correction.grades:
        check_grades(finding.question, correction.grades)
        new = {grade.scale for grade in correction.grades}
        right = replace(right, grades=(*(g for g in right.grades if g.scale not in new), *correction.grades))
    if correction.shapes:
        right = redrawn(right, correction.shapes, images)
    changed = (
        ("level", right.site != finding.site),
        ("assessment", right.assessment != finding.assessment),
        ("grades", bool(correction.grades) and _values(right) != _values(finding)),
        ("evidence", right.evidence != finding.evidence),
    )
    names = tuple(what for what, is_changed in changed if is_changed)
    if not names:
        raise ReviewRefusal(f"The correction of finding {finding.id} changes nothing.", fault=ReviewFault.EMPTY)
    return right, names


def _values(finding: Finding) -> set[tuple[str, str]]:
    return {(grade.scale, grade.value) for grade in finding.grades}


def _with_level(finding: Finding, level: str | None) -> Finding:
    if level is None or level == finding.site.level:
        return finding
    check_level(level, finding.question, finding.site)
    kept = tuple(m for m in finding.measurements if m.name not in FROM_LEVEL_NORMS)
    return replace(finding, site=replace(finding.site, level=level), measurements=kept)


def _with_answer(finding: Finding, answer: str | None) -> Finding:
    """With another answer the AI's grades, probability and operating point do not hold any more."""
    if answer is None or finding.assessment == _answer(answer):
        return finding
    return replace(
        finding,
        assessment=_answer(answer),
        grades=(),
        probability=None,
        calibration=Calibration.NONE,
        operating_point=None,
        note=None,
    )


def _answer(word: str) -> Assessment:
    if word not in ANSWERS:
        raise ReviewRefusal(
            f"A reviewer's assessment is present or absent, got {word!r}; who wants to say neither rejects.",
            fault=ReviewFault.ASSESSMENT,
        )
    return ANSWERS[word]


def _added(addition: Addition, study_instance_uid: str, name: str, images: Images) -> Finding:
    site = addition.site
    if site.level is not None:
        check_level(site.level, addition.question)
    check_grades(addition.question, addition.grades)
    answer = _answer(addition.assessment)
    reason = ReviewReason.MISSED if isinstance(answer, Present) else None
    return Finding(
        id=tracking_uid(study_instance_uid, "added", addition.question, *map(str, site.order)),
        question=addition.question,
        site=site,
        assessment=answer,
        grades=addition.grades,
        evidence=marks(addition.shapes, images),
        review=FindingReview(status=ReviewStatus.ADDED, reviewer=name, reason=reason, note=addition.note),
    )


def _without_replaced(findings: list[Finding], decisions: Mapping[str, Decision], name: str) -> Iterator[Finding]:
    """At a site where the reviewer put a finding, nothing else of its question stands."""
    put = {(f.question, f.site): f.id for f in findings if _was_put(f)}
    for finding in findings:
        owner = put.get((finding.question, finding.site), finding.id)
        if owner == finding.id or _is_rejected(finding):
            yield finding
        elif finding.id in decisions or _was_put(finding):
            raise ReviewRefusal(
                f"Two answers to {finding.question.value} would stand at {finding.site.level or 'the spine'}; "
                "reject one of them.",
                fault=ReviewFault.CONTRADICTION,
            )
        else:
            yield _rejected(replace(finding, review=None), ReviewReason.REPLACED, None, name)


def _was_put(finding: Finding) -> bool:
    """Whether the reviewer put it where it is."""
    review = finding.review
    return review is not None and (review.status is ReviewStatus.ADDED or "level" in review.changed)


def _is_rejected(finding: Finding) -> bool:
    return finding.review is not None and finding.review.status is ReviewStatus.REJECTED
