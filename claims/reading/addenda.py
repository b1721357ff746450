"""What an addendum takes back of the report that it was added to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from claims.reading.statements import CORRECTED, WITHDRAWN
from claims.report import Polarity, Section, Statement, Topic

_OF_THIS_STUDY = frozenset({Section.FINDINGS, Section.IMPRESSION, Section.UNKNOWN, Section.ADDENDUM})


def superseded(statements: Sequence[Statement]) -> tuple[Statement, ...]:
    """The statements, those marked that an addendum of the same report reverses."""
    addenda = [said for said in statements if said.quote.section is Section.ADDENDUM]
    return tuple(_marked(said, addenda) for said in statements)


def _marked(said: Statement, addenda: Sequence[Statement]) -> Statement:
    if said.quote.section is Section.ADDENDUM or said.quote.section not in _OF_THIS_STUDY:
        return said
    return replace(said, superseded=any(_reverses(addendum, said) for addendum in addenda))


def _reverses(addendum: Statement, said: Statement) -> bool:
    """What it says otherwise of the same level, or denies of all levels; with a fracture go its signs."""
    if addendum.note == WITHDRAWN:
        return True
    if addendum.topic is not said.topic:
        goes_with = addendum.topic is Topic.FRACTURE and said.topic in (Topic.EDEMA, Topic.RETROPULSION)
        is_denied = addendum.polarity is Polarity.NEGATED or addendum.note == CORRECTED
        is_moved = is_denied and addendum.level is not None and addendum.level is said.level
        return goes_with and is_moved and said.polarity is not Polarity.NEGATED
    if addendum.level is None and said.level is not None:
        return addendum.polarity is Polarity.NEGATED and said.polarity is not Polarity.NEGATED
    is_same = addendum.level is said.level
    if is_same and said.topic is Topic.MODIC and addendum.kinds != said.kinds:
        return True
    return is_same and (addendum.polarity, addendum.acuity) != (said.polarity, said.acuity)
