"""Shifts of measured values and of grades: told soon, and rarely where nothing shifts (simulated)."""

from __future__ import annotations

import numpy as np
import pytest

from inference.review.control_chart import RECENT_STUDIES, REFERENCE_STUDIES, Direction
from inference.review.shift import PSI_LIMIT, grade_shift, mean_shift

SERIES, LENGTH = 200, 500
SCALE = ("1", "2", "3", "4", "5")


def alarms_ever(values: np.ndarray, first: int = REFERENCE_STUDIES + 1) -> bool:
    """Whether an alarm stands at any study after the reference; looked at every tenth one."""
    return any(
        shift.is_alarm for end in range(first, len(values) + 1, 10) for shift in mean_shift(values[:end].tolist())
    )


def test_steady_values_rarely_alarm() -> None:
    generator = np.random.default_rng(4)
    series = generator.normal(25.0, 3.0, (SERIES, LENGTH))
    assert np.mean([alarms_ever(values) for values in series]) <= 0.1


@pytest.mark.parametrize("direction", Direction)
def test_a_shift_of_one_standard_deviation_is_told_within_60_studies(direction: Direction) -> None:
    generator = np.random.default_rng(5)
    series = generator.normal(25.0, 3.0, (SERIES, REFERENCE_STUDIES + 60))
    series[:, REFERENCE_STUDIES:] += 3.0 if direction is Direction.UP else -3.0
    told = [[shift for shift in mean_shift(values.tolist()) if shift.is_alarm] for values in series]
    assert np.mean([bool(found) for found in told]) >= 0.9
    assert {shift.direction for found in told for shift in found} == {direction}


def test_one_wrong_measurement_is_no_shift() -> None:
    values = np.random.default_rng(6).normal(25.0, 3.0, REFERENCE_STUDIES).tolist()
    assert not any(shift.is_alarm for shift in mean_shift([*values, 1e9]))


def test_nothing_is_said_before_the_reference_or_where_it_has_no_spread() -> None:
    assert mean_shift([1.0] * REFERENCE_STUDIES) == ()
    assert mean_shift([1.0] * (REFERENCE_STUDIES + 5)) == ()
    assert grade_shift(["1"] * (REFERENCE_STUDIES + RECENT_STUDIES - 1), SCALE) == ()


def test_grades_that_stay_rarely_alarm_and_other_ones_do() -> None:
    generator = np.random.default_rng(7)
    usual, other = (0.1, 0.3, 0.3, 0.2, 0.1), (0.05, 0.15, 0.25, 0.3, 0.25)

    def values(after: tuple[float, ...]) -> list[float]:
        made = []
        for _ in range(SERIES):
            before = generator.choice(SCALE, REFERENCE_STUDIES, p=usual).tolist()
            made += [
                s.value for s in grade_shift(before + generator.choice(SCALE, RECENT_STUDIES, p=after).tolist(), SCALE)
            ]
        return made

    assert len(values(usual)) == SERIES
    assert np.mean([value >= PSI_LIMIT for value in values(usual)]) <= 0.05
    assert np.mean([value >= PSI_LIMIT for value in values(other)]) >= 0.85
