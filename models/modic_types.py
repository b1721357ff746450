"""The Modic type of discs at which a grader found a change: T1 and T2 laid on each other, and the rule's answer."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from inference.anatomy import Vertebra
from inference.errors import ReasonCode
from inference.geometry import Volume
from inference.measure.endplate_bands import PlacedSeries, read_bands
from inference.measure.matching import match_readings
from inference.measure.reading import DiscReading, SpineReading, Unmeasured
from inference.modic_findings import TypeCall, tell_type
from models.disc_crops import Contrast

OTHER_LEVELS = Unmeasured(
    reason=ReasonCode.NUMBERING, sentence="T1 and T2 count the levels differently, by where their bodies lie"
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OutlinedSeries:
    """A series and what was read on it."""

    volume: Volume
    reading: SpineReading


def tell_types(
    discs: tuple[DiscReading, ...],
    series: Mapping[Contrast, OutlinedSeries],
    chosen: Volume,
    fractured: AbstractSet[Vertebra],
) -> dict[str, TypeCall | Unmeasured]:
    """The type at each of the discs by level, or why none is told.

    Args:
        discs: of the chosen series' reading, with a change.
        series: T1 and T2.
        chosen: the volume of the one whose outlines are used on both.
        fractured: vertebrae with a called fracture, whose marrow is changed by it.
    """
    if not discs:
        return {}
    outlined = next(one for one in series.values() if one.volume is chosen)
    placed = place_series(outlined, series)
    return {disc.level.name: _type_at(disc, outlined, placed, fractured) for disc in discs}


def place_series(
    outlined: OutlinedSeries, series: Mapping[Contrast, OutlinedSeries]
) -> Mapping[Contrast, PlacedSeries] | Unmeasured:
    """T1 and T2 with the outlines of one laid on them, or why they do not lie on each other."""
    placed = {}
    for contrast, other in series.items():
        if other is outlined:
            placed[contrast] = PlacedSeries(volume=other.volume, motion=None)
            continue
        match = match_readings(outlined.reading, outlined.volume, other.reading, other.volume)
        if isinstance(match, Unmeasured):
            return Unmeasured(reason=match.reason, sentence=f"the {contrast} series cannot be used: {match.sentence}")
        if any(ours is not theirs for theirs, ours in match.levels.items()):
            return OTHER_LEVELS
        placed[contrast] = PlacedSeries(volume=other.volume, motion=match.motion)
    return placed


def _type_at(
    disc: DiscReading,
    outlined: OutlinedSeries,
    placed: Mapping[Contrast, PlacedSeries] | Unmeasured,
    fractured: AbstractSet[Vertebra],
) -> TypeCall | Unmeasured:
    broken = [level.name for level in (disc.level.above, disc.level.below) if level in fractured]
    if broken:
        sentence = f"{' and '.join(broken)} has a called fracture, which changes the marrow as well"
        return Unmeasured(reason=ReasonCode.UNCERTAIN, sentence=sentence)
    if isinstance(placed, Unmeasured):
        return placed
    bands = read_bands(outlined.reading, outlined.volume, disc, placed[Contrast.T1], placed[Contrast.T2])
    return bands if isinstance(bands, Unmeasured) else tell_type(bands)
