"""Whether what a model gives has shifted: the mean of a measured value, and the shares of grades.

The first studies are the reference. After them a measured value is standardised by the reference's mean and standard
deviation, and summed beyond an allowance, never below zero (Page, Biometrika 1954;41:100); the sum reaching the limit
is the alarm. Grades are compared by the population stability index of the newest studies against the reference, whose
usual limit is 0.2 (Siddiqi, Credit Risk Scorecards, 2006).

Allowance and limits were chosen by simulation (tests/unit/review/test_shift.py): steady values alarm in at most one of
ten series of 500 studies, and a shift of one standard deviation is told within 60 studies in nine of ten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import log
from statistics import fmean, stdev

from inference.review.control_chart import RECENT_STUDIES, REFERENCE_STUDIES, Direction

ALLOWANCE = 0.5
"""Standard deviations of the reference that are taken from every study: half of the shift that is looked for."""
MEAN_LIMIT = 8.0
CLIP = 3.0
"""Standard deviations to which one study counts at most: one wrong measurement is no shift."""
PSI_LIMIT = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """One comparison at its newest study."""

    direction: Direction | None
    """None where there is no up and down."""
    reference: float | None
    """Mean of the reference studies; None for grades."""
    recent: float | None
    """Mean of the newest RECENT_STUDIES studies after the reference, or fewer; None for grades."""
    studies: int
    """After the reference."""
    value: float
    limit: float

    @property
    def is_alarm(self) -> bool:
        """Whether the value stands at or over its limit."""
        return self.value >= self.limit


def mean_shift(values: Sequence[float]) -> tuple[Shift, ...]:
    """Both directions; empty while there are no studies after the reference, or where all of the reference is equal."""
    reference, later = values[:REFERENCE_STUDIES], values[REFERENCE_STUDIES:]
    if not later:
        return ()
    mean, spread = fmean(reference), stdev(reference)
    if spread == 0:
        return ()
    scores = [max(-CLIP, min(CLIP, (value - mean) / spread)) for value in later]
    return tuple(
        Shift(
            direction=direction,
            reference=round(mean, 3),
            recent=round(fmean(later[-RECENT_STUDIES:]), 3),
            studies=len(later),
            value=round(_sum([sign * score for score in scores]), 3),
            limit=MEAN_LIMIT,
        )
        for direction, sign in ((Direction.UP, 1.0), (Direction.DOWN, -1.0))
    )


def _sum(scores: Sequence[float]) -> float:
    *_, last = accumulate(scores, lambda total, score: max(0.0, total + score - ALLOWANCE), initial=0.0)
    return last


def grade_shift(grades: Sequence[str], scale: Sequence[str]) -> tuple[Shift, ...]:
    """The index over all grades of a scale; empty until there are RECENT_STUDIES studies after the reference."""
    reference, later = grades[:REFERENCE_STUDIES], grades[REFERENCE_STUDIES:]
    if len(later) < RECENT_STUDIES:
        return ()
    before, now = _shares(reference, scale), _shares(later[-RECENT_STUDIES:], scale)
    index = sum((n - b) * log(n / b) for b, n in zip(before, now, strict=True))
    value = round(index, 3)
    return (Shift(direction=None, reference=None, recent=None, studies=len(later), value=value, limit=PSI_LIMIT),)


def _shares(grades: Sequence[str], scale: Sequence[str]) -> list[float]:
    """Of each grade, with half a study more, so that none is 0."""
    counts = Counter(grades)
    return [(counts[grade] + 0.5) / (len(grades) + 0.5 * len(scale)) for grade in scale]
