"""Three answers, never two: present, absent, or not assessed with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from inference.errors import ReasonCode


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """The finding is there, at the operating point that the finding states."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """The finding was looked for and is not there, at the operating point that the finding states."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAssessed:
    """Nothing was said, and why."""

    reason: ReasonCode
    sentence: str
    """One sentence for a person, with the numbers; no identity."""


Assessment: TypeAlias = Present | Absent | NotAssessed
