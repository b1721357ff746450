"""One study's plan: for every question and series, who reads it or why nobody does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from inference.errors import ReasonCode
from inference.findings import FIVE_QUESTIONS, Question
from inference.series.facts import SeriesFacts
from inference.series.role import SeriesRole, contrast_of, role_of
from inference.series.rules import (
    ELIGIBILITY,
    NAMES_ONLY,
    NEEDS,
    NO_SPINE,
    QUESTION_WORDS,
    SUITABLE,
    Limits,
    Unsuitable,
)

__all__ = ["ELIGIBILITY", "PlanEntry", "PlanRow", "Reads", "StudyPlan", "plan_study"]

ADULT_YEARS = 18.0
"""All reference values, and all training images, are of adults."""
LARGER_VIEW = 1.2
"""How many times taller the slices of a series must be to name the levels of another: one more level at least, of the
six or so that a lumbar series shows. Our own choice."""
ROLE_CODES = frozenset(
    {ReasonCode.MODALITY, ReasonCode.ORIENTATION, ReasonCode.MISSING_SERIES, ReasonCode.DERIVED, ReasonCode.LOCALIZER}
)
"""Reasons that a series has because of what it is, not because of how good it is."""

Reason = tuple[ReasonCode, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """What an installed detector reads."""

    name: str
    questions: frozenset[Question]
    roles: tuple[SeriesRole, ...]
    """In order of preference."""
    beside: tuple[SeriesRole, ...] = ()
    """Those of its roles that it looks at besides the chosen series, where the study has one that could answer too."""
    one_beside: bool = False
    """It looks at the first of ``beside`` only, and at none where the chosen series has one of these roles itself."""
    names_from: tuple[SeriesRole, ...] = ()
    """Roles of which it may look at one series with a larger field of view, for the names of the levels alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanEntry:
    """One question put to one series."""

    question: Question
    series_instance_uid: str
    eligible: bool
    reader: str | None
    """The detector that could read it; None when not eligible."""
    code: ReasonCode | None
    """Why not; or, with ``eligible``, a warning (W_...)."""
    sentence: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRow:
    """One line of the plan for people."""

    question: Question
    facts: SeriesFacts
    role: SeriesRole
    eligible: bool
    chosen: bool
    """Whether the reader will look at this series."""
    reader: str | None
    code: ReasonCode | None
    sentence: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPlan:
    """What will be read, and why the rest will not."""

    series: tuple[SeriesFacts, ...]
    entries: tuple[PlanEntry, ...]
    """Every question by every series, questions in their order, series in the study's."""
    chosen: Mapping[str, str]
    """Series Instance UID by detector name; a detector without a series is not in it."""
    beside: Mapping[str, Mapping[SeriesRole, str]]
    """What each of these detectors looks at besides, by role."""
    names_from: Mapping[str, str]
    """Series Instance UID of what each detector may name its levels by; a detector without one is not in it."""

    def read_by(self, detector: str) -> frozenset[str]:
        """Series Instance UIDs that a detector looks at."""
        chosen = [self.chosen[detector]] if detector in self.chosen else []
        return frozenset([*chosen, *self.beside.get(detector, {}).values()])

    def refusal(self, question: Question) -> Reason:
        """Why the study gives no answer to a question: the reason of the series that came closest to one."""
        entries = [entry for entry in self.entries if entry.question is question]
        read = next((entry for entry in entries if entry.eligible), None)
        if read is not None:
            return (
                ReasonCode.UNCERTAIN,
                (
                    f"{read.reader} can read series {read.series_instance_uid} "
                    f"but made no statement about {QUESTION_WORDS[question]}"
                ),
            )
        for is_wanted in (_lacks_only_a_model, _has_the_right_role):
            found = next((entry for entry in entries if is_wanted(entry)), None)
            if found is not None and found.code is not None and found.sentence is not None:
                return found.code, found.sentence
        return self._no_suitable_series(question)

    def series_refusal(self, series_instance_uid: str) -> Reason | None:
        """Why no question can be answered on a series: the reason that came closest; None if one can be."""
        entries = [entry for entry in self.entries if entry.series_instance_uid == series_instance_uid]
        if any(entry.eligible for entry in entries):
            return None
        for is_wanted in (_has_the_right_role, _lacks_only_a_model, _has_a_code):
            found = next((entry for entry in entries if is_wanted(entry)), None)
            if found is not None and found.code is not None and found.sentence is not None:
                return found.code, found.sentence
        return None

    def rows(self) -> tuple[PlanRow, ...]:
        """The plan as lines for a table: each question with each series."""
        by_uid = {facts.series_instance_uid: facts for facts in self.series}
        return tuple(
            PlanRow(
                question=entry.question,
                facts=by_uid[entry.series_instance_uid],
                role=role_of(by_uid[entry.series_instance_uid]),
                eligible=entry.eligible,
                chosen=entry.reader is not None and entry.series_instance_uid in self.read_by(entry.reader),
                reader=entry.reader,
                code=entry.code,
                sentence=entry.sentence,
            )
            for entry in self.entries
        )

    def _no_suitable_series(self, question: Question) -> Reason:
        """No series has a role that answers the question: said for the study as a whole."""
        needs = f"{QUESTION_WORDS[question]} needs {NEEDS[question]}"
        if not self.series:
            return ReasonCode.MISSING_SERIES, f"{needs}; the study holds no series that can be read"
        roles = [role_of(facts) for facts in self.series]
        held = ", ".join(f"{roles.count(role)} {role}" for role in sorted(set(roles)))
        suitable_modalities = {_family(role) for role in SUITABLE[question]}
        has_modality = any(_family(role) in suitable_modalities for role in roles)
        code = ReasonCode.MISSING_SERIES if has_modality else ReasonCode.MODALITY
        return code, f"{needs}; the study holds {held}"


