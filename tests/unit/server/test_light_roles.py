"""No role loads a model runtime itself; the receiver decodes no pixels and stays small."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from builders.peers import free_tcp_port, is_listening, wait_until

HEAVY = ("onnxruntime", "openvino", "torch", "monai", "scipy", "SimpleITK", "highdicom", "fastapi", "alembic")
DECODERS = ("gdcm", "openjpeg", "jpeg_ls", "PIL/")
"""Parts of the paths of the decoders' libraries, which pydicom loads when nobody hides them."""
ELSEWHERE = ("onnxruntime", "openvino", "torch", "monai", "scipy", "SimpleITK", "reportlab", "pikepdf")
"""What reads studies, draws and writes PDF: processes of their own do."""
MEMORY_MIB = 200


def top_modules(program: str) -> set[str]:
    """Names of the packages that a program has imported at its end, in a process of its own."""
    program = f"{program}; import sys; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    return {name.split(".")[0] for name in done.stdout.split()}


def test_importing_the_receiver_loads_nothing_heavy() -> None:
    assert top_modules("import server.receive, server.operations").isdisjoint(HEAVY)


@pytest.mark.parametrize("module", ["server.web", "server.worker"])
def test_importing_the_other_roles_loads_nothing_that_reads_or_draws(module: str) -> None:
    assert top_modules(f"import {module}").isdisjoint(ELSEWHERE)


def test_a_running_receiver_is_small_and_stops_in_order(tmp_path: Path, sqlite_template: Path) -> None:
    port = free_tcp_port()
    (tmp_path / "spine.sqlite").write_bytes(sqlite_template.read_bytes())
    command = [sys.executable, "-m", "server.cli", "receive", "--data-dir", str(tmp_path), "--dicom-port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as receiver:
        wait_until(lambda: is_listening(port), timeout_s=120, what="the receiver to listen")
        status = Path(f"/proc/{receiver.pid}/status").read_text(encoding="ascii")
        libraries = Path(f"/proc/{receiver.pid}/maps").read_text(encoding="utf-8")
        peak = re.search(r"VmHWM:\s+(\d+) kB", status)
        os.kill(receiver.pid, signal.SIGTERM)
        assert receiver.wait(60) == 0

    assert "/python3" in libraries or "libpython" in libraries
    assert [name for name in DECODERS if name in libraries] == []
    assert peak is not None
    assert int(peak[1]) / 1024 < MEMORY_MIB
