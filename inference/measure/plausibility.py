"""Whether what was found can be an adult spine, and each body one of its bodies: sizes against reference sizes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from inference.anatomy import Vertebra
from inference.errors import ReasonCode, SeriesRefusal
from inference.measure.fracture import NORMAL_SPREAD
from inference.measure.morphometry import BODY_NORMS, SIZE_SD
from inference.measure.reading import BodySize, Heights, Unmeasured
from inference.measure.vertebrae import MeasuredBody

IMPOSSIBLE_SD = 4.0
"""Beyond this many standard deviations it is no adult spine (models.md 4.3)."""
UNUSUAL_SD = 2.5
"""Beyond this the sizes are reported, because a wrong pixel spacing shows itself like this."""
MOST_BULGING = 1.0 + IMPOSSIBLE_SD * 2**0.5 * NORMAL_SPREAD
"""Most that a middle height, over its norm, may exceed both ends: four standard deviations of a ratio of two."""


class ImplausibleSize(SeriesRefusal):
    """The bodies are no adult's if the pixel spacing is right."""

    def __init__(self, sentence: str, size: BodySize) -> None:
        """Keep the size: it tells the spacing at which the same outlines would be an adult's."""
        super().__init__(sentence, code=ReasonCode.BODY_PART)
        self.size = size


def body_size(levels: dict[int, Vertebra], measured: dict[int, MeasuredBody]) -> BodySize | None:
    """Median height and depth of the bodies over the adult mean; None when nothing was measured."""
    ratios = [
        (body.heights.posterior.mm / BODY_NORMS[level].posterior_mm, body.depth_mm / BODY_NORMS[level].depth_mm)
        for number, level in levels.items()
        if isinstance((body := measured[number]).heights, Heights)
    ]
    if not ratios:
        return None
    height, depth = (float(v) for v in np.median(np.array(ratios), axis=0))
    return BodySize(height=height, depth=depth)


def check_size(size: BodySize | None) -> tuple[tuple[ReasonCode, str], ...]:
    """Warnings about sizes that are unusual as a whole; empty when they are usual or unknown.

    Height and depth are judged apart: in their mean a wrong height and a wrong depth make up for each other.

    Raises:
        ImplausibleSize: the median height or depth is more than four standard deviations from an adult's.
    """
    if size is None:
        return ()
    z = max(abs(size.height - 1.0), abs(size.depth - 1.0)) / SIZE_SD
    sentence = f"the bodies' heights are {size.height:.0%} and their depths {size.depth:.0%} of the adult mean"
    if z > IMPOSSIBLE_SD:
        raise ImplausibleSize(f"no plausible spine was found: {sentence}, {z:.1f} standard deviations off", size)
    if z > UNUSUAL_SD:
        return ((ReasonCode.OUT_OF_DISTRIBUTION, f"T{sentence[1:]}; check the pixel spacing."),)
    return ()


def single_bodies(measured: dict[int, MeasuredBody], levels: dict[int, Vertebra]) -> dict[int, MeasuredBody]:
    """The same, without the heights of bodies that no adult has: as tall as two, or bulging in the middle.

    Judged against adults, not against the neighbours, which may have been crushed.
    """
    return {number: _single(body, levels[number]) for number, body in measured.items()}


def _single(body: MeasuredBody, level: Vertebra) -> MeasuredBody:
    if not isinstance(body.heights, Heights):
        return body
    lengths = (body.heights.anterior, body.heights.middle, body.heights.posterior)
    shares = [length.mm / norm for length, norm in zip(lengths, BODY_NORMS[level].heights_mm, strict=True)]
    front, middle, back = shares
    usual = float(np.median(shares))
    if usual > 1.0 + IMPOSSIBLE_SD * SIZE_SD:
        sentence = f"{usual:.0%} of the adult mean height is more than a body has: perhaps two that were not told apart"
    elif middle > MOST_BULGING * max(front, back):
        sentence = (
            f"the middle, {middle:.0%} of the adult mean, is far higher than the ends, {front:.0%} and {back:.0%}: "
            "no body bulges like that, so that the outline holds something else"
        )
    else:
        return body
    return replace(body, heights=Unmeasured(reason=ReasonCode.UNCERTAIN, sentence=sentence))


def count_doubts(measured: dict[int, MeasuredBody], single: dict[int, MeasuredBody]) -> tuple[str, ...]:
    """A sentence where outlines that are no single body make the count of levels uncertain; empty without any."""
    odd = sum(measured[number].heights is not body.heights for number, body in single.items())
    return (f"{odd} outlined body(ies) have no body's shape, so that levels may be counted wrongly.",) if odd else ()
