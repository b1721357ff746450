"""How a role is told to stop: SIGTERM or SIGINT, or the end of the process that supervises it."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

SUPERVISOR_VARIABLE = "SPINE_SUPERVISOR_PID"
_LOOK_S = 1.0


class StopSignal:
    """Set once this process should stop."""

    def __init__(self) -> None:
        """Listen to the signals; in the main thread only."""
        self._event = threading.Event()
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def wait(self) -> None:
        """Return when this process should stop."""
        supervisor = os.environ.get(SUPERVISOR_VARIABLE)
        while not self._event.wait(_LOOK_S):
            # A supervisor that was killed cannot say so: a child is then given to another parent.
            if supervisor is not None and str(os.getppid()) != supervisor:
                return

    def is_set(self) -> bool:
        """Whether it was told to."""
        return self._event.is_set()

    def wait_for(self, seconds: float) -> bool:
        """Wait no longer than that; returns whether this process should stop."""
        return self._event.wait(seconds)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._event.set()
