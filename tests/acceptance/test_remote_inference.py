"""A whole study read on a real Triton: the same answers as here, and nothing is answered while it is away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage

from builders.archive import archive
from builders.dicom import T2_TSE, SeriesPlan, write_series
from builders.node import Node, send
from builders.peers import LOOPBACK, free_tcp_port, wait_until
from builders.phantom import phantom_plan
from builders.triton import Triton
from models.installed import list_bundles
from server.cli import run
from training.phantom import PhantomParameters, generate_spine

pytestmark = [pytest.mark.peer("triton"), pytest.mark.slow]
NETWORKS = {bundle.identity.name: bundle.weights for bundle in list_bundles()}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    write_series(folder, phantom_plan(generate_spine(PhantomParameters(seed=4)), study="remote"))
    return folder


def said(folder: Path) -> tuple[Any, list[str]]:
    """The findings without what the engine's name changes, and the engines."""
    document = json.loads((folder / "findings.json").read_text())
    engines = [model.pop("engine") for model in document["models"]]
    return document, engines


def test_the_same_answers_and_outlines_as_here(study: Path, tmp_path: Path) -> None:
    (tmp_path / "triton").mkdir()
    with Triton.started(tmp_path / "triton", NETWORKS) as server:
        remote = ["--inference-engine", "remote", "--inference-server", server.url]
        assert run(["infer", str(study), "--out", str(tmp_path / "there"), *remote]) == 0
    assert run(["infer", str(study), "--out", str(tmp_path / "here"), "--inference-engine", "onnxruntime"]) == 0

    (there, engines), (here, _) = said(tmp_path / "there"), said(tmp_path / "here")
    assert there == here
    assert engines
    assert all(engine.startswith("triton 2.51.0 mr_") for engine in engines)
    outlines = [dcmread(next((tmp_path / side).glob("seg*.dcm"))) for side in ("there", "here")]
    assert outlines[0].PixelData == outlines[1].PixelData
    assert outlines[0].SOPInstanceUID != outlines[1].SOPInstanceUID
    assert "triton 2.51.0" in str(outlines[0].ContributingEquipmentSequence)


def test_a_study_waits_for_its_server_and_is_then_read_once(tmp_path: Path) -> None:
    noise = (np.random.default_rng(5).random((5, 48, 48)) * 500).astype(np.int16)
    write_series(tmp_path / "study", SeriesPlan(voxels=noise, attributes=dict(T2_TSE)))
    port, pacs_port = free_tcp_port(), free_tcp_port()
    options = {
        "quiet-period": 1,
        "threads": 1,
        "model": "mr_sagittal_segmentation",
        "inference-engine": "remote",
        "inference-server": f"http://{LOOPBACK}:{port}",
        "destination": f"PACS=ARCHIVE@{LOOPBACK}:{pacs_port}",
    }
    (tmp_path / "triton").mkdir()
    with (
        archive(pacs_port, [Comprehensive3DSRStorage, SegmentationStorage]) as pacs,
        Node.started(tmp_path / "node", options=options) as node,
    ):
        send(tmp_path / "study", f"SPINEAI@{LOOPBACK}:{node.dicom_port}")
        wait_until(lambda: not node.is_ready(), timeout_s=90, what="the worker to say that the server is away")
        checks = node.checks()
        assert checks["worker"] == "The inference server is not reached (model mr_sagittal_segmentation)."
        assert pacs.received == []
        with Triton.started(tmp_path / "triton", NETWORKS, port=port):
            wait_until(lambda: bool(pacs.of("SR")), timeout_s=180, what="the SR")
            wait_until(node.is_ready, timeout_s=30, what="the worker to say that it reads")
    (report,) = pacs.of("SR")
    assert "triton 2.51.0" in str(report.ContributingEquipmentSequence)
