"""Detector: grades of each disc on sagittal T1 and T2, from what the segmentation outlines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inference.anatomy import EndplateSide, Site, Vertebra
from inference.errors import BundleRefusal, ReasonCode, SeriesRefusal
from inference.findings import Absent, Calibration, Finding, Grade, NotAssessed, Present, Question
from inference.geometry import FloatArray, Volume
from inference.measure.naming import named_as, with_doubt
from inference.measure.reading import DiscReading, SpineReading, Unmeasured
from inference.modic_findings import TypeCall, with_type
from inference.pipeline import DetectorResult, Progress
from inference.provenance import ModelIdentity
from inference.series.eligibility import Reads
from inference.series.role import SeriesRole
from inference.spine_findings import Subject, disc_finding
from models.bundle import Bundle
from models.disc_crops import CHANNELS, SIDE, Contrast, view_discs
from models.disc_grades import (
    DEGENERATED,
    NEEDS,
    OUTPUTS,
    PFIRRMANN_STEPS,
    WITH_SLIP,
    Scale,
    Sign,
    Vote,
    pfirrmann_of,
    scales_of,
)
from models.disc_slips import loose_slips_of, slip_size, slips_of
from models.engines import Engine
from models.modic_types import OutlinedSeries, tell_types
from models.mr_sagittal import MrSagittalDetector

CONTRASTS: Mapping[SeriesRole, Contrast] = {
    SeriesRole.MR_SAGITTAL_T2: Contrast.T2,
    SeriesRole.MR_SAGITTAL_T1: Contrast.T1,
}
"""Series without fat saturation, which hides the fat of marrow: the training images have none."""
QUESTIONS: Mapping[Sign, Question] = {
    Sign.NARROWING: Question.DISC_NARROWING,
    Sign.BULGING: Question.DISC_BULGING,
    Sign.HERNIATION: Question.DISC_HERNIATION,
    Sign.LISTHESIS: Question.SPONDYLOLISTHESIS,
    Sign.MODIC: Question.MODIC,
    Sign.UPPER_ENDPLATE: Question.ENDPLATE_CHANGE,
    Sign.LOWER_ENDPLATE: Question.ENDPLATE_CHANGE,
}
NO_BODIES = Unmeasured(reason=ReasonCode.UNCERTAIN, sentence="the bodies beside the disc were not told apart")
LARGE_STEP_PERCENT = 20.0
"""Of the endplate; our own judgement, and only for leaving an answer open."""
LOOSE = (
    "The bodies stand about {percent:.0f} % of the endplate apart, but one is called fractured, and its posterior wall "
    "is no line to measure a slip from: the image alone would say absent."
)
NO_SLIP_NOTE = "The slip was not measured here ({why}): the probability rests on the image alone."
ESTIMATE_NOTE = (
    "The slip was not measured here, because the sacrum is not outlined: the probability weighs the canal's place "
    "behind the disc instead."
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _View:
    """What one series shows, by level."""

    outlined: OutlinedSeries
    crops: Mapping[str, NDArray[np.float32]]
    slips: Mapping[str, float | Unmeasured]
    loose: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Graded:
    """One disc and the probabilities of every output."""

    disc: DiscReading
    shown: frozenset[Contrast]
    probability: Mapping[str, float]
    slip_note: str | None
    """That no series has the disc's slip, or only an estimate of it; None where one has."""
    loose_percent: float
    """The largest slip beside a fractured body that is too uncertain to be measured, 0 where there is none."""


