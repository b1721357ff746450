"""Objects over real images: a SPIDER patient's own masks as a SEG, and the 275-slice CT's report without answers."""

from __future__ import annotations

import tarfile
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest

from builders.findings import MODEL, context_of, reference, refused_findings, spine_findings
from builders.spider import spider_study, t2space_patients, t2space_volume
from dicom_node.derived import to_bytes
from dicom_node.seg import encode_segmentation
from dicom_node.sr import encode_report
from dicom_node.sr.checklist import groups_of, violations
from inference.errors import ReasonCode, SeriesRefusal
from inference.provenance import tracking_uid
from inference.segmentation import Segment, Segmentation, Structure

pytestmark = [pytest.mark.peer("dicom3tools"), pytest.mark.peer("dcmtk")]


@pytest.fixture(scope="module")
def spider(shared_data, shared_folder, tmp_path_factory):
    """One patient: files, headers, and masks by class."""
    shared_folder("mr_spider_t2space")
    patient = t2space_patients(shared_data)[0]
    paths = spider_study(shared_data, patient, tmp_path_factory.mktemp("spider"))
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
    return paths, headers, t2space_volume(shared_data, patient, "masks")


def errors_in(lines: list[str]) -> list[str]:
    """Without warnings: some are about what the source itself says and was copied, like a name of one component."""
    return [line for line in lines if line.startswith("Error")]


def segmentation_of(headers, masks) -> Segmentation:
    structures = {1: (Structure.VERTEBRA, "L3"), 2: (Structure.DISC, "L3-L4"), 3: (Structure.SPINAL_CANAL, None)}
    segments = tuple(
        Segment(
            label=f"{level or ''} {structure}".strip(),
            structure=structure,
            level=level,
            tracking_uid=tracking_uid("study", structure),
            mask=masks == value,
        )
        for value, (structure, level) in structures.items()
    )
    sources = tuple(reference(header) for header in headers)
    uid = str(headers[0].SeriesInstanceUID)
    return Segmentation(series_instance_uid=uid, sources=sources, segments=segments, model=MODEL)


def test_real_masks_come_back_voxel_for_voxel(tmp_path, spider, dciodvfy, dcentvfy):
    paths, headers, masks = spider
    made = encode_segmentation(
        segmentation_of(headers, masks), sources=headers, context=context_of(str(headers[0].StudyInstanceUID))
    )
    path = tmp_path / "seg.dcm"
    path.write_bytes(to_bytes(made))
    assert errors_in(dciodvfy(path)) == []
    assert dcentvfy(path, *paths) == []
    read = hd.seg.segread(path).get_pixels_by_source_instance(
        [h.SOPInstanceUID for h in headers], combine_segments=True, assert_missing_frames_are_empty=True
    )
    assert np.array_equal(read, masks)


def test_a_report_over_real_slices_is_sound(tmp_path, spider, dciodvfy, dcentvfy, dsrdump):
    paths, headers, _ = spider
    study, series = str(headers[0].StudyInstanceUID), str(headers[0].SeriesInstanceUID)
    spacing = tuple(float(v) for v in headers[0].PixelSpacing)
    findings = spine_findings(study, reference(headers[len(headers) // 2]), (spacing[0], spacing[1]))
    report = encode_report(findings, sources={series: headers}, context=context_of(study))
    path = tmp_path / "sr.dcm"
    path.write_bytes(to_bytes(report))
    assert errors_in(dciodvfy(path)) == []
    assert dcentvfy(path, *paths) == []
    assert "L1 anterior height" in dsrdump(path)
    assert violations(pydicom.dcmread(path), {str(h.SOPInstanceUID): h for h in headers}) == ()


@pytest.fixture(scope="module")
def ct(shared_folder, tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("ct")
    with tarfile.open(shared_folder("ct_lidc_0314") / "dicom_275slices.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return sorted(folder.rglob("*.dcm"))


@pytest.mark.slow
def test_the_cts_report_states_every_question_and_draws_nothing(tmp_path, ct, dciodvfy, dcentvfy, dsrdump):
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in ct]
    study, series = str(headers[0].StudyInstanceUID), str(headers[0].SeriesInstanceUID)
    report = encode_report(refused_findings(study), sources={series: headers}, context=context_of(study))
    path = tmp_path / "sr.dcm"
    path.write_bytes(to_bytes(report))
    assert len(ct) == 275
    assert errors_in(dciodvfy(path)) == []
    assert dsrdump(path).count("not assessed. No installed detector") == 5
    assert groups_of(pydicom.dcmread(path)) == []
    assert violations(pydicom.dcmread(path), {str(h.SOPInstanceUID): h for h in headers}) == ()
    not_given = "Missing SOPInstanceUID that was referenced"
    assert [line for line in errors_in(dcentvfy(path, *ct[:2])) if "sr.dcm" in line and not_given not in line] == []


def test_the_cts_frames_of_reference_refuse_a_segmentation_by_name(ct):
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in ct[:4]]
    masks = np.ones((4, int(headers[0].Rows), int(headers[0].Columns)), dtype=np.uint16)
    with pytest.raises(SeriesRefusal, match="4 different Frame of Reference UIDs") as caught:
        encode_segmentation(
            segmentation_of(headers, masks), sources=headers, context=context_of(str(headers[0].StudyInstanceUID))
        )
    assert caught.value.code is ReasonCode.GEOMETRY
