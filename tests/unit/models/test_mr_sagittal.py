"""A pixel spacing that cannot be right takes the millimetres away, not the outlines; no spine stays no spine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inference.errors import ReasonCode, SeriesRefusal
from inference.findings import NotAssessed, Question
from inference.geometry import FrameReference, Volume
from models.registry import DetectorSettings, load_detectors
from training.phantom import PhantomParameters, generate_spine


@pytest.fixture(scope="module")
def segmenter():
    return load_detectors(DetectorSettings(threads=2), ["mr_sagittal_segmentation"])[0]


@pytest.fixture(scope="module")
def spine():
    """Three slices around the middle of a generated spine."""
    phantom = generate_spine(PhantomParameters(seed=3, slices=5, slice_spacing_mm=4.0))
    middle = slice(1, 4)
    affine = phantom.affine.copy()
    affine[:3, 3] += affine[:3, 0]
    sources = tuple(FrameReference(sop_class_uid="1.2", sop_instance_uid=f"2.25.{n + 1}") for n in range(3))
    return Volume(
        voxels=phantom.voxels[middle].astype(np.float32), affine=affine, sources=sources, series_instance_uid="2.25.9"
    )


def silent(_doing, _share):
    """Report progress to nobody."""


def stretched(volume, along, across):
    affine = volume.affine.copy()
    affine[:3, 1] *= along
    affine[:3, 2] *= across
    return replace(volume, affine=affine)


def test_outlines_and_levels_survive_a_wrong_pixel_spacing_and_lengths_do_not(segmenter, spine):
    right = segmenter.read_spine(spine, silent)
    wrong = segmenter.read_spine(stretched(spine, 1.7, 0.9), silent)
    assert [d.level.name for d in wrong.discs] == [d.level.name for d in right.discs]
    for ours, theirs in zip(right.vertebrae, wrong.vertebrae, strict=True):
        overlap = 2 * (ours.body & theirs.body).sum() / (ours.body.sum() + theirs.body.sum())
        assert overlap > 0.85
        assert theirs.heights.reason is ReasonCode.SPACING
    assert any(
        code is ReasonCode.SPACING and "pixel spacing cannot be right" in words for code, words in wrong.warnings
    )


def test_findings_of_a_wrong_spacing_say_so_and_hold_no_millimetre(segmenter, spine):
    result = segmenter.read(stretched(spine, 1.7, 0.9), "1.2.3", silent, {})
    fractures = [f for f in result.findings if f.question is Question.COMPRESSION_FRACTURE]
    assert fractures
    for finding in result.findings:
        assert isinstance(finding.assessment, NotAssessed)
        if finding.question is not Question.SPONDYLOLISTHESIS:  # a share along one direction, still right
            assert finding.assessment.reason is ReasonCode.SPACING
        assert {m.unit for m in finding.measurements} <= {"%"}


def test_a_spacing_that_no_image_has_is_refused(segmenter, spine):
    with pytest.raises(SeriesRefusal, match="no plausible spine"):
        segmenter.read_spine(stretched(spine, 3.2, 3.2), silent)


def test_the_last_reading_is_kept_for_a_grader(segmenter, spine):
    assert segmenter.read_spine(spine, silent) is segmenter.read_spine(spine, silent)
    assert segmenter.read_spine(replace(spine), silent) is not segmenter.read_spine(spine, silent)


@pytest.mark.parametrize("seed", range(2, 6))
def test_noise_is_refused_by_name(segmenter, seed):
    noise = (np.random.default_rng(seed).random((6, 96, 96)) * 500).astype(np.int16)[::-1].astype(np.float32)
    affine = np.array([[-4.0, 0, 0, 10.0], [0, 0, 1.0, -60.0], [0, -1.0, 0, 80.0], [0, 0, 0, 1.0]])
    sources = tuple(FrameReference(sop_class_uid="1.2", sop_instance_uid=f"2.25.{n + 1}") for n in range(6))
    volume = Volume(voxels=noise, affine=affine, sources=sources, series_instance_uid="2.25.9")
    with pytest.raises(SeriesRefusal) as refused:
        segmenter.read_spine(volume, silent)
    assert refused.value.code is ReasonCode.BODY_PART
