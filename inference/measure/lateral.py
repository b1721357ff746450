"""Which slices of a sagittal series show the spine: a wide one also runs through muscle, kidneys and skin beside it.

There a network that learnt from the middle of the spine outlines something all the same, less surely; left in, that
shifts levels, and heights are taken of structures that do not exist.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.geometry import FloatArray
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


def without_lateral(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same, background alone on the slices before the first and after the last one that shows the spine.

    Args:
        probabilities: (class, slice, row, column), class 0 being background.
    """
    confidences = slice_confidences(probabilities)
    sure = np.flatnonzero(confidences >= confidences.max() - LARGEST_FALL)
    first, last = int(sure[0]), int(sure[-1])
    if last - first + 1 == len(confidences):
        return probabilities
    kept = np.zeros_like(probabilities)
    kept[0] = 1.0
    kept[:, first : last + 1] = probabilities[:, first : last + 1]
    return kept
