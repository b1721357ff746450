"""Enhanced multi-frame MR and CT (functional groups), and multi-frame projections."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset

from builders.dicom import AXIAL, SeriesPlan, slice_dataset, small_voxels
from dicom_node.reader import IndexedSeries, index_study, read_volume, source_headers
from inference.errors import ReasonCode, SeriesRefusal
from inference.geometry import Plane
from inference.series.facts import Contrast
from inference.series.role import SeriesRole, contrast_of, role_of

MOVED_KEYWORDS = (
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices",
    "RepetitionTime", "EchoTime", "FlipAngle", "EchoTrainLength", "ScanningSequence", "SequenceVariant", "ScanOptions",
    "RescaleSlope", "RescaleIntercept", "RescaleType",
)  # fmt: skip


def item(**values) -> list[Dataset]:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return [dataset]


def enhanced(plan: SeriesPlan, *, per_frame: Callable[[int, Dataset], None] | None = None, **shared) -> Dataset:
    """One multi-frame instance of the plan's slices, frame order as in the plan."""
    dataset = slice_dataset(plan, 0)
    for keyword in MOVED_KEYWORDS:
        if keyword in dataset:
            del dataset[keyword]
    is_ct = plan.modality == "CT"
    dataset.SOPClassUID = uid.EnhancedCTImageStorage if is_ct else uid.EnhancedMRImageStorage
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.NumberOfFrames = len(plan.voxels)
    group = Dataset()
    group.PixelMeasuresSequence = item(PixelSpacing=list(plan.pixel_spacing_mm), SliceThickness=9)
    group.PlaneOrientationSequence = item(ImageOrientationPatient=list(plan.orientation))
    for keyword, value in shared.items():
        setattr(group, keyword, value)
    dataset.SharedFunctionalGroupsSequence = [group]
    frames = []
    for index in range(len(plan.voxels)):
        frame = Dataset()
        position = np.asarray(plan.position_mm) + index * plan.step
        frame.PlanePositionSequence = item(ImagePositionPatient=[float(v) for v in position])
        if per_frame is not None:
            per_frame(index, frame)
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = frames
    dataset.PixelData = plan.voxels.astype(plan.voxels.dtype.newbyteorder("<")).tobytes()
    return dataset


def index(folder: Path, *datasets: Dataset) -> IndexedSeries:
    for number, dataset in enumerate(datasets):
        dataset.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    (series,) = index_study([folder]).series
    return series


MR_TIMING = {
    "MRTimingAndRelatedParametersSequence": item(RepetitionTime=4000.0, FlipAngle=90.0, EchoTrainLength=18),
    "MREchoSequence": item(EffectiveEchoTime=102.5),
}


@pytest.mark.parametrize("step_mm", [(4.0, 0.0, 0.0), (-4.0, 0.0, 0.0)])
def test_enhanced_mr(tmp_path, step_mm):
    plan = SeriesPlan(voxels=small_voxels(5, 10, 7), step_mm=step_mm, pixel_spacing_mm=(0.8, 0.6))
    dataset = enhanced(plan, **MR_TIMING)
    dataset.EchoPulseSequence = "SPIN"
    series = index(tmp_path, dataset)
    facts = series.facts
    assert (facts.frame_count, facts.plane, facts.fault) == (5, Plane.SAGITTAL, None)
    assert (facts.repetition_time_ms, facts.echo_time_ms, facts.scanning_sequence) == (4000.0, 102.5, ("SE",))
    assert facts.spacing_mm == pytest.approx((4.0, 0.8, 0.6))
    assert role_of(facts) is SeriesRole.MR_SAGITTAL_T2
    volume = read_volume(series)
    order = [source.frame for source in volume.sources]
    assert order == ([5, 4, 3, 2, 1] if step_mm[0] > 0 else [1, 2, 3, 4, 5])
    assert {source.sop_instance_uid for source in volume.sources} == {dataset.SOPInstanceUID}
    for place, frame in enumerate(order):
        assert np.array_equal(volume.voxels[place], plan.voxels[frame - 1].astype(np.float32))
        expected = np.asarray(plan.position_mm) + (frame - 1) * plan.step
        assert volume.to_lps_mm((place, 0, 0)) == pytest.approx(expected)
    (header,) = source_headers(series)
    assert header.SOPInstanceUID == dataset.SOPInstanceUID


