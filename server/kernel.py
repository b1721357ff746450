"""The process that computes: one child per worker, with the models loaded, that may die without the worker.

A native crash, an out-of-memory kill or an endless loop in a decoder ends the child; the caller gets that as a value,
and the next call starts a new child. The child leaves when its parent is gone, however that happened.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

_CONTEXT = multiprocessing.get_context("spawn")  # a forked child would share the parent's sockets and locks
_POLL_S = 0.2

Value: TypeAlias = dict[str, Any]
"""Small JSON values: paths, digests, numbers, states."""

Work: TypeAlias = Callable[[Value], Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The child gave no answer."""

    reason: str
    """One sentence."""


class Kernel:
    """Calls ``make()(request)`` in a child process; ``make`` is run once per child (it loads the models)."""

    def __init__(self, make: Callable[[], Work], *, timeout: float) -> None:
        """Nothing is started before the first call; ``make`` must be picklable."""
        self._make = make
        self._timeout = timeout
        self._lock = threading.Lock()
        self._child: tuple[multiprocessing.process.BaseProcess, Connection] | None = None

    def start(self) -> None:
        """Start the child ahead of the first call, so that its models are loaded by then."""
        with self._lock:
            self._running()

    def call(self, request: Value) -> Value | Ended:
        """The answer, or why there is none. One call at a time."""
        with self._lock:
            process, pipe = self._running()
            try:
                pipe.send(request)
                return self._await(process, pipe)
            except (EOFError, OSError):
                return self._end("the process that read it ended unexpectedly")

    def stop(self) -> None:
        """End the child, whatever it is doing."""
        child = self._child
        if child is not None:
            child[0].kill()
            child[0].join()
            self._child = None

    @property
    def pid(self) -> int | None:
        """Process id of the child, None before the first call."""
        return self._child[0].pid if self._child is not None else None

    def _running(self) -> tuple[multiprocessing.process.BaseProcess, Connection]:
        if self._child is None or not self._child[0].is_alive():
            ours, theirs = _CONTEXT.Pipe()
            process = _CONTEXT.Process(target=_serve, args=(self._make, theirs), name="kernel", daemon=True)
            process.start()
            theirs.close()
            self._child = (process, ours)
        return self._child

    def _await(self, process: multiprocessing.process.BaseProcess, pipe: Connection) -> Value | Ended:
        deadline = time.monotonic() + self._timeout
        while not pipe.poll(_POLL_S):
            if time.monotonic() > deadline:
                return self._end(f"reading it took longer than {self._timeout:g} s")
            if not process.is_alive() and not pipe.poll(0):
                return self._end("the process that read it ended unexpectedly")
        answer: Value = pipe.recv()
        return answer

    def _end(self, reason: str) -> Ended:
        child = self._child
        if child is not None:
            child[0].kill()
            child[0].join()
            code = child[0].exitcode
            self._child = None
            return Ended(reason=f"{reason} (exit code {code})")
        return Ended(reason=reason)


def _serve(make: Callable[[], Work], pipe: Connection) -> None:
    """Answer requests until the parent is gone."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    work = make()
    while True:
        try:
            request = pipe.recv()
        except EOFError:
            return
        pipe.send(work(request))


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(0)