class MrDiscGrader:
    """Cuts each disc out of every contrast that there is, and grades it."""

    def __init__(self, bundle: Bundle, engine: Engine, segmenter: MrSagittalDetector) -> None:
        """Refuse a bundle whose outputs or scales are not a disc grader's."""
        if tuple(bundle.labels.values()) != OUTPUTS:
            raise BundleRefusal(f"bundle {bundle.identity.name}: labels must be {OUTPUTS}, got {bundle.labels}")
        try:
            self._scales = scales_of(bundle.metadata)
        except (KeyError, TypeError, ValueError) as error:
            raise BundleRefusal(f"bundle {bundle.identity.name}: spine.scales lacks {error}") from error
        self._bundle, self._engine, self._segmenter = bundle, engine, segmenter

    @property
    def identity(self) -> ModelIdentity:
        """The bundle's name, version and digest."""
        return self._bundle.identity

    @property
    def reads(self) -> Reads:
        """Sagittal T2, with T1 beside it; T1 alone for what it shows."""
        roles = tuple(CONTRASTS)
        return Reads(name=self.identity.name, questions=frozenset({Question.MODIC}), roles=roles, beside=roles)

    def read(
        self, volume: Volume, study_instance_uid: str, progress: Progress, by_role: Mapping[SeriesRole, Volume]
    ) -> DetectorResult:
        """Grades of every disc of the series; SeriesRefusal when no spine can be read on it."""
        reading = self._segmenter.read_spine(volume, progress)
        views: dict[Contrast, _View] = {}
        unread: dict[SeriesRole, tuple[ReasonCode, str]] = {}
        doubts: list[str] = []
        for role, beside in by_role.items():
            try:
                views[CONTRASTS[role]], doubt = self._view(CONTRASTS[role], beside, (reading, volume), progress)
            except SeriesRefusal as refusal:  # the findings then say of each disc that it was not found there
                unread[role] = (refusal.code, refusal.sentence)
            else:
                doubts += [doubt] if doubt else []
        progress("grading discs", 0.9)
        subject = Subject(study_instance_uid=study_instance_uid, volume=volume, model=self.identity)
        graded = list(self._grade(reading, views))
        types = self._modic_types(graded, reading, views, volume)
        findings = [f for disc in graded for f in _findings(disc, subject, self._scales)]
        typed = (_with_type(f, types, views, subject) for f in findings)
        return DetectorResult(
            findings=tuple(_said_once(list(typed), subject)),
            numbering=with_doubt(reading, " ".join(doubts)).numbering if doubts else None,
            warnings=tuple((ReasonCode.NUMBERING, doubt) for doubt in doubts),
            unread=unread,
        )

    def _modic_types(
        self, graded: Sequence[_Graded], reading: SpineReading, views: Mapping[Contrast, _View], chosen: Volume
    ) -> Mapping[str, TypeCall | Unmeasured]:
        """The Modic type, or why none is told, at every disc at which a Modic change is called."""
        called = (g.disc for g in graded if _answer(Sign.MODIC, g, self._scales[Sign.MODIC]) == Present())
        series = {contrast: view.outlined for contrast, view in views.items()}
        return tell_types(tuple(called), series, chosen, self._segmenter.fractured(reading))

    def _view(
        self, contrast: Contrast, volume: Volume, chosen: tuple[SpineReading, Volume], progress: Progress
    ) -> tuple[_View, str | None]:
        """The crops and slips of a series by level as the chosen one names it; and a doubt where that differs.

        SeriesRefusal where it shows no spine.
        """
        outlined = OutlinedSeries(volume=volume, reading=self._segmenter.read_spine(volume, progress))
        reading, doubt = outlined.reading, None
        if volume is not chosen[1]:
            reading, doubt = named_as(*chosen, reading, volume, contrast)
        if not reading.discs:
            return _View(outlined=outlined, crops={}, slips={}, loose={}), doubt
        levels = [disc.level.name for disc in reading.discs]
        crops = dict(zip(levels, view_discs(reading, volume), strict=True))
        return _View(outlined=outlined, crops=crops, slips=slips_of(reading), loose=loose_slips_of(reading)), doubt

    def _grade(self, reading: SpineReading, views: Mapping[Contrast, _View]) -> Iterator[_Graded]:
        empty = np.zeros((len(CHANNELS), SIDE, SIDE), np.float32)
        for disc in reading.discs:
            level = disc.level.name
            shown = {contrast: view for contrast, view in views.items() if level in view.crops}
            image = np.concatenate([shown[c].crops[level] if c in shown else empty for c in Contrast])
            logits = self._engine.run(image[None])[0].mean(axis=0)  # over the members
            slips = [view.slips.get(level, NO_BODIES) for view in shown.values()] or [NO_BODIES]
            size = slip_size(np.array([np.nan if isinstance(slip, Unmeasured) else slip for slip in slips]))
            yield _Graded(
                disc=disc,
                shown=frozenset(shown),
                probability={
                    name: float(self._scales[name].probability(logits[place], size))
                    for place, name in enumerate(OUTPUTS)
                },
                slip_note=_slip_note(disc, slips, size),
                loose_percent=max((abs(view.loose.get(level, 0.0)) for view in shown.values()), default=0.0),
            )


def _slip_note(disc: DiscReading, slips: Sequence[float | Unmeasured], size: FloatArray) -> str | None:
    if np.isnan(size):
        return NO_SLIP_NOTE.format(why=next(slip.sentence for slip in slips if isinstance(slip, Unmeasured)))
    return ESTIMATE_NOTE if disc.level.below is Vertebra.S1 else None


