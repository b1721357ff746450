"""Words of the further families of topics (``families.toml``): Modic change, hardware, and notes of injections.

Each family is read in a pass of its own, so that its words change nothing in how fractures are read.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from claims.reading.lexicon import PARTS, Kind
from claims.report import Topic

_TABLES: Mapping[str, Any] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
_PARTS = {**PARTS, **_TABLES["parts"]}
_PART = re.compile(r"<([a-z_]+)>")
_TYPES = {"1": "1", "i": "1", "one": "1", "2": "2", "ii": "2", "two": "2", "3": "3", "iii": "3", "three": "3"}
_TYPE = re.compile(r"\b(?:iii|ii|i|[123]|one|two|three)\b")
_FATTY = "2"


def _filled(pattern: str) -> str:
    while _PART.search(pattern):
        pattern = _PART.sub(lambda match: str(_PARTS[match[1]]), pattern)
    return pattern


def _one(patterns: Sequence[str]) -> str:
    return "|".join(_filled(pattern) for pattern in patterns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Topics that are read together."""

    name: str
    trigger: re.Pattern[str]
    """A sentence without it says nothing of the family."""
    concepts: Mapping[str, str]
    """Pattern by the word that Mark.word carries."""
    cues: Mapping[Kind, str]
    shown: Mapping[str, tuple[re.Pattern[str], ...]] = field(default_factory=dict)
    """What a sentence says beside a concept: without the first nothing is read, without the second it is asked."""
    sentences: Mapping[str, re.Pattern[str]] = field(default_factory=dict)

    def topic(self, word: str) -> Topic:
        """What a concept is about."""
        return Topic(word) if self.name == "procedure" else Topic(self.name)


def _family(name: str) -> Family:
    table = _TABLES[name]
    return Family(
        name=name,
        trigger=re.compile(_filled(table["trigger"])),
        concepts={word: _one(patterns) for word, patterns in table["concepts"].items()},
        cues={Kind[kind.upper()]: _one(patterns) for kind, patterns in table["cues"].items()},
        shown={
            word: tuple(re.compile(_filled(pattern)) for pattern in patterns)
            for word, patterns in table.get("shown", {}).items()
        },
        sentences={word: re.compile(_filled(pattern)) for word, pattern in table.get("sentences", {}).items()},
    )


MODIC, HARDWARE, PROCEDURE = (_family(name) for name in ("modic", "hardware", "procedure"))
FAMILIES = (MODIC, HARDWARE, PROCEDURE)


def kinds_of(word: str, text: str) -> tuple[str, ...]:
    """Which Modic types, or which fault of hardware, a concept names; empty: none in particular."""
    if word == "typed":
        return tuple(sorted({_TYPES[found] for found in _TYPE.findall(text)}))
    if word == "fatty":
        return (_FATTY,)
    return (word,) if word in ("loosening", "breakage", "displacement", "nonunion") else ()
