"""The criteria of a policy, answered one by one: met, not met, not determinable.

Findings that no physician reviewed never meet a criterion and never fail one: they are pointed to, and the answer stays
open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from claims.criteria.table import (
    AT_BODIES,
    Acuity,
    AdvancedImaging,
    BodyCount,
    Chart,
    CountOf,
    Criterion,
    Diagnosis,
    Graded,
    ImagingAge,
    Levels,
    Measured,
    Modifier,
    Progressed,
    Reported,
    Views,
)
from claims.engine import imaging_criteria as imaging
from claims.engine.answers import Answer, met, not_met, open_
from claims.engine.material import Material, is_of_kind
from claims.engine.words import TOPICS, kind_words, place, quotes
from claims.evidence import CriterionAnswer, CriterionState, Pointer, PointerKind, Prompt
from claims.report import Polarity, Topic
from inference.anatomy import Vertebra

NO_REPORT = "There is no signed report that counts."


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The answers in the order of the table, body by body, and what a person is asked."""

    answers: tuple[CriterionAnswer, ...]
    prompts: tuple[Prompt, ...]

    def unmet(self, ids: Sequence[str], body: Vertebra | None) -> tuple[str, ...]:
        """Titles of those of the criteria that are not met for the body."""
        return tuple(
            answer.title
            for answer in self.answers
            if answer.criterion in ids and answer.state is not CriterionState.MET and answer.body in (None, body)
        )


def answer_criteria(material: Material, bodies: Sequence[Vertebra | None]) -> Answered:
    """Every criterion, for each body where it is about bodies."""
    answers: list[CriterionAnswer] = []
    prompts: list[Prompt] = []
    for criterion in material.table.criteria:
        for body in bodies if isinstance(criterion, AT_BODIES) else (None,):
            answer = _answer(criterion, material, body, answers)
            answers.append(
                CriterionAnswer(
                    criterion=criterion.id,
                    title=criterion.title,
                    answered_by=criterion.answered_by,
                    state=answer.state,
                    sentence=answer.sentence,
                    body=body,
                    pointers=answer.pointers,
                )
            )
            asked = answer.prompt or criterion.prompt
            if asked and answer.state is not CriterionState.MET:
                prompts.append(Prompt(code=f"criterion_{criterion.id}", sentence=asked, body=body))
    return Answered(answers=tuple(answers), prompts=tuple(dict.fromkeys(prompts)))


def _answer(  # noqa: C901, PLR0911, PLR0912 - one line for each rule of the table
    criterion: Criterion, material: Material, body: Vertebra | None, before: Sequence[CriterionAnswer]
) -> Answer:
    match criterion:
        case Chart():
            return open_("Only the chart can say.")
        case Reported():
            return _reported(criterion, material, body)
        case Acuity():
            return _acuity(criterion, material, body)
        case Levels():
            return _levels(criterion, material, body)
        case ImagingAge():
            return imaging.imaging_age(criterion, material)
        case AdvancedImaging():
            return imaging.advanced_imaging(criterion, material, body)
        case Measured():
            return imaging.measured(criterion, material, body)
        case Progressed():
            return imaging.progressed(criterion, material, body)
        case Graded():
            return imaging.graded(criterion, material, body)
        case Views():
            return imaging.views(criterion, material)
        case BodyCount():
            return _body_count(criterion, material)
        case Diagnosis():
            return _diagnosis(criterion, material)
        case Modifier():
            return _modifier(criterion, material)
        case CountOf():
            return _count_of(criterion, body, before)
        case _:
            assert_never(criterion)


def _said(topic: Topic, material: Material, body: Vertebra | None) -> tuple[bool | None, tuple[Pointer, ...]]:
    """Whether the signed reports affirm the topic there; None where they are silent, unsure or of two minds."""
    said = material.about(topic, body)
    polarities = {one.statement.polarity for one in said}
    if len(polarities) != 1 or Polarity.UNCERTAIN in polarities:
        return None, quotes(said)
    return polarities == {Polarity.AFFIRMED}, quotes(said)


def _reported(criterion: Reported, material: Material, body: Vertebra | None) -> Answer:
    words = TOPICS[criterion.topic]
    if not material.signed:
        return open_(NO_REPORT)
    affirmed, pointers = _said(criterion.topic, material, body)
    if affirmed is None:
        unclear = "is not clear about" if pointers else "says nothing of"
        return open_(f"The signed report {unclear} {words} at {place(body)}.", *pointers)
    if affirmed and criterion.kinds:
        return _of_kind(criterion, material, body, pointers)
    says = f"The signed report {'names' if affirmed else 'denies'} {words} at {place(body)}."
    return (met if affirmed is (criterion.wanted == "present") else not_met)(says, *pointers)


