"""The shipped Lua rule alone: real Orthanc routes image series to a real storescp, and neither SR nor SEG."""

from __future__ import annotations

import time

import pydicom
import pytest

from builders.dicom import SeriesPlan, small_voxels, write_series

pytestmark = [pytest.mark.peer("dcmtk"), pytest.mark.peer("orthanc")]


@pytest.fixture
def rule(repository):
    return repository / "docs" / "pacs" / "orthanc-route.lua"


def plan_of(modality: str, series: str, **attributes: object) -> SeriesPlan:
    return SeriesPlan(voxels=small_voxels(slices=2), series=series, modality=modality, attributes=attributes)


def test_image_series_are_routed_and_results_are_not(tmp_path, storescp, orthanc, rule):
    node = storescp(ae_title="SPINEAI")
    server = orthanc(modalities={"spineai": (node.ae_title, node.port)}, lua=[rule], stable_age_s=1)
    images = write_series(tmp_path / "mr", plan_of("MR", "mr"))
    results = [
        path
        for modality, sop_class in (("SR", "1.2.840.10008.5.1.4.1.1.88.34"), ("SEG", "1.2.840.10008.5.1.4.1.1.66.4"))
        for path in write_series(tmp_path / modality, plan_of(modality, modality, SOPClassUID=sop_class))
    ]
    server.upload([*results, *images])
    received = [pydicom.dcmread(path) for path in node.wait_for(2)]
    time.sleep(4)
    assert len(node.received()) == 2
    assert {dataset.Modality for dataset in received} == {"MR"}
    assert len(server.get("/jobs?expand")) == 1


def test_words_limit_what_is_routed(tmp_path, storescp, orthanc, rule):
    limited = tmp_path / "limited.lua"
    text = rule.read_text()
    assert "local WORDS = {}" in text
    limited.write_text(text.replace("local WORDS = {}", "local WORDS = { 'spine' }"))
    node = storescp(ae_title="SPINEAI")
    server = orthanc(modalities={"spineai": (node.ae_title, node.port)}, lua=[limited], stable_age_s=1)
    server.upload(write_series(tmp_path / "head", plan_of("MR", "head", BodyPartExamined="HEAD")))
    server.upload(write_series(tmp_path / "spine", plan_of("MR", "spine", BodyPartExamined="LSPINE")))
    received = [pydicom.dcmread(path) for path in node.wait_for(2)]
    time.sleep(4)
    assert len(node.received()) == 2
    assert {dataset.BodyPartExamined for dataset in received} == {"LSPINE"}
