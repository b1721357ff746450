"""``make demo``, as a person runs it: a generated study through the node to the archive, then an orderly end."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage

from builders.dicom import SeriesPlan, small_voxels, write_series
from server.demo_node import choose_port
from server.demo_study import STUDY_INSTANCE_UID

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]


def _demo(repository: Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "server.demo"],
        cwd=repository,
        env=os.environ | {"DEMO_DIR": str(folder), "DEMO_EXIT": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def test_the_demo_ends_with_findings_and_the_results_in_the_archive(repository: Path, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with socket.socket() as taken:  # a default port that is taken is no obstacle
        taken.bind(("127.0.0.1", choose_port(8080)))
        outcome = _demo(repository, tmp_path / "demo")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Three minutes on the clock is the goal; the processor's time does not depend on what else the machine does.
    assert (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime) < 120
    received = {
        str(dcmread(path, stop_before_pixels=True).SOPClassUID)
        for path in (tmp_path / "demo" / "archive" / STUDY_INSTANCE_UID).glob("*.dcm")
    }
    assert received == {Comprehensive3DSRStorage, SegmentationStorage}
    (document,) = (tmp_path / "demo" / "node" / "results").glob(f"*/{STUDY_INSTANCE_UID}/r1/1/findings.json")
    fractures = {
        finding["site"]["level"]: finding
        for finding in json.loads(document.read_bytes())["findings"]
        if finding["question"] == "compression_fracture"
    }
    assert fractures["L1"]["assessment"] == "present"
    assert [level for level, finding in fractures.items() if finding["assessment"] == "present"] == ["L1"]
    pictures = [Path(line.split(": ", 1)[1]) for line in outcome.stdout.splitlines() if line.endswith(".png")]
    assert pictures
    for picture in pictures:
        with Image.open(picture) as opened:
            assert opened.size[0] > 400


def test_a_study_that_is_not_there_is_refused_in_one_line(repository: Path, tmp_path: Path) -> None:
    outcome = _demo(repository, tmp_path / "demo", STUDY=str(tmp_path / "nothing"))
    assert outcome.returncode == 2
    assert outcome.stderr == f"STUDY must be a folder with a DICOM study, there is no {tmp_path / 'nothing'}.\n"


def test_a_folder_of_somebody_else_is_never_emptied(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("irreplaceable")
    outcome = _demo(repository, tmp_path)
    assert outcome.returncode == 2
    assert "must be empty or of an earlier demo" in outcome.stderr
    assert (tmp_path / "thesis.txt").read_text() == "irreplaceable"


def test_a_study_of_ones_own_is_sent_instead(repository: Path, tmp_path: Path) -> None:
    plan = SeriesPlan(voxels=small_voxels(4, 64, 64), study="own")
    write_series(tmp_path / "own", plan)
    outcome = _demo(repository, tmp_path / "demo", STUDY=str(tmp_path / "own"))
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert "4 of 4 instances were accepted" in outcome.stdout
    assert not (tmp_path / "demo" / "study").exists()
    assert list((tmp_path / "demo" / "archive" / plan.study_instance_uid).glob("SR-*.dcm"))
