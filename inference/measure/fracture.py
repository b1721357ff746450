"""Loss of vertebral body height against what the level should have in this person.

Every height is divided by its norm for the level, which takes out the wedge of a normal T11 and L5 and the normal
concavity. What is left is the person's size, a line over the levels fitted from the *other* bodies without those that
are themselves low. A fixed 20 % rule on raw ratios would call a normal male T11 (anterior over posterior 0.86) a
fracture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import erf, hypot, sqrt

import numpy as np

from inference.anatomy import Vertebra
from inference.errors import ReasonCode
from inference.geometry import FloatArray, MaskArray
from inference.measure.morphometry import BODY_NORMS
from inference.measure.reading import FractureShape, HeightLoss, Heights, Unmeasured
from inference.measure.vertebrae import MeasuredBody

GENANT_LIMITS = (0.20, 0.25, 0.40)
"""Least loss of grades 1, 2, 3: Genant et al., J Bone Miner Res 1993;8:1137."""
MODERATE = GENANT_LIMITS[1]
REFERENCE_LOSS = 0.15
"""A body that has lost more than this is no reference for others: below grade 1, beyond three of the normal spreads."""
MINIMUM_REFERENCES = 3
"""Unfractured bodies needed, the judged one counted where it is one: of two that disagree nobody knows which is
normal, three outvote one."""
NORMAL_SPREAD = 0.05
"""Relative standard deviation of a normal height around a person's line: 0.03 to 0.06 by level and place on 29 people
(SPIDER T2 SPACE label maps, robust), 0.05 over all."""
SLOPE_SPREAD = 0.012
"""Standard deviation per level of the slope of a person's line around the norms: our own judgement, a quarter of the
normal spread, so that four levels are needed before a slope counts as much as one body's own variation."""
SMALLEST_LOSS_UNCERTAINTY = 0.04
"""No loss is surer than this: human limits of agreement are +-12.5 % (models.md 3.6, PMC3733867)."""
_NEIGHBOUR_LEVELS = 4.0
"""Reach of a reference in levels: nearer bodies weigh more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Column:
    """The measured bodies of one spine, head to foot."""

    places: FloatArray
    """(n,): level counted from the head, in levels."""
    ratios: FloatArray
    """(n, 3): anterior, middle, posterior height over the norm; NaN where unmeasured."""

    @property
    def sizes(self) -> FloatArray:
        """(n,): one ratio for each body."""
        return np.asarray(np.median(self.ratios, axis=1))


def height_losses(
    levels: Mapping[int, Vertebra], measured: Mapping[int, MeasuredBody]
) -> dict[int, HeightLoss | Unmeasured]:
    """The loss of every segment, or why it could not be had.

    Args:
        levels: level by segment number, head to foot.
        measured: what was measured, by segment number.
    """
    losses: dict[int, HeightLoss | Unmeasured] = {}
    usable = {number: body.heights for number, body in measured.items() if isinstance(body.heights, Heights)}
    numbers = list(usable)
    norms = np.array([BODY_NORMS[levels[number]].heights_mm for number in numbers]).reshape(-1, 3)
    column = _Column(
        places=np.array(numbers, dtype=np.float64),
        ratios=np.array([_millimetres(usable[number]) for number in numbers]).reshape(-1, 3) / np.maximum(norms, 1.0),
    )
    references = _references(column)
    for number, body in measured.items():
        if isinstance(body.heights, Unmeasured):
            losses[number] = body.heights
            continue
        index = numbers.index(number)
        losses[number] = _loss(column, references, index, body.heights, norms[index])
    return losses


def _millimetres(heights: Heights) -> tuple[float, float, float]:
    return heights.anterior.mm, heights.middle.mm, heights.posterior.mm


def _references(column: _Column) -> MaskArray:
    """Which bodies are normal enough to be references.

    Starts from the tall ones, so that many fractures in one spine do not pass for its normal size, and takes in or
    drops bodies by their loss against the fit of the others until nothing changes.
    """
    if not len(column.places):
        return np.zeros(0, dtype=np.bool_)
    lowest = column.ratios.min(axis=1)
    chosen = np.asarray(lowest >= (1.0 - REFERENCE_LOSS) * np.percentile(column.sizes, 80.0))
    for _ in range(len(column.places)):
        expected = np.array([_expected(column, chosen, i)[0] for i in range(len(column.places))])
        again = np.where(np.isfinite(expected), 1.0 - lowest / expected < REFERENCE_LOSS, chosen)
        if np.array_equal(again, chosen):
            break
        chosen = np.asarray(again, dtype=np.bool_)
    return chosen


def _expected(column: _Column, references: MaskArray, index: int) -> tuple[float, float]:
    """Expected ratio of one body from the other references, and its standard deviation; NaN with too few of them.

    A line over the levels: weighted least squares with a prior on the slope (mean 0).
    """
    others = references.copy()
    others[index] = False
    if references.sum() < MINIMUM_REFERENCES or others.sum() < MINIMUM_REFERENCES - 1:
        return float("nan"), float("nan")
    offset = column.places[others] - column.places[index]
    weight = np.exp(-np.abs(offset) / _NEIGHBOUR_LEVELS) / NORMAL_SPREAD**2
    precision = np.array(
        [
            [weight.sum(), (weight * offset).sum()],
            [(weight * offset).sum(), (weight * offset**2).sum() + 1.0 / SLOPE_SPREAD**2],
        ]
    )
    covariance = np.linalg.inv(precision)
    sizes = column.sizes[others]
    mean = covariance @ np.array([(weight * sizes).sum(), (weight * offset * sizes).sum()])
    return float(mean[0]), float(np.sqrt(covariance[0, 0]))


def _loss(
    column: _Column, references: MaskArray, index: int, heights: Heights, norms: FloatArray
) -> HeightLoss | Unmeasured:
    """The loss of one body."""
    size, size_sd = _expected(column, references, index)
    if not np.isfinite(size):
        return Unmeasured(
            reason=ReasonCode.UNCERTAIN,
            sentence=f"{int(references.sum())} unfractured bodies were measured, "
            f"at least {MINIMUM_REFERENCES} are needed to know the expected height",
        )
    losses = 1.0 - column.ratios[index] / size
    worst = int(losses.argmax())
    fraction = float(losses[worst])
    expected = size * norms
    length = (heights.anterior, heights.middle, heights.posterior)[worst]
    spread = hypot(NORMAL_SPREAD, size_sd / size)
    expected_sd = float(expected[worst]) * spread
    uncertainty = max(
        SMALLEST_LOSS_UNCERTAINTY, hypot(length.uncertainty_mm / float(expected[worst]), (1.0 - fraction) * spread)
    )
    grade = sum(fraction >= limit for limit in GENANT_LIMITS)
    return HeightLoss(
        fraction=fraction,
        uncertainty=uncertainty,
        z=(length.mm - float(expected[worst])) / hypot(expected_sd, length.uncertainty_mm),
        genant=grade,
        shape=_shape(losses) if grade else None,
        probability_moderate=_normal_cdf((fraction - MODERATE) / uncertainty),
        expected_mm=(float(expected[0]), float(expected[1]), float(expected[2])),
    )


def _shape(losses: FloatArray) -> FractureShape:
    """Genant's shape: crush when the posterior height is itself reduced by a grade, else where most is lost."""
    anterior, middle, posterior = losses
    if posterior >= GENANT_LIMITS[0] or posterior >= max(anterior, middle):
        return FractureShape.CRUSH
    return FractureShape.WEDGE if anterior >= middle else FractureShape.BICONCAVE


def _normal_cdf(z: float) -> float:
    return 0.5 * (1.0 + erf(z / sqrt(2.0)))
