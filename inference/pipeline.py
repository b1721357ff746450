"""One study, from its series to what is said about it.

plan (question x series, or why not) -> per detector: load the chosen series, read it -> findings for every question.
One series that cannot be read never keeps the others from being read: its refusal becomes the answer's reason.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import takewhile
from typing import Protocol, TypeAlias

from inference.anatomy import Numbering, Site
from inference.errors import ReasonCode, SeriesRefusal, SpineError
from inference.findings import (
    FIVE_QUESTIONS,
    Absent,
    Evidence,
    Finding,
    GeometryType,
    NotAssessed,
    Present,
    Question,
    SeriesUse,
    StudyFindings,
)
from inference.geometry import Volume
from inference.provenance import ModelIdentity, tracking_uid
from inference.segmentation import Segmentation
from inference.series.eligibility import Reads, StudyPlan, plan_study
from inference.series.facts import SeriesFacts
from inference.series.role import SeriesRole, contrast_of, role_of

log = logging.getLogger(__name__)
NOT_NUMBERED = Numbering(method="none", ambiguous=True, note="No levels were counted: no spine was segmented.")

NOT_OF_THE_IMAGES = frozenset({ReasonCode.MISSING_SERIES, ReasonCode.FAULT})
"""Refusals that another series of the same role would meet as well."""

Progress = Callable[[str, float], None]
"""Called with what is being done and the fraction done, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorResult:
    """What one detector says about one series."""

    findings: tuple[Finding, ...]
    numbering: Numbering | None = None
    segmentation: Segmentation | None = None
    warnings: tuple[tuple[ReasonCode, str], ...] = ()
    refused: tuple[ReasonCode, str] | None = None
    """Why the series could not be read at all."""
    refused_for: str | None = None
    """Series Instance UID of the series whose refusal that is, where it is not the chosen one's own."""
    unread: Mapping[SeriesRole, tuple[ReasonCode, str]] = field(default_factory=dict)
    """Why a series that was to be looked at besides could not be used."""
    named_from: str | None = None
    """Series Instance UID of the series with a larger field of view that named the levels (Reads.names_from)."""


class Detector(Protocol):
    """Reads one series and answers its questions; SeriesRefusal when the pixels do not allow it."""

    @property
    def identity(self) -> ModelIdentity:
        """The model, for provenance."""
        ...

    @property
    def reads(self) -> Reads:
        """Which roles it reads and which questions it answers."""
        ...

    def read(
        self, volume: Volume, study_instance_uid: str, progress: Progress, by_role: Mapping[SeriesRole, Volume]
    ) -> DetectorResult:
        """Findings of one series; its stacks are followed by those of the series read with it (Reads.all_parts).

        ``by_role`` holds it too, and what the detector looks at besides (Reads.beside); as LOCALIZER, of whatever role,
        what it may name the levels by (Reads.names_from).
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyInput:
    """One study: its series' headers, and how to get a series' voxels (SeriesRefusal when they cannot be read)."""

    study_instance_uid: str
    series: tuple[SeriesFacts, ...]
    load: Callable[[str], Volume]
    """Volume of a SeriesInstanceUID."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyResult:
    """What was found, and the outlines that go with it."""

    findings: StudyFindings
    segmentations: tuple[Segmentation, ...]


Answer: TypeAlias = tuple[Detector, str, DetectorResult]
"""A detector, the Series Instance UID of its chosen series, and what it says."""


def _silent(_doing: str, _fraction: float) -> None:
    """Report progress to nobody."""


