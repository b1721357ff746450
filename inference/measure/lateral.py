"""Which slices of a sagittal series show the spine: a wide one also runs through muscle, kidneys and skin beside it.

There a network that learnt from the middle of the spine outlines something all the same, less surely; left in, that
shifts levels, and heights are taken of structures that do not exist.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.errors import ReasonCode
from inference.geometry import FloatArray, Volume
from inference.measure.confidence import outline_confidence

LARGEST_FALL = 0.08
"""A slice whose outlines are less sure than the surest slice's by more than this shows no spine: within the T2 SPACE
series of SPIDER, which end beside the canal, the slices differ by 0.03 at most; beside generated spines the mean
probability falls by 0.18 and more (`python -m training.measure_quality`)."""
LEAST_AREA = 0.3
"""A slice with less than this share of the usual outlined area says nothing about how sure outlines can be."""


def slice_confidences(probabilities: NDArray[Any]) -> FloatArray:
    """(slice,): mean probability of the winning class over what a slice outlines; 0 where that is next to nothing.

    Args:
        probabilities: (class, slice, row, column), class 0 being background.
    """
    confidences = [outline_confidence(probabilities[:, k : k + 1]) or 0.0 for k in range(probabilities.shape[1])]
    areas = (probabilities[1:].max(axis=0) > probabilities[0]).sum(axis=(1, 2))
    return np.where(areas >= LEAST_AREA * np.median(areas), confidences, 0.0)


def spine_slices(probabilities: NDArray[Any]) -> range:
    """From the first to the last slice that shows the spine.

    Args:
        probabilities: (class, slice, row, column), class 0 being background.
    """
    confidences = slice_confidences(probabilities)
    sure = np.flatnonzero(confidences >= confidences.max() - LARGEST_FALL)
    return range(int(sure[0]), int(sure[-1]) + 1)


def without_lateral(probabilities: NDArray[np.float32], shown: range) -> NDArray[np.float32]:
    """The same, background alone on all but the shown slices; the same object where all are shown.

    Args:
        probabilities: (class, slice, row, column), class 0 being background.
        shown: the slices that show the spine.
    """
    if len(shown) == probabilities.shape[1]:
        return probabilities
    kept = np.zeros_like(probabilities)
    kept[0] = 1.0
    kept[:, shown.start : shown.stop] = probabilities[:, shown.start : shown.stop]
    return kept


def lateral_warnings(volume: Volume, shown: range) -> tuple[tuple[ReasonCode, str], ...]:
    """A warning that says which slices of a sagittal series were left out; empty where none was."""
    count = volume.shape[0]
    if len(shown) == count:
        return ()
    side = "left" if volume.directions[0, 0] < 0 else "right"
    left_out = [(1, shown.start), (shown.stop + 1, count)]
    ranges = [str(low) if low == high else f"{low} to {high}" for low, high in left_out if low <= high]
    sentence = (
        f"{count - len(shown)} of {count} slices were not read ({' and '.join(ranges)}, counted from the patient's "
        f"{side}), because the outlines on them are too unsure to show the spine."
    )
    return ((ReasonCode.LATERAL_SLICES, sentence),)
