"""Which levels of a sentence a concept is about, and how old it is called there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from claims.reading.levels import GroupKind, LevelGroup
from claims.reading.lexicon import BARE, Kind
from claims.reading.marks import Mark
from claims.reading.scope import BOUNDS, CONCEPTS, SEPARATORS
from claims.report import Acuity, Topic
from inference.anatomy import Vertebra

_ONE_OF_TWO = re.compile(r"\b(?:latter|former)\b")
_WORD = re.compile(r"[a-z]+|[()]")
OF_DISCS = frozenset({Topic.MODIC, Topic.HARDWARE, Topic.NEEDLE, Topic.CONTRAST, Topic.IMAGES})
"""Topics of which two levels joined by a dash are both meant: the endplates, screws or joints beside a disc."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Levels of one concept."""

    levels: tuple[Vertebra, ...] = ()
    note: str | None = None
    """Why it is not certain that these are the ones."""
    chunks: tuple[int, ...] = ()
    """Where in the sentence they, and the words of their age, stand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Marks between two separators."""

    first: int
    last: int
    """One past the last."""
    clause: int
    is_bare: bool


class Sentence:
    """The marks of one sentence, cut into clauses and chunks."""

    def __init__(self, folded: str, marks: Sequence[Mark], bare: frozenset[str] = BARE) -> None:
        self.folded = folded
        self.marks = marks
        self._bare = bare
        self.chunks = tuple(self._cut())

    def _cut(self) -> Iterable[Chunk]:
        first, clause, begins = 0, 0, 0
        for place, mark in enumerate(self.marks):
            if mark.kind in SEPARATORS or mark.kind in BOUNDS:
                yield self._chunk(first, place, clause, begins, mark.start)
                first, begins = place + 1, mark.end
                clause += mark.kind in BOUNDS
        yield self._chunk(first, len(self.marks), clause, begins, len(self.folded))

    def _chunk(self, first: int, last: int, clause: int, begins: int, ends: int) -> Chunk:
        rest = list(self.folded[begins:ends])
        for mark in self.marks[first:last]:
            if mark.kind in (Kind.LEVEL, Kind.ACUITY):
                rest[mark.start - begins : mark.end - begins] = " " * (mark.end - mark.start)
        words = _WORD.findall("".join(rest))
        kinds = {mark.kind for mark in self.marks[first:last]}
        is_bare = Kind.LEVEL in kinds and kinds <= {Kind.LEVEL, Kind.ACUITY} and self._bare.issuperset(words)
        return Chunk(first=first, last=last, clause=clause, is_bare=is_bare)

    def chunk_of(self, place: int) -> int:
        """The chunk that a mark is in."""
        return next(n for n, chunk in enumerate(self.chunks) if chunk.first <= place < chunk.last)

    def marks_of(self, chunk: int) -> Sequence[Mark]:
        """The marks of a chunk."""
        return self.marks[self.chunks[chunk].first : self.chunks[chunk].last]

    def words_of(self, chunk: int) -> str:
        """The words of a chunk."""
        first, last = self.chunks[chunk].first, self.chunks[chunk].last
        begins = self.marks[first - 1].end if first else 0
        return self.folded[begins : self.marks[last].start if last < len(self.marks) else None]

    def corrected(self, place: int) -> bool:
        """Whether a level is the wrong one of a correction."""
        return place > 0 and self.marks[place - 1].kind is Kind.CORRECTS

    def groups(self, chunk: int, topic: Topic) -> list[LevelGroup]:
        """The levels of a chunk that may be meant; a fracture is never of a disc."""
        span = range(self.chunks[chunk].first, self.chunks[chunk].last)
        found = [self.marks[n].group for n in span if not self.corrected(n)]
        return [g for g in found if g and not (topic is Topic.FRACTURE and g.kind is GroupKind.DISC)]

    def has_concept(self, chunk: int) -> bool:
        """Whether anything is named in a chunk."""
        return any(mark.kind in CONCEPTS for mark in self.marks_of(chunk))


