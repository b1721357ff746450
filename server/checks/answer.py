"""One question and its answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How an answer counts."""

    OK = "ok"
    WARNING = "warning"
    """The node works, and somebody should look."""
    FAIL = "fail"
    """Something does not work, or will not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was asked, and what was found."""

    name: str
    level: Level
    sentence: str
    advice: str = ""
    """What to do; empty where there is nothing to do."""


def ok(name: str, sentence: str) -> Answer:
    """In order."""
    return Answer(name=name, level=Level.OK, sentence=sentence)


def warn(name: str, sentence: str, advice: str) -> Answer:
    """It works, but."""
    return Answer(name=name, level=Level.WARNING, sentence=sentence, advice=advice)


def fail(name: str, sentence: str, advice: str) -> Answer:
    """Not in order."""
    return Answer(name=name, level=Level.FAIL, sentence=sentence, advice=advice)