def _findings(graded: _Graded, subject: Subject, scales: Mapping[str, Scale]) -> Iterator[Finding]:
    """The disc's degeneration with its heights, then every sign."""
    yield _degeneration(graded, subject)
    for sign, question in QUESTIONS.items():
        site = _site(graded.disc, sign)
        answer = _answer(sign, graded, scales[sign])
        is_graded = _missing(sign, graded) is None
        yield Finding(
            id=subject.track(question, " ".join(filter(None, (site.level, site.endplate)))),
            question=question,
            site=site,
            assessment=answer,
            probability=round(graded.probability[sign], 3) if is_graded else None,
            calibration=Calibration.REAL if is_graded else Calibration.NONE,
            operating_point=f"probability >= {scales[sign].threshold:g}",
            evidence=(subject.point(graded.disc.centre_index),),
            model=subject.model.name,
            note=_note(sign, graded),
        )


def _note(sign: Sign, graded: _Graded) -> str | None:
    """What the reader of an answer should know beside it."""
    return graded.slip_note if sign in WITH_SLIP else None


def _with_type(
    finding: Finding, types: Mapping[str, TypeCall | Unmeasured], views: Mapping[Contrast, _View], subject: Subject
) -> Finding:
    """A called Modic change with its type, or why it has none; any other finding as it is."""
    call = types.get(finding.site.level or "")
    if finding.question is not Question.MODIC or call is None:
        return finding
    t1, t2 = (replace(subject, volume=views[contrast].outlined.volume) for contrast in (Contrast.T1, Contrast.T2))
    return with_type(finding, call, (t1, t2))


def _said_once(findings: Sequence[Finding], subject: Subject) -> Iterator[Finding]:
    """The findings, with one for the whole study where a question is open at every disc for want of a series."""
    open_questions = {f.question for f in findings} - {
        f.question for f in findings if not _lacks_a_series(f) or f.measurements
    }
    for question in sorted(open_questions):
        first = next(f for f in findings if f.question is question)
        yield replace(first, id=subject.track(question, "all"), site=Site(), evidence=())
    yield from (f for f in findings if f.question not in open_questions)


def _lacks_a_series(finding: Finding) -> bool:
    return isinstance(finding.assessment, NotAssessed) and finding.assessment.reason is ReasonCode.MISSING_SERIES


def _degeneration(graded: _Graded, subject: Subject) -> Finding:
    draft = disc_finding(graded.disc, subject)
    missing = _missing("pfirrmann", graded)
    if missing is not None:
        return replace(draft, assessment=missing)
    probability = np.array([graded.probability[name] for name in OUTPUTS[: len(PFIRRMANN_STEPS)]])
    grade = int(pfirrmann_of(probability))
    return replace(
        draft,
        assessment=Present() if grade >= DEGENERATED else Absent(),
        grades=(Grade(scale="pfirrmann", value=str(grade)),),
        probability=round(float(probability[PFIRRMANN_STEPS.index(DEGENERATED)]), 3),
        calibration=Calibration.REAL,
        operating_point=f"Pfirrmann grade >= {DEGENERATED}",
        evidence=(subject.point(graded.disc.centre_index), *draft.evidence),
    )


def _answer(sign: Sign, graded: _Graded, scale: Scale) -> Present | Absent | NotAssessed:
    missing = _missing(sign, graded)
    if missing is not None:
        return missing
    probability = graded.probability[sign]
    vote = scale.vote(probability)
    if vote is Vote.UNSURE:
        sentence = (
            f"The probability is {probability:.2f}; from {scale.unsure_above:.2f} to {scale.unsure_below:.2f} "
            "neither present nor absent is told with confidence."
        )
        return NotAssessed(reason=ReasonCode.UNCERTAIN, sentence=sentence)
    if vote is Vote.NO and sign in WITH_SLIP and graded.loose_percent >= LARGE_STEP_PERCENT:
        return NotAssessed(reason=ReasonCode.UNCERTAIN, sentence=LOOSE.format(percent=graded.loose_percent))
    return Present() if vote is Vote.YES else Absent()


def _missing(what: str, graded: _Graded) -> NotAssessed | None:
    """Why an answer cannot be given on the contrasts that show this disc."""
    lacking = sorted(NEEDS[what] - graded.shown)
    if not lacking:
        return None
    sentence = f"It is read on sagittal {' and '.join(sorted(NEEDS[what]))}; it was not found on {', '.join(lacking)}."
    return NotAssessed(reason=ReasonCode.MISSING_SERIES, sentence=sentence)


def _site(disc: DiscReading, sign: Sign) -> Site:
    """The disc's level; for an endplate, the vertebra whose endplate it is."""
    if sign is Sign.UPPER_ENDPLATE:
        return Site(level=disc.level.above.name, endplate=EndplateSide.INFERIOR)
    if sign is Sign.LOWER_ENDPLATE:
        return Site(level=disc.level.below.name, endplate=EndplateSide.SUPERIOR)
    return Site(level=disc.level.name)
