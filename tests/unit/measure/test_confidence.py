"""How sure the outlines are: refused where they can be anything, said where they are unusual."""

from __future__ import annotations

import numpy as np
import pytest

from inference.errors import ReasonCode, SeriesRefusal
from inference.measure.confidence import check_confidence, outline_confidence


def probabilities(winning: float, *, outlined: bool = True) -> np.ndarray:
    """One voxel of sure background and two of one class each."""
    values = np.zeros((4, 1, 1, 3), np.float32)
    values[0] = 1.0
    if outlined:
        for column, structure in ((1, 1), (2, 3)):
            values[:, 0, 0, column] = (1.0 - winning) / 3
            values[structure, 0, 0, column] = winning
    return values


def test_background_does_not_count():
    assert outline_confidence(probabilities(0.7)) == pytest.approx(0.7)
    assert outline_confidence(probabilities(0.7, outlined=False)) is None


@pytest.mark.parametrize(
    ("confidence", "expected"),
    [(0.97, ()), (0.88, ()), (0.87, (ReasonCode.OUT_OF_DISTRIBUTION,)), (0.83, (ReasonCode.OUT_OF_DISTRIBUTION,))],
)
def test_outlines_less_sure_than_usual_are_said_to_be(confidence, expected):
    assert tuple(code for code, _ in check_confidence(confidence)) == expected


@pytest.mark.parametrize(("confidence", "words"), [(0.81, "0.81, at least 0.83"), (None, "every voxel is background")])
def test_outlines_that_can_be_anything_are_refused(confidence, words):
    """Heads and CT used to be read as vertebrae of which none could be measured."""
    with pytest.raises(SeriesRefusal, match=words) as caught:
        check_confidence(confidence)
    assert caught.value.code is ReasonCode.BODY_PART
