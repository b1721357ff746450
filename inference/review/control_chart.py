"""Whether a rate has changed: a Bernoulli CUSUM over reviewed studies, in the order in which they were reviewed.

The first studies give the reference rate p0. After them the log-likelihood ratio of twice the odds (or half) against p0
is summed, never below zero; the sum reaching the limit is the alarm (Page, Biometrika 1954;41:100; for single cases
Steiner et al., Biostatistics 2000;1:441). One value per study, because findings of one study are not independent.

Reference and limit were chosen by simulation (tests/unit/review/test_control_chart.py): a steady rate of 2 to 30 %
alarms in at most one of ten series of 500 studies, and a rate that goes from 10 to 30 % is told within 100 studies in
at least half of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from math import log, sqrt

REFERENCE_STUDIES = 200
"""So many studies give the reference rate; before them nothing is said."""
RECENT_STUDIES = 100
ODDS_RATIO = 2.0
LIMIT = 8.0
Z_95 = 1.959964
"""Two-sided 95 % quantile of the normal distribution."""


class Direction(StrEnum):
    """Which way a rate moved."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One chart at its newest study."""

    direction: Direction
    reference_rate: float
    recent_rate: float
    """Over the newest RECENT_STUDIES studies after the reference, or fewer."""
    studies: int
    """After the reference."""
    value: float
    limit: float = LIMIT

    @property
    def is_alarm(self) -> bool:
        """Whether the sum stands at or over its limit."""
        return self.value >= self.limit


def charts(outcomes: Sequence[bool]) -> tuple[Chart, ...]:
    """Both directions; empty while there are no studies after the reference."""
    reference, later = outcomes[:REFERENCE_STUDIES], outcomes[REFERENCE_STUDIES:]
    if not later:
        return ()
    rate = (sum(reference) + 0.5) / (len(reference) + 1)  # half a case more, so that none or all is no rate of 0 or 1
    recent = later[-RECENT_STUDIES:]
    return tuple(
        Chart(
            direction=direction,
            reference_rate=round(rate, 4),
            recent_rate=round(sum(recent) / len(recent), 4),
            studies=len(later),
            value=round(cusum(later, rate, ratio), 3),
        )
        for direction, ratio in ((Direction.UP, ODDS_RATIO), (Direction.DOWN, 1 / ODDS_RATIO))
    )


def cusum(outcomes: Sequence[bool], rate: float, odds_ratio: float) -> float:
    """The sum after the last outcome; ``rate`` in (0, 1)."""
    other = odds_ratio * rate / (1 + (odds_ratio - 1) * rate)
    gain, loss = log(other / rate), log((1 - other) / (1 - rate))
    steps = (gain if outcome else loss for outcome in outcomes)
    *_, last = accumulate(steps, lambda total, step: max(0.0, total + step), initial=0.0)
    return last


def wilson(count: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a proportion (Wilson 1927); (0, 1) where nothing was counted."""
    if total == 0:
        return 0.0, 1.0
    share, square = count / total, Z_95**2
    middle = (share + square / (2 * total)) / (1 + square / total)
    half = Z_95 * sqrt(share * (1 - share) / total + square / (4 * total**2)) / (1 + square / total)
    return max(0.0, middle - half), min(1.0, middle + half)