def read_study(
    study: StudyInput, detectors: Sequence[Detector], *, software_version: str, progress: Progress = _silent
) -> StudyResult:
    """Answer every question about a study: present, absent, or not assessed with the reason.

    A detector that fails leaves its own questions unanswered, with that reason; when no other one answered, its fault
    is raised, because a report that holds nothing but a fault of ours helps nobody.
    """
    study = replace(study, load=cache(study.load))  # a series that two detectors look at is read once
    study, plan, results = _read_all(study, detectors, progress)
    said = (_with_cause(f, detector, plan) for detector, _, result in results for f in result.findings)
    findings = _one_of_each(list(said))
    findings += _unanswered(study, plan, findings)
    findings.sort(key=lambda f: (list(Question).index(f.question), f.site.order, f.id))
    counts = [r.numbering for _, _, r in results if r.numbering is not None]
    numbering = next((n for n in counts if n.ambiguous), counts[0] if counts else NOT_NUMBERED)
    document = StudyFindings(
        study_instance_uid=study.study_instance_uid,
        series=tuple(_series_use(facts, plan, results) for facts in study.series),
        numbering=numbering,
        findings=tuple(findings),
        models=tuple(detector.identity for detector, _, _ in results),
        software_version=software_version,
    )
    return StudyResult(
        findings=document, segmentations=tuple(r.segmentation for _, _, r in results if r.segmentation is not None)
    )


def _read_all(
    study: StudyInput, detectors: Sequence[Detector], progress: Progress
) -> tuple[StudyInput, StudyPlan, list[Answer]]:
    """What each detector says, with its series; one that is refused gives way to another of its role, if there is one.

    The study comes back with the refusals that were passed over as its series' faults.
    """
    plan = plan_study(study.series, [d.reads for d in detectors])
    results: list[Answer] = []
    while (refused := _read_on(study, plan, detectors, progress, results)) is not None:
        study = _without(study, *refused)
        before, plan = plan, plan_study(study.series, [d.reads for d in detectors])
        results = _unchanged(results, before, plan)
    return study, plan, results


def _read_on(
    study: StudyInput, plan: StudyPlan, detectors: Sequence[Detector], progress: Progress, results: list[Answer]
) -> tuple[str, tuple[ReasonCode, str]] | None:
    """Add what the detectors without a result say; stops at a refused series that another one can be read for."""
    faults: list[Exception] = []
    done = {detector.reads.name for detector, _, _ in results}
    for detector in detectors:
        series_uid = plan.chosen.get(detector.reads.name)
        if series_uid is None or detector.reads.name in done:
            continue
        result = _read_series(study, plan, detector, progress, faults)
        unread = _replaceable(result, detector, plan)
        if unread is not None:
            return unread
        results.append((detector, series_uid, result))
    if faults and len(faults) == len(results):
        raise faults[0]
    return None


def _unchanged(results: Sequence[Answer], before: StudyPlan, plan: StudyPlan) -> list[Answer]:
    """The results, from the first on, of detectors that look at the same series under a new plan.

    Those after the first that does not are read again: a detector may ask an earlier one for its reading.
    """

    def holds(answer: Answer) -> bool:
        detector, _, result = answer
        name = detector.reads.name
        return result.refused is None and before.looked_at(name) == plan.looked_at(name)

    return list(takewhile(holds, results))


def _replaceable(
    result: DetectorResult, detector: Detector, plan: StudyPlan
) -> tuple[str, tuple[ReasonCode, str]] | None:
    """The series that was refused and why, where its own images were the reason and others of its role are left."""
    series_uid, *parts = plan.together(detector.reads.name)
    if result.refused is None or result.refused[0] in NOT_OF_THE_IMAGES:
        return None
    if result.refused_for is not None:
        return (result.refused_for, result.refused) if result.refused_for in parts else None
    roles = {facts.series_instance_uid: role_of(facts) for facts in plan.series}
    has_others = any(roles[left] is roles[series_uid] for left in (*plan.left_out, *parts))
    return (series_uid, result.refused) if has_others else None


def _without(study: StudyInput, series_uid: str, reason: tuple[ReasonCode, str]) -> StudyInput:
    series = (replace(f, fault=reason) if f.series_instance_uid == series_uid else f for f in study.series)
    return replace(study, series=tuple(series))


