"""The names of levels taken from another series that shows more of the spine.

A series whose field of view misses the sacrum counts from wherever its lowest disc happens to lie. A localizer, or any
sagittal series with a larger field of view in the same frame of reference, shows where the sacrum is: its bodies are
matched with those of the series by where they lie, and their names are taken over where its own count is not in doubt.

Two series that are read together are each counted on their own, and may be counted differently. Their discs are paired
by where their bodies lie, never by their names alone.
"""

from __future__ import annotations

from dataclasses import replace

from inference.anatomy import REGULAR_VERTEBRAE, Disc, Numbering, Vertebra
from inference.errors import ReasonCode
from inference.geometry import FloatArray, Volume
from inference.measure.matching import LevelMatch, body_centres, match_centres
from inference.measure.reading import BodySize, SpineReading, Unmeasured

LOWEST_VERTEBRA = REGULAR_VERTEBRAE.index(Vertebra.L5)
SAME_SIZE = 0.05
"""Sizes of one person's bodies on two series agree to this share; where they do not, the pixel spacing of one is wrong
and millimetres tell nothing. Our own choice: on SPIDER mid-sagittal T1 and T2 most agree within 0.03."""


def lowest_level(
    reading: SpineReading, volume: Volume, other: SpineReading, other_volume: Volume
) -> Vertebra | Unmeasured:
    """What another series calls the lowest vertebra of a reading, or why that cannot be told.

    Args:
        reading: the bodies to name; their own names mean nothing here.
        volume: the series they were read on.
        other: bodies of the series with the larger field of view, counted on their own.
        other_volume: that series, in the same frame of reference.
    """
    match = match_centres(_whole(reading, volume), _whole(other, other_volume), same_frame=True)
    if isinstance(match, Unmeasured):
        return match
    steps = {_place(theirs) - _place(ours) for theirs, ours in match.levels.items()}
    place = _place(reading.vertebrae[-1].level) + min(steps)
    if len(steps) > 1 or not 0 <= place <= LOWEST_VERTEBRA or other.numbering.ambiguous:
        return Unmeasured(reason=ReasonCode.NUMBERING, sentence="its own count of the levels is in doubt")
    return REGULAR_VERTEBRAE[place]


def _whole(reading: SpineReading, volume: Volume) -> dict[Vertebra, FloatArray]:
    """Centres of the bodies that the field of view does not cut: those of the others would lie beside their own."""
    whole = {v.level for v in reading.vertebrae if not v.touches_edge}
    return {level: centre for level, centre in body_centres(reading, volume).items() if level in whole}


def named_as(
    reading: SpineReading, volume: Volume, other: SpineReading, other_volume: Volume, series: str
) -> tuple[SpineReading, str | None]:
    """Another reading with its discs and slips named as the same ones of a reading, and a sentence of doubt.

    Where the bodies cannot be matched by place, the names stay: both series were counted from the sacrum.

    Args:
        reading: whose names are given.
        volume: the series it was read on.
        other: what is to be named; discs beyond the sacrum or the neck are left out.
        other_volume: its series.
        series: its name in a sentence, which is None unless both counts were in no doubt and differ.
    """
    frame = volume.frame_of_reference_uid
    in_one_frame = frame is not None and frame == other_volume.frame_of_reference_uid
    match = match_centres(_whole(reading, volume), _whole(other, other_volume), same_frame=in_one_frame)
    if isinstance(match, Unmeasured) or not _of_one_size(reading.size, other.size):
        return other, None
    theirs, ours = next(iter(match.levels.items()))
    step = _place(ours) - _place(theirs)
    names = {disc.level: _moved(disc.level, step) for disc in other.discs}
    discs = tuple(replace(disc, level=name) for disc in other.discs if (name := names[disc.level]) is not None)
    slips = tuple(replace(slip, level=name) for slip in other.slips if (name := names.get(slip.level)) is not None)
    return replace(other, discs=discs, slips=slips), contradiction(match, reading.numbering, other.numbering, series)


def _of_one_size(one: BodySize | None, two: BodySize | None) -> bool:
    if one is None or two is None:
        return False
    return all(abs(a / b - 1) <= SAME_SIZE for a, b in ((one.height, two.height), (one.depth, two.depth)))


def _moved(disc: Disc, step: int) -> Disc | None:
    """The disc so many levels further down."""
    place = _place(disc.above) + step
    lies_in_spine = _place(Vertebra.C2) <= place <= LOWEST_VERTEBRA
    return Disc.under(REGULAR_VERTEBRAE[place]) if lies_in_spine else None


def contradiction(match: LevelMatch, one: Numbering, other: Numbering, series: str) -> str | None:
    """A sentence where two series, neither in doubt, give the same bodies different names.

    Args:
        match: the levels of the first by those that the second had counted.
        one: how the first was counted.
        other: how the second was counted.
        series: name of the second in a sentence.
    """
    if one.ambiguous or other.ambiguous:
        return None
    theirs, ours = next(iter(match.levels.items()))
    if theirs is ours:
        return None
    return f"On the {series} series the vertebra that is called {ours.name} here is counted as {theirs.name}."


def with_doubt(reading: SpineReading, sentence: str) -> SpineReading:
    """The same reading, its numbering ambiguous for this further reason, with the warning that says so."""
    note = f"{reading.numbering.note} {sentence}"
    others = tuple(warning for warning in reading.warnings if warning[0] is not ReasonCode.NUMBERING)
    return replace(
        reading,
        numbering=replace(reading.numbering, ambiguous=True, note=note),
        warnings=(*others, (ReasonCode.NUMBERING, note)),
    )


def _place(level: Vertebra) -> int:
    return REGULAR_VERTEBRAE.index(level)
