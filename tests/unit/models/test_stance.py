"""A spine that does not stand as its headers say is refused; generated spines through the shipped network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inference.errors import ReasonCode, SeriesRefusal
from inference.geometry import FrameReference, Volume
from models.registry import DetectorSettings, load_detectors
from models.stance import check_stance, turned_slices
from training.phantom import PhantomParameters, generate_spine


def silent(_doing, _share):
    """Report progress to nobody."""


@pytest.fixture(scope="module")
def segmenter():
    return load_detectors(DetectorSettings(threads=2), ["mr_sagittal_segmentation"])[0]


@pytest.fixture(scope="module")
def spine():
    """The middle slice of a generated spine."""
    phantom = generate_spine(PhantomParameters(seed=3, slices=5, slice_spacing_mm=4.0))
    source = FrameReference(sop_class_uid="1.2", sop_instance_uid="2.25.1")
    voxels = phantom.voxels[2:3].astype(np.float32)
    return Volume(voxels=voxels, affine=phantom.affine, sources=(source,), series_instance_uid="2.25.9")


def transposed(volume):
    """The same image with rows and columns exchanged in storage."""
    affine = volume.affine.copy()
    affine[:, [1, 2]] = affine[:, [2, 1]]
    return replace(volume, voxels=np.ascontiguousarray(np.swapaxes(volume.voxels, 1, 2)), affine=affine)


@pytest.mark.parametrize("stored", [lambda v: v, transposed])
def test_each_turn_exchanges_what_it_says_in_any_storage_order(spine, stored):
    turned = {words: volume.voxels for words, volume in turned_slices(stored(spine), 0)}
    exchanged = {"head and foot": spine.voxels[:, ::-1], "front and back": spine.voxels[:, :, ::-1]}
    for words, expected in exchanged.items():
        assert np.array_equal(turned[words], stored(replace(spine, voxels=np.ascontiguousarray(expected))).voxels)


TURNS = [
    ("as it is", (), None),
    ("upside down", (1,), "head and foot"),
    ("back to front", (2,), "front and back"),
]


@pytest.mark.parametrize(("name", "axes", "words"), TURNS)
def test_a_spine_that_contradicts_its_orientation_is_refused(segmenter, spine, name, axes, words):
    """Upside down it used to be read, with levels counted from the wrong end and normal bodies called fractured."""
    series = replace(spine, voxels=np.ascontiguousarray(np.flip(spine.voxels, axes)))
    if words is None:
        assert len(segmenter.read_spine(series, silent).vertebrae) >= 6
        return
    with pytest.raises(SeriesRefusal) as caught:
        segmenter.read_spine(series, silent)
    assert caught.value.code in {ReasonCode.ORIENTATION, ReasonCode.BODY_PART}
    if caught.value.code is ReasonCode.ORIENTATION:
        assert words in caught.value.sentence


@pytest.mark.parametrize(("as_it_is", "turned"), [(0.94, 0.93), (0.94, None), (None, 0.95), (0.86, 0.9)])
def test_only_a_surer_outline_contradicts(as_it_is, turned):
    check_stance(as_it_is, (("head and foot", turned),))


def test_the_refusal_says_both_numbers():
    with pytest.raises(
        SeriesRefusal, match=r"front and back exchanged \(mean probability 0\.970\) than as it is \(0\.940\)"
    ):
        check_stance(0.94, (("head and foot", 0.9), ("front and back", 0.97)))
