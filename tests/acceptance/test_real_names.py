"""Real T2 SPACE slices cut off above the sacrum get the names that the whole image gives, from a coarse localizer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from builders.spider import t2space_volume
from inference.anatomy import Vertebra
from inference.geometry import FrameReference, Volume
from inference.series.role import SeriesRole
from models.registry import DetectorSettings, load_detectors
from training.cases import place_volume

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
T2, LOCALIZER = SeriesRole.MR_SAGITTAL_T2, SeriesRole.LOCALIZER
SPACE_MM = (0.9, 0.46875, 0.46875)
COARSE = 3
"""Pixels of the localizer are that many times as large: 1.4 mm."""


@pytest.fixture(scope="module")
def segmenter():
    return load_detectors(DetectorSettings(threads=2))[0]


def silent(_doing, _share):
    """Report progress to nobody."""


def coarse(whole, places):
    """A localizer of the same patient: a few slices with large pixels."""
    slices = [ndimage.uniform_filter(whole.voxels[place], COARSE)[1::COARSE, 1::COARSE] for place in places]
    affine = whole.affine @ np.diag([places[1] - places[0], COARSE, COARSE, 1.0])
    affine[:3, 3] = whole.to_lps_mm((places[0], 1, 1))
    return Volume(
        voxels=np.stack(slices),
        affine=affine,
        sources=tuple(FrameReference(sop_class_uid="1.2", sop_instance_uid=f"2.25.7.{n}") for n in places),
        series_instance_uid="2.25.7",
        frame_of_reference_uid=whole.frame_of_reference_uid,
    )


@pytest.mark.parametrize("patient", ["34", "166", "241"])
def test_a_series_that_ends_above_the_sacrum_is_named_by_the_localizer(shared_data, segmenter, patient):
    whole = place_volume(t2space_volume(shared_data, patient), SPACE_MM)
    whole = replace(whole, frame_of_reference_uid="2.25.1")
    middle = whole.shape[0] // 2
    sources = whole.sources[middle : middle + 1]
    affine = whole.affine.copy()
    affine[:3, 3] = whole.to_lps_mm((middle, 0, 0))
    one = replace(whole, voxels=whole.voxels[middle : middle + 1], sources=sources, affine=affine)
    right = segmenter.read_spine(one, silent)
    assert not right.numbering.ambiguous, right.numbering.note
    end = int(np.argwhere(next(v.body for v in right.vertebrae if v.level is Vertebra.L4))[:, 1].mean())
    cut = replace(one, voxels=np.ascontiguousarray(one.voxels[:, :end]))
    localizer = coarse(whole, (middle - 5, middle, middle + 5))
    result = segmenter.read(cut, "1.2", silent, {T2: cut, LOCALIZER: localizer})
    assert result.named_from == localizer.series_instance_uid, result.numbering.note
    named = segmenter.read_spine(cut, silent)
    assert not named.numbering.ambiguous
    for theirs in named.vertebrae:
        ours = next(v for v in right.vertebrae if v.level is theirs.level)
        assert (ours.body[:, :end] & theirs.body).sum() > 0.5 * theirs.body.sum(), theirs.level
