"""Work for the worker's child process in tests: importable, because the child is spawned."""

from __future__ import annotations

import os
import time
from typing import Any

from server.kernel import Work


def make_echo() -> Work:
    """Work that answers what it was asked, sleeps, or dies."""
    return _echo


def _echo(request: dict[str, Any]) -> dict[str, Any]:
    if request.get("die"):
        os._exit(9)
    time.sleep(request.get("sleep", 0))
    return {**request, "pid": os.getpid()}
