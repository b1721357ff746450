"""The test-suite's own peers and builders are real: what is written arrives, bit for bit."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from builders.dicom import AXIAL, CORONAL, SAGITTAL, SeriesPlan, small_voxels, write_series
from builders.peers import store_with_storescu, wait_until
from builders.spider import spider_midsagittal_study, spider_study, t2space_patients, t2space_volume


@pytest.mark.peer("dcmtk")
def test_storescu_to_storescp_carries_the_pixels(tmp_path, storescp):
    plan = SeriesPlan(voxels=small_voxels())
    paths = write_series(tmp_path / "in", plan)
    peer = storescp()
    outcome = store_with_storescu(paths, peer.port, called=peer.ae_title)
    assert outcome.returncode == 0, outcome.stderr
    received = {pydicom.dcmread(path).SOPInstanceUID: pydicom.dcmread(path) for path in peer.wait_for(3)}
    for index in range(3):
        assert np.array_equal(received[plan.sop_instance_uid(index)].pixel_array, plan.voxels[index])


@pytest.mark.peer("dcmtk")
@pytest.mark.peer("orthanc")
def test_orthanc_keeps_and_forwards_a_study(tmp_path, storescp, orthanc):
    plan = SeriesPlan(voxels=small_voxels())
    paths = write_series(tmp_path / "in", plan)
    peer = storescp()
    server = orthanc(modalities={"archive": (peer.ae_title, peer.port)})
    outcome = store_with_storescu(paths, server.dicom_port, called=server.ae_title)
    assert outcome.returncode == 0, outcome.stderr
    wait_until(lambda: bool(server.series_of(plan.study_instance_uid)), timeout_s=10, what="the study in Orthanc")
    instances = server.series_of(plan.study_instance_uid)["MR"]
    assert len(instances) == 3
    assert server.instance(instances[0]).StudyInstanceUID == plan.study_instance_uid
    server.post("/modalities/archive/store", instances[0])
    assert len(peer.wait_for(1)) == 1


@pytest.mark.parametrize("orientation", [SAGITTAL, AXIAL, CORONAL])
def test_slices_step_along_their_normal(tmp_path, orientation):
    paths = write_series(tmp_path, SeriesPlan(voxels=small_voxels(), orientation=orientation))
    positions = np.array([pydicom.dcmread(path).ImagePositionPatient for path in paths], dtype=float)
    normal = np.cross(orientation[:3], orientation[3:])
    assert np.allclose(np.abs(np.diff(positions, axis=0) @ normal), 4.0)


def test_the_same_plan_writes_the_same_bytes(tmp_path):
    plan = SeriesPlan(voxels=small_voxels())
    first, second = (write_series(tmp_path / name, plan) for name in ("a", "b"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_spider_study_has_the_stated_geometry(tmp_path, shared_folder, shared_data):
    shared_folder("mr_spider_t2space")
    patient = t2space_patients(shared_data)[0]
    paths = spider_study(shared_data, patient, tmp_path)
    datasets = [pydicom.dcmread(path) for path in paths]
    assert len(datasets) == t2space_volume(shared_data, patient).shape[0]
    assert {tuple(map(float, d.ImageOrientationPatient)) for d in datasets} == {SAGITTAL}
    assert {tuple(map(float, d.PixelSpacing)) for d in datasets} == {(0.46875, 0.46875)}
    steps = np.diff([float(d.ImagePositionPatient[0]) for d in datasets])
    assert np.allclose(steps, 0.9)


def test_spider_midsagittal_study_is_two_series_with_their_echo_times(tmp_path, shared_folder, shared_data):
    shared_folder("mr_spider_midsagittal")
    datasets = [pydicom.dcmread(path) for path in spider_midsagittal_study(shared_data, "10", tmp_path)]
    assert len({d.SeriesInstanceUID for d in datasets}) == 2
    assert len({d.StudyInstanceUID for d in datasets}) == 1
    assert [float(d.EchoTime) for d in datasets] == [9.8, 102.0]
    assert [float(d.RepetitionTime) for d in datasets] == [497.0, 4200.0]
