import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.geometry import FrameReference, Plane, Volume, affine_from_orientation, plane_of

angles = st.floats(-180, 180)
lengths = st.floats(0.2, 6.0)


def rotation(alpha, beta, gamma):
    a, b, c = np.radians([alpha, beta, gamma])
    rx = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    rz = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return rz @ ry @ rx


def volume(affine, shape=(3, 4, 5)):
    sources = tuple(FrameReference(sop_class_uid="1.2", sop_instance_uid=f"1.2.{i}") for i in range(shape[0]))
    return Volume(voxels=np.zeros(shape, np.float32), affine=affine, sources=sources, series_instance_uid="1.2.3")


def test_pixel_spacing_pairs_rows_with_the_column_cosine():
    """PixelSpacing [2.0, 0.5]: rows lie 2 mm apart, columns 0.5 mm (style.md A4: a published reader swaps them)."""
    affine = affine_from_orientation((0, 0, 0), (1, 0, 0, 0, 1, 0), (2.0, 0.5), (0, 0, 3))
    assert volume(affine).to_lps_mm((0, 1, 0)).tolist() == [0, 2, 0]
    assert volume(affine).to_lps_mm((0, 0, 1)).tolist() == [0.5, 0, 0]
    assert volume(affine).spacing_mm == (3.0, 2.0, 0.5)


@pytest.mark.parametrize(
    ("orientation", "plane"),
    [
        ((0, 1, 0, 0, 0, -1), Plane.SAGITTAL),
        ((0, -1, 0, 0, 0, 1), Plane.SAGITTAL),
        ((1, 0, 0, 0, 1, 0), Plane.AXIAL),
        ((1, 0, 0, 0, 0, -1), Plane.CORONAL),
        ((0, 0.7071, 0.7071, 1, 0, 0), Plane.OBLIQUE),
        ((0, 0, 0, 0, 0, 0), Plane.UNKNOWN),
        ((float("nan"), 0, 0, 0, 1, 0), Plane.UNKNOWN),
    ],
)
def test_plane_comes_from_the_orientation(orientation, plane):
    assert plane_of(orientation[:3], orientation[3:]) is plane


@given(angles, angles, angles, lengths, lengths, lengths, st.tuples(*[st.floats(-500, 500)] * 3))
def test_index_to_lps_and_back(alpha, beta, gamma, slice_mm, row_mm, column_mm, origin):
    turn = rotation(alpha, beta, gamma)
    affine = affine_from_orientation(origin, (*turn[:, 0], *turn[:, 1]), (row_mm, column_mm), turn[:, 2] * slice_mm)
    stack = volume(affine)
    index = np.array([[0, 0, 0], [2, 3, 4], [1.5, -2.25, 7.75]])
    np.testing.assert_allclose(stack.to_index(stack.to_lps_mm(index)), index, atol=1e-6)
    np.testing.assert_allclose(stack.spacing_mm, (slice_mm, row_mm, column_mm), rtol=1e-9)
    np.testing.assert_allclose(stack.directions.T @ stack.directions, np.eye(3), atol=1e-9)


def test_a_volume_refuses_sources_that_do_not_match_its_slices():
    with pytest.raises(ValueError, match="one source per slice"):
        Volume(voxels=np.zeros((2, 2, 2), np.float32), affine=np.eye(4), sources=(), series_instance_uid="1")


def test_a_volume_refuses_a_flat_affine():
    flat = np.diag([1.0, 1.0, 0.0, 1.0])
    with pytest.raises(ValueError, match="invertible"):
        volume(flat)
