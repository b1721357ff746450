"""As in a container: no capability, and nothing to write to but the data folder and memory for temporary files."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from pydicom.uid import Comprehensive3DSRStorage, EnhancedSRStorage, SegmentationStorage

from builders.archive import archive
from builders.dicom import T2_TSE, SeriesPlan, small_voxels, write_series
from builders.node import Node
from builders.peers import LOOPBACK, free_tcp_port, leave_out, store_with_storescu, wait_until

pytestmark = [pytest.mark.peer("dcmtk", "namespaces"), pytest.mark.slow, pytest.mark.timeout(300)]
MEMORY = "/dev/shm"
CLASSES = [Comprehensive3DSRStorage, EnhancedSRStorage, SegmentationStorage]
NO_RIGHTS = "setpriv --no-new-privs --inh-caps=-all --bounding-set=-all --"


def confined(data: Path) -> list[str]:
    """What starts a program so: with a mount namespace of its own, in which only the data folder stays writable."""
    place = shlex.quote(str(data))
    script = f'mount --bind {place} {place} && mount -o remount,ro,bind / && TMPDIR={MEMORY} exec {NO_RIGHTS} "$@"'
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]


def test_the_node_reads_a_study_without_rights_on_a_read_only_file_system(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        leave_out("a mount namespace needs root")
    folder, archive_port = tmp_path / "node", free_tcp_port()
    data = folder / "data"
    data.mkdir(parents=True)
    prefix = confined(data)
    denied = subprocess.run([*prefix, "touch", str(folder / "file")], capture_output=True, text=True, check=False)
    assert "Read-only file system" in denied.stderr
    options = {
        "quiet-period": 1,
        "inference-engine": "onnxruntime",
        "config": tmp_path / "node.toml",
        "destination": f"PACS=ARCHIVE@{LOOPBACK}:{archive_port}",
    }
    (tmp_path / "node.toml").write_text("overlays = true\n")
    paths = write_series(
        tmp_path / "study", SeriesPlan(voxels=small_voxels(10, 256, 256), study="confined", attributes=dict(T2_TSE))
    )
    with archive(archive_port, CLASSES) as archived, Node.started(folder, options=options, prefix=prefix) as node:
        assert store_with_storescu(paths, node.dicom_port).returncode == 0
        wait_until(lambda: len(archived.of("SR")) == 1, timeout_s=120, what="the SR")
