"""A real CT of 275 slices, and a study of 2 000 instances: both go through, and memory does not grow with them."""

from __future__ import annotations

import tarfile
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
from pydicom import dcmread

from builders.dicom import SeriesPlan, slice_dataset, write_series
from builders.dicomweb import DICOM, DICOM_AS_STORED, DICOM_JSON, OHIF_FRAMES
from builders.node import Node
from dicom_node.stow import StowDestination, send

INSTANCES = 2000
SIDE = 160
GROWTH_MIB = 40
"""The study is 98 MiB; Python's and the allocator's own room is less."""


@pytest.fixture
def node(tmp_path):
    with Node.started(tmp_path / "node", options={"quiet-period": 3600}) as running:
        yield running


def post(node: Node, paths: list[Path]) -> None:
    outcomes = send(paths, StowDestination(name="node", url=f"{node.url}/dicom-web/studies", timeout_s=120))
    assert all(outcome.sentence.startswith("Success") for outcome in outcomes)


def read_through(url: str, headers: dict[str, str]) -> int:
    with httpx.stream("GET", url, headers=headers, timeout=120) as answer:
        assert answer.status_code == 200
        return sum(len(chunk) for chunk in answer.iter_bytes())


def peak_mib(node: Node) -> float:
    """Largest resident memory so far of the process that answers HTTP."""
    pid = next(process["pid"] for process in web_processes(node))
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def web_processes(node: Node) -> list[dict[str, int]]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            environment = (folder / "environ").read_bytes()
        except OSError:
            continue
        if b"web" in words and str(node.data_dir).encode() in environment:
            found.append({"pid": int(folder.name)})
    return found


@pytest.mark.slow
def test_a_real_ct_is_stored_searched_and_read(node, tmp_path, shared_folder):
    with tarfile.open(shared_folder("ct_lidc_0314") / "dicom_275slices.tar.xz") as archive:
        archive.extractall(tmp_path / "ct", filter="data")
    paths = sorted(path for path in (tmp_path / "ct").rglob("*.dcm"))
    post(node, paths)
    base = f"{node.url}/dicom-web"
    (study,) = httpx.get(f"{base}/studies", headers=DICOM_JSON, timeout=60).json()
    assert study["00201208"]["Value"] == [275]
    url = study["00081190"]["Value"][0]
    (series,) = httpx.get(f"{url}/series?Modality=CT", headers=DICOM_JSON).json()
    metadata = httpx.get(f"{series['00081190']['Value'][0]}/metadata", headers=DICOM_JSON, timeout=120).json()
    assert len(metadata) == 275
    numbers = [entry["00200013"]["Value"][0] for entry in metadata]
    assert numbers == sorted(numbers)
    for entry in (metadata[0], metadata[137]):
        instance = f"{series['00081190']['Value'][0]}/instances/{entry['00080018']['Value'][0]}"
        frame = httpx.get(f"{instance}/frames/1", headers=OHIF_FRAMES).content
        whole = httpx.get(instance, headers={"Accept": "application/dicom"}).content
        dataset = dcmread(BytesIO(whole))
        assert dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
        assert dataset.PixelData in frame
        source = next(each for each in map(dcmread, paths) if each.SOPInstanceUID == dataset.SOPInstanceUID)
        assert np.array_equal(source.pixel_array, dataset.pixel_array)
        assert source.ImagePositionPatient == dataset.ImagePositionPatient


@pytest.mark.slow
def test_memory_does_not_grow_with_a_study(node, tmp_path):
    generator = np.random.default_rng(1)
    voxels = generator.integers(0, 4096, (4, SIDE, SIDE), dtype=np.uint16)
    plan = SeriesPlan(voxels=voxels, study="large")
    base = f"{node.url}/dicom-web/studies"
    small = SeriesPlan(voxels=voxels, study="small")
    post(node, write_series(tmp_path / "small", small))
    for headers in (DICOM, DICOM_AS_STORED):
        read_through(f"{base}/{small.study_instance_uid}", headers)
    read_through(f"{base}/{small.study_instance_uid}/metadata", DICOM_JSON)
    before = peak_mib(node)
    post(node, many(tmp_path / "large", plan))
    size = INSTANCES * SIDE * SIDE * 2
    assert read_through(f"{base}/{plan.study_instance_uid}", DICOM_AS_STORED) > size
    assert read_through(f"{base}/{plan.study_instance_uid}", DICOM) > size
    assert read_through(f"{base}/{plan.study_instance_uid}/metadata", DICOM_JSON) > INSTANCES * 1000
    assert peak_mib(node) - before < GROWTH_MIB


def many(folder: Path, plan: SeriesPlan) -> list[Path]:
    """INSTANCES files with the voxels of the plan over and over; every second one in Implicit VR."""
    folder.mkdir()
    paths = []
    for index in range(INSTANCES):
        dataset = slice_dataset(plan, index % len(plan.voxels))
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = plan.sop_instance_uid(index)
        dataset.InstanceNumber = index + 1
        is_implicit = bool(index % 2)
        dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2" if is_implicit else "1.2.840.10008.1.2.1"
        paths.append(folder / f"{index}.dcm")
        dataset.save_as(paths[-1], enforce_file_format=True, implicit_vr=is_implicit, little_endian=True)
    return paths