def place(sentence: Sentence, concept: int) -> Placed:
    """The levels of the concept ``sentence.marks[concept]``; none where the sentence names none for it."""
    mark = sentence.marks[concept]
    topic = mark.topic or Topic.FRACTURE
    own = sentence.chunk_of(concept)
    if bracketed := _before_bracket(sentence, concept, topic):
        return Placed(levels=bracketed, chunks=(own,))
    run = _list_around(sentence, own)
    if topic in OF_DISCS and any(group.start >= mark.end for group in sentence.groups(own, topic)):
        run = [chunk for chunk in run if chunk >= own]  # what stands before belongs to what was named before
    groups = [group for chunk in run for group in sentence.groups(chunk, topic)]
    if not groups:
        run, groups, note = _elsewhere(sentence, own, topic)
    else:
        note = _crowded(sentence, concept, groups)
    levels = tuple(dict.fromkeys(level for group in groups for level in group.levels))
    if one := _ONE_OF_TWO.search(sentence.folded, 0, mark.start):
        levels = levels[-1:] if one[0] == "latter" else levels[:1]
    return Placed(levels=levels, note=note or _pair(mark, topic, groups), chunks=tuple(run))


def _before_bracket(sentence: Sentence, concept: int, topic: Topic) -> tuple[Vertebra, ...]:
    """The one level right before the bracket that a concept stands in (``L1 (with edema) and L4 (without)``)."""
    start = sentence.marks[concept].start
    opened = sentence.folded.rfind("(", 0, start)
    if opened < 0 or sentence.folded.find(")", opened, start) >= 0:
        return ()
    groups = [mark.group for mark in sentence.marks if mark.group]
    if any(group.start > opened and ")" not in sentence.folded[opened : group.start] for group in groups):
        return ()
    before = [group for group in groups if opened - 1 <= group.end <= opened]
    is_meant = before and not (topic is Topic.FRACTURE and before[0].kind is GroupKind.DISC)
    if is_meant and topic in OF_DISCS and before[0].kind is not GroupKind.BODIES:
        return before[0].levels
    return before[0].levels[-1:] if is_meant else ()


def _list_around(sentence: Sentence, own: int) -> list[int]:
    """The concept's chunk with the bare levels that go before or on behind it."""
    clause = sentence.chunks[own].clause
    first = last = own
    while first > 0 and sentence.chunks[first - 1].is_bare and sentence.chunks[first - 1].clause == clause:
        first -= 1
    following = len(sentence.chunks)
    while last + 1 < following and sentence.chunks[last + 1].is_bare and sentence.chunks[last + 1].clause == clause:
        last += 1
    return list(range(first, last + 1))


def _elsewhere(sentence: Sentence, own: int, topic: Topic) -> tuple[list[int], list[LevelGroup], str | None]:
    """The levels said before; else the next that are said in the same clause."""
    for chunk in range(own - 1, -1, -1):
        if groups := sentence.groups(chunk, topic):
            is_sure = sentence.has_concept(chunk) or sentence.chunks[chunk].is_bare
            run = _list_around(sentence, chunk)
            groups = [g for c in run for g in sentence.groups(c, topic)]
            return [own], groups, None if is_sure else "The sentence names no level right beside this."
    for chunk in range(own + 1, len(sentence.chunks)):
        if sentence.chunks[chunk].clause != sentence.chunks[own].clause:
            break
        if groups := sentence.groups(chunk, topic):
            return [own], groups, None
    return [own], [], None


def _crowded(sentence: Sentence, concept: int, groups: Sequence[LevelGroup]) -> str | None:
    """Why the levels of a chunk may belong to something else that the chunk names."""
    chunk = sentence.chunks[sentence.chunk_of(concept)]
    named = [mark for mark in sentence.marks[chunk.first : chunk.last] if mark.kind in CONCEPTS]
    here = sentence.marks[concept]
    others = [mark for mark in named if mark.topic is not here.topic]
    is_behind_another = all(group.start > here.end for group in groups) and any(
        here.end <= mark.start < groups[0].start for mark in others
    )
    is_shared = any(
        here.end < group.start and len(group.levels) > 1 and any(group.end <= mark.start for mark in others)
        for group in groups
    )
    if is_behind_another or is_shared or (len({mark.topic for mark in named}) > 1 and len(groups) > 1):
        return "The sentence names several things without saying clearly which is at which level."
    if "respectively" in sentence.folded:
        return 'The sentence pairs levels by "respectively".'
    return None


