"""One study's plan: for every question and series, who reads it or why nobody does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from inference.errors import ReasonCode
from inference.findings import FIVE_QUESTIONS, Question
from inference.series.choice import Reads, choose
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
    parts: Mapping[str, tuple[str, ...]]
    """Series Instance UIDs of what each of them reads together with the chosen series: other parts of the spine."""
    names_from: Mapping[str, str]
    """Series Instance UID of what each detector may name its levels by; a detector without one is not in it."""
    left_out: Mapping[str, str]
    """By Series Instance UID, why a series that a detector could read is looked at by none."""

    def read_by(self, detector: str) -> frozenset[str]:
        """Series Instance UIDs that a detector looks at."""
        return frozenset([*self.together(detector), *self.beside.get(detector, {}).values()])

    def together(self, detector: str) -> tuple[str, ...]:
        """Series Instance UIDs that a detector answers from: the chosen one, and those of other parts of the spine."""
        return (self.chosen[detector], *self.parts[detector]) if detector in self.chosen else ()

    def looked_at(self, detector: str) -> tuple[tuple[str, ...], Mapping[SeriesRole, str], str | None]:
        """All series that a detector's answer hangs on: those it answers from, those beside, and the one for names."""
        return self.together(detector), self.beside.get(detector, {}), self.names_from.get(detector)

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
            reason = next((_reason(entry) for entry in entries if is_wanted(entry)), None)
            if reason is not None:
                return reason
        return self._no_suitable_series(question)

    def series_refusal(self, series_instance_uid: str) -> Reason | None:
        """Why no question can be answered on a series: the reason that came closest; None if one can be."""
        entries = [entry for entry in self.entries if entry.series_instance_uid == series_instance_uid]
        if any(entry.eligible for entry in entries):
            return None
        for is_wanted in (_has_the_right_role, _lacks_only_a_model, _has_a_code):
            reason = next((_reason(entry) for entry in entries if is_wanted(entry)), None)
            if reason is not None:
                return reason
        return None

    def shortcomings(self, series_instance_uid: str) -> tuple[Reason, ...]:
        """What keeps a series from answering the questions that its role could answer, each once."""
        mine = [entry for entry in self.entries if entry.series_instance_uid == series_instance_uid]
        found = (_reason(entry) for entry in mine if not entry.eligible and _has_the_right_role(entry))
        return tuple(dict.fromkeys(reason for reason in found if reason is not None))

    def shortcoming(self, question: Question, roles: Collection[SeriesRole]) -> Reason | None:
        """Why the study's series of these roles cannot answer a question; None where it has none of them."""
        by_uid = {facts.series_instance_uid: facts for facts in self.series}
        for entry in self.entries:
            is_wanted = entry.question is question and role_of(by_uid[entry.series_instance_uid]) in roles
            if is_wanted and not entry.eligible and _has_the_right_role(entry):
                return _reason(entry)
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
                sentence=entry.sentence or (self.left_out.get(entry.series_instance_uid) if entry.eligible else None),
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


def _reason(entry: PlanEntry) -> Reason | None:
    return None if entry.code is None or entry.sentence is None else (entry.code, entry.sentence)


def _family(role: SeriesRole) -> str:
    return role.value.split("_", maxsplit=1)[0]


def _lacks_only_a_model(entry: PlanEntry) -> bool:
    return entry.code is ReasonCode.NO_MODEL


def _has_the_right_role(entry: PlanEntry) -> bool:
    return entry.code is not None and entry.code not in ROLE_CODES and entry.code is not ReasonCode.NO_MODEL


def _has_a_code(entry: PlanEntry) -> bool:
    return entry.code is not None


def plan_study(series: Sequence[SeriesFacts], readers: Sequence[Reads]) -> StudyPlan:
    """Put every question to every series, and choose the best series for every detector (series.choice)."""
    entries = tuple(_entry(question, facts, readers) for question in FIVE_QUESTIONS for facts in series)
    able = {reader.name: [facts for facts in series if _can_answer(facts, reader, entries)] for reader in readers}
    choice = choose(readers, able)
    return StudyPlan(
        series=tuple(series),
        entries=entries,
        chosen=choice.chosen,
        beside=choice.beside,
        parts=choice.parts,
        left_out=choice.left_out,
        names_from=dict(_names_from(series, readers, choice.chosen)),
    )


def _names_from(
    series: Sequence[SeriesFacts], readers: Sequence[Reads], chosen: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """The tallest series that may name the levels of the chosen one, by detector name."""
    by_uid = {facts.series_instance_uid: facts for facts in series}
    for reader in readers:
        best = by_uid.get(chosen.get(reader.name, ""))
        if best is None:
            continue
        larger = [facts for facts in series if role_of(facts) in reader.names_from and _may_name(facts, best)]
        if larger:
            tallest = min(larger, key=lambda facts: (-_height_mm(facts), facts.series_instance_uid))
            yield reader.name, tallest.series_instance_uid


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


def _can_answer(facts: SeriesFacts, reader: Reads, entries: Sequence[PlanEntry]) -> bool:
    mine = (entry for entry in entries if entry.series_instance_uid == facts.series_instance_uid)
    return any(entry.eligible and entry.question in reader.questions for entry in mine)


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