def _of_kind(criterion: Reported, material: Material, body: Vertebra | None, pointers: tuple[Pointer, ...]) -> Answer:
    said = material.about(criterion.topic, body)
    policy = f"The policy: {kind_words(criterion.topic, criterion.kinds)}."
    says = f"The signed report names {TOPICS[criterion.topic]} at {place(body)}"
    named = sorted({kind for one in said for kind in one.statement.kinds})
    if not named:
        return open_(f"{says} and no type. {policy}", *pointers)
    says = f"{says}, {kind_words(criterion.topic, named, 'and')}. {policy}"
    is_wanted = is_of_kind(said, criterion.kinds)
    if is_wanted is None:
        return open_(says, *pointers)
    return (met if is_wanted is (criterion.wanted == "present") else not_met)(says, *pointers)


def _acuity(criterion: Acuity, material: Material, body: Vertebra | None) -> Answer:
    """Both halves: the time by the chart, and the sign by the signed report."""
    claim, words = material.claim, TOPICS[criterion.sign]
    affirmed, pointers = _said(criterion.sign, material, body) if material.signed else (None, ())
    sign = {True: f"names {words}", False: f"says that there is no {words}", None: f"does not settle {words}"}[affirmed]
    half = f"The signed report {sign} at {place(body)}." if material.signed else NO_REPORT
    if claim.onset_date is None:
        return open_(f"{half} The date of onset is not given.", *pointers, prompt="From the chart: the date of onset.")
    days = (claim.service_date - claim.onset_date).days
    onset = Pointer(kind=PointerKind.CLAIM_FIELD, reference="onset_date", text=f"onset {claim.onset_date}")
    time = f"Onset {claim.onset_date}, {days} days before the service (the policy: at most {criterion.max_days})."
    if days < 0:
        return open_(f"Onset {claim.onset_date} lies after the service.", onset, prompt="Check the date of onset.")
    if days > criterion.max_days:
        return not_met(time, onset, *pointers)
    if affirmed is None:
        return open_(f"{time} {half}", onset, *pointers)
    return (met if affirmed else not_met)(f"{time} {half}", onset, *pointers)


def _levels(criterion: Levels, material: Material, body: Vertebra | None) -> Answer:
    if body is None:
        return open_("The claim names no vertebral body.")
    doubt = [s for s in material.said(Topic.TRANSITIONAL, None) if s.statement.polarity is not Polarity.NEGATED]
    if doubt or body.is_transitional:
        return open_(f"The counting of levels is in doubt, so it is open which body {body.name} is.", *quotes(doubt))
    if any(document.numbering.ambiguous for document in material.findings):
        return open_(f"The software could not count the levels with certainty; the claim says {body.name}.")
    is_inside = criterion.first.value <= body.value <= criterion.last.value
    says = f"{body.name} is billed; the policy is for {criterion.first.name} to {criterion.last.name}."
    return (met if is_inside else not_met)(says)


def _body_count(criterion: BodyCount, material: Material) -> Answer:
    bodies = material.claim.bodies
    codes = sorted({code for line in material.claim.lines for code in line.diagnoses})
    if exempt := [code for code in codes if code.startswith(criterion.unless_diagnosis or ("-",))]:
        return met(f"The limit of {criterion.at_most} bodies does not hold for {', '.join(exempt)}.")
    if not bodies:
        return open_("The claim names no vertebral body.")
    says = f"Bodies named on the claim: {len(bodies)}; the policy: at most {criterion.at_most}."
    return (met if len(bodies) <= criterion.at_most else not_met)(says)


def _diagnosis(criterion: Diagnosis, material: Material) -> Answer:
    codes = sorted({code for line in material.claim.lines for code in line.diagnoses})
    fits = [code for code in codes if code.startswith(criterion.any_of)]
    beside = [code for code in codes if code.startswith(criterion.together_with or ("",))]
    named = f"Diagnoses on the claim: {', '.join(codes) or 'none'}."
    if fits and beside:
        return met(f"{named} Of the policy's list: {', '.join(fits)}.")
    return not_met(f"{named} None of the policy's list." if not fits else f"{named} The code that goes with it is not.")


def _modifier(criterion: Modifier, material: Material) -> Answer:
    missing = [str(line.number) for line in material.claim.lines if criterion.modifier not in line.modifiers]
    if missing:
        return not_met(f"Line {', '.join(missing)} has no modifier {criterion.modifier}.")
    return met(f"Every line has the modifier {criterion.modifier}.")


def _count_of(criterion: CountOf, body: Vertebra | None, before: Sequence[CriterionAnswer]) -> Answer:
    members = [answer for answer in before if answer.criterion in criterion.members and answer.body in (None, body)]
    count = sum(answer.state is CriterionState.MET for answer in members)
    possible = sum(answer.state is not CriterionState.NOT_MET for answer in members)
    says = f"{count} of {len(members)} are met, {possible - count} are open; the policy: {criterion.at_least}."
    if count >= criterion.at_least:
        return met(says)
    return not_met(says) if possible < criterion.at_least else open_(says)
