"""Which cue reaches which concept of a sentence, and whether it denies or doubts it."""

from __future__ import annotations

from collections.abc import Sequence

from claims.reading.lexicon import Kind
from claims.reading.marks import Mark
from claims.report import Polarity

SEPARATORS = frozenset({Kind.COMMA, Kind.AND, Kind.OR})
BOUNDS = frozenset({Kind.BREAK, Kind.EXCEPT})
CONCEPTS = frozenset({Kind.CONCEPT, Kind.SOFT, Kind.INTACT})
_FORWARD = frozenset({Kind.NEGATES_NEXT, Kind.HEDGES_NEXT, Kind.ASKS})
_WHY = {
    Kind.HEDGES_NEXT: 'The report hedges: "{}".',
    Kind.HEDGES_LAST: 'The report hedges: "{}".',
    Kind.ASKS: "The report looks for this or recommends it; it does not say that it was found.",
}
_UNCLEAR = 'It is not clear how far "{}" reaches in this sentence.'
_BOTH_WAYS = ("vs", "versus", "?")
"""Hedges that doubt what stands on either side."""
_PLURAL = ("are", "were", "have")
_NEGATABLE_HEDGES = ("suspicious", "suggest", "concern", "worrisome", "suspicion", "typical")

Judgement = tuple[Polarity, str | None]


def judge(marks: Sequence[Mark], place: int) -> Judgement:
    """What the cues of a sentence make of the concept at ``marks[place]``, and why where they leave it open."""
    before, after = _before(marks, place), _after(marks, place)
    if before[0] is Polarity.NEGATED and after[0] is Polarity.NEGATED:
        return Polarity.UNCERTAIN, "The sentence denies twice."
    for judgement in (before, after):
        if judgement[0] is Polarity.UNCERTAIN:
            return judgement
    return after if after[0] is Polarity.NEGATED else before


def _before(marks: Sequence[Mark], place: int) -> Judgement:
    crossed: list[Kind] = []
    is_first = True
    for at in range(place - 1, -1, -1):
        mark = marks[at]
        if mark.kind in BOUNDS or mark.kind in (Kind.NEGATES_LAST, Kind.HEDGES_LAST):
            break
        if mark.kind in SEPARATORS:
            crossed.append(mark.kind)
        elif mark.kind is Kind.NEGATES_NEXT:
            return (
                _denied(marks, place, mark, crossed)
                if crossed or is_first
                else (Polarity.UNCERTAIN, _UNCLEAR.format(mark.text))
            )
        elif mark.kind in _FORWARD:
            return _hedged(marks, at, mark)
        elif mark.kind in CONCEPTS:
            is_first = False
    return Polarity.AFFIRMED, None


def _denied(marks: Sequence[Mark], place: int, cue: Mark, crossed: Sequence[Kind]) -> Judgement:
    """A denial reaches through a list that ends in ``or``; through anything else it is not clear."""
    is_list = Kind.AND not in crossed and (crossed[:1] == [Kind.OR] or _or_follows(marks, place))
    if not crossed or set(crossed) == {Kind.OR} or is_list:
        return Polarity.NEGATED, None
    return Polarity.UNCERTAIN, _UNCLEAR.format(cue.text)


def _or_follows(marks: Sequence[Mark], place: int) -> bool:
    for at in range(place + 1, len(marks)):
        kind = marks[at].kind
        if kind is Kind.OR:
            return any(later.kind in CONCEPTS for later in marks[at + 1 : at + 3])
        if kind not in CONCEPTS and kind is not Kind.COMMA:
            return False
    return False


def _hedged(marks: Sequence[Mark], at: int, cue: Mark) -> Judgement:
    if cue.kind is Kind.HEDGES_NEXT and cue.text.startswith(_NEGATABLE_HEDGES) and _is_denied(marks, at):
        return Polarity.NEGATED, None
    return Polarity.UNCERTAIN, _WHY[cue.kind].format(cue.text)


def _is_denied(marks: Sequence[Mark], at: int) -> bool:
    """Whether a hedge stands in a denial (``no findings suspicious for``, ``no edema to suggest``)."""
    for mark in reversed(marks[:at]):
        if mark.kind in BOUNDS or mark.kind is Kind.COMMA:
            return False
        if mark.kind is Kind.NEGATES_NEXT:
            return True
    return False


def _after(marks: Sequence[Mark], place: int) -> Judgement:
    has_comma = is_run_on = is_joined = False
    for mark in marks[place + 1 :]:
        if mark.kind is Kind.HEDGES_LAST or (mark.kind is Kind.HEDGES_NEXT and mark.text.startswith(_BOTH_WAYS)):
            return Polarity.UNCERTAIN, _WHY[Kind.HEDGES_LAST].format(mark.text)
        if mark.kind in BOUNDS or mark.kind in _FORWARD:
            break
        is_joined = is_joined or mark.kind in SEPARATORS
        has_comma = has_comma or mark.kind is Kind.COMMA
        is_run_on = is_run_on or (mark.kind in CONCEPTS and not is_joined)
        if mark.kind is Kind.NEGATES_LAST:
            if not is_run_on and (not has_comma or mark.text.startswith(_PLURAL)):
                return Polarity.NEGATED, None
            return Polarity.UNCERTAIN, _UNCLEAR.format(mark.text)
    return Polarity.AFFIRMED, None
