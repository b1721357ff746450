"""Slices beside the spine, on which a network outlines things of its own, are left out; slices of the spine stay."""

from __future__ import annotations

import numpy as np
import pytest

from inference.measure.lateral import slice_confidences, without_lateral


def stack(*sure: float, areas: tuple[int, ...] | None = None) -> np.ndarray:
    """A stack of slices, each with outlines of this probability over so many of its 100 pixels."""
    values = np.zeros((4, len(sure), 10, 10), np.float32)
    values[0] = 1.0
    for index, (probability, area) in enumerate(zip(sure, areas or (40,) * len(sure), strict=True)):
        flat = values[:, index].reshape(4, 100)
        flat[1, :area], flat[0, :area] = probability, 1.0 - probability
    return values


def kept(values: np.ndarray) -> list[bool]:
    return [bool(values[1, index].any()) for index in range(values.shape[1])]


def test_unsure_slices_at_both_ends_are_background():
    values = stack(0.72, 0.78, 0.93, 0.96, 0.95, 0.70)
    found = without_lateral(values)
    assert kept(found) == [False, False, True, True, True, False]
    np.testing.assert_array_equal(found.sum(axis=0), values.sum(axis=0))
    np.testing.assert_array_equal(found[:, 2:5], values[:, 2:5])


def test_an_unsure_slice_within_the_spine_stays():
    assert kept(without_lateral(stack(0.70, 0.95, 0.75, 0.96, 0.72))) == [False, True, True, True, False]


@pytest.mark.parametrize("sure", [(0.7,), (0.91, 0.96, 0.94), (0.78, 0.74, 0.8)])
def test_a_stack_that_is_alike_throughout_is_the_same_object(sure):
    values = stack(*sure)
    assert without_lateral(values) is values


def test_a_few_sure_pixels_beside_the_spine_are_no_spine():
    values = stack(0.99, 0.90, 0.91, 0.72, areas=(3, 40, 40, 40))
    assert slice_confidences(values)[0] == 0.0
    assert kept(without_lateral(values)) == [False, True, True, False]


def test_a_stack_with_nothing_outlined_stays_as_it_is():
    values = stack(0.0, 0.0, areas=(0, 0))
    assert without_lateral(values) is values
