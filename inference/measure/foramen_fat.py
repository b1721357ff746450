"""How much of each foramen shines like fat on T1 or T2 without fat suppression.

MR signal has no unit: each foramen's is first divided by the marrow's of the bodies above and below on the same slice,
which the coil sees as it sees the foramen. What counts as fat is then told by all foramina of the series together, so
that one without fat can be seen beside others that have some.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from inference.anatomy import Disc, Laterality, Vertebra
from inference.geometry import FloatArray, MaskArray, Volume
from inference.measure.reading import Foramen, SpineReading

FEWEST_FORAMINA = 4
"""With fewer measured foramina, all of them may be without fat, or with nothing else."""
FEWEST_PIXELS = 20
"""A smaller foramen, or a body with fewer marrow pixels on the slice, has no share or mean worth saying."""
DARK_PERCENT, FAT_PERCENT = 10.0, 90.0
"""Percentiles of all foramina's pixels that stand for roots, vessels and ligament, and for fat."""
LEAST_CONTRAST = 1.5
"""Fat must be brighter than the dark part by this factor: on T1 and T2 TSE it is by 2 to 3 (models.md 2.4)."""
THRESHOLD_SHIFT = 0.1
"""Part of the way from dark to fat by which the threshold may be wrong; our own judgement."""

Place: TypeAlias = tuple[Disc, Laterality]


@dataclass(frozen=True, slots=True, kw_only=True)
class FatShare:
    """Part of a foramen, 0 to 1, that is brighter than halfway from dark to fat."""

    share: float
    uncertainty: float
    """Half of what it changes when the threshold moves by THRESHOLD_SHIFT to either side."""


def fat_shares(reading: SpineReading, volume: Volume) -> Mapping[Place, FatShare]:
    """The share of each measured foramen; empty where the series does not tell fat from the rest.

    Args:
        reading: of the volume.
        volume: T1 or T2 without fat suppression.
    """
    bodies = {vertebra.level: vertebra.body for vertebra in reading.vertebrae}
    signals: dict[Place, FloatArray] = {}
    for found in reading.foramina:
        if isinstance(found.foramen, Foramen):
            signal = _relative_signal(found.foramen, found.level, bodies, volume)
            if signal is not None:
                signals[found.level, found.side] = signal
    if len(signals) < FEWEST_FORAMINA:
        return {}
    dark, fat = np.percentile(np.concatenate(list(signals.values())), (DARK_PERCENT, FAT_PERCENT))
    if fat < LEAST_CONTRAST * dark:
        return {}
    return {place: _share(signal, float(dark), float(fat)) for place, signal in signals.items()}


def _share(signal: FloatArray, dark: float, fat: float) -> FatShare:
    low, middle, high = (
        float((signal > dark + part * (fat - dark)).mean())
        for part in (0.5 - THRESHOLD_SHIFT, 0.5, 0.5 + THRESHOLD_SHIFT)
    )
    return FatShare(share=middle, uncertainty=(low - high) / 2)


def _relative_signal(
    foramen: Foramen, level: Disc, bodies: Mapping[Vertebra, MaskArray], volume: Volume
) -> FloatArray | None:
    """Signal of the foramen's pixels over the marrow's beside it; None with too few of either."""
    outline = np.asarray(foramen.outline_index)
    index = round(float(outline[0, 0]))
    inside = inside_outline(outline[:, 1:], volume.shape[1:])
    marrow = np.logical_or.reduce([bodies[v][index] for v in (level.above, level.below) if v in bodies])
    if min(int(inside.sum()), int(np.sum(marrow))) < FEWEST_PIXELS:
        return None
    plane = volume.voxels[index].astype(np.float64)
    reference = float(np.median(plane[marrow]))
    return plane[inside] / reference if reference > 0 else None


def inside_outline(outline: FloatArray, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(row, column): the pixels whose middle lies inside a closed outline, (n, 2) of (row, column) index."""
    out = np.zeros(shape, dtype=np.bool_)
    low = np.maximum(np.floor(outline.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(outline.max(axis=0)).astype(int) + 1, shape)
    box = (slice(low[0], high[0]), slice(low[1], high[1]))
    row, column = np.mgrid[box]
    for (r0, c0), (r1, c1) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        crosses = (r0 > row) != (r1 > row)
        if r0 != r1:
            out[box] ^= crosses & (column < c0 + (row - r0) * (c1 - c0) / (r1 - r0))
    return out
