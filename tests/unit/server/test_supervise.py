"""serve as a program: what dies is started again, what refuses ends it, and it leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from builders.node import Node
from builders.peers import free_tcp_port, wait_until

pytestmark = pytest.mark.slow


def pids(node: Node) -> dict[str, int]:
    """The newest process of each role, from the log."""
    found = {}
    for line in node.log.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event["event"] == "process_started":
            found[event["role"]] = event["pid"]
    return found


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_role_that_is_killed_is_started_again_and_all_stop_together(tmp_path: Path) -> None:
    with Node.started(tmp_path / "node") as node:
        before = pids(node)
        assert set(before) == {"receive", "work", "web"}
        os.kill(before["receive"], signal.SIGKILL)
        wait_until(lambda: pids(node)["receive"] != before["receive"], timeout_s=60, what="a new receiver")
        wait_until(node.is_ready, timeout_s=120, what="the node to be ready again")
        last = pids(node)
        assert last["work"] == before["work"]

    assert not any(is_running(pid) for pid in last.values())


def test_the_roles_leave_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "server.cli", "serve", "--data-dir", str(tmp_path / "data")]
    options = ["--dicom-host", "127.0.0.1", "--dicom-port", str(free_tcp_port()), "--http-port", str(free_tcp_port())]
    log = tmp_path / "log"
    with log.open("wb") as file, subprocess.Popen([*command, *options], stderr=file) as supervisor:
        wait_until(lambda: b"worker_started" in log.read_bytes(), timeout_s=120, what="the worker")
        os.kill(supervisor.pid, signal.SIGKILL)
    started = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    children = [event["pid"] for event in started if event["event"] == "process_started"]

    wait_until(lambda: not any(is_running(pid) for pid in children), timeout_s=60, what="the roles to leave")


def test_a_taken_port_ends_the_node_with_its_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "server.cli", "serve", "--data-dir", str(tmp_path / "data")]
        options = ["--dicom-host", "127.0.0.1", "--dicom-port", str(port), "--http-port", str(free_tcp_port())]
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=False, timeout=180)

    assert done.returncode == 2
    assert f"DICOM cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr
