"""Bit packing: PS3.5 8.1.1, frame after frame, least significant bit first."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_node.seg.pixels import overlap, pack_frames, unpack_frame


def unpack(data: bytes, count: int) -> np.ndarray:
    return np.unpackbits(np.frombuffer(data, dtype=np.uint8), bitorder="little")[:count].astype(bool)


@given(st.integers(1, 7), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_frames_follow_each_other_without_padding(frames, rows, columns, seed):
    masks = np.random.default_rng(seed).random((frames, rows, columns)) < 0.5
    data = pack_frames(list(masks))
    assert len(data) == (masks.size + 15) // 16 * 2, "even, and no longer than needed"
    assert np.array_equal(unpack(data, masks.size), masks.reshape(-1))


def test_the_first_pixel_is_the_lowest_bit():
    frame = np.zeros((1, 9), dtype=bool)
    frame[0, 0] = frame[0, 8] = True
    assert pack_frames([frame]) == b"\x01\x01"


@pytest.mark.parametrize(("second", "expected"), [([0, 1], False), ([1, 1], True)])
def test_overlap(second, expected):
    masks = [np.array([[True, False]]), np.array([second], dtype=bool)]
    assert overlap(masks) is expected
    assert masks[0].tolist() == [[True, False]], "the masks are left as they were"


@pytest.mark.parametrize("shape", [(3, 3), (4, 4), (5, 7), (1, 1)])
def test_frames_are_unpacked_one_by_one(shape):
    frames = list(np.random.default_rng(3).random((5, *shape)) > 0.5)
    data = pack_frames(frames)
    for index, frame in enumerate(frames):
        assert np.array_equal(unpack_frame(data, index, shape), frame)


def test_pixel_data_that_ends_early_is_refused():
    with pytest.raises(ValueError, match=r"ends at byte 8, but there are 6"):
        unpack_frame(bytes(6), 3, (4, 4))
