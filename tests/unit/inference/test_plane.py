"""From image points to the patient and back, on any plane with any spacing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from inference.geometry import FrameReference, Volume, affine_from_orientation
from inference.plane import ImagePlane

COORDINATE = st.floats(-500, 500)
SPACING = st.floats(0.05, 5)


@st.composite
def planes(draw: st.DrawFn) -> ImagePlane:
    """Any oblique plane, with pixels that need not be square."""
    angles = draw(st.tuples(*[st.floats(-180, 180)] * 3))
    row, column, _ = Rotation.from_euler("xyz", angles, degrees=True).as_matrix().T
    return ImagePlane(
        position_mm=draw(st.tuples(COORDINATE, COORDINATE, COORDINATE)),
        row_direction=tuple(row.tolist()),
        column_direction=tuple(column.tolist()),
        spacing_mm=draw(st.tuples(SPACING, SPACING)),
    )


@given(plane=planes(), points=arrays(np.float64, (7, 2), elements=st.floats(-50, 600)))
def test_points_come_back_from_the_patient(plane, points):
    assert np.allclose(plane.to_image_points(plane.to_lps_mm(points)), points, atol=1e-6)


@given(plane=planes(), column=st.integers(0, 511), row=st.integers(0, 511))
def test_a_pixel_centre_is_where_the_volume_has_it(plane, column, row):
    """The same place by the affine of inference.geometry, which the reader uses."""
    orientation = (*plane.row_direction, *plane.column_direction)
    normal = np.cross(plane.row_direction, plane.column_direction)
    volume = Volume(
        voxels=np.zeros((1, 2, 2), dtype=np.float32),
        affine=affine_from_orientation(plane.position_mm, orientation, plane.spacing_mm, normal),
        sources=(FrameReference(sop_class_uid="1", sop_instance_uid="1"),),
        series_instance_uid="1",
    )
    expected = volume.to_lps_mm((0, row, column))
    assert np.allclose(plane.to_lps_mm((column + 0.5, row + 0.5)), expected, atol=1e-6)


@given(plane=planes(), points=arrays(np.float64, (2, 2), elements=st.floats(0, 600)))
def test_lengths_are_those_of_the_pixel_spacing(plane, points):
    between_rows, between_columns = plane.spacing_mm
    (column0, row0), (column1, row1) = points
    length = np.hypot((column1 - column0) * between_columns, (row1 - row0) * between_rows)
    start, end = plane.to_lps_mm(points)
    assert np.isclose(np.linalg.norm(end - start), length, atol=1e-6)


def test_rows_and_columns_are_not_swapped():
    """PixelSpacing is (between rows, between columns): a step along a row is 0.5 mm here, one down a column 2 mm."""
    plane = ImagePlane(
        position_mm=(10.0, 20.0, 30.0), row_direction=(0, 1, 0), column_direction=(0, 0, -1), spacing_mm=(2.0, 0.5)
    )
    assert plane.to_lps_mm([(0.5, 0.5), (1.5, 0.5), (0.5, 1.5)]).tolist() == [
        [10, 20, 30],
        [10, 20.5, 30],
        [10, 20, 28],
    ]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"row_direction": (1, 0, 0.1)}, "right angle"),
        ({"column_direction": (1, 0, 0)}, "right angle"),
        ({"row_direction": (0, 0, 0)}, "right angle"),
        ({"spacing_mm": (0.0, 1.0)}, "above 0"),
        ({"position_mm": (float("nan"), 0.0, 0.0)}, "finite"),
    ],
)
def test_what_is_no_plane_is_refused(values, words):
    right = {
        "position_mm": (0.0, 0.0, 0.0),
        "row_direction": (1, 0, 0),
        "column_direction": (0, 1, 0),
        "spacing_mm": (1.0, 1.0),
    }
    with pytest.raises(ValueError, match=words):
        ImagePlane(**(right | values))