def test_enhanced_mr_says_its_fat_suppression_and_inversion(tmp_path):
    plan = SeriesPlan(voxels=small_voxels(3, 8, 6))
    modifier = item(InversionRecovery="YES", InversionTimes=[220.0], SpectrallySelectedSuppression="NONE")
    dataset = enhanced(plan, **MR_TIMING, MRModifierSequence=modifier)
    dataset.EchoPulseSequence = "SPIN"
    facts = index(tmp_path, dataset).facts
    assert (facts.scanning_sequence, facts.inversion_time_ms) == (("SE", "IR"), 220.0)
    assert contrast_of(facts) is Contrast.STIR


def test_enhanced_mr_with_spectral_fat_saturation(tmp_path):
    modifier = item(InversionRecovery="NO", SpectrallySelectedSuppression="FAT")
    dataset = enhanced(SeriesPlan(voxels=small_voxels(3, 8, 6)), **MR_TIMING, MRModifierSequence=modifier)
    dataset.EchoPulseSequence = "SPIN"
    assert contrast_of(index(tmp_path, dataset).facts) is Contrast.T2_FAT_SAT


def test_enhanced_gradient_echo_is_no_t2(tmp_path):
    dataset = enhanced(SeriesPlan(voxels=small_voxels(3, 8, 6)), **MR_TIMING)
    dataset.EchoPulseSequence = "GRADIENT"
    assert contrast_of(index(tmp_path, dataset).facts) is Contrast.OTHER


def test_frames_with_their_own_echo_are_told_apart(tmp_path):
    """Eight frames, four positions, two echoes in one instance: the longer is read."""
    plan = SeriesPlan(voxels=small_voxels(8, 8, 6))

    def per_frame(number, frame):
        position = np.asarray(plan.position_mm) + (number // 2) * plan.step
        frame.PlanePositionSequence = item(ImagePositionPatient=[float(v) for v in position])
        frame.MREchoSequence = item(EffectiveEchoTime=[15.0, 105.0][number % 2])

    timing = {"MRTimingAndRelatedParametersSequence": MR_TIMING["MRTimingAndRelatedParametersSequence"]}
    series = index(tmp_path, enhanced(plan, per_frame=per_frame, **timing))
    assert series.facts.echo_time_ms == 105.0
    assert sorted(source.frame for source in read_volume(series).sources) == [2, 4, 6, 8]


def test_enhanced_ct_has_a_rescale_per_frame(tmp_path):
    plan = SeriesPlan(voxels=small_voxels(4, 8, 6), modality="CT", orientation=AXIAL)

    def per_frame(number, frame):
        frame.PixelValueTransformationSequence = item(
            RescaleSlope=1.0 + number, RescaleIntercept=-1000.0 - number, RescaleType="HU"
        )

    series = index(tmp_path, enhanced(plan, per_frame=per_frame))
    expected = np.stack([plan.voxels[n] * (1.0 + n) - 1000.0 - n for n in range(4)])
    assert np.allclose(read_volume(series).voxels, expected)
    assert role_of(series.facts) is SeriesRole.CT_AXIAL


def test_two_enhanced_instances_make_one_stack(tmp_path):
    parts = [
        SeriesPlan(voxels=small_voxels(3, 8, 6, seed=n), modality="CT", orientation=AXIAL, position_mm=(0, 0, 12.0 * n))
        for n in range(2)
    ]
    datasets = [enhanced(part) for part in parts]
    datasets[1].SOPInstanceUID = datasets[1].file_meta.MediaStorageSOPInstanceUID = "2.25.77"
    series = index(tmp_path, *datasets)
    assert series.facts.frame_count == 6
    assert len(source_headers(series)) == 2
    assert [source.frame for source in read_volume(series).sources] == [1, 2, 3, 1, 2, 3]


def test_legacy_converted_keeps_timing_in_unassigned_groups(tmp_path):
    unassigned = {"UnassignedSharedConvertedAttributesSequence": item(RepetitionTime=600.0, EchoTime=11.0)}
    dataset = enhanced(SeriesPlan(voxels=small_voxels(3, 8, 6)), **unassigned)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = uid.LegacyConvertedEnhancedMRImageStorage
    facts = index(tmp_path, dataset).facts
    assert (facts.repetition_time_ms, facts.echo_time_ms) == (600.0, 11.0)


def test_a_frame_without_position_is_refused(tmp_path):
    dataset = enhanced(SeriesPlan(voxels=small_voxels(4, 8, 6)), **MR_TIMING)
    del dataset.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence
    series = index(tmp_path, dataset)
    assert series.facts.fault == (ReasonCode.GEOMETRY, "1 of 4 frames have no valid ImagePositionPatient")


def test_compressed_multi_frame(tmp_path):
    plan = SeriesPlan(voxels=small_voxels(4, 64, 64), step_mm=(-4.0, 0.0, 0.0))
    dataset = enhanced(plan, **MR_TIMING)
    dataset.compress(uid.JPEG2000Lossless, generate_instance_uid=False)
    assert np.array_equal(read_volume(index(tmp_path, dataset)).voxels, plan.voxels.astype(np.float32))


def fluoroscopy(frames: int = 5) -> Dataset:
    dataset = slice_dataset(SeriesPlan(voxels=small_voxels(1, 16, 12)), 0)
    for keyword in (*MOVED_KEYWORDS, "FrameOfReferenceUID", "PositionReferenceIndicator"):
        if keyword in dataset:
            del dataset[keyword]
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = uid.XRayAngiographicImageStorage
    dataset.Modality = "XA"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "SINGLE PLANE"]
    dataset.NumberOfFrames = frames
    dataset.ImagerPixelSpacing = [0.2, 0.2]
    dataset.PixelData = small_voxels(frames, 16, 12).tobytes()
    return dataset


