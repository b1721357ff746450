"""Real images that are no upright lumbar MR, or were made unfit: each abstains with its code, none gets a finding."""

from __future__ import annotations

import numpy as np
import pytest

from builders.spider import t2space_volume
from inference.errors import ReasonCode, SeriesRefusal
from inference.measure.reading import Heights, Unmeasured
from models.registry import DetectorSettings, load_detectors
from training.cases import place_volume
from training.measure_quality import read_nifti_as_sagittal
from training.midsagittal import read_graded
from training.motion import Course, Movement, move

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SPACE_MM = (3.6, 0.46875, 0.46875)


@pytest.fixture(scope="module")
def segmenter():
    return load_detectors(DetectorSettings(threads=2))[0]


def silent(_doing, _share):
    """Report progress to nobody."""


def space(shared_data, patient):
    """The middle T2 SPACE slice of a patient that the network was not trained on."""
    slices = t2space_volume(shared_data, patient).astype(np.float32)
    return slices[len(slices) // 2][None]


def midsagittal(shared_data, patient, contrast):
    found = next(p for p in read_graded(shared_data) if p.name == patient)
    return found.series[next(c for c in found.series if c == contrast)]


def moved(pixels, course, axis):
    """A slice as it looks after a movement of 6 mm."""
    return move(pixels[0], SPACE_MM[1:], Movement(course=course, amplitude_mm=6.0, axis=axis, seed=1))[None]


REFUSED = {
    "T2 SPACE patient 52, moved forward": (
        lambda data: place_volume(moved(space(data, "52"), Course.DRIFT, 1), SPACE_MM),
        ReasonCode.MOTION,
    ),
    "T2 SPACE patient 166, moved along the spine": (
        lambda data: place_volume(moved(space(data, "166"), Course.JERK, 0), SPACE_MM),
        ReasonCode.MOTION,
    ),
    "SPIDER patient 57, T1, whose images are upside down": (
        lambda data: midsagittal(data, "57", "T1"),
        ReasonCode.ORIENTATION,
    ),
    "the same, T2": (lambda data: midsagittal(data, "57", "T2"), ReasonCode.ORIENTATION),
    "T2 SPACE patient 34 turned upside down": (
        lambda data: place_volume(np.ascontiguousarray(space(data, "34")[:, ::-1]), SPACE_MM),
        ReasonCode.ORIENTATION,
    ),
    "T2 SPACE patient 166 turned upside down": (
        lambda data: place_volume(np.ascontiguousarray(space(data, "166")[:, ::-1]), SPACE_MM),
        ReasonCode.ORIENTATION,
    ),
    "chest CT sent as sagittal MR": (
        lambda data: read_nifti_as_sagittal(data / "ct_totalsegmentator" / "pulmonary_ct_cropped.nii.gz"),
        ReasonCode.BODY_PART,
    ),
    "CT of L3 sent as sagittal MR": (
        lambda data: read_nifti_as_sagittal(data / "ct_tptbox_l3" / "sub-ct_label-22_ct.nii.gz"),
        ReasonCode.BODY_PART,
    ),
}


@pytest.mark.parametrize("image", REFUSED)
def test_an_image_that_is_no_upright_lumbar_mr_is_refused(shared_data, segmenter, image):
    series, code = REFUSED[image]
    with pytest.raises(SeriesRefusal) as caught:
        segmenter.read_spine(series(shared_data), silent)
    assert caught.value.code is code, caught.value.sentence


def test_a_body_beside_a_lost_band_is_not_called_fractured(shared_data, segmenter):
    """Used to be a crush fracture of L3 with a loss of 55 %."""
    image = space(shared_data, "34")
    whole = segmenter.read_spine(place_volume(image, SPACE_MM), silent)
    assert sum(isinstance(v.heights, Heights) for v in whole.vertebrae) >= 6
    image[:, 300:360] = 0
    reading = segmenter.read_spine(place_volume(image, SPACE_MM), silent)
    (body,) = [v for v in reading.vertebrae if v.level.name == "L3"]
    assert isinstance(body.heights, Unmeasured)
    assert body.heights.reason is ReasonCode.METAL


@pytest.mark.parametrize("patient", ["34", "52", "166", "241"])
def test_a_slice_at_rest_has_no_word_of_motion(shared_data, segmenter, patient):
    reading = segmenter.read_spine(place_volume(space(shared_data, patient), SPACE_MM), silent)
    assert ReasonCode.MOTION not in [code for code, _ in reading.warnings]


def test_a_moved_slice_whose_outlines_stay_sure_is_outlined_and_not_measured(shared_data, segmenter):
    image = moved(space(shared_data, "34"), Course.JERK, 0)
    reading = segmenter.read_spine(place_volume(image, SPACE_MM), silent)
    assert ReasonCode.MOTION in [code for code, _ in reading.warnings]
    assert {v.loss.reason for v in reading.vertebrae} == {ReasonCode.MOTION}


@pytest.mark.parametrize(("patient", "contrast"), [("32", "T2"), ("109", "T2")])
def test_a_short_and_thin_lowest_disc_is_said_to_be_one_of_a_transitional_vertebra(
    shared_data, segmenter, patient, contrast
):
    reading = segmenter.read_spine(midsagittal(shared_data, patient, contrast), silent)
    assert ReasonCode.TRANSITIONAL in [code for code, _ in reading.warnings]
    assert reading.numbering.ambiguous
