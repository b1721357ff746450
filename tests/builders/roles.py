"""Roles of the node as processes that are killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path


class Role:
    """One role of the node."""

    def __init__(self, name: str, options: dict[str, object], log: Path) -> None:
        self.name, self._log = name, log
        self._words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; what it writes goes to the log."""
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "server.cli", self.name, *self._words]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()
