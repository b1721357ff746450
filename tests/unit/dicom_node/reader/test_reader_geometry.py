"""The affine of a Volume against independent oracles: the standard's equation, SimpleITK and highdicom."""

from __future__ import annotations

import tempfile
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from builders.dicom import AXIAL, CORONAL, SAGITTAL, SeriesPlan, small_voxels, write_series
from dicom_node.reader import index_study, read_volume, source_headers
from inference.geometry import Plane, Volume

ROTATIONS = st.tuples(st.integers(0, 359), st.integers(0, 359), st.integers(0, 359)).map(
    lambda angles: Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
)


def read_back(plan: SeriesPlan) -> tuple[Volume, list[str]]:
    with tempfile.TemporaryDirectory() as folder:
        paths = write_series(Path(folder), plan)
        (series,) = index_study(paths).series
        return read_volume(series), [path.name for path in paths]


@settings(max_examples=40, deadline=None)
@given(
    rotation=ROTATIONS,
    spacing=st.tuples(st.sampled_from([0.4, 0.75, 1.0, 2.5]), st.sampled_from([0.3, 0.75, 1.6])),
    step_mm=st.sampled_from([-4.4, -1.0, 0.5, 3.3]),
    slices=st.integers(1, 6),
)
def test_every_voxel_lies_where_the_standard_puts_it(rotation, spacing, step_mm, slices):
    """PS3.3 C.7.6.2.1-1 for each stored slice by itself: P = S + X * dj * j + Y * di * i, with j columns and i rows."""
    row, column, normal = rotation.T
    plan = SeriesPlan(
        voxels=small_voxels(slices, 7, 5),
        orientation=tuple(np.round([*row, *column], 6)),
        position_mm=(12.5, -33.25, 101.0),
        step_mm=tuple(np.round(normal * step_mm, 6)),
        pixel_spacing_mm=spacing,
    )
    volume, _ = read_back(plan)
    by_uid = {plan.sop_instance_uid(index): index for index in range(slices)}
    for place, source in enumerate(volume.sources):
        stored = by_uid[source.sop_instance_uid]
        assert np.array_equal(volume.voxels[place], plan.voxels[stored].astype(np.float32))
        origin = np.asarray(plan.position_mm) + stored * np.asarray(plan.step)
        for i, j in ((0, 0), (6, 4), (3, 1)):
            expected = (
                origin
                + np.asarray(plan.orientation[:3]) * spacing[1] * j
                + np.asarray(plan.orientation[3:]) * spacing[0] * i
            )
            assert np.allclose(volume.to_lps_mm((place, i, j)), expected, atol=2e-5)


@settings(max_examples=15, deadline=None)
@given(rotation=ROTATIONS, reverse=st.booleans(), spacing=st.tuples(st.floats(0.3, 2.0), st.floats(0.3, 2.0)))
def test_slices_are_ordered_along_the_right_handed_normal(rotation, reverse, spacing):
    row, column, normal = rotation.T
    sign = -1.0 if reverse else 1.0
    plan = SeriesPlan(
        voxels=small_voxels(4, 6, 5),
        orientation=(*row, *column),
        step_mm=tuple(sign * 2.0 * normal),
        pixel_spacing_mm=spacing,
    )
    volume, _ = read_back(plan)
    assert np.allclose(volume.directions[:, 0], np.cross(volume.directions[:, 2], volume.directions[:, 1]), atol=1e-4)
    expected = [plan.sop_instance_uid(index) for index in range(4)]
    assert [source.sop_instance_uid for source in volume.sources] == (expected[::-1] if reverse else expected)


@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL, CORONAL, (0.0, 0.6, 0.8, 0.0, -0.8, 0.6)])
@pytest.mark.parametrize("reverse", [False, True])
def test_agrees_with_simpleitk_on_non_square_pixels(tmp_path, orientation, reverse):
    """SimpleITK sorts along the same normal; its index order is (column, row, slice)."""
    normal = np.cross(orientation[:3], orientation[3:])
    plan = SeriesPlan(
        voxels=small_voxels(5, 9, 6),
        orientation=orientation,
        step_mm=tuple(normal * (-3.5 if reverse else 3.5)),
        pixel_spacing_mm=(2.0, 0.5),
    )
    write_series(tmp_path, plan)
    (series,) = index_study([tmp_path]).series
    volume = read_volume(series)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    image = reader.Execute()
    assert np.array_equal(sitk.GetArrayFromImage(image), volume.voxels)
    for index in ((0, 0, 0), (4, 8, 5), (2, 3, 1)):
        slice_, row, column = index
        expected = image.TransformIndexToPhysicalPoint((column, row, slice_))
        assert np.allclose(volume.to_lps_mm(index), expected, atol=1e-4)
    assert volume.spacing_mm == pytest.approx((3.5, 2.0, 0.5), abs=1e-5)
    assert series.facts.spacing_mm == pytest.approx((3.5, 2.0, 0.5), abs=1e-5)


@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL, CORONAL])
def test_agrees_with_highdicom(tmp_path, orientation):
    plan = SeriesPlan(voxels=small_voxels(4, 8, 6), orientation=orientation, pixel_spacing_mm=(1.5, 0.5))
    write_series(tmp_path, plan)
    (series,) = index_study([tmp_path]).series
    volume = read_volume(series)
    headers = source_headers(series)
    for place, header in enumerate(headers):
        assert header.SOPInstanceUID == volume.sources[place].sop_instance_uid
        transform = hd.spatial.ImageToReferenceTransformer.for_image(header)
        # highdicom's image points are (column, row), the centre of the first pixel at (0.5, 0.5)
        expected = transform(np.array([[0.5, 0.5], [5.5, 7.5]]))
        assert np.allclose(volume.to_lps_mm([[place, 0, 0], [place, 7, 5]]), expected, atol=1e-6)


def test_plane_is_named_by_the_nearest_axis(tmp_path):
    planes = {SAGITTAL: Plane.SAGITTAL, AXIAL: Plane.AXIAL, CORONAL: Plane.CORONAL}
    expected = {}
    for number, orientation in enumerate(planes):
        plan = SeriesPlan(voxels=small_voxels(2), orientation=orientation, series=str(number), number=number)
        write_series(tmp_path, plan)
        expected[plan.series_instance_uid] = planes[orientation]
    facts = [series.facts for series in index_study([tmp_path]).series]
    assert {found.series_instance_uid: found.plane for found in facts} == expected


def test_source_headers_have_everything_but_pixels_and_keep_the_order(tmp_path):
    plan = SeriesPlan(voxels=small_voxels(3), step_mm=(4.0, 0.0, 0.0), attributes={"PatientName": "Invented^Other"})
    write_series(tmp_path, plan)
    (series,) = index_study([tmp_path]).series
    headers = source_headers(series)
    assert [h.SOPInstanceUID for h in headers] == [s.sop_instance_uid for s in read_volume(series).sources]
    assert all("PixelData" not in h and h.PatientName == "Invented^Other" for h in headers)