def _pair(mark: Mark, topic: Topic, groups: Sequence[LevelGroup]) -> str | None:
    """Two neighbours joined by a dash mean a disc, or both bodies."""
    if topic in (Topic.OTHER_CAUSE, *OF_DISCS) or not any(group.kind is not GroupKind.BODIES for group in groups):
        return None
    if topic is Topic.FRACTURE and mark.text.endswith(("s", "ies")):
        return None
    return "Two neighbouring levels are joined; that may mean the disc between them."


def acuity_at(sentence: Sentence, concept: int, placed: Placed, level: Vertebra | None, *, is_denied: bool) -> Acuity:
    """How old the fracture at a level is called; INDETERMINATE where the words disagree or hedge.

    Of a denied fracture: how old one is denied, by the words beside it.
    """
    if is_denied:
        words = _ages(sentence.marks_of(sentence.chunk_of(concept)))
    else:
        words = _acuity_words(sentence, concept, placed, level)
    if len({mark.acuity for mark in words if mark.acuity}) > 1 and len(placed.levels) > 1 and level is not None:
        words = _paired(sentence, placed, words, level)
    if not words:
        return Acuity.UNSTATED
    if any(_is_open(sentence, mark, concept) for mark in words):
        return Acuity.INDETERMINATE
    return combine(mark.acuity for mark in words)


def _ages(marks: Iterable[Mark]) -> list[Mark]:
    return [mark for mark in marks if mark.kind is Kind.ACUITY]


def combine(words: Iterable[Acuity | None]) -> Acuity:
    """One age from several words; None stands for ``stable``, which alone says no age."""
    known = set(words)
    if known == {None, Acuity.CHRONIC}:
        return Acuity.CHRONIC
    if known <= {Acuity.ACUTE, Acuity.SUBACUTE}:
        return Acuity.SUBACUTE if Acuity.SUBACUTE in known else Acuity.ACUTE
    return next(iter(known)) or Acuity.INDETERMINATE if len(known) == 1 else Acuity.INDETERMINATE


def _acuity_words(sentence: Sentence, concept: int, placed: Placed, level: Vertebra | None) -> list[Mark]:
    """The words of age beside a fracture and its levels; of the whole sentence where it has no other fracture."""
    fractures = [m for m in sentence.marks if m.kind in CONCEPTS and m.topic is Topic.FRACTURE]
    near = [mark for chunk in placed.chunks for mark in _ages(sentence.marks_of(chunk))]
    if len(fractures) > 1:
        following = sentence.chunk_of(concept) + 1
        is_free = following < len(sentence.chunks) and not sentence.has_concept(following)
        return near or (_ages(sentence.marks_of(following)) if is_free else [])
    named: list[Mark] = []
    loose: list[Mark] = []
    for number, chunk in enumerate(sentence.chunks):
        levels = {v for m in sentence.marks[chunk.first : chunk.last] if m.group for v in m.group.levels}
        words = _ages(sentence.marks_of(number))
        named.extend(words if level in levels else ())
        loose.extend(words if not levels else ())
    here = min((m.start for m in sentence.marks if m.group and level in m.group.levels), default=0)
    return [*named, *loose] or [mark for mark in near if mark.start < here]


def _paired(sentence: Sentence, placed: Placed, words: Sequence[Mark], level: Vertebra) -> list[Mark]:
    """The words of one level: those before it where the first word stands before the first level, else those behind."""
    places = [m for chunk in placed.chunks for m in sentence.marks_of(chunk) if m.group]
    here = next((m for m in places if m.group and level in m.group.levels), None)
    if here is None:
        return list(words)
    if words[0].start < places[0].start:
        return [mark for mark in words if mark.start < here.start][-1:]
    return [mark for mark in words if mark.start >= here.end][:1]


def _is_open(sentence: Sentence, word: Mark, concept: int) -> bool:
    """Whether a word of age is itself hedged or denied, other than with its fracture."""
    at = sentence.marks.index(word)
    previous = sentence.marks[at - 1] if at else None
    is_hedged = previous is not None and previous.kind in (Kind.HEDGES_NEXT, Kind.NEGATES_NEXT, Kind.ASKS)
    following = sentence.marks[at + 1] if at + 1 < len(sentence.marks) else None
    return (is_hedged and at > concept) or (following is not None and following.kind is Kind.HEDGES_LAST)
