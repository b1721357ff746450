"""How sure a segmentation is of what it outlined: the sign that an image is what the network was trained on.

A network that meets another part of the body outlines something all the same, and the shapes can pass for a column of
bodies; but it is less sure of it. The mean over all outlines does not hang on any single structure.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.errors import ReasonCode, SeriesRefusal

LEAST_CONFIDENCE = 0.83
"""Below this what was outlined is no spine that the network knows: up to 0.81 on a real head (MNI152 template) and on
CT of the chest and of L3, reformatted; 0.96 and more on the SPIDER T2 SPACE patients kept back; spines on noisy or
inverted mid-sagittal slices lie between. Chosen by hand; all but the head are measured by
`python -m training.measure_quality`."""
USUAL_CONFIDENCE = 0.88
"""Below this the image is said to differ from what the network knows: nearly all SPIDER mid-sagittal T1 and T2 slices
reach it. What is left of a series after its least sure slices were left out must reach it: the surest slices of a CT of
L3 alone have 0.85."""


def outline_confidence(probabilities: NDArray[Any]) -> float | None:
    """Mean probability of the winning class over all voxels outlined as a structure; None where nothing was.

    Args:
        probabilities: (class, slice, row, column), class 0 being background.
    """
    best = probabilities[1:].max(axis=0)
    outlined = best > probabilities[0]
    return float(best[outlined].mean(dtype=np.float64)) if outlined.any() else None


def check_confidence(confidence: float | None, *, of_surest: bool = False) -> tuple[tuple[ReasonCode, str], ...]:
    """A warning about outlines that are less certain than usual; empty when they are as usual.

    Args:
        confidence: mean probability of the outlines.
        of_surest: whether slices with less sure ones were left out before.

    Raises:
        SeriesRefusal: nothing was outlined, or so uncertainly that it can be anything.
    """
    if confidence is None:
        raise SeriesRefusal("no spine was found: every voxel is background", code=ReasonCode.BODY_PART)
    least = USUAL_CONFIDENCE if of_surest else LEAST_CONFIDENCE
    if confidence < least:
        raise SeriesRefusal(
            f"no plausible spine was found: the mean probability of what was outlined is {confidence:.2f}, "
            f"at least {least:.2f} is needed",
            code=ReasonCode.BODY_PART,
        )
    if confidence < USUAL_CONFIDENCE:
        sentence = (
            f"The mean probability of the outlines is {confidence:.2f}, at least {USUAL_CONFIDENCE:.2f} is usual: "
            "the image differs from those that the detector was trained on."
        )
        return ((ReasonCode.OUT_OF_DISTRIBUTION, sentence),)
    return ()
