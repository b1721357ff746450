"""The array helpers of the measurement: what they save in time must not change an answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from inference.measure.frames import _medians
from inference.measure.grid import bounding_box, boxes_of, most_likely, parts_of, without_islands
from inference.measure.posterior import _coarse

SHAPE = st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9))


@given(arrays.arrays(np.float32, SHAPE.map(lambda s: (4, *s)), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0])))
def test_the_most_likely_class_is_that_of_argmax_also_among_equals(probabilities):
    assert np.array_equal(most_likely(probabilities), probabilities.argmax(axis=0))


@given(arrays.arrays(np.bool_, SHAPE))
def test_parts_are_those_of_the_whole_array_in_the_order_of_its_voxels(mask):
    part, count = parts_of(mask)
    labels, expected = ndimage.label(mask)
    assert count == expected
    assert np.array_equal(part, labels[mask] - 1)


@given(arrays.arrays(np.bool_, SHAPE))
def test_a_bounding_box_holds_the_mask_and_touches_it_on_every_side(mask):
    box = bounding_box(mask)
    if box is None:
        assert not mask.any()
        return
    assert mask[box].sum() == mask.sum()
    for axis in range(3):
        assert mask[box].any(axis=tuple(other for other in range(3) if other != axis))[[0, -1]].all()


@given(arrays.arrays(np.int16, SHAPE, elements=st.integers(0, 3)))
def test_every_label_that_occurs_has_its_box(labels):
    boxes = boxes_of(labels)
    assert set(boxes) == set(np.unique(labels)) - {0}
    assert all((labels[box] == number).sum() == (labels == number).sum() for number, box in boxes.items())


def test_islands_go_by_size_and_by_share_of_the_largest():
    mask = np.zeros((1, 3, 12), dtype=bool)
    mask[0, 1, 0:6], mask[0, 1, 7:9], mask[0, 1, 11] = True, True, True
    assert without_islands(mask, smallest_voxels=2).sum() == 8
    assert without_islands(mask, smallest_share=0.5).sum() == 6
    assert without_islands(mask).sum() == 9
    assert not without_islands(np.zeros_like(mask), smallest_voxels=2).any()


@pytest.mark.parametrize("step", [(1, 1), (2, 3), (4, 4)])
def test_a_coarse_voxel_is_the_largest_of_its_block(step):
    fine = np.random.default_rng(0).integers(0, 9, (2, 7, 10)).astype(np.int16)
    coarse = _coarse(fine, step)
    for k, r, c in np.ndindex(coarse.shape):
        block = fine[k, r * step[0] : (r + 1) * step[0], c * step[1] : (c + 1) * step[1]]
        assert coarse[k, r, c] == block.max()


@given(arrays.arrays(np.float64, (5, 6), elements=st.sampled_from([np.nan, 0.0, 1.0, 2.5, 7.0])))
@pytest.mark.filterwarnings("ignore:All-NaN")
def test_medians_are_those_of_numpy(values):
    assert np.array_equal(_medians(values), np.nanmedian(values, axis=1), equal_nan=True)