def _with_cause(finding: Finding, detector: Detector, plan: StudyPlan) -> Finding:
    """Where a detector lacks a series: what is wrong with the one that the study has, if it has one."""
    if not isinstance(finding.assessment, NotAssessed) or finding.assessment.reason is not ReasonCode.MISSING_SERIES:
        return finding
    reads = detector.reads
    cause = plan.shortcoming(finding.question, {*reads.roles, *reads.beside})
    if cause is None:
        return finding
    sentence = f"{finding.assessment.sentence} The study has one, but {cause[1]}."
    return replace(finding, assessment=NotAssessed(reason=cause[0], sentence=sentence))


def _one_of_each(findings: Sequence[Finding]) -> list[Finding]:
    """One finding for each question and site, with what every detector measured there."""
    merged: dict[str, Finding] = {}
    for finding in findings:
        earlier = merged.get(finding.id)
        merged[finding.id] = finding if earlier is None else _joined(earlier, finding)
    return list(merged.values())


def _joined(earlier: Finding, later: Finding) -> Finding:
    """The later detector's answer, where it gives one: detectors read in the order in which they look closer.

    Where one says present and the other absent, present stands: a second reader does not lose a finding. What the
    other one measured and drew is kept, and the grades that follow from it.
    """
    answer, other = (later, earlier) if _rank(later) >= _rank(earlier) else (earlier, later)
    measured = {measurement.name for measurement in answer.measurements}
    added = tuple(m for m in other.measurements if m.name not in measured)
    names = {measurement.name for measurement in added}
    scales = {grade.scale for grade in answer.grades}
    return replace(
        answer,
        grades=answer.grades + tuple(grade for grade in other.grades if grade.scale not in scales),
        measurements=answer.measurements + added,
        evidence=answer.evidence + tuple(e for e in other.evidence if e.measurement in names or _is_outline(e)),
    )


def _rank(finding: Finding) -> int:
    """Present before absent before no answer."""
    match finding.assessment:
        case Present():
            return 2
        case Absent():
            return 1
        case NotAssessed():
            return 0


def _is_outline(evidence: Evidence) -> bool:
    return evidence.measurement is None and evidence.geometry.type is GeometryType.POLYLINE


def _read_series(
    study: StudyInput, plan: StudyPlan, detector: Detector, progress: Progress, faults: list[Exception]
) -> DetectorResult:
    """What one detector says, or why it says nothing; a fault of it is kept in `faults`."""
    series_uid = plan.chosen[detector.reads.name]
    try:
        progress("reading images", 0.0)
        volume = _with_parts(study, study.load(series_uid), plan.parts[detector.reads.name])
        besides, unread = _beside(study, plan.beside[detector.reads.name])
        names_from = plan.names_from.get(detector.reads.name)
        if names_from is not None:
            besides |= _beside(study, {SeriesRole.LOCALIZER: names_from})[0]
        by_role = {_role_in(study, series_uid): volume, **besides}
        result = detector.read(volume, study.study_instance_uid, progress, by_role)
        return replace(result, unread={**unread, **result.unread})
    except SeriesRefusal as refusal:
        refused = _refused(study, detector, refusal.code, refusal.sentence)
        why = (refusal.code, f"not looked at, as the series that it goes with was refused: {refusal.sentence}")
        unread = dict.fromkeys(plan.beside[detector.reads.name], why)
        return replace(refused, unread=unread, refused_for=refusal.series_instance_uid)
    except (SpineError, MemoryError):  # of the study or the machine, not of this detector
        raise
    except Exception as fault:  # noqa: BLE001 - the boundary of one detector: the others' answers are not its business
        faults.append(fault)
        kind = type(fault).__name__
        # Not log.exception: the text of an exception may quote a dataset.
        log.error("detector_fault", extra={"error": kind, "series_instance_uid": series_uid})  # noqa: TRY400
        sentence = f"{detector.identity.name} failed on this series ({kind}): a fault of the program"
        return _refused(study, detector, ReasonCode.FAULT, sentence)


