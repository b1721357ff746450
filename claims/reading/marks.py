"""A folded sentence as marks: what is named, where, and the words that deny, doubt, date or bound it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from claims.reading import lexicon
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
    acuity: Acuity | None = None
    """Of an acuity word; None for ``stable``, which says no age."""
    group: LevelGroup | None = None
    """Of a level."""


def _compiled() -> Iterator[tuple[Kind, Topic | None, Acuity | None, re.Pattern[str]]]:
    for topic, pattern in lexicon.CONCEPTS.items():
        yield Kind.CONCEPT, topic, None, _words(pattern)
    yield Kind.SOFT, Topic.FRACTURE, None, _words(lexicon.SOFT)
    yield Kind.INTACT, Topic.FRACTURE, None, _words(lexicon.INTACT)
    for acuity, pattern in lexicon.ACUITIES.items():
        yield Kind.ACUITY, None, acuity, _words(pattern)
    yield Kind.ACUITY, None, None, _words(lexicon.UNCHANGED)
    for kind, pattern in lexicon.CUES.items():
        yield kind, None, None, _words(pattern)


def _words(pattern: str) -> re.Pattern[str]:
    """Whole words; a sign like ``;`` needs nothing beside it."""
    return re.compile(rf"(?:(?<![a-z0-9])|(?=[^a-z0-9 ]))(?:{pattern})(?:(?![a-z0-9])|(?<=[^a-z0-9]))")


_PATTERNS = tuple(_compiled())
_SIGNAL = (Kind.CONCEPT, Topic.EDEMA, None, _words(lexicon.SIGNAL))


def marks(view: View) -> tuple[Mark, ...]:
    """The marks of a sentence in order; of two that overlap a level stands, else the first, then the longer."""
    levels = [_level_mark(group) for group in level_groups(view)]
    found = list(levels)
    taken = {place for level in levels for place in range(level.start, level.end)}
    patterns = (*_PATTERNS, _SIGNAL) if lexicon.FLUID_SENSITIVE.search(view.folded) else _PATTERNS
    for kind, topic, acuity, pattern in patterns:
        found.extend(
            Mark(kind=kind, start=match.start(), end=match.end(), text=match[0], topic=topic, acuity=acuity)
            for match in pattern.finditer(view.folded)
            if taken.isdisjoint(range(*match.span()))
        )
    standing: list[Mark] = []
    for mark in sorted(found, key=lambda mark: (mark.start, -mark.end)):
        if not standing or mark.start >= standing[-1].end:
            standing.append(mark)
    return tuple(standing)


def _level_mark(group: LevelGroup) -> Mark:
    return Mark(kind=Kind.LEVEL, start=group.start, end=group.end, group=group)


def is_body(mark: Mark) -> bool:
    """Whether a mark names vertebral bodies, or two neighbours that may be meant as bodies."""
    return mark.group is not None and mark.group.kind is not GroupKind.DISC
