"""One study, from its series to what is said about it.

plan (question x series, or why not) -> per detector: load the chosen series, read it -> findings for every question.
One series that cannot be read never keeps the others from being read: its refusal becomes the answer's reason.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Protocol

from inference.anatomy import Numbering, Site
from inference.errors import ReasonCode, SeriesRefusal, SpineError
from inference.findings import FIVE_QUESTIONS, Finding, NotAssessed, Question, SeriesUse, StudyFindings
from inference.geometry import Volume
from inference.provenance import ModelIdentity, tracking_uid
from inference.segmentation import Segmentation
from inference.series.eligibility import Reads, StudyPlan, plan_study
from inference.series.facts import SeriesFacts
from inference.series.role import SeriesRole, contrast_of, role_of

log = logging.getLogger(__name__)
NOT_NUMBERED = Numbering(method="none", ambiguous=True, note="No levels were counted: no spine was segmented.")

Progress = Callable[[str, float], None]
"""Called with what is being done and the fraction done, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorResult:
    """What one detector says about one series."""

    findings: tuple[Finding, ...]
    numbering: Numbering | None = None
    segmentation: Segmentation | None = None
    warnings: tuple[tuple[ReasonCode, str], ...] = ()
    not_used: Mapping[str, tuple[ReasonCode, str]] = field(default_factory=dict)
    """Why a series that the detector looked at besides was not used after all, by Series Instance UID."""


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
        """Findings of one series; ``by_role`` holds it too, and what the detector looks at besides (Reads.beside)."""
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


def _silent(_doing: str, _fraction: float) -> None:
    """Report progress to nobody."""


def read_study(
    study: StudyInput, detectors: Sequence[Detector], *, software_version: str, progress: Progress = _silent
) -> StudyResult:
    """Answer every question about a study: present, absent, or not assessed with the reason.

    A detector that fails leaves its own questions unanswered, with that reason; when no other one answered, its fault
    is raised, because a report that holds nothing but a fault of ours helps nobody.
    """
    plan = plan_study(study.series, [d.reads for d in detectors])
    study = replace(study, load=cache(study.load))  # a series that two detectors look at is read once
    results: list[tuple[Detector, str, DetectorResult]] = []
    faults: list[Exception] = []
    for detector in detectors:
        series_uid = plan.chosen.get(detector.reads.name)
        if series_uid is not None:
            results.append((detector, series_uid, _read_series(study, plan, detector, progress, faults)))
    if faults and len(faults) == len(results):
        raise faults[0]
    findings = _one_of_each([f for _, _, result in results for f in result.findings])
    findings += _unanswered(study, plan, findings)
    findings.sort(key=lambda f: (list(Question).index(f.question), f.site.order, f.id))
    numbering = next((r.numbering for _, _, r in results if r.numbering is not None), NOT_NUMBERED)
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


def _one_of_each(findings: Sequence[Finding]) -> list[Finding]:
    """One finding for each question and site, with what every detector measured there."""
    merged: dict[str, Finding] = {}
    for finding in findings:
        earlier = merged.get(finding.id)
        merged[finding.id] = finding if earlier is None else _joined(earlier, finding)
    return list(merged.values())


def _joined(earlier: Finding, later: Finding) -> Finding:
    """The later detector's answer, where it gives one: detectors read in the order in which they look closer."""
    is_better = not isinstance(later.assessment, NotAssessed) or isinstance(earlier.assessment, NotAssessed)
    answer, other = (later, earlier) if is_better else (earlier, later)
    measured = {measurement.name for measurement in answer.measurements}
    added = tuple(m for m in other.measurements if m.name not in measured)
    names = {measurement.name for measurement in added}
    return replace(
        answer,
        measurements=answer.measurements + added,
        evidence=answer.evidence + tuple(e for e in other.evidence if e.measurement in names),
    )


def _read_series(
    study: StudyInput, plan: StudyPlan, detector: Detector, progress: Progress, faults: list[Exception]
) -> DetectorResult:
    """What one detector says, or why it says nothing; a fault of it is kept in `faults`."""
    series_uid = plan.chosen[detector.reads.name]
    try:
        progress("reading images", 0.0)
        volume = study.load(series_uid)
        by_role = {_role_in(study, series_uid): volume, **_beside(study, plan.beside[detector.reads.name])}
        return detector.read(volume, study.study_instance_uid, progress, by_role)
    except SeriesRefusal as refusal:
        return _refused(study, detector, refusal.code, refusal.sentence)
    except (SpineError, MemoryError):  # of the study or the machine, not of this detector
        raise
    except Exception as fault:  # noqa: BLE001 - the boundary of one detector: the others' answers are not its business
        faults.append(fault)
        kind = type(fault).__name__
        # Not log.exception: the text of an exception may quote a dataset.
        log.error("detector_fault", extra={"error": kind, "series_instance_uid": series_uid})  # noqa: TRY400
        sentence = f"{detector.identity.name} failed on this series ({kind}): a fault of the program"
        return _refused(study, detector, ReasonCode.FAULT, sentence)


def _beside(study: StudyInput, wanted: Mapping[SeriesRole, str]) -> dict[SeriesRole, Volume]:
    """The volumes that a detector looks at besides; one that cannot be read is as if it were not there."""
    volumes = {}
    for role, series_uid in wanted.items():
        try:
            volumes[role] = study.load(series_uid)
        except SeriesRefusal as refusal:
            log.info("series_left_out", extra={"reason": refusal.code.value, "series_instance_uid": series_uid})
    return volumes


def _role_in(study: StudyInput, series_uid: str) -> SeriesRole:
    return role_of(next(facts for facts in study.series if facts.series_instance_uid == series_uid))


def _refused(study: StudyInput, detector: Detector, code: ReasonCode, sentence: str) -> DetectorResult:
    """None of a detector's questions answered, all for the same reason."""
    questions = sorted(detector.reads.questions)
    return DetectorResult(
        findings=tuple(_not_assessed(study, q, code, sentence, detector.identity.name) for q in questions),
        warnings=((code, sentence),),
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


def _series_use(
    facts: SeriesFacts, plan: StudyPlan, results: Sequence[tuple[Detector, str, DetectorResult]]
) -> SeriesUse:
    uid = facts.series_instance_uid
    looked = [(d, r) for d, _, r in results if uid in plan.read_by(d.reads.name)]
    readers = [(d, r) for d, r in looked if uid not in r.not_used]
    reasons = [r.warnings[0] if r.warnings and r.segmentation is None else None for _, r in readers]
    refused = reasons[0] if reasons and all(reasons) else None
    if not readers:
        refused = next((r.not_used[uid] for _, r in looked), None) or plan.series_refusal(uid)
    return SeriesUse(
        uid=uid,
        modality=facts.modality,
        plane=facts.plane.value,
        contrast=contrast_of(facts).value,
        role=role_of(facts).value,
        used_by=tuple(sorted(d.identity.name for d, _ in readers)),
        refused=refused,
    )