def _with_parts(study: StudyInput, volume: Volume, series_uids: Sequence[str]) -> Volume:
    """The volume of the chosen series with the stacks of those that show other parts of the spine."""
    stacks: list[Volume] = []
    for series_uid in series_uids:
        try:
            part = study.load(series_uid)
        except SeriesRefusal as refusal:
            raise SeriesRefusal(refusal.sentence, code=refusal.code, series_instance_uid=series_uid) from refusal
        stacks += [replace(part, other_stacks=()), *part.other_stacks]
    return replace(volume, other_stacks=(*volume.other_stacks, *stacks)) if stacks else volume


def _beside(
    study: StudyInput, wanted: Mapping[SeriesRole, str]
) -> tuple[dict[SeriesRole, Volume], dict[SeriesRole, tuple[ReasonCode, str]]]:
    """The volumes that a detector looks at besides, and why one could not be read: that is as if it were not there."""
    volumes, unread = {}, {}
    for role, series_uid in wanted.items():
        try:
            volumes[role] = study.load(series_uid)
        except SeriesRefusal as refusal:
            unread[role] = (refusal.code, refusal.sentence)
    return volumes, unread


def _role_in(study: StudyInput, series_uid: str) -> SeriesRole:
    return role_of(next(facts for facts in study.series if facts.series_instance_uid == series_uid))


def _refused(study: StudyInput, detector: Detector, code: ReasonCode, sentence: str) -> DetectorResult:
    """None of a detector's questions answered, all for the same reason."""
    questions = sorted(detector.reads.questions)
    return DetectorResult(
        findings=tuple(_not_assessed(study, q, code, sentence, detector.identity.name) for q in questions),
        refused=(code, sentence),
    )


def _unanswered(study: StudyInput, plan: StudyPlan, findings: Sequence[Finding]) -> list[Finding]:
    answered = {f.question for f in findings}
    return [_not_assessed(study, q, *plan.refusal(q), None) for q in FIVE_QUESTIONS if q not in answered]


def _not_assessed(study: StudyInput, question: Question, code: ReasonCode, sentence: str, model: str | None) -> Finding:
    return Finding(
        id=tracking_uid(study.study_instance_uid, question),
        question=question,
        site=Site(),
        assessment=NotAssessed(reason=code, sentence=sentence),
        model=model,
    )


def _series_use(facts: SeriesFacts, plan: StudyPlan, results: Sequence[Answer]) -> SeriesUse:
    uid, role = facts.series_instance_uid, role_of(facts)
    readers = [(d, r) for d, _, r in results if uid in plan.together(d.reads.name)]
    besides = [(d, r) for d, _, r in results if uid in plan.beside[d.reads.name].values()]
    reasons = [r.refused for _, r in readers]
    reasons += [r.unread.get(role) for _, r in besides]
    named = [d for d, _, r in results if r.named_from == uid]
    used_by = [d for d, _ in readers] + [d for d, r in besides if role not in r.unread] + named
    refused = reasons[0] if reasons and all(reasons) else None
    if not reasons and not named:
        refused = plan.series_refusal(uid)
    warnings = [w for _, r in readers for w in r.warnings]
    if not reasons and not named and uid in plan.left_out:
        warnings = [(ReasonCode.NOT_CHOSEN, plan.left_out[uid]), *plan.shortcomings(uid)]
    return SeriesUse(
        uid=uid,
        modality=facts.modality,
        plane=facts.plane.value,
        contrast=contrast_of(facts).value,
        role=role.value,
        used_by=tuple(sorted({detector.identity.name for detector in used_by})),
        refused=refused,
        warnings=() if refused else tuple(dict.fromkeys(warnings)),
    )
