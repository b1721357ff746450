"""Every in-plane arrangement of one spine gives the same network image, and the way back is exact."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.errors import ReasonCode, SeriesRefusal
from inference.geometry import FrameReference, Volume
from models.preprocess import from_network, neighbours, normalise, sagittal_grid, to_network

SPACING = (0.46875, 0.46875)


def volume(voxels, affine):
    sources = tuple(FrameReference(sop_class_uid="1.2", sop_instance_uid=f"1.{i}") for i in range(voxels.shape[0]))
    return Volume(voxels=np.ascontiguousarray(voxels), affine=affine, sources=sources, series_instance_uid="1.2.3")


def head_to_foot(row_mm=0.46875, column_mm=0.46875):
    """Columns of the affine: slices to the left, rows to the foot, columns to the back."""
    return np.array([[4.0, 0, 0, 0], [0, 0, column_mm, 0], [0, -row_mm, 0, 0], [0, 0, 0, 1.0]])


def arrange(voxels, affine, *, swap, reverse_rows, reverse_columns):
    """The same object stored another way: its affine follows its array."""
    affine = affine.copy()
    for axis, reverse in ((1, reverse_rows), (2, reverse_columns)):
        if reverse:
            affine[:3, 3] += affine[:3, axis] * (voxels.shape[axis] - 1)
            affine[:3, axis] *= -1
            voxels = np.flip(voxels, axis)
    if swap:
        voxels, affine = np.swapaxes(voxels, 1, 2), affine[:, [0, 2, 1, 3]]
    return voxels, affine


@pytest.mark.parametrize(("swap", "rows", "columns"), list(itertools.product([False, True], repeat=3)))
def test_every_arrangement_gives_the_same_network_image_and_returns(swap, rows, columns):
    voxels = np.random.default_rng(0).normal(size=(2, 70, 50)).astype(np.float32)
    stored, affine = arrange(voxels, head_to_foot(), swap=swap, reverse_rows=rows, reverse_columns=columns)
    source = volume(stored, affine)
    grid = sagittal_grid(source, SPACING, 64)
    image = to_network(source.voxels, grid)
    assert image.shape == (2, 128, 64)
    np.testing.assert_array_equal(image[:, :70, :50], voxels)
    np.testing.assert_array_equal(image[:, 70:], 0)
    np.testing.assert_array_equal(from_network(image, grid), source.voxels)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.25, 1.2), st.floats(0.25, 1.2))
def test_a_square_stays_where_it_is_in_millimetres(row_mm, column_mm):
    voxels = np.zeros((1, 90, 80), np.float32)
    voxels[0, 30:60, 20:50] = 1
    source = volume(voxels, head_to_foot(row_mm, column_mm))
    grid = sagittal_grid(source, SPACING, 32)
    image = to_network(source.voxels, grid)[0]
    row, column = np.array(
        [
            np.average(np.arange(n) + 0.5, weights=image.sum(axis=a))
            for a, n in ((1, image.shape[0]), (0, image.shape[1]))
        ]
    )
    assert row * SPACING[0] == pytest.approx(45 * row_mm, abs=0.3)
    assert column * SPACING[1] == pytest.approx(35 * column_mm, abs=0.3)
    back = from_network(to_network(source.voxels, grid), grid)[0]
    assert np.mean((back > 0.5) == (voxels[0] > 0.5)) > 0.97


def test_an_axial_stack_is_refused_by_name():
    axial = np.diag([1.0, 1.0, 1.0, 1.0])[:, [2, 1, 0, 3]]
    with pytest.raises(SeriesRefusal, match="axial") as refusal:
        sagittal_grid(volume(np.zeros((2, 8, 8), np.float32), axial), SPACING, 8)
    assert refusal.value.code is ReasonCode.ORIENTATION


def test_normalised_voxels_have_mean_zero_and_deviation_one():
    voxels = np.random.default_rng(1).gamma(2.0, 300.0, size=(3, 40, 40)).astype(np.float32)
    result = normalise(voxels)
    assert result.mean() == pytest.approx(0, abs=1e-5)
    assert result.std() == pytest.approx(1, abs=1e-5)


def test_a_series_without_contrast_is_refused():
    with pytest.raises(SeriesRefusal, match="there is no image"):
        normalise(np.full((1, 4, 4), 7, np.float32))


def test_neighbours_repeat_the_outermost_slices():
    voxels = np.arange(4, dtype=np.float32).reshape(4, 1, 1)
    assert neighbours(voxels, 0, 5).ravel().tolist() == [0, 0, 0, 1, 2]
    assert neighbours(voxels, 3, 5).ravel().tolist() == [1, 2, 3, 3, 3]
    assert neighbours(voxels[:1], 0, 5).shape == (1, 5, 1, 1)
