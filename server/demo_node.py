"""The demo's processes: the loopback archive and ``spine-node serve``, and what is asked of the node over HTTP."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from inference.errors import Failure
from server.demo_archive import AE_TITLE as ARCHIVE_AE_TITLE
from server.demo_archive import HOST
from server.signals import SUPERVISOR_VARIABLE

NODE_AE_TITLE = "SPINEAI"
QUIET_PERIOD_S = 3
VIEWER = Path("viewer").absolute()
"""Where ``make viewer`` puts OHIF."""
READY_WITHIN_S = 120.0
STOP_WITHIN_S = 40.0
POLL_S = 0.4
OPEN_DELIVERIES = ("pending", "retrying")
FINISHED_RUNS = ("done", "refused", "failed")


class DemoFailure(Failure):
    """The demo did not come to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Folders and ports of one demo."""

    root: Path
    dicom_port: int
    http_port: int
    archive_port: int

    @property
    def archive(self) -> Path:
        """What the archive received, by study."""
        return self.root / "archive"

    @property
    def node_data(self) -> Path:
        """The node's data folder."""
        return self.root / "node"

    @property
    def node_log(self) -> Path:
        """What the node's processes wrote."""
        return self.root / "node.log"

    @property
    def url(self) -> str:
        """The node over HTTP."""
        return f"http://{HOST}:{self.http_port}"


def choose_port(wanted: int) -> int:
    """The wanted port of loopback, or one that the system picks when it is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DemoFailure("No port of the loopback interface is free.")


def start_archive(places: Places) -> subprocess.Popen[bytes]:
    """Start the archive, and return when it listens."""
    arguments = [sys.executable, "-m", "server.demo_archive", str(places.archive_port), str(places.archive)]
    process = _start(arguments, places.root / "archive.log")
    wait_for(lambda: _listens(places.archive_port), "the archive to listen", process, places.root / "archive.log")
    return process


def start_node(places: Places) -> subprocess.Popen[bytes]:
    """Start the node, and return when it says that it is ready."""
    options = {
        "--data-dir": places.node_data,
        "--ae-title": NODE_AE_TITLE,
        "--dicom-host": HOST,
        "--dicom-port": places.dicom_port,
        "--http-port": places.http_port,
        "--destination": f"ARCHIVE={ARCHIVE_AE_TITLE}@{HOST}:{places.archive_port}",
        "--quiet-period": QUIET_PERIOD_S,
        "--disk-reserve-gib": 0.5,
        "--disk-reserve-percent": 0,
        "--viewer-dir": VIEWER,
    }
    arguments = [str(word) for option in options.items() for word in option]
    process = _start([sys.executable, "-m", "server.cli", "serve", "--overlays", *arguments], places.node_log)
    wait_for(lambda: _is_ready(places), "the node to be ready", process, places.node_log)
    return process


def send(folder: Path, places: Places) -> str:
    """Send a folder with ``spine-node send``; returns what it said."""
    peer = f"{NODE_AE_TITLE}@{HOST}:{places.dicom_port}"
    arguments = [sys.executable, "-m", "server.cli", "send", str(folder), peer]
    sent = subprocess.run(arguments, capture_output=True, text=True, check=False, env=_environment())  # noqa: S603
    if sent.returncode:
        raise DemoFailure(sent.stderr.strip() or f"spine-node send ended with code {sent.returncode}.")
    return sent.stdout.strip()


def wait_for(
    is_done: Callable[[], bool],
    what: str,
    process: subprocess.Popen[bytes],
    log: Path,
    within_s: float = READY_WITHIN_S,
) -> None:
    """Return when it is done.

    Raises:
        DemoFailure: the process ended, or it took too long.
    """
    deadline = time.monotonic() + within_s
    while not is_done():
        if process.poll() is not None:
            raise DemoFailure(f"{_name(process)} ended with code {process.returncode}: {last_line(log)}")
        if time.monotonic() > deadline:
            raise DemoFailure(f"Waited {within_s:.0f} s in vain for {what}; see {log}.")
        time.sleep(POLL_S)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that this demo started: politely, then not."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def get(places: Places, path: str) -> Any:
    """JSON of one address of the node, None where it says that there is nothing (yet)."""
    try:
        answer = httpx.get(f"{places.url}{path}", timeout=10.0, trust_env=False)
    except httpx.TransportError:
        return None
    return answer.json() if answer.status_code == httpx.codes.OK else None


def newest_run(places: Places, study_instance_uid: str) -> dict[str, Any] | None:
    """The newest revision of a study once it is finished, None before."""
    study = get(places, f"/api/v1/studies/{study_instance_uid}")
    runs: list[dict[str, Any]] = study["revisions"] if study else []
    return runs[-1] if runs and runs[-1]["state"] in FINISHED_RUNS else None


def open_deliveries(places: Places) -> int | None:
    """How many objects still wait for the archive, None while the node does not say."""
    answer = get(places, "/api/v1/deliveries")
    return None if answer is None else sum(d["state"] in OPEN_DELIVERIES for d in answer["deliveries"])


def last_line(log: Path) -> str:
    """The last line that a process wrote."""
    lines = log.read_text(errors="replace").strip().splitlines() if log.is_file() else []
    return lines[-1] if lines else f"{log} is empty"


def _start(arguments: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a process in a group of its own: Ctrl-C reaches the demo, which ends the others in order."""
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - our own programs
            arguments, stdout=output, stderr=output, env=_environment(), start_new_session=True
        )


def _environment() -> dict[str, str]:
    """The environment without the settings of another node; the node ends when this process is gone."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SPINE_")}
    return kept | {SUPERVISOR_VARIABLE: str(os.getpid())}


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0


def _is_ready(places: Places) -> bool:
    answer = get(places, "/readyz")
    return bool(answer and answer["ready"])


def _name(process: subprocess.Popen[bytes]) -> str:
    words = process.args if isinstance(process.args, list) else [str(process.args)]
    return "The archive" if "server.demo_archive" in words else "The node"
