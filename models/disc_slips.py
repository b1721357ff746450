"""The slip at a disc as a disc grader weighs it, beside what its network sees.

A network looks at a crop of one disc; how far the bodies stand off each other is measured better on their outlines
(`inference.measure.alignment`). Only its size counts: radiologists' gradings do not tell the direction. The sacrum is
not outlined: there the canal's front stands for it (`inference.measure.canal_front`), good enough to be weighed, not to
be reported.
"""

from __future__ import annotations

import numpy as np

from inference.anatomy import Vertebra
from inference.geometry import FloatArray
from inference.measure.reading import Slip, SlipReading, SpineReading, Unmeasured

LARGEST_PERCENT = 25.0
"""A larger slip weighs no more: a slip beyond Meyerding's grade I is one anyway, or a mistake of the outlines."""
USUAL_SACRAL_GAP_PERCENT = 18.7
"""Median of the canal's gap at L5-S1 over the SPIDER mid-sagittal slices, whatever was graded there
(``python -m training.measure_slip``)."""


def slips_of(reading: SpineReading) -> dict[str, float | Unmeasured]:
    """The slip at every disc of a series by level, in percent of the endplate below it, or why there is none.

    On the sacrum it is an estimate: how much farther than usual the canal's front stands behind L5's corner.
    """
    return {slip.level.name: _slip_of(slip) for slip in reading.slips}


def loose_slips_of(reading: SpineReading) -> dict[str, float]:
    """By level, in percent, the slips beside fractured bodies that are too uncertain to be given."""
    return {slip.level.name: slip.loose_percent for slip in reading.slips if slip.loose_percent is not None}


def _slip_of(reading: SlipReading) -> float | Unmeasured:
    if isinstance(reading.slip, Slip):
        return reading.slip.percent
    if reading.level.below is Vertebra.S1 and reading.canal_gap_percent is not None:
        return reading.canal_gap_percent - USUAL_SACRAL_GAP_PERCENT
    return reading.slip


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
