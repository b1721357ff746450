"""The real 275-slice chest CT: indexed, read, planned; and real MR slices that come back as they went in."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from builders.spider import spider_midsagittal_study, spider_plan, spider_study, t2space_patients
from dicom_node.reader import index_study, read_volume, source_headers
from inference.errors import ReasonCode
from inference.findings import FIVE_QUESTIONS, Question
from inference.geometry import Plane
from inference.series.eligibility import Reads, plan_study
from inference.series.role import SeriesRole, role_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # unpacking 144 MB of xz takes its time on a busy machine

MR_SEGMENTATION = Reads(
    name="mr_sagittal_segmentation",
    questions=frozenset({Question.COMPRESSION_FRACTURE}),
    roles=(
        SeriesRole.MR_SAGITTAL_T2,
        SeriesRole.MR_SAGITTAL_T1,
        SeriesRole.MR_SAGITTAL_STIR,
        SeriesRole.MR_SAGITTAL_OTHER,
    ),
)


@pytest.fixture(scope="module")
def ct_folder(shared_folder, tmp_path_factory) -> Path:
    """The CT's files, unpacked; the text file beside them is left in, as a user would."""
    folder = tmp_path_factory.mktemp("ct")
    with tarfile.open(shared_folder("ct_lidc_0314") / "dicom_275slices.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def ct_index(ct_folder):
    return index_study([ct_folder])


def test_the_ct_is_one_axial_series_with_its_oddities_noted(ct_index):
    (series,) = ct_index.series
    facts = series.facts
    assert role_of(facts) is SeriesRole.CT_AXIAL
    assert (facts.frame_count, facts.plane, facts.fault) == (275, Plane.AXIAL, None)
    assert facts.spacing_mm == pytest.approx((1.0, 0.78125, 0.78125), abs=1e-6)
    assert len(facts.frame_of_reference_uids) == 275
    assert facts.notes == ("its 275 instances name 275 Frames of Reference; the positions were taken to share one",)
    assert {rejected.path.suffix for rejected in ct_index.rejected} <= {".md"}


def test_the_ct_has_the_geometry_and_values_of_simpleitk(ct_index, ct_folder):
    """Feet first: the table runs the other way, the patient's axes do not."""
    (series,) = ct_index.series
    volume = read_volume(series)
    reader = sitk.ImageSeriesReader()
    (folder,) = {path.parent for path in series.files}
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    assert np.array_equal(sitk.GetArrayFromImage(image), volume.voxels)
    for slice_, row, column in ((0, 0, 0), (274, 511, 511), (137, 20, 400)):
        expected = image.TransformIndexToPhysicalPoint((column, row, slice_))
        assert np.allclose(volume.to_lps_mm((slice_, row, column)), expected, atol=1e-3)
    assert volume.frame_of_reference_uid is None
    assert volume.directions[2, 0] == pytest.approx(1.0)
    # an axial slice of the chest: lungs are air, and there is bone
    assert volume.voxels.min() <= -1000
    assert np.percentile(volume.voxels[100], 10) < -800 < 200 < volume.voxels[100].max()
    assert [h.SOPInstanceUID for h in source_headers(series)[:3]] == [s.sop_instance_uid for s in volume.sources[:3]]


def test_the_ct_leaves_each_question_open_for_the_right_reason(ct_index):
    plan = plan_study([series.facts for series in ct_index.series], [MR_SEGMENTATION])
    assert plan.chosen == {}
    reasons = {question: plan.refusal(question) for question in FIVE_QUESTIONS}
    assert {question: reason[0] for question, reason in reasons.items()} == {
        Question.COMPRESSION_FRACTURE: ReasonCode.NO_MODEL,
        Question.MODIC: ReasonCode.MODALITY,
        Question.STENOSIS: ReasonCode.NO_MODEL,
        Question.NEEDLE_PLACEMENT: ReasonCode.NO_MODEL,
        Question.HARDWARE_LOOSENING: ReasonCode.NO_MODEL,
    }
    assert "no installed detector reads ct_axial" in reasons[Question.COMPRESSION_FRACTURE][1]


def test_a_missing_slice_of_the_ct_is_refused_with_its_place(ct_index):
    files = [frame.header.path for frame in ct_index.series[0].stacks[0].frames]
    (series,) = index_study(files[:100] + files[101:]).series
    code, sentence = series.facts.fault
    assert code is ReasonCode.SPACING
    assert sentence.startswith("1 slice(s) are missing: slice 100 of 274")


def test_t2_space_slices_come_back_exactly(shared_data, shared_folder, tmp_path):
    shared_folder("mr_spider_t2space")
    patient = t2space_patients(shared_data)[0]
    spider_study(shared_data, patient, tmp_path)
    (series,) = index_study([tmp_path]).series
    plan = spider_plan(shared_data, patient)
    volume = read_volume(series)
    assert role_of(series.facts) is SeriesRole.MR_SAGITTAL_T2
    by_uid = {plan.sop_instance_uid(index): index for index in range(len(plan.voxels))}
    order = [by_uid[source.sop_instance_uid] for source in volume.sources]
    assert order == list(range(len(order)))[::-1]  # written along +x, read along the normal, which is -x
    assert np.array_equal(volume.voxels, plan.voxels[order].astype(np.float32))
    assert volume.spacing_mm == pytest.approx((0.9, 0.46875, 0.46875), abs=1e-5)
    assert volume.plane is Plane.SAGITTAL


def test_mid_sagittal_slices_are_read_as_one_slice_series_with_a_warning(shared_data, shared_folder, tmp_path):
    shared_folder("mr_spider_midsagittal")
    spider_midsagittal_study(shared_data, "5", tmp_path)
    index = index_study([tmp_path])
    assert {role_of(series.facts) for series in index.series} == {SeriesRole.MR_SAGITTAL_T1, SeriesRole.MR_SAGITTAL_T2}
    plan = plan_study([series.facts for series in index.series], [MR_SEGMENTATION])
    (t2,) = [s for s in index.series if role_of(s.facts) is SeriesRole.MR_SAGITTAL_T2]
    assert plan.chosen == {"mr_sagittal_segmentation": t2.facts.series_instance_uid}
    fracture = [entry for entry in plan.entries if entry.question is Question.COMPRESSION_FRACTURE]
    assert all(entry.eligible and entry.code is ReasonCode.FEW_SLICES for entry in fracture)
    assert read_volume(t2).shape[0] == 1