def _family(role: SeriesRole) -> str:
    return role.value.split("_", maxsplit=1)[0]


def _lacks_only_a_model(entry: PlanEntry) -> bool:
    return entry.code is ReasonCode.NO_MODEL


def _has_the_right_role(entry: PlanEntry) -> bool:
    return entry.code is not None and entry.code not in ROLE_CODES and entry.code is not ReasonCode.NO_MODEL


def _has_a_code(entry: PlanEntry) -> bool:
    return entry.code is not None


def plan_study(series: Sequence[SeriesFacts], readers: Sequence[Reads]) -> StudyPlan:
    """Put every question to every series, and choose the best series for every detector.

    Best: the role that the detector prefers, then more frames, then finer spacing, then the UID (so that two runs
    choose alike).
    """
    entries = tuple(_entry(question, facts, readers) for question in FIVE_QUESTIONS for facts in series)
    chosen: dict[str, str] = {}
    beside: dict[str, dict[SeriesRole, str]] = {}
    names_from: dict[str, str] = {}
    for reader in readers:
        best = _best(reader, reader.roles, series, entries)
        if best is None:
            continue
        chosen[reader.name] = best.series_instance_uid
        others = {role: _best(reader, (role,), series, entries) for role in _besides(reader, role_of(best))}
        found = [(role, facts.series_instance_uid) for role, facts in others.items() if facts is not None]
        beside[reader.name] = dict(found[:1] if reader.one_beside else found)
        larger = [facts for facts in series if role_of(facts) in reader.names_from and _may_name(facts, best)]
        if larger:
            tallest = min(larger, key=lambda facts: (-_height_mm(facts), facts.series_instance_uid))
            names_from[reader.name] = tallest.series_instance_uid
    return StudyPlan(series=tuple(series), entries=entries, chosen=chosen, beside=beside, names_from=names_from)


def _may_name(facts: SeriesFacts, chosen: SeriesFacts) -> bool:
    """Whether a series can tell where the chosen one lies in the spine: readable, in its frame, and showing more."""
    frames = facts.frame_of_reference_uids
    return (
        (facts.modality, facts.plane) == (chosen.modality, chosen.plane)
        and len(frames) == 1
        and frames == chosen.frame_of_reference_uids
        and not facts.burned_in
        and all(check(facts, NAMES_ONLY) is None for check in CHECKS)
        and _height_mm(facts) >= LARGER_VIEW * _height_mm(chosen)
    )


def _height_mm(facts: SeriesFacts) -> float:
    """The longer side of the slices, which runs along the spine."""
    _, row_mm, column_mm = facts.spacing_mm or (0.0, 0.0, 0.0)
    return max((facts.rows or 0) * row_mm, (facts.columns or 0) * column_mm)


def _besides(reader: Reads, chosen: SeriesRole) -> tuple[SeriesRole, ...]:
    if reader.one_beside and chosen in reader.beside:
        return ()
    return tuple(role for role in reader.beside if role is not chosen)


def _best(
    reader: Reads, roles: tuple[SeriesRole, ...], series: Sequence[SeriesFacts], entries: Sequence[PlanEntry]
) -> SeriesFacts | None:
    uids = {entry.series_instance_uid for entry in entries if entry.eligible and entry.question in reader.questions}
    able = [facts for facts in series if facts.series_instance_uid in uids and role_of(facts) in roles]
    return min(able, key=lambda facts: _rank(roles, facts)) if able else None


def _rank(roles: tuple[SeriesRole, ...], facts: SeriesFacts) -> tuple[int, int, float, str]:
    slice_mm, row_mm, column_mm = facts.spacing_mm or (0.0, 0.0, 0.0)
    volume = (slice_mm or 1.0) * row_mm * column_mm
    return roles.index(role_of(facts)), -facts.frame_count, volume, facts.series_instance_uid


