"""The slip at a disc as a disc grader weighs it, beside what its network sees.

A network looks at a crop of one disc; how far the bodies stand off each other is measured better on their outlines
(`inference.measure.alignment`). Only its size counts: radiologists' gradings do not tell the direction.
"""

from __future__ import annotations

import numpy as np

from inference.geometry import FloatArray
from inference.measure.reading import Slip, SpineReading, Unmeasured

LARGEST_PERCENT = 25.0
"""A larger slip weighs no more: a slip beyond Meyerding's grade I is one anyway, or a mistake of the outlines."""


def slips_of(reading: SpineReading) -> dict[str, float | Unmeasured]:
    """The slip at every disc of a series by level, in percent of the endplate below it, or why there is none."""
    return {s.level.name: s.slip.percent if isinstance(s.slip, Slip) else s.slip for s in reading.slips}


def slip_size(percent: FloatArray) -> FloatArray:
    """Size of the mean slip over the series (last axis) on which it was measured, in percent.

    Args:
        percent: slips with their sign, NaN where not measured.

    Returns:
        0 to LARGEST_PERCENT; NaN where no series has it.
    """
    seen = np.isfinite(percent)
    clipped = np.clip(np.where(seen, percent, 0.0), -LARGEST_PERCENT, LARGEST_PERCENT)
    count = seen.sum(axis=-1)
    mean = np.abs(clipped.sum(axis=-1)) / np.maximum(count, 1)
    return np.asarray(np.where(count > 0, mean, np.nan))
