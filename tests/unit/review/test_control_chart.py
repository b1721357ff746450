"""Charts of rates: how soon they tell a change, and how seldom they cry wolf, by simulation with fixed seeds."""

from __future__ import annotations

import numpy as np
import pytest

from inference.review.control_chart import LIMIT, ODDS_RATIO, REFERENCE_STUDIES, charts, cusum, wilson

TRIALS = 300


def alarms(rate, later_rate, studies=500):
    """(share of TRIALS series that alarm at some time, median study of the first alarm)."""
    draw = np.random.default_rng(4)
    reference = draw.random((TRIALS, REFERENCE_STUDIES)) < rate
    later = draw.random((TRIALS, studies)) < later_rate
    p0 = (reference.sum(axis=1) + 0.5) / (REFERENCE_STUDIES + 1)
    first = np.full(TRIALS, studies)
    for ratio in (ODDS_RATIO, 1 / ODDS_RATIO):
        other = ratio * p0 / (1 + (ratio - 1) * p0)
        gain, loss = np.log(other / p0), np.log((1 - other) / (1 - p0))
        total = np.zeros(TRIALS)
        for study in range(studies):
            total = np.maximum(0.0, total + np.where(later[:, study], gain, loss))
            first = np.where((total >= LIMIT) & (first > study), study, first)
    return float((first < studies).mean()), float(np.median(first))


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.2, 0.3])
def test_a_steady_rate_seldom_alarms(rate):
    share, _ = alarms(rate, rate)
    assert share <= 0.10


@pytest.mark.parametrize(("rate", "later"), [(0.1, 0.3), (0.2, 0.5), (0.5, 0.2)])
def test_a_rate_that_moves_far_is_told_within_a_hundred_studies(rate, later):
    share, median = alarms(rate, later)
    assert share >= 0.98
    assert median <= 100


def test_the_chart_of_a_series_that_changes():
    outcomes = [bool(v) for v in np.random.default_rng(1).random(400) < 0.2]
    up, down = charts(outcomes)
    assert up.studies == 200
    assert up.value == pytest.approx(cusum(outcomes[REFERENCE_STUDIES:], up.reference_rate, ODDS_RATIO), abs=0.02)
    assert not up.is_alarm
    assert not down.is_alarm
    changed, _ = charts([*outcomes, *[True] * 30])
    assert changed.is_alarm
    assert changed.recent_rate > up.recent_rate


def test_nothing_is_said_before_the_reference_is_full():
    assert charts([True] * REFERENCE_STUDIES) == ()
    assert len(charts([True] * (REFERENCE_STUDIES + 1))) == 2


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662), (0, 0, 0, 1)],
)
def test_wilson_intervals(count, total, low, high):
    """81 of 263 is the example of Newcombe, Statistics in Medicine 1998;17:857."""
    assert wilson(count, total) == pytest.approx((low, high), abs=5e-5)
