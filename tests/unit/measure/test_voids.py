"""A body that ends where the signal ends is not measured: metal or a lost band of the image is no fracture."""

from __future__ import annotations

import numpy as np
import pytest

from inference.anatomy import Vertebra
from inference.errors import ReasonCode
from inference.measure import read_sagittal
from inference.measure.reading import Heights, Unmeasured

LOST_MM = 11.0


def with_band(block_spine, signal: float):
    """A spine of which the lower part of L2 is not outlined, and the image holds this signal there."""
    volume, probabilities = block_spine(spacing=(4.0, 1.0, 1.0), slices=5).build()
    l2 = next(v for v in read_sagittal(volume, probabilities).vertebrae if v.level is Vertebra.L2)
    rows = np.flatnonzero(l2.body.any(axis=(0, 2)))
    band = slice(int(rows[-1] - LOST_MM), int(rows[-1]) + 1)
    lost = np.zeros(volume.shape, bool)
    lost[:, band] = probabilities[1:, :, band].max(axis=0) > 0
    lost &= probabilities[3] == 0  # the canal goes on
    lost &= np.arange(volume.shape[2]) < np.flatnonzero(l2.body.any(axis=(0, 1)))[-1] + 2
    probabilities[:, lost] = np.array([1, 0, 0, 0], np.float32)[:, None]
    volume.voxels[lost] = signal
    return volume, probabilities


def level(reading, name):
    return next(v for v in reading.vertebrae if v.level.name == name)


@pytest.mark.parametrize(
    ("flips", "transposed"), [((False, False, False), False), ((True, True, False), False), ((False, True, True), True)]
)
def test_a_body_that_ends_at_a_void_is_not_measured(block_spine, other_order, flips, transposed):
    """Used to be a crushed body."""
    reading = read_sagittal(*other_order(*with_band(block_spine, 0.0), flips=flips, transposed=transposed))
    heights = level(reading, "L2").heights
    assert isinstance(heights, Unmeasured)
    assert heights.reason is ReasonCode.METAL
    assert "holds no signal" in heights.sentence
    assert isinstance(level(reading, "L4").heights, Heights)


def test_an_outline_that_ends_in_tissue_ends_at_no_void(block_spine):
    """It is not measured either, for what it is: no outline of a whole body."""
    heights = level(read_sagittal(*with_band(block_spine, 0.5)), "L2").heights
    assert isinstance(heights, Unmeasured)
    assert heights.reason is ReasonCode.UNCERTAIN
    assert "before the disc" in heights.sentence


def test_every_body_of_a_whole_image_is_measured(block_spine):
    reading = read_sagittal(*block_spine(spacing=(4.0, 1.0, 1.0), slices=5).build())
    assert all(isinstance(v.heights, Heights) for v in reading.vertebrae)