def _entry(question: Question, facts: SeriesFacts, readers: Sequence[Reads]) -> PlanEntry:
    role = role_of(facts)
    reason = _unsuitable(question, facts, role)
    rule = ELIGIBILITY[question, role]
    if reason is None and isinstance(rule, Limits):
        reason = next((found for check in CHECKS if (found := check(facts, rule)) is not None), None)
    reader = next((r.name for r in readers if question in r.questions and role in r.roles), None)
    if reason is None and reader is None:
        reason = _no_reader(question, role, readers)
    eligible = reason is None
    if reason is None and isinstance(rule, Limits):
        reason = _few_slices(facts, rule)
    return PlanEntry(
        question=question,
        series_instance_uid=facts.series_instance_uid,
        eligible=eligible,
        reader=reader if eligible else None,
        code=reason[0] if reason else None,
        sentence=reason[1] if reason else None,
    )


def _unsuitable(question: Question, facts: SeriesFacts, role: SeriesRole) -> Reason | None:
    """Why a series of this role cannot answer, by the table; None if it can.

    Two reasons stand before the table's: a picture of a picture, and a fault that hides the plane.
    """
    rule = ELIGIBILITY[question, role]
    if facts.burned_in and role is not SeriesRole.DERIVED_OBJECT:
        return (
            ReasonCode.BURNED_IN,
            "the images are secondary captures or carry burned-in text, which is neither measured nor shown",
        )
    if not isinstance(rule, Unsuitable):
        return None
    if rule.code is ReasonCode.ORIENTATION and facts.fault is not None:
        return facts.fault
    return rule.code, rule.sentence.format(
        question=QUESTION_WORDS[question],
        needs=NEEDS[question],
        role=role,
        modality=facts.modality or "(none)",
        plane=facts.plane,
        contrast=contrast_of(facts),
    )


def _no_reader(question: Question, role: SeriesRole, readers: Sequence[Reads]) -> Reason:
    others = [r.name for r in readers if question in r.questions]
    installed = f"; {', '.join(others)} reads other series" if others else ""
    return ReasonCode.NO_MODEL, f"no installed detector reads {role} series for {QUESTION_WORDS[question]}{installed}"


def _few_slices(facts: SeriesFacts, limits: Limits) -> Reason | None:
    if facts.frame_count >= limits.few_slices:
        return None
    return (
        ReasonCode.FEW_SLICES,
        (
            f"the series has {facts.frame_count} slice(s), fewer than {limits.few_slices}: "
            "measurements are limited to them"
        ),
    )


def _fault(facts: SeriesFacts, _limits: Limits) -> Reason | None:
    return facts.fault


def _body_part(facts: SeriesFacts, _limits: Limits) -> Reason | None:
    part = (facts.body_part_examined or "").strip().upper()
    if part not in NO_SPINE:
        return None
    return ReasonCode.BODY_PART, f"the headers say that the images show another part of the body ({part}), no spine"


def _paediatric(facts: SeriesFacts, _limits: Limits) -> Reason | None:
    age = facts.patient_age_years
    if age is None or age >= ADULT_YEARS:
        return None
    return (
        ReasonCode.PAEDIATRIC,
        f"the patient was {age:.0f} years old, younger than {ADULT_YEARS:.0f}: all reference values are of adults",
    )


def _after_agent(facts: SeriesFacts, limits: Limits) -> Reason | None:
    if limits.after_contrast_agent or not facts.contrast_agent:
        return None
    return ReasonCode.POST_CONTRAST, "the series was acquired after contrast agent; one without is needed"


def _slices(facts: SeriesFacts, limits: Limits) -> Reason | None:
    if facts.frame_count >= limits.min_slices:
        return None
    return (
        ReasonCode.TOO_FEW_SLICES,
        f"the series has {facts.frame_count} slice(s); at least {limits.min_slices} are needed",
    )


def _spacing(facts: SeriesFacts, limits: Limits) -> Reason | None:
    if limits.max_pixel_mm is None or limits.max_slice_mm is None:
        return None
    if facts.spacing_mm is None:
        return ReasonCode.SPACING, "the headers give no spacing between pixels and slices"
    slice_mm, *pixel_mm = facts.spacing_mm
    if max(pixel_mm) > limits.max_pixel_mm:
        return (
            ReasonCode.SPACING,
            f"the pixels are {max(pixel_mm):.2f} mm apart; at most {limits.max_pixel_mm:.2f} mm is read",
        )
    if slice_mm > limits.max_slice_mm:
        return (
            ReasonCode.SPACING,
            f"the slices are {slice_mm:.2f} mm apart; at most {limits.max_slice_mm:.2f} mm is read",
        )
    return None


def _shear(facts: SeriesFacts, limits: Limits) -> Reason | None:
    if limits.max_shear_deg is None or facts.shear_deg <= limits.max_shear_deg:
        return None
    return (
        ReasonCode.GEOMETRY,
        (
            f"the slices are shifted in their own plane ({facts.shear_deg:.1f} degrees off the normal); "
            f"at most {limits.max_shear_deg:.1f} degrees is read"
        ),
    )


CHECKS: tuple[Callable[[SeriesFacts, Limits], Reason | None], ...] = (
    _fault,
    _body_part,
    _paediatric,
    _after_agent,
    _slices,
    _spacing,
    _shear,
)
"""Asked in this order of a series whose role is suitable; the first reason is the one given."""
