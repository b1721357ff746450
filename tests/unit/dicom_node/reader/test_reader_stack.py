"""Sorting, gaps, duplicates, tilt and short stacks: each read right or refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from builders.dicom import AXIAL, SeriesPlan, derived_uid, small_voxels
from dicom_node.reader import read_volume, source_headers
from inference.errors import ReasonCode, SeriesRefusal


def ct(slices: int = 8, **keywords) -> SeriesPlan:
    return SeriesPlan(
        voxels=small_voxels(slices, 8, 6), modality="CT", orientation=AXIAL, step_mm=(0.0, 0.0, 2.0), **keywords
    )


def at(*positions_mm):
    """Move each slice to its own position."""

    def change(dataset, index):
        dataset.ImagePositionPatient = list(positions_mm[index])

    return change


def without(*keywords, of=lambda _index: True):
    def change(dataset, index):
        for keyword in keywords if of(index) else ():
            del dataset[keyword]

    return change


def refused(series, code):
    assert series.stacks == ()
    assert series.facts.fault is not None
    assert series.facts.fault[0] is code
    with pytest.raises(SeriesRefusal) as caught:
        read_volume(series)
    assert caught.value.code is code
    return caught.value.sentence


def test_missing_slice_is_named_with_its_place(indexed):
    heights = [0.0, 2.0, 4.0, 8.0, 10.0, 12.0]
    series = indexed(ct(6), change=at(*[(0, 0, z) for z in heights]))
    sentence = refused(series, ReasonCode.SPACING)
    assert sentence == (
        "1 slice(s) are missing: slice 3 of 6 at (0.00, 0.00, 4.00) mm LPS is followed by one 4.000 mm further, "
        "the typical step is 2.000 mm"
    )


def test_several_gaps_are_counted(indexed):
    heights = [0.0, 2.0, 8.0, 10.0, 12.0, 14.0, 18.0]
    series = indexed(ct(7), change=at(*[(0, 0, z) for z in heights]))
    assert refused(series, ReasonCode.SPACING).startswith("3 slice(s) are missing")


def test_uneven_spacing_is_refused_with_its_numbers(indexed):
    heights = [0.0, 2.0, 4.0, 6.6, 8.0, 10.0]
    series = indexed(ct(6), change=at(*[(0, 0, z) for z in heights]))
    sentence = refused(series, ReasonCode.SPACING)
    assert "unevenly spaced" in sentence
    assert "slice 4 of 6 lies 0.600 mm off" in sentence


def test_positions_rounded_to_a_tenth_of_a_millimetre_are_read(indexed):
    heights = [round(0.625 * i, 1) for i in range(8)]
    series = indexed(ct(8), change=at(*[(0, 0, z) for z in heights]))
    assert series.facts.fault is None
    assert series.facts.spacing_mm[0] == pytest.approx(0.625, abs=0.01)


def test_gantry_tilt_gives_a_sheared_affine(indexed):
    tilt = np.radians(15)
    orientation = (1.0, 0.0, 0.0, 0.0, np.cos(tilt), np.sin(tilt))
    plan = SeriesPlan(voxels=small_voxels(6, 8, 6), modality="CT", orientation=orientation, step_mm=(0.0, 0.0, 3.0))
    series = indexed(plan)
    volume = read_volume(series)
    assert series.facts.shear_deg == pytest.approx(15.0, abs=0.1)
    assert any("gantry tilt of 15.0 degrees" in note for note in series.facts.notes)
    assert volume.to_lps_mm((5, 0, 0)) == pytest.approx(np.add(plan.position_mm, (0, 0, 15.0)), abs=1e-4)
    normal = np.cross(volume.directions[:, 2], volume.directions[:, 1])
    assert np.dot(volume.directions[:, 0], normal) == pytest.approx(np.cos(tilt), abs=1e-4)


def test_slices_that_drift_in_their_plane_are_refused(indexed):
    places = [(0, 0, 0), (0, 0, 2), (3.0, 0, 4), (0, 0, 6), (0, 0, 8)]
    assert "straight stack" in refused(indexed(ct(5), change=at(*places)), ReasonCode.GEOMETRY)


def test_a_repeated_slice_with_the_same_pixels_is_left_out_and_noted(indexed):
    voxels = small_voxels(5, 8, 6)
    voxels[4] = voxels[3]
    plan = SeriesPlan(voxels=voxels, modality="CT", orientation=AXIAL)
    series = indexed(plan, change=at(*[(0, 0, z) for z in (0, 2, 4, 6, 6)]))
    assert series.facts.fault is None
    assert series.facts.frame_count == 4
    assert series.facts.notes == ("1 slice(s) repeat another one's position and pixels and were left out",)
    assert len(source_headers(series)) == read_volume(series).shape[0] == 4


def test_two_different_slices_at_one_position_are_refused(indexed):
    series = indexed(ct(4), change=at((0, 0, 0), (0, 0, 2), (0, 0, 2), (0, 0, 4)))
    sentence = refused(series, ReasonCode.DUPLICATE)
    assert "(0.00, 0.00, 2.00 mm LPS) with different pixels" in sentence


def test_the_same_pixels_with_another_rescale_are_not_the_same_slice(indexed):
    def change(dataset, index):
        dataset.ImagePositionPatient = [0, 0, 0]
        dataset.PixelData = bytes(8 * 6 * 2)
        dataset.RescaleSlope = index + 1

    refused(indexed(ct(2), change=change), ReasonCode.DUPLICATE)


def test_two_different_files_of_one_instance_uid_are_refused(indexed):
    def change(dataset, index):
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = derived_uid("one")

    assert "two different files claim SOP Instance UID" in refused(indexed(ct(3), change=change), ReasonCode.DUPLICATE)


def test_an_exact_copy_of_a_file_is_left_out(indexed):
    plan = ct(3)
    series = indexed(plan, plan)
    assert series.facts.frame_count == 3
    assert series.facts.notes == ("3 file(s) are exact copies of others and were left out",)
    assert np.array_equal(read_volume(series).voxels, plan.voxels.astype(np.float32) - 1024)


def test_one_slice_is_a_stack_without_slice_spacing(indexed):
    plan = SeriesPlan(voxels=small_voxels(1), pixel_spacing_mm=(0.5, 0.25))
    series = indexed(plan)
    assert series.facts.spacing_mm == (0.0, 0.5, 0.25)
    volume = read_volume(series)
    assert volume.shape == (1, 32, 24)
    assert volume.spacing_mm == pytest.approx((1.0, 0.5, 0.25))


def test_two_slices_are_a_stack(indexed):
    series = indexed(ct(2))
    assert series.facts.spacing_mm == (2.0, 1.0, 1.0)
    assert read_volume(series).shape == (2, 8, 6)


@pytest.mark.parametrize(
    ("keyword", "code"),
    [
        ("ImagePositionPatient", ReasonCode.GEOMETRY),
        ("ImageOrientationPatient", ReasonCode.GEOMETRY),
        ("PixelSpacing", ReasonCode.SPACING),
    ],
)
def test_missing_geometry_is_named(indexed, keyword, code):
    sentence = refused(indexed(ct(4), change=without(keyword)), code)
    assert sentence == f"4 of 4 frames have no valid {keyword}"


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient"])
def test_geometry_missing_on_one_slice_is_refused_and_not_dropped(indexed, keyword):
    """Other readers drop such a slice and read on."""
    series = indexed(ct(4), change=without(keyword, of=lambda index: index == 2))
    assert refused(series, ReasonCode.GEOMETRY) == f"1 of 4 frames have no valid {keyword}"


@pytest.mark.parametrize("cosines", [[0, 0, 0, 0, 0, 0], [1, 0, 0, 1, 0, 0], [2, 0, 0, 0, 2, 0]])
def test_an_orientation_that_is_none_is_refused(indexed, cosines):
    def change(dataset, index):
        dataset.ImageOrientationPatient = cosines

    assert "ImageOrientationPatient" in refused(indexed(ct(3), change=change), ReasonCode.GEOMETRY)


def test_slice_thickness_is_never_taken_for_spacing(indexed):
    def change(dataset, index):
        dataset.SliceThickness = 9

    assert indexed(ct(4), change=change).facts.spacing_mm[0] == pytest.approx(2.0)


def test_a_frame_of_reference_per_slice_is_read_and_noted(indexed):
    """Seen in ct_lidc_0314; highdicom then refuses a SEG with a misleading message."""

    def change(dataset, index):
        dataset.FrameOfReferenceUID = derived_uid("frame", index)

    series = indexed(ct(4), change=change)
    assert read_volume(series).frame_of_reference_uid is None
    assert len(series.facts.frame_of_reference_uids) == 4
    assert "4 Frames of Reference" in series.facts.notes[0]


def test_one_frame_of_reference_is_kept(indexed):
    series = indexed(ct(4))
    assert read_volume(series).frame_of_reference_uid == series.facts.frame_of_reference_uids[0]
    assert series.facts.notes == ()


@pytest.mark.parametrize(
    ("attributes", "moment"),
    [
        ({"AcquisitionDate": "20260102", "AcquisitionTime": "091530.25"}, "2026-01-02T09:15:30"),
        ({"AcquisitionDateTime": "20260102091530.5+0100", "AcquisitionTime": "08"}, "2026-01-02T09:15:30"),
        ({"AcquisitionTime": "091530", "SeriesDate": "20260103", "SeriesTime": "100000"}, "2026-01-03T10:00:00"),
        ({"AcquisitionDate": "20260102", "AcquisitionTime": "09", "SeriesTime": None}, None),
    ],
    ids=["acquisition", "date and time in one", "series", "hour alone"],
)
def test_when_a_series_was_acquired(indexed, attributes, moment):
    facts = indexed(ct(3, number=7, attributes=attributes)).facts
    assert (facts.acquired_at and facts.acquired_at.isoformat()) == moment
    assert facts.series_number == 7
