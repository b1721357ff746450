"""Whether what was found can be an adult spine: sizes against reference sizes."""

from __future__ import annotations

import numpy as np

from inference.anatomy import Vertebra
from inference.errors import ReasonCode, SeriesRefusal
from inference.measure.morphometry import BODY_NORMS, SIZE_SD
from inference.measure.reading import Heights
from inference.measure.vertebrae import MeasuredBody

IMPOSSIBLE_SD = 4.0
"""Beyond this many standard deviations it is no adult spine (models.md 4.3)."""
UNUSUAL_SD = 2.5
"""Beyond this the sizes are reported, because a wrong pixel spacing shows itself like this."""


def check_sizes(levels: dict[int, Vertebra], measured: dict[int, MeasuredBody]) -> tuple[tuple[ReasonCode, str], ...]:
    """Warnings about sizes that are unusual as a whole; empty when they are usual or nothing was measured.

    Raises:
        SeriesRefusal: the median body is more than four standard deviations from an adult's.
    """
    ratios = []
    for number, level in levels.items():
        body = measured[number]
        if isinstance(body.heights, Heights):
            ratios.append(
                (body.heights.posterior.mm / BODY_NORMS[level].posterior_mm, body.depth_mm / BODY_NORMS[level].depth_mm)
            )
    if not ratios:
        return ()
    height, depth = (float(v) for v in np.median(np.array(ratios), axis=0))
    z = ((height + depth) / 2 - 1.0) / SIZE_SD
    sentence = f"the bodies' heights are {height:.0%} and their depths {depth:.0%} of the adult mean"
    if abs(z) > IMPOSSIBLE_SD:
        raise SeriesRefusal(
            f"no plausible spine was found: {sentence}, {abs(z):.1f} standard deviations off", code=ReasonCode.BODY_PART
        )
    if max(abs(height - 1.0), abs(depth - 1.0)) > UNUSUAL_SD * SIZE_SD:
        return ((ReasonCode.OUT_OF_DISTRIBUTION, f"T{sentence[1:]}; check the pixel spacing."),)
    return ()
