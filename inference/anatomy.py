"""Levels of the spine, and the places on them that a finding can sit.

A *vertebra* is C1..C7, T1..T12, L1..L5 or the sacrum (``S1`` in names, as radiologists say it). ``T13`` and ``L6``
exist for transitional anatomy; a transitional vertebra's level is *uncertain*, never guessed, so they are only given
where an observer said so. A *disc* lies between a vertebra and the next one below it and is written ``L4-L5``; there
is no disc between C1 and C2. An *endplate* belongs to a vertebra: the superior endplate of L5 borders the L4-L5 disc.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum


class Vertebra(Enum):
    """A vertebra; the value is its place counted from the head, in steps of 10, leaving room for T13 and L6."""

    C1, C2, C3, C4, C5, C6, C7 = 10, 20, 30, 40, 50, 60, 70
    T1, T2, T3, T4, T5, T6 = 80, 90, 100, 110, 120, 130
    T7, T8, T9, T10, T11, T12 = 140, 150, 160, 170, 180, 190
    T13 = 195
    """A thirteenth rib-bearing vertebra (transitional)."""
    L1, L2, L3, L4, L5 = 200, 210, 220, 230, 240
    L6 = 245
    """A sixth lumbar-type vertebra (transitional)."""
    S1 = 250
    """The first sacral segment; stands for the sacrum as a whole."""

    @property
    def is_transitional(self) -> bool:
        """True for T13 and L6."""
        return self in (Vertebra.T13, Vertebra.L6)

    @property
    def below(self) -> Vertebra | None:
        """The regular vertebra next below, None for the sacrum."""
        lower = [v for v in REGULAR_VERTEBRAE if v.value > self.value]
        return lower[0] if lower else None

    @property
    def above(self) -> Vertebra | None:
        """The regular vertebra next above, None for C1."""
        upper = [v for v in REGULAR_VERTEBRAE if v.value < self.value]
        return upper[-1] if upper else None


REGULAR_VERTEBRAE: tuple[Vertebra, ...] = tuple(v for v in Vertebra if not v.is_transitional)


class EndplateSide(StrEnum):
    """Which face of a vertebral body."""

    SUPERIOR = "superior"
    INFERIOR = "inferior"


class Laterality(StrEnum):
    """The patient's side."""

    LEFT = "left"
    RIGHT = "right"
    BILATERAL = "bilateral"


class Region(StrEnum):
    """A part of a level, where a finding is not about the level as a whole."""

    FORAMEN = "foramen"
    """The neural (intervertebral) foramen of one side, named by its disc."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disc:
    """The intervertebral disc between two neighbouring vertebrae."""

    above: Vertebra
    below: Vertebra

    def __post_init__(self) -> None:
        """Refuse a pair that has no disc or is in the wrong order."""
        if self.above.value >= self.below.value or self.above is Vertebra.C1:
            msg = f"a disc lies between a vertebra from C2 down and one below it, got {self.name}"
            raise ValueError(msg)

    @classmethod
    def under(cls, vertebra: Vertebra) -> Disc:
        """The disc under a regular vertebra; ValueError under C1 and the sacrum."""
        below = vertebra.below
        if below is None:
            msg = f"there is no disc below {vertebra.name}"
            raise ValueError(msg)
        return cls(above=vertebra, below=below)

    @property
    def name(self) -> str:
        """The written name, like ``L4-L5``."""
        return f"{self.above.name}-{self.below.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where in the spine: a level (``L1`` or ``L4-L5``), and a side, an endplate or a region where they matter.

    ``level`` None means the study as a whole.
    """

    level: str | None = None
    side: Laterality | None = None
    endplate: EndplateSide | None = None
    region: Region | None = None

    def __post_init__(self) -> None:
        """Refuse a level that is not a name of this module, and a foramen without a disc and a side."""
        level = None if self.level is None else parse_level(self.level)
        is_foramen = isinstance(level, Disc) and self.side is not None and self.endplate is None
        if self.region is Region.FORAMEN and not is_foramen:
            msg = f"a foramen is named by a disc and a side alone, got {self.level}, {self.side} and {self.endplate}"
            raise ValueError(msg)

    @property
    def order(self) -> tuple[int, int, str, str, str]:
        """Sort key: head to foot, a vertebra before the disc below it, the whole study first."""
        if self.level is None:
            return (0, 0, self.region or "", self.side or "", self.endplate or "")
        level = parse_level(self.level)
        place = (level.value, 0) if isinstance(level, Vertebra) else (level.above.value, 1)
        return (*place, self.region or "", self.side or "", self.endplate or "")


def parse_level(name: str) -> Vertebra | Disc:
    """The vertebra or disc of a written name; ValueError names what is wrong."""
    parts = name.split("-")
    try:
        vertebrae = [Vertebra[part] for part in parts]
    except KeyError:
        msg = f"level must be a vertebra like 'L1' or a disc like 'L4-L5', got {name!r}"
        raise ValueError(msg) from None
    if len(vertebrae) == 1:
        return vertebrae[0]
    if len(vertebrae) == 2:  # noqa: PLR2004 - a disc has two neighbours
        return Disc(above=vertebrae[0], below=vertebrae[1])
    msg = f"level must be a vertebra like 'L1' or a disc like 'L4-L5', got {name!r}"
    raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbering:
    """How the levels were counted, and whether that can be trusted."""

    method: str
    """``counted_from_sacrum``, ``none`` ..."""
    ambiguous: bool
    note: str
