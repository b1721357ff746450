"""The receivers that are compared: how each is started, when it answers, what memory it holds, what it kept."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from pynetdicom import AE
from pynetdicom.sop_class import Verification

from builders.peers import LOOPBACK, free_tcp_port, is_listening, program, running

AE_TITLE = "SPINEAI"
START_TIMEOUT_S = 60.0
SUCCESS = 0x0000
REST_S, REST_TICKS, REST_TIMEOUT_S = 0.5, 2, 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A running receiver."""

    name: str
    port: int
    pid: int
    folder: Path
    seconds: float
    """From the start of the process until its first C-ECHO answer."""

    def resident_mib(self) -> float:
        """Resident memory now, in MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024

    def wait_for_rest(self) -> None:
        """Return when the process and its children have used next to no processor for a while."""
        begun, before = time.monotonic(), -1
        while time.monotonic() - begun < REST_TIMEOUT_S and (now := self._ticks()) - before > REST_TICKS:
            before = now
            time.sleep(REST_S)

    def _ticks(self) -> int:
        """Processor time used so far, in ticks of the system, by the process and its children that have ended."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(field) for field in fields[11:15])  # utime to cstime (proc(5)), counted from field 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """One kind of receiver."""

    name: str
    durable: str
    """What is synced before the acknowledgement."""
    command: Callable[[Path, int], list[str]]
    """Its command line, from its folder and port."""
    kept: Callable[[Path], int]
    """How many instances it kept, from its folder."""

    @contextmanager
    def started(self, folder: Path) -> Iterator[Started]:
        """Run it in a folder, made if it is not there, until the block ends."""
        folder.mkdir(parents=True, exist_ok=True)
        port = free_tcp_port()
        command = self.command(folder, port)
        begun = time.monotonic()
        with running(command, log=folder / "receiver.log") as process:
            _wait_for_echo(process, port, folder / "receiver.log")
            seconds = time.monotonic() - begun
            yield Started(name=self.name, port=port, pid=process.pid, folder=folder, seconds=seconds)


def _wait_for_echo(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        if is_listening(port) and _echo(port):
            return
        time.sleep(0.005)
    raise RuntimeError(f"the receiver does not answer C-ECHO: {log.read_text(errors='replace')[-2000:]}")


def _echo(port: int) -> bool:
    entity = AE(ae_title="BENCH")
    entity.add_requested_context(Verification)
    association = entity.associate(LOOPBACK, port, ae_title=AE_TITLE)
    if not association.is_established:
        return False
    status = association.send_c_echo()
    association.release()
    return "Status" in status and status.Status == SUCCESS


def _ours(folder: Path, port: int) -> list[str]:
    options: Mapping[str, object] = {
        "data-dir": folder / "data",
        "ae-title": AE_TITLE,
        "dicom-host": LOOPBACK,
        "dicom-port": port,
        "quiet-period": 3600,
        "disk-reserve-gib": 0,
        "disk-reserve-percent": 0,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return [sys.executable, "-m", "server.cli", "receive", *words]


def _ours_kept(folder: Path) -> int:
    with sqlite3.connect(f"file:{folder / 'data' / 'spine.sqlite'}?mode=ro", uri=True) as connection:
        return int(connection.execute("SELECT count(*) FROM instances").fetchone()[0])


def _orthanc(folder: Path, port: int) -> list[str]:
    settings = {
        "Name": AE_TITLE,
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "DicomAet": AE_TITLE,
        "DicomPort": port,
        "HttpPort": (http_port := free_tcp_port()),
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "Plugins": [],
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    (folder / "http-port").write_text(str(http_port))
    return [str(_installed("Orthanc")), str(folder / "orthanc.json")]


def _orthanc_kept(folder: Path) -> int:
    port = (folder / "http-port").read_text()
    return int(
        httpx.get(f"http://{LOOPBACK}:{port}/statistics", timeout=30).raise_for_status().json()["CountInstances"]
    )


def _storescp(folder: Path, port: int) -> list[str]:
    (folder / "received").mkdir(exist_ok=True)
    received = str(folder / "received")
    return [str(_installed("storescp")), "--fork", "+xa", "--aetitle", AE_TITLE, "-od", received, str(port)]


def _storescp_kept(folder: Path) -> int:
    return sum(1 for _ in (folder / "received").iterdir())


def _installed(name: str) -> Path:
    found = program(name)
    if found is None:
        raise FileNotFoundError(f"{name} is not installed: make peers")
    return found


OURS = Receiver(name="this node", durable="the instance, in the log", command=_ours, kept=_ours_kept)
ORTHANC = Receiver(name="Orthanc", durable="index, once per instance", command=_orthanc, kept=_orthanc_kept)
STORESCP = Receiver(name="storescp --fork", durable="nothing", command=_storescp, kept=_storescp_kept)
RECEIVERS = (OURS, ORTHANC, STORESCP)
