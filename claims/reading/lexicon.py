"""What radiologists write: ``lexicon.toml`` as patterns, and what each of its tables is for."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from claims.report import Acuity, Section, Topic


class Kind(Enum):
    """What a mark does."""

    CONCEPT = "concept"
    SOFT = "soft"
    """A change of shape that the report may or may not mean as a fracture."""
    INTACT = "intact"
    """Says of itself that bodies are whole."""
    LEVEL = "level"
    NEGATES_NEXT = "negates next"
    NEGATES_LAST = "negates last"
    HEDGES_NEXT = "hedges next"
    HEDGES_LAST = "hedges last"
    ASKS = "asks"
    """What follows is looked for, ordered or recommended, not found."""
    EARLIER = "earlier"
    """What the sentence says is of an earlier study or of the past ..."""
    STILL = "still"
    """... and still holds."""
    ACUITY = "acuity"
    CORRECTS = "corrects"
    """The level behind it is the wrong one."""
    EXCEPT = "except"
    PART = "part"
    """A part of a vertebra, or a bone, other than a vertebral body."""
    BREAK = "break"
    """A scope ends."""
    COMMA = "comma"
    OR = "or"
    AND = "and"
    IGNORED = "ignored"
    """Looks like one of the others and is none."""


_TABLES: Mapping[str, Any] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
_PART = re.compile(r"<([a-z]+)>")


def _filled(pattern: str) -> str:
    """A pattern with the parts that it names."""
    return _PART.sub(lambda match: str(_TABLES["parts"][match[1]]), pattern)


def _one(patterns: Iterable[str]) -> str:
    return "|".join(_filled(pattern) for pattern in patterns)


def _table(name: str) -> dict[str, str]:
    return {key: _one(patterns) for key, patterns in _TABLES[name].items()}


PARTS: Mapping[str, str] = _TABLES["parts"]

_SHAPE = _table("shape")
_ACUITY = _table("acuity")
_SENTENCES = {name: re.compile(pattern) for name, pattern in _table("sentences").items()}

CONCEPTS: Mapping[Topic, str] = {Topic(name): pattern for name, pattern in _table("concepts").items()}
SOFT = _SHAPE["soft"]
INTACT = _SHAPE["intact"]
SIGNAL = _SHAPE["signal"]
UNCHANGED = _ACUITY.pop("unchanged")
ACUITIES: Mapping[Acuity, str] = {Acuity(name): pattern for name, pattern in _ACUITY.items()}
CUES: Mapping[Kind, str] = {Kind[name.upper()]: pattern for name, pattern in _table("cues").items()}
HEADINGS: Mapping[Section, str] = {Section(name): pattern for name, pattern in _table("headings").items()}
LEVELS: Mapping[str, re.Pattern[str]] = {n: re.compile(_filled(p)) for n, p in _TABLES["levels"].items()}

BARE = frozenset(_TABLES["words"]["bare"].split())
FLUID_SENSITIVE = re.compile(_filled(r"\b<fluid>\b"))
DOUBT = _SENTENCES["doubt"]
ENGLISH = _SENTENCES["english"]
ANAPHORA = _SENTENCES["anaphora"]
DISTRIBUTES = _SENTENCES["distributes"]
ANOTHER_CAUSE = _SENTENCES["another_cause"]
CORRECTION = _SENTENCES["correction"]
WITHDRAWAL = _SENTENCES["withdrawal"]
WRONG_THEN_RIGHT = _SENTENCES["wrong_then_right"]
EARLIER_STUDY = _SENTENCES["earlier_study"]
