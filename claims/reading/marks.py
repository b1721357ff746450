"""A folded sentence as marks: what is named, where, and the words that deny, doubt, date or bound it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from claims.reading import lexicon
from claims.reading.families import FAMILIES, Family
from claims.reading.levels import GroupKind, LevelGroup, level_groups
from claims.reading.lexicon import Kind
from claims.reading.view import View
from claims.report import Acuity, Topic


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One cue or concept with its place in the folded sentence."""

    kind: Kind
    start: int
    end: int
    text: str = ""
    topic: Topic | None = None
    """Of a concept."""
    word: str = ""
    """Of a concept of a further family: which of its words (``families.toml``)."""
    acuity: Acuity | None = None
    """Of an acuity word; None for ``stable``, which says no age."""
    group: LevelGroup | None = None
    """Of a level."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """What makes a mark."""

    kind: Kind
    pattern: re.Pattern[str]
    topic: Topic | None = None
    word: str = ""
    acuity: Acuity | None = None


def _compiled() -> Iterator[Pattern]:
    for topic, pattern in lexicon.CONCEPTS.items():
        yield Pattern(kind=Kind.CONCEPT, topic=topic, pattern=_words(pattern))
    yield Pattern(kind=Kind.SOFT, topic=Topic.FRACTURE, pattern=_words(lexicon.SOFT))
    yield Pattern(kind=Kind.INTACT, topic=Topic.FRACTURE, pattern=_words(lexicon.INTACT))
    for acuity, pattern in lexicon.ACUITIES.items():
        yield Pattern(kind=Kind.ACUITY, acuity=acuity, pattern=_words(pattern))
    yield Pattern(kind=Kind.ACUITY, pattern=_words(lexicon.UNCHANGED))
    for kind, pattern in lexicon.CUES.items():
        yield Pattern(kind=kind, pattern=_words(pattern))


def _words(pattern: str) -> re.Pattern[str]:
    """Whole words; a sign like ``;`` needs nothing beside it."""
    return re.compile(rf"(?:(?<![a-z0-9])|(?=[^a-z0-9 ]))(?:{pattern})(?:(?![a-z0-9])|(?<=[^a-z0-9]))")


def _compiled_of(family: Family) -> Iterator[Pattern]:
    """Of a further family: its concepts, and the cues of all but the names of other parts."""
    for word, pattern in family.concepts.items():
        yield Pattern(kind=Kind.CONCEPT, topic=family.topic(word), word=word, pattern=_words(pattern))
    for kind, pattern in family.cues.items():
        topic = family.topic(family.name) if kind is Kind.INTACT else None
        yield Pattern(kind=kind, topic=topic, pattern=_words(pattern))
    yield Pattern(kind=Kind.ACUITY, pattern=_words(lexicon.UNCHANGED))
    for kind, pattern in lexicon.CUES.items():
        if kind is not Kind.PART:
            yield Pattern(kind=kind, pattern=_words(pattern))


_PATTERNS = tuple(_compiled())
_SIGNAL = Pattern(kind=Kind.CONCEPT, topic=Topic.EDEMA, pattern=_words(lexicon.SIGNAL))
_OF_FAMILY = {family.name: tuple(_compiled_of(family)) for family in FAMILIES}


def marks(view: View, family: Family | None = None) -> tuple[Mark, ...]:
    """The marks of a sentence in order; of two that overlap a level stands, else the first, then the longer.

    Args:
        view: the sentence.
        family: a further family, whose concepts are marked; None: those of ``lexicon.toml``.
    """
    levels = [_level_mark(group) for group in level_groups(view)]
    found = list(levels)
    taken = {place for level in levels for place in range(level.start, level.end)}
    for one in _patterns(view, family):
        found.extend(
            Mark(
                kind=one.kind,
                start=match.start(),
                end=match.end(),
                text=match[0],
                topic=one.topic,
                word=one.word,
                acuity=one.acuity,
            )
            for match in one.pattern.finditer(view.folded)
            if taken.isdisjoint(range(*match.span()))
        )
    standing: list[Mark] = []
    for mark in sorted(found, key=lambda mark: (mark.start, -mark.end)):
        if not standing or mark.start >= standing[-1].end:
            standing.append(mark)
    return tuple(standing)


def _patterns(view: View, family: Family | None) -> tuple[Pattern, ...]:
    if family is not None:
        return _OF_FAMILY[family.name]
    return (*_PATTERNS, _SIGNAL) if lexicon.FLUID_SENSITIVE.search(view.folded) else _PATTERNS


def _level_mark(group: LevelGroup) -> Mark:
    return Mark(kind=Kind.LEVEL, start=group.start, end=group.end, group=group)


def is_body(mark: Mark) -> bool:
    """Whether a mark names vertebral bodies, or two neighbours that may be meant as bodies."""
    return mark.group is not None and mark.group.kind is not GroupKind.DISC
