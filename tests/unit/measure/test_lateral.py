"""Slices beside the spine, on which a network outlines things of its own, are left out; slices of the spine stay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inference.errors import ReasonCode
from inference.measure.lateral import lateral_warnings, slice_confidences, spine_slices, without_lateral
from training.cases import place_volume


def stack(*sure: float, areas: tuple[int, ...] | None = None) -> np.ndarray:
    """A stack of slices, each with outlines of this probability over so many of its 100 pixels."""
    values = np.zeros((4, len(sure), 10, 10), np.float32)
    values[0] = 1.0
    for index, (probability, area) in enumerate(zip(sure, areas or (40,) * len(sure), strict=True)):
        flat = values[:, index].reshape(4, 100)
        flat[1, :area], flat[0, :area] = probability, 1.0 - probability
    return values


def left(values: np.ndarray) -> np.ndarray:
    return without_lateral(values, spine_slices(values))


def kept(values: np.ndarray) -> list[bool]:
    return [bool(values[1, index].any()) for index in range(values.shape[1])]


def test_unsure_slices_at_both_ends_are_background():
    values = stack(0.72, 0.78, 0.93, 0.96, 0.95, 0.70)
    found = left(values)
    assert kept(found) == [False, False, True, True, True, False]
    np.testing.assert_array_equal(found.sum(axis=0), values.sum(axis=0))
    np.testing.assert_array_equal(found[:, 2:5], values[:, 2:5])


def test_an_unsure_slice_within_the_spine_stays():
    assert kept(left(stack(0.70, 0.95, 0.75, 0.96, 0.72))) == [False, True, True, True, False]


@pytest.mark.parametrize("sure", [(0.7,), (0.91, 0.96, 0.94), (0.78, 0.74, 0.8)])
def test_a_stack_that_is_alike_throughout_is_the_same_object(sure):
    values = stack(*sure)
    assert left(values) is values


def test_a_few_sure_pixels_beside_the_spine_are_no_spine():
    values = stack(0.99, 0.90, 0.91, 0.72, areas=(3, 40, 40, 40))
    assert slice_confidences(values)[0] == 0.0
    assert kept(left(values)) == [False, True, True, False]


def test_a_stack_with_nothing_outlined_stays_as_it_is():
    values = stack(0.0, 0.0, areas=(0, 0))
    assert left(values) is values


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (range(2, 5), "3 of 6 slices were not read (1 to 2 and 6, counted from the patient's right)"),
        (range(1, 6), "1 of 6 slices were not read (1, counted from the patient's right)"),
        (range(3), "3 of 6 slices were not read (4 to 6, counted from the patient's right)"),
    ],
)
def test_the_warning_says_which_slices_were_left_out(shown, words):
    ((code, sentence),) = lateral_warnings(place_volume(np.zeros((6, 4, 4)), (4.0, 1.0, 1.0)), shown)
    assert code is ReasonCode.LATERAL_SLICES
    assert sentence == f"{words}, because the outlines on them are too unsure to show the spine."


def test_slices_that_are_stored_from_the_left_are_counted_from_the_left():
    volume = place_volume(np.zeros((6, 4, 4)), (4.0, 1.0, 1.0))
    mirrored = replace(volume, affine=volume.affine @ np.diag([-1.0, 1.0, 1.0, 1.0]))
    ((_, sentence),) = lateral_warnings(mirrored, range(1, 6))
    assert "(1, counted from the patient's left)" in sentence


def test_where_all_slices_are_read_nothing_is_said():
    assert lateral_warnings(place_volume(np.zeros((6, 4, 4)), (4.0, 1.0, 1.0)), range(6)) == ()
