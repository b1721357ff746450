"""Signs of a lumbosacral transitional vertebra are said, and that the lumbar vertebrae cannot be counted."""

from __future__ import annotations

import numpy as np
import pytest

from inference.errors import ReasonCode
from inference.geometry import FrameReference, Volume
from inference.measure import read_sagittal
from training.phantom import PhantomParameters, SacralShape, generate_labels

COARSE = {"rows": 320, "columns": 256, "spacing_mm": 0.9375, "slices": 3}


def read(seed=2, **changes):
    """The reading of a generated spine's labels, and the truth."""
    phantom = generate_labels(PhantomParameters(seed=seed, **COARSE, **changes))
    volume = Volume(
        voxels=np.random.default_rng(0).random(phantom.labels.shape, dtype=np.float32),
        affine=phantom.affine,
        sources=tuple(FrameReference(sop_class_uid="1.2", sop_instance_uid=f"1.2.{n}") for n in range(3)),
        series_instance_uid="1.2.3",
    )
    probabilities = np.stack([phantom.labels == label for label in range(4)]).astype(np.float32)
    return read_sagittal(volume, probabilities), phantom.truth


def warning(reading, code):
    return next((sentence for found, sentence in reading.warnings if found is code), None)


@pytest.mark.parametrize("seed", [2, 5])
def test_a_disc_below_a_squared_first_sacral_segment_is_a_sign(seed):
    reading, _ = read(seed, sacral_shape=SacralShape.LUMBARISED)
    assert "1 more disc(s)" in warning(reading, ReasonCode.TRANSITIONAL)
    assert reading.numbering.ambiguous


@pytest.mark.parametrize("seed", [2, 5])
def test_a_short_and_thin_lowest_disc_is_a_sign(seed):
    reading, _ = read(seed, sacral_shape=SacralShape.SACRALISED)
    assert "partly fused with the sacrum" in warning(reading, ReasonCode.TRANSITIONAL)
    assert "Four or six lumbar vertebrae cannot be told" in warning(reading, ReasonCode.TRANSITIONAL)
    assert warning(reading, ReasonCode.NUMBERING) == reading.numbering.note


@pytest.mark.parametrize("changes", [{}, {"degeneration": {"L5-S1": 1.0}}, {"degeneration": {"L4-L5": 1.0}}])
def test_a_regular_or_a_worn_disc_is_none(changes):
    reading, _ = read(**changes)
    assert warning(reading, ReasonCode.TRANSITIONAL) is None
    assert not reading.numbering.ambiguous


@pytest.mark.parametrize(("lumbar", "last"), [(4, "L4"), (6, "L6")])
def test_four_or_six_lumbar_vertebrae_are_counted_as_five_and_the_note_says_that_they_may_be(lumbar, last):
    reading, truth = read(lumbar=lumbar)
    assert truth.vertebrae[-1].level == last
    assert reading.vertebrae[-1].level.name == "L5"
    assert "a lumbosacral transitional vertebra cannot be excluded" in reading.numbering.note
