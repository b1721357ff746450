"""The statements of one sentence, given what the sentences before it speak of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from claims.reading.chunks import Placed, Sentence, acuity_at, combine, place
from claims.reading.lexicon import (
    ANAPHORA,
    ANOTHER_CAUSE,
    CORRECTION,
    DISTRIBUTES,
    DOUBT,
    WITHDRAWAL,
    WRONG_THEN_RIGHT,
    Kind,
)
from claims.reading.marks import Mark, is_body
from claims.reading.scope import CONCEPTS, judge
from claims.report import Acuity, Polarity, Quote, Section, Statement, Topic
from inference.anatomy import Laterality, Vertebra

PAST = frozenset({Section.HISTORY, Section.COMPARISON, Section.TECHNIQUE})
"""Sections that are not of this study."""
WITHDRAWN = "The addendum takes the report back."
CORRECTED = "The addendum corrects a level without saying again what is there."
_DOUBTED = (Topic.FRACTURE, Topic.EDEMA, Topic.MODIC, Topic.HARDWARE)
_COUNTING = ("number", "numer", "enumer", "count", "recount")
_PART = "The sentence speaks of a part other than the vertebral body."
_SELF_DENIED = ("stir neg", "stir -ve")
_OF_THE_ARCH = ("pedic", "lamina", "posterior")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A statement with what later steps need to know of it."""

    statement: Statement
    is_soft: bool = False
    """Of a change of shape alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """The levels that the text is speaking of when a sentence begins."""

    levels: tuple[Vertebra, ...] = ()
    section: Section = Section.UNKNOWN
    paragraph: int = -1
    is_heading: bool = False
    """The paragraph begins with the level and a colon."""
    is_fresh: bool = False
    """The sentence right before affirmed one fracture at one level and nothing else."""


def drafts(sentence: Sentence, quote: Quote, carried: Carried) -> list[Draft]:
    """What a sentence says, without repetitions."""
    found = [draft for at in range(len(sentence.marks)) for draft in _of_mark(sentence, at, quote, carried)]
    if not found:
        found = list(_age_alone(sentence, quote, carried))
    if all(draft.statement.topic is Topic.TRANSITIONAL for draft in found):
        found += _correction(sentence, quote)
    return _settled(found, is_explained=bool(ANOTHER_CAUSE.search(sentence.folded)))


def _of_mark(sentence: Sentence, at: int, quote: Quote, carried: Carried) -> Iterator[Draft]:
    mark = sentence.marks[at]
    if mark.kind in CONCEPTS and mark.topic:
        yield from _concept(sentence, at, mark.topic, quote, carried)
        if mark.topic is Topic.OTHER_CAUSE and mark.text.startswith("path") and " " in mark.text:
            yield from _pathologic(sentence, at, quote, carried)
    elif mark.group and is_body(mark) and at:
        yield from level_alone(sentence, at, quote)


def _pathologic(sentence: Sentence, at: int, quote: Quote, carried: Carried) -> Iterator[Draft]:
    """A pathologic fracture is a fracture; that there is none says nothing of other fractures."""
    for draft in _concept(sentence, at, Topic.FRACTURE, quote, carried):
        if draft.statement.polarity is not Polarity.NEGATED:
            yield draft


def _concept(sentence: Sentence, at: int, topic: Topic, quote: Quote, carried: Carried) -> Iterator[Draft]:
    mark = sentence.marks[at]
    if topic is Topic.AUGMENTED and _is_planned(sentence, at):
        return
    polarity, note = judged(sentence, at, quote.section)
    placed = place(sentence, at)
    if topic is Topic.TRANSITIONAL:
        placed = Placed(chunks=placed.chunks)
    elif not placed.levels:
        placed = _from_before(sentence, at, placed, carried, is_denied=polarity is Polarity.NEGATED)
    part = _other_part(sentence, at)
    if part and (not placed.levels or (topic is Topic.EDEMA and not part.startswith(_OF_THE_ARCH))):
        return
    if part or (
        not placed.levels and polarity is Polarity.AFFIRMED and any(m.kind is Kind.PART for m in sentence.marks)
    ):
        polarity, note = Polarity.UNCERTAIN, _PART
    elif not placed.levels and polarity is Polarity.AFFIRMED and topic in (Topic.EDEMA, Topic.RETROPULSION):
        polarity, note = Polarity.UNCERTAIN, "The sentence names no level."
    elif placed.note and polarity is Polarity.AFFIRMED and topic is not Topic.OTHER_CAUSE:
        polarity, note = Polarity.UNCERTAIN, placed.note
    side = side_of(sentence.words_of(sentence.chunk_of(at)))
    for level in placed.levels or (None,):
        acuity = Acuity.UNSTATED
        if topic is Topic.FRACTURE:
            acuity = acuity_at(sentence, at, placed, level, is_denied=polarity is Polarity.NEGATED)
        said = Statement(level=level, topic=topic, polarity=polarity, acuity=acuity, quote=quote, side=side, note=note)
        yield Draft(statement=said, is_soft=mark.kind is not Kind.CONCEPT)


def side_of(words: str) -> Laterality | None:
    """The one side that some words name."""
    named = {side for side in Laterality if re.search(rf"\b{side}(?:ly|-sided)?\b", words)}
    return named.pop() if len(named) == 1 else None


def _is_planned(sentence: Sentence, at: int) -> bool:
    """Whether an augmentation is asked for or planned, in the same clause; then nothing was done."""
    clause = sentence.chunks[sentence.chunk_of(at)].clause
    return any(
        mark.kind is Kind.ASKS
        for chunk in sentence.chunks
        if chunk.clause == clause
        for mark in sentence.marks[chunk.first : chunk.last]
    )


def judged(sentence: Sentence, at: int, section: Section) -> tuple[Polarity, str | None]:
    """What the sentence makes of a concept, and why where it leaves it open."""
    mark = sentence.marks[at]
    polarity, note = judge(sentence.marks, at)
    if mark.kind is Kind.INTACT or mark.text.startswith(_SELF_DENIED):
        return (Polarity.NEGATED, None) if polarity is Polarity.AFFIRMED else (Polarity.UNCERTAIN, note)
    if mark.topic is Topic.TRANSITIONAL and polarity is Polarity.AFFIRMED:
        return _numbering(sentence, mark)
    if polarity is not Polarity.AFFIRMED or section in PAST:
        return polarity, note
    if _is_past(sentence, at):
        return Polarity.UNCERTAIN, "The sentence speaks of an earlier study or of the past."
    if mark.topic in _DOUBTED and (doubt := DOUBT.search(sentence.folded)):
        return Polarity.UNCERTAIN, f'The sentence says "{doubt[0]}": it may not be a finding of this study.'
    return polarity, note


def _numbering(sentence: Sentence, mark: Mark) -> tuple[Polarity, str | None]:
    if any(m.topic is Topic.TRANSITIONAL and m.text.startswith(_COUNTING) for m in sentence.marks):
        is_named = not mark.text.startswith((*_COUNTING, "five", "5"))
        return (Polarity.AFFIRMED, None) if is_named else (Polarity.UNCERTAIN, "The report says how it counts levels.")
    return (Polarity.NEGATED if mark.text.startswith(("five", "5")) else Polarity.AFFIRMED), None


def _is_past(sentence: Sentence, at: int) -> bool:
    mark = sentence.marks[at]
    if mark.topic in (Topic.AUGMENTED, Topic.OTHER_CAUSE):
        return False
    holds = any(m.kind is Kind.STILL or (m.kind is Kind.ACUITY and m.acuity is None) for m in sentence.marks)
    return not holds and any(m.kind is Kind.EARLIER for m in sentence.marks_of(sentence.chunk_of(at)))


def _from_before(sentence: Sentence, at: int, placed: Placed, carried: Carried, *, is_denied: bool) -> Placed:
    """Levels of the sentences before, where this one goes on about them."""
    if not carried.levels:
        return placed
    if carried.is_heading:
        return replace(placed, levels=carried.levels)
    if ANAPHORA.search(sentence.folded):
        is_each = len(carried.levels) == 1 or DISTRIBUTES.search(sentence.folded)
        note = None if is_each else "The sentence names no level, and the one before names several."
        return replace(placed, levels=carried.levels, note=note)
    is_sign = sentence.marks[at].topic in (Topic.EDEMA, Topic.RETROPULSION) and not is_denied
    return replace(placed, levels=carried.levels) if carried.is_fresh and is_sign else placed


def _other_part(sentence: Sentence, at: int) -> str | None:
    """The process, rib, sacrum ... that a fracture or oedema is of, by the words right beside it."""
    mark = sentence.marks[at]
    if mark.topic not in (Topic.FRACTURE, Topic.EDEMA) or mark.kind is Kind.INTACT:
        return None
    if "compression" in mark.text or "burst" in mark.text:
        return None
    chunk = sentence.marks_of(sentence.chunk_of(at))
    here = list(chunk).index(mark)
    nearest = [*chunk[max(here - 1, 0) : here], *chunk[here + 1 : here + 3]]
    parts = [m for m in nearest if m.kind is Kind.PART and "exten" not in sentence.folded[mark.end : m.start]]
    return parts[0].text if parts else None


def level_alone(sentence: Sentence, at: int, quote: Quote) -> Iterator[Draft]:
    """A level that a correction takes back, that an exception sets apart, or that has an age and nothing else."""
    mark, cue = sentence.marks[at], sentence.marks[at - 1].kind
    named = next((m.topic for m in reversed(sentence.marks[:at]) if m.topic), None)
    topic = named or Topic.FRACTURE
    acuity = Acuity.UNSTATED
    if cue is Kind.CORRECTS and (named or quote.section is Section.ADDENDUM):
        polarity, note = Polarity.NEGATED, None
    elif cue is Kind.EXCEPT and named and not sentence.has_concept(sentence.chunk_of(at)):
        polarity, note = Polarity.UNCERTAIN, "The sentence sets this level apart without saying what is there."
    elif named is Topic.FRACTURE and (aged := _aged_alone(sentence, at)):
        polarity, acuity, note = Polarity.UNCERTAIN, aged, "The sentence gives an age here without saying of what."
    else:
        return
    for level in mark.group.levels if mark.group else ():
        statement = Statement(level=level, topic=topic, polarity=polarity, acuity=acuity, quote=quote, note=note)
        yield Draft(statement=statement)


def _aged_alone(sentence: Sentence, at: int) -> Acuity | None:
    """The age in a clause that has a level and an age and names nothing (``no acute fracture; chronic at T12``)."""
    clause = sentence.chunks[sentence.chunk_of(at)].clause
    chunks = [chunk for chunk in sentence.chunks if chunk.clause == clause]
    here = [mark for chunk in chunks for mark in sentence.marks[chunk.first : chunk.last]]
    words = [mark.acuity for mark in here if mark.kind is Kind.ACUITY]
    return combine(words) if any(words) and not any(mark.topic for mark in here) else None


def _age_alone(sentence: Sentence, quote: Quote, carried: Carried) -> Iterator[Draft]:
    """``It is acute.``: the age of the one fracture that the sentence before speaks of."""
    ages = [mark for mark in sentence.marks if mark.kind is Kind.ACUITY]
    others = any(mark.group for mark in sentence.marks)
    if not ages or others or len(carried.levels) != 1 or not ANAPHORA.search(sentence.folded):
        return
    cues = (Kind.HEDGES_NEXT, Kind.HEDGES_LAST, Kind.NEGATES_NEXT, Kind.ASKS)
    is_open = any(mark.kind in cues for mark in sentence.marks)
    acuity = Acuity.INDETERMINATE if is_open else combine(mark.acuity for mark in ages)
    polarity = Polarity.UNCERTAIN if carried.is_heading else Polarity.AFFIRMED
    statement = Statement(level=carried.levels[0], topic=Topic.FRACTURE, polarity=polarity, acuity=acuity, quote=quote)
    yield Draft(statement=statement)


def _correction(sentence: Sentence, quote: Quote) -> Iterator[Draft]:
    """A sentence of an addendum that takes the report back, or moves a level, without naming what is there.

    Two levels and nothing else that is read (``L3 is to be read as L4``) may move one, whatever the words.
    """
    if quote.section is not Section.ADDENDUM:
        return
    if WITHDRAWAL.search(sentence.folded):
        yield _open_fracture(None, quote, WITHDRAWN)
    elif CORRECTION.search(sentence.folded) or sum(mark.group is not None for mark in sentence.marks) > 1:
        named = [(mark.start, level) for mark in sentence.marks if mark.group for level in mark.group.levels]
        is_swap = len(named) == 2 and WRONG_THEN_RIGHT.search(sentence.folded[named[0][0] : named[1][0]])  # noqa: PLR2004
        for number, (_, level) in enumerate(named):
            draft = _open_fracture(level, quote, CORRECTED)
            if is_swap and not number:
                draft = replace(draft, statement=replace(draft.statement, polarity=Polarity.NEGATED, note=None))
            yield draft


def _open_fracture(level: Vertebra | None, quote: Quote, note: str) -> Draft:
    said = Statement(level=level, topic=Topic.FRACTURE, polarity=Polarity.UNCERTAIN, quote=quote, note=note)
    return Draft(statement=said)


def _settled(found: Sequence[Draft], *, is_explained: bool) -> list[Draft]:
    """Without repetitions; oedema that the sentence explains otherwise is left to a person."""
    causes = [
        draft.statement.level
        for draft in found
        if draft.statement.topic in (Topic.OTHER_CAUSE, Topic.AUGMENTED)
        and draft.statement.polarity is not Polarity.NEGATED
    ]
    explained = [_explained(draft, causes, is_explained=is_explained) for draft in found]
    kept: list[Draft] = []
    for draft in explained:
        if draft not in kept and not _says_less(draft, explained):
            kept.append(draft)
    return kept


def _explained(draft: Draft, causes: Sequence[Vertebra | None], *, is_explained: bool) -> Draft:
    said = draft.statement
    if said.topic is not Topic.EDEMA or said.polarity is not Polarity.AFFIRMED:
        return draft
    if not is_explained and not any(None in (cause, said.level) or cause is said.level for cause in causes):
        return draft
    note = "The sentence names another cause beside the oedema."
    return replace(draft, statement=replace(said, polarity=Polarity.UNCERTAIN, note=note))


def _says_less(draft: Draft, all_of_sentence: Sequence[Draft]) -> bool:
    """Whether another draft of the sentence says the same with the age of the fracture."""
    said = draft.statement
    return said.acuity is Acuity.UNSTATED and any(
        (other.statement.level, other.statement.topic, other.statement.polarity)
        == (said.level, said.topic, said.polarity)
        and other.statement.acuity is not Acuity.UNSTATED
        for other in all_of_sentence
    )
