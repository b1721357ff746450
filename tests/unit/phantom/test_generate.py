"""The generator as its users see it: shapes, determinism, classes, contrast and refusals."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from inference.geometry import Plane, plane_of
from training.phantom import (
    Contrast,
    MarrowChange,
    Phantom,
    PhantomParameters,
    SacralShape,
    generate_labels,
    generate_spine,
)
from training.phantom.marrow import CHANGED
from training.phantom.tissue import Tissue

SMALL = PhantomParameters(rows=320, columns=256, spacing_mm=0.9375, slices=5, slice_spacing_mm=4.0, seed=3)


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return generate_spine(SMALL)


def test_shapes_and_types(phantom: Phantom) -> None:
    assert phantom.voxels.shape == phantom.labels.shape == phantom.instances.shape == (5, 320, 256)
    assert (phantom.voxels.dtype, phantom.labels.dtype, phantom.instances.dtype) == (np.float32, np.uint8, np.uint8)
    assert phantom.voxels.min() >= 0
    assert np.isfinite(phantom.voxels).all()


def test_geometry_is_sagittal_rows_to_the_foot_columns_to_the_back(phantom: Phantom) -> None:
    assert plane_of(phantom.affine[:3, 2], phantom.affine[:3, 1]) is Plane.SAGITTAL
    assert phantom.affine[:3, 1] == pytest.approx([0, 0, -0.9375])
    assert phantom.affine[:3, 2] == pytest.approx([0, 0.9375, 0])
    assert phantom.affine[:3, 0] == pytest.approx([4.0, 0, 0])


def test_same_parameters_give_the_same_bytes(phantom: Phantom) -> None:
    again = generate_spine(SMALL)
    assert again.voxels.tobytes() == phantom.voxels.tobytes()
    assert again.labels.tobytes() == phantom.labels.tobytes()
    assert again.truth == phantom.truth


def test_another_seed_is_another_patient(phantom: Phantom) -> None:
    other = generate_labels(replace(SMALL, seed=4))
    assert other.truth != phantom.truth
    assert (other.labels != phantom.labels).mean() > 0.005


def test_another_contrast_is_the_same_anatomy(phantom: Phantom) -> None:
    t1 = generate_spine(replace(SMALL, contrast=Contrast.T1))
    assert t1.labels.tobytes() == phantom.labels.tobytes()
    assert t1.truth == phantom.truth
    assert t1.voxels.tobytes() != phantom.voxels.tobytes()


def test_labels_alone_are_those_of_the_image(phantom: Phantom) -> None:
    assert generate_labels(SMALL).labels.tobytes() == phantom.labels.tobytes()


def test_classes_look_as_their_contrast_says() -> None:
    even = replace(SMALL, coil_mm=0.0, bias=0.0, noise=0.0, saturation=0.0)
    mean = {}
    for contrast in Contrast:
        found = generate_spine(replace(even, contrast=contrast))
        mean[contrast] = [float(found.voxels[found.labels == k].mean()) for k in range(4)]
    assert mean[Contrast.T2][3] > mean[Contrast.T2][1] > mean[Contrast.T2][2]
    assert mean[Contrast.T1][1] > mean[Contrast.T1][2]
    assert mean[Contrast.T1][1] > mean[Contrast.T1][3]
    assert mean[Contrast.STIR][3] > 4 * mean[Contrast.STIR][1]


def test_an_acute_fracture_shines_on_stir_and_an_old_one_does_not() -> None:
    means = []
    for acute in (True, False):
        found = generate_spine(replace(SMALL, contrast=Contrast.STIR, fractures={"L2": ("wedge", 0.3, acute)}))
        body = found.instances == found.truth.vertebra("L2").instance
        other = found.instances == found.truth.vertebra("L3").instance
        means.append(float(found.voxels[body].mean() / found.voxels[other].mean()))
    assert means[0] > 1.5 > means[1]


def test_every_level_in_view_has_its_own_instance_and_the_sacrum_none(phantom: Phantom) -> None:
    truth = phantom.truth
    assert [v.level for v in truth.vertebrae][-6:] == ["T12", "L1", "L2", "L3", "L4", "L5"]
    present = set(np.unique(phantom.instances)) - {0}
    assert {v.instance for v in truth.vertebrae} <= present
    below = np.linalg.inv(phantom.affine) @ [*truth.disc("L5-S1").centre_lps_mm, 1]
    assert not (phantom.labels[:, round(below[1]) + 30 :] == 1).any()
    assert ((phantom.instances > 0) == (phantom.labels == 1)).all()


def test_bodies_run_head_to_foot(phantom: Phantom) -> None:
    heights = [v.centre_lps_mm[2] for v in phantom.truth.vertebrae]
    assert heights == sorted(heights, reverse=True)


def test_field_of_view_can_end_above_the_sacrum_and_below_a_level() -> None:
    found = generate_labels(replace(SMALL, lowest="L2", highest="T9"))
    levels = [v.level for v in found.truth.vertebrae if v.complete]
    assert levels == ["T9", "T10", "T11", "T12", "L1", "L2"]
    assert not found.truth.vertebra("L3").complete if len(found.truth.vertebrae) > 6 else True
    assert not (found.instances == found.truth.vertebra("T9").instance - 1).any()


def test_thin_slices_are_supported() -> None:
    found = generate_labels(replace(SMALL, slices=30, slice_spacing_mm=0.9))
    assert found.labels.shape[0] == 30
    assert found.affine[0, 0] == pytest.approx(0.9)


@pytest.mark.parametrize("change", list(MarrowChange))
def test_a_change_of_the_marrow_changes_the_signal_of_its_body_alone_and_no_outline(change: MarrowChange) -> None:
    stir = replace(SMALL, contrast=Contrast.STIR, noise=0.0)
    plain, changed = generate_spine(stir), generate_spine(replace(stir, marrow={"L3": change}))
    assert np.array_equal(plain.labels, changed.labels)
    body = plain.instances == plain.truth.vertebra("L3").instance
    difference = changed.voxels - plain.voxels
    assert np.abs(difference[~binary_dilation(body, iterations=4)]).max() < 1.0
    assert bool(difference[body].mean() > 0) is (CHANGED.get(change, Tissue.OEDEMA) is Tissue.OEDEMA)


@pytest.mark.slow
def test_a_study_of_fifteen_slices_takes_seconds() -> None:
    start = time.process_time()
    generate_spine(PhantomParameters())
    assert time.process_time() - start < 10.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rows": 0}, "rows must be at least 1, got 0"),
        ({"spacing_mm": 0.0}, "spacing_mm must be positive, got 0.0"),
        ({"noise": -1.0}, "noise must not be negative, got -1.0"),
        ({"lowest": "C5"}, "a level must be one of"),
        ({"lowest": "T12", "highest": "L2"}, "highest must not lie below lowest, got L2 and T12"),
        ({"fractures": {"L9": ("crush", 0.3)}}, "a level must be one of"),
        ({"fractures": {"L1": ("crush", 0.95)}}, r"the loss at L1 must lie in \(0, 0.8\], got 0.95"),
        ({"fractures": {"L1": ("squash", 0.3)}}, "squash"),
        ({"marrow": {"L9": "oedema"}}, "a level must be one of"),
        ({"marrow": {"L1": "green"}}, "green"),
        ({"slip_mm": {"L4": 3.0}}, "a disc must be written like 'L4-L5', got 'L4'"),
        ({"stenosis_mm": {"L4-L5": 1.0}}, "must stay at least 3.0 mm wide, got 1.0"),
    ],
)
def test_refuses_what_no_spine_or_image_has(change: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(SMALL, **change)


@pytest.mark.parametrize(("lumbar", "last", "disc"), [(4, "L4", "L4-S1"), (5, "L5", "L5-S1"), (6, "L6", "L6-S1")])
def test_four_to_six_lumbar_vertebrae_can_be_drawn(lumbar, last, disc):
    found = generate_labels(replace(SMALL, lumbar=lumbar))
    assert found.truth.vertebrae[-1].level == last
    assert found.truth.discs[-1].level == disc
    bottom = found.truth.vertebra(last)
    assert bottom.instance in found.instances
    regular = generate_labels(SMALL).truth.vertebra("L5")
    np.testing.assert_allclose(bottom.centre_lps_mm, regular.centre_lps_mm, atol=3.0)


def test_a_number_of_lumbar_vertebrae_that_nobody_has_is_refused():
    with pytest.raises(ValueError, match="lumbar must be one of"):
        replace(SMALL, lumbar=7)


def test_sacral_shapes_change_the_lowest_discs_only():
    regular, squared, fused = (generate_labels(replace(SMALL, sacral_shape=shape)) for shape in SacralShape)
    assert (squared.labels == 2).sum() > (regular.labels == 2).sum()
    assert np.array_equal(squared.instances, regular.instances)
    assert fused.truth.disc("L5-S1").middle_mm < 0.7 * regular.truth.disc("L5-S1").middle_mm
    assert fused.truth.vertebra("L4").middle_mm == regular.truth.vertebra("L4").middle_mm