def test_fluoroscopy_has_facts_but_no_place_and_no_millimetres(tmp_path):
    """ImagerPixelSpacing is at the detector, not in the patient: it is never taken for millimetres."""
    series = index(tmp_path, fluoroscopy())
    facts = series.facts
    assert (facts.modality, facts.frame_count, facts.plane) == ("XA", 5, Plane.UNKNOWN)
    assert facts.spacing_mm is None
    assert facts.fault is None
    assert role_of(facts) is SeriesRole.FLUOROSCOPY
    with pytest.raises(SeriesRefusal, match="projection") as caught:
        read_volume(series)
    assert caught.value.code is ReasonCode.GEOMETRY


def test_an_absurd_number_of_frames_is_refused(tmp_path):
    dataset = enhanced(SeriesPlan(voxels=small_voxels(2, 8, 6)), **MR_TIMING)
    dataset.NumberOfFrames = 2_000_000_000
    dataset.save_as(tmp_path / "0.dcm", enforce_file_format=True)
    good = slice_dataset(SeriesPlan(voxels=small_voxels(1)), 0)
    good.save_as(tmp_path / "1.dcm", enforce_file_format=True)
    (rejected,) = index_study([tmp_path]).rejected
    assert rejected.code is ReasonCode.PIXEL_DATA
    assert "2000000000 frame(s)" in rejected.reason


def test_frames_of_two_angles_in_one_enhanced_axial_instance_are_two_stacks(tmp_path):
    tilt = np.radians(15)
    turned = [1.0, 0.0, 0.0, 0.0, float(np.cos(tilt)), float(np.sin(tilt))]
    normal = np.cross(turned[:3], turned[3:])

    def second_block(number, frame):
        if number >= 3:
            frame.PlaneOrientationSequence = item(ImageOrientationPatient=turned)
            frame.PlanePositionSequence = item(ImagePositionPatient=[float(v) for v in 40 + 4 * number * normal])

    plan = SeriesPlan(voxels=small_voxels(5, 10, 7), orientation=AXIAL)
    series = index(tmp_path, enhanced(plan, per_frame=second_block, **MR_TIMING))
    assert series.facts.fault is None
    volume = read_volume(series)
    (other,) = volume.other_stacks
    assert [[s.frame for s in stack.sources] for stack in (volume, other)] == [[1, 2, 3], [4, 5]]
    assert np.array_equal(other.voxels, plan.voxels[3:].astype(np.float32))
    assert len(source_headers(series)) == 1
