"""A collapsed body keeps its name and its heights: the discs above and below it are two."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from inference.anatomy import Vertebra
from inference.measure import read_sagittal
from inference.measure.reading import Heights

WHOLE = {Vertebra.T12, Vertebra.L1, Vertebra.L2, Vertebra.L3, Vertebra.L4, Vertebra.L5}


@pytest.mark.parametrize("crush", [0.4, 0.6, 0.7, 0.75])
def test_the_discs_beside_a_collapsed_body_are_two(block_spine, crush):
    """Used to be taken for pieces of one disc, so that the body was lost and every level above it shifted."""
    spine = block_spine(crush={Vertebra.L1: crush}, spacing=(4.0, 0.7, 0.7))
    reading = read_sagittal(*spine.build())
    assert {v.level for v in reading.vertebrae} >= WHOLE
    (body,) = [v for v in reading.vertebrae if v.level is Vertebra.L1]
    assert isinstance(body.heights, Heights)
    assert body.heights.middle.mm == pytest.approx(spine.height_mm(Vertebra.L1, 0.5), abs=0.6)


def test_discs_that_touch_beside_a_collapsed_body_are_two(block_spine):
    """Used to be one disc (SPIDER patient 241): the body was lost and every level above it shifted."""
    spine = block_spine(crush={Vertebra.L1: 0.7}, spacing=(4.0, 0.7, 0.7))
    volume, probabilities = spine.build()
    discs = probabilities[2] > 0.5
    for index in (3, 4, 9):
        closed = ndimage.binary_closing(discs[index], structure=np.ones((20, 1)))  # bodies of full height stay
        probabilities[:, index] = np.where(
            closed & ~discs[index], np.array([0, 0, 1, 0])[:, None, None], probabilities[:, index]
        )
    reading = read_sagittal(volume, probabilities)
    assert {v.level for v in reading.vertebrae} >= WHOLE
    assert len(reading.discs) == len(read_sagittal(*spine.build()).discs)
