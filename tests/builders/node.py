"""The node itself, run as a program for one test: ``spine-node serve`` on loopback, in a folder of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from builders.peers import LOOPBACK, free_tcp_port, peer_environment, running, wait_until

NODE_START_TIMEOUT_S = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A running node."""

    ae_title: str
    dicom_port: int
    http_port: int
    data_dir: Path
    log: Path

    @classmethod
    @contextmanager
    def started(
        cls,
        folder: Path,
        *,
        role: str = "serve",
        options: Mapping[str, Any] | None = None,
        ae_title: str = "SPINEAI",
        prefix: Sequence[str] = (),
    ) -> Iterator[Node]:
        """Run one role, or all of them, in `folder` (created where it is not there) until the block ends.

        Args:
            folder: holds the data folder and the log; what an earlier run left there is used.
            role: ``serve``, ``receive``, ``work`` or ``web``.
            options: further options by name, like ``{"quiet-period": 2, "destination": "PACS=..."}``.
            ae_title: its AE title.
            prefix: what the program is started with.
        """
        folder.mkdir(parents=True, exist_ok=True)
        node = cls(
            ae_title=ae_title,
            dicom_port=free_tcp_port(),
            http_port=free_tcp_port(),
            data_dir=folder / "data",
            log=folder / "node.log",
        )
        settings = {
            "data-dir": node.data_dir,
            "ae-title": ae_title,
            "dicom-host": LOOPBACK,
            "dicom-port": node.dicom_port,
            "http-port": node.http_port,
            "disk-reserve-gib": 0,
            "disk-reserve-percent": 0,
        } | dict(options or {})
        words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
        with running([*prefix, sys.executable, "-m", "server.cli", role, *words], log=node.log):
            if role in {"serve", "web"}:
                is_up = node.is_ready if role == "serve" else node.answers
                wait_until(is_up, timeout_s=NODE_START_TIMEOUT_S, what=f"the node ({node.log})")
            yield node

    @property
    def url(self) -> str:
        """Base URL of its HTTP interface."""
        return f"http://{LOOPBACK}:{self.http_port}"

    def is_ready(self) -> bool:
        """Whether ``/readyz`` answers 200."""
        return self.answers("/readyz")

    def checks(self) -> dict[str, str]:
        """What ``/readyz`` says of each check, also while it answers 503."""
        body = httpx.get(f"{self.url}/readyz", timeout=30).json()
        return {check["name"]: check["sentence"] for check in body["checks"]}

    def answers(self, path: str = "/healthz") -> bool:
        """Whether a path is answered with 200."""
        try:
            return httpx.get(f"{self.url}{path}", timeout=5).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def get(self, path: str) -> Any:
        """JSON of a GET."""
        return httpx.get(f"{self.url}{path}", timeout=30).raise_for_status().json()


def send(path: Path, peer: str) -> None:
    """Send a file or folder with ``spine-node send`` to ``AET@HOST:PORT``."""
    words = [sys.executable, "-m", "server.cli", "send", str(path), peer]
    sent = subprocess.run(words, env=peer_environment(), capture_output=True, text=True, check=False)
    assert sent.returncode == 0, sent.stderr
