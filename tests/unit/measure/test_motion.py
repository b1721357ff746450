"""Ghosts of a movement are told from what a still spine repeats; sure outlines are kept with a warning."""

from __future__ import annotations

import numpy as np
import pytest

from inference.errors import ReasonCode, SeriesRefusal
from inference.measure.confidence import LEAST_CONFIDENCE
from inference.measure.motion import MOVED_CONFIDENCE, RIPPLE, check_motion, ripple
from training.motion import Course, Movement, move, zero_filled
from training.phantom import Contrast, PhantomParameters, generate_spine

MM = 0.46875


def still(**changes):
    return generate_spine(PhantomParameters(seed=4, slices=1, **changes)).voxels[0].astype(np.float32)


@pytest.fixture(scope="module")
def slice_at_rest():
    return still()


@pytest.mark.parametrize("contrast", list(Contrast))
def test_a_still_spine_shows_no_motion(contrast):
    assert ripple(still(contrast=contrast), (MM, MM)) < RIPPLE


@pytest.mark.parametrize("course", list(Course))
@pytest.mark.parametrize("axis", [0, 1])
def test_movement_along_either_direction_is_seen(slice_at_rest, course, axis):
    moved = move(slice_at_rest, (MM, MM), Movement(course=course, amplitude_mm=5.0, axis=axis, seed=2))
    assert ripple(moved, (MM, MM)) > 1.4 * ripple(slice_at_rest, (MM, MM))
    if course is Course.DRIFT:
        assert ripple(moved, (MM, MM)) >= RIPPLE


@pytest.mark.parametrize("edge", [1.0, 0.1])
def test_the_ringing_of_an_interpolated_image_is_no_motion(slice_at_rest, edge):
    """Its edges ring at every distance, and used to pass for ghosts."""
    filled = zero_filled(slice_at_rest, edge)
    assert np.abs(filled - slice_at_rest).max() > 0.1 * slice_at_rest.max()
    assert ripple(filled, (MM, MM)) < RIPPLE


def test_no_movement_changes_nothing(slice_at_rest):
    moved = move(slice_at_rest, (MM, MM), Movement(course=Course.JERK, amplitude_mm=0.0, axis=0, seed=2))
    np.testing.assert_allclose(moved, slice_at_rest, atol=1e-2 * slice_at_rest.max() / 255)


def test_the_edges_of_a_filled_frame_are_no_repetition(slice_at_rest):
    framed = np.zeros((700, 700), np.float32)
    framed[30:670, 94:606] = slice_at_rest + 1
    assert ripple(framed, (MM, MM)) < RIPPLE


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_an_empty_image_shows_none(value):
    assert ripple(np.full((64, 64), value, np.float32), (MM, MM)) == 0.0


def test_on_sure_outlines_nothing_is_measured_and_others_are_refused():
    assert check_motion(RIPPLE - 0.01, 0.85) is None
    reason = check_motion(RIPPLE + 0.01, MOVED_CONFIDENCE)
    assert reason.reason is ReasonCode.MOTION
    assert reason.sentence.startswith("the middle slice repeats itself")
    with pytest.raises(SeriesRefusal, match=r"at least 0\.94 is needed then") as caught:
        check_motion(RIPPLE, MOVED_CONFIDENCE - 0.01)
    assert caught.value.code is ReasonCode.MOTION


@pytest.mark.parametrize("confidence", [None, LEAST_CONFIDENCE - 0.01])
def test_what_is_no_spine_is_left_to_the_test_of_its_outlines(confidence):
    assert check_motion(0.5, confidence) is None
