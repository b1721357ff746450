"""``spine-node serve``: every role as a process of its own, in one process group, restarted when it ends.

The receiver goes on when a worker is killed, and the other way round; each finds its work in the spool and the
database.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from server.events import event
from server.settings import Settings
from server.settings_file import environment_of
from server.signals import SUPERVISOR_VARIABLE, StopSignal

_LOOK_S = 0.2
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0
_SETTLED_S = 60.0  # a process that lived so long starts again with the first wait
_KILL_AFTER_S = 10.0  # beyond the grace that running work gets
_REFUSED = 2


@dataclass(slots=True, kw_only=True)
class Child:
    """One role's process, and when it may be started again."""

    role: str
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    wait: float = field(default=_FIRST_WAIT_S)
    not_before: float = 0.0
    has_settled: bool = False

    def start(self) -> None:
        """Start the process; it gets its settings by the environment, where the process list does not show them."""
        self.process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "server.cli", self.role], env=dict(self.environment)
        )
        self.started = time.monotonic()
        event("process_started", role=self.role, pid=self.process.pid)

    def ended(self) -> int | None:
        """The exit code once the process has ended."""
        return self.process.poll() if self.process is not None else None

    def plan_restart(self, code: int) -> None:
        """Wait longer after each quick end."""
        now = time.monotonic()
        if now - self.started > _SETTLED_S:
            self.wait = _FIRST_WAIT_S
        event("process_ended", role=self.role, exit_code=code, seconds=round(self.wait, 1))
        self.process = None
        self.not_before = now + self.wait
        self.wait = min(self.wait * 2, _LONGEST_WAIT_S)


class Supervisor:
    """Starts the roles, restarts what ends, and stops all in order."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is started yet."""
        self._settings = settings
        environment = {name: value for name, value in os.environ.items() if name != "SPINE_CONFIG"}
        environment |= environment_of(settings) | {SUPERVISOR_VARIABLE: str(os.getpid())}
        roles = [*["receive"] * settings.receivers, "web", *["work"] * settings.workers]
        self._children = [Child(role=role, environment=environment) for role in roles]

    def run(self, stop: StopSignal) -> int:
        """Watch the children until told to stop; returns the exit code.

        A role that refuses its settings in the first seconds of the node ends the node, with its sentence on stderr;
        later, the others go on without it, and it is tried again.
        """
        for child in self._children:
            child.start()
        began = time.monotonic()
        while not stop.wait_for(_LOOK_S):
            for child in self._children:
                code = child.ended()
                if code == _REFUSED and time.monotonic() - began < _SETTLED_S and not child.has_settled:
                    self.stop()
                    return _REFUSED
                if code is not None:
                    child.has_settled = True
                    child.plan_restart(code)
                elif child.process is None and time.monotonic() >= child.not_before:
                    child.start()
        self.stop()
        return 0

    def stop(self) -> None:
        """Ask every child to stop, and end those that take too long."""
        running = [child.process for child in self._children if child.process is not None]
        for process in running:
            process.terminate()
        _await(running, self._settings.stop_grace + _KILL_AFTER_S)


def _await(running: Sequence[subprocess.Popen[bytes]], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    for process in running:
        try:
            process.wait(timeout=max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
