"""The processes of this node, in the database: who runs, since when, on which port, and what it counted.

The web process reads these rows: a process has no other way to ask another how it is, on this machine or the next.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sqlalchemy import Connection, Engine, delete, select

from server import __version__
from server.events import fault
from server.tables import processes

BEAT_S = 5.0
STALE_S = 20.0
"""Without a sign of life for so long, a process counts as gone."""
_FORGET_S = 7 * 86_400.0


class Role(StrEnum):
    """What a process of this node does."""

    RECEIVE = "receive"
    """Takes instances in, and hands complete studies over."""
    WORK = "work"
    """Reads studies and delivers results."""
    WEB = "web"
    """Answers HTTP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process, as its row says."""

    name: str
    role: Role
    pid: int
    port: int | None
    started_at: float
    last_seen: float
    counters: Mapping[str, float]
    fault: str | None
    version: str | None
    """Of its software; None for one that does not say it yet."""
    warning: str | None
    expiries: Mapping[str, float]
    """When each of its TLS files ends, in seconds since the epoch (UTC), by use."""

    def is_alive(self, now: float) -> bool:
        """Whether its last sign of life is recent."""
        return now - self.last_seen < STALE_S


def list_processes(connection: Connection) -> list[Process]:
    """Every process that was seen in the last week, by name."""
    rows = connection.execute(select(processes).order_by(processes.c.name)).mappings()
    return [
        Process(**(dict(row) | {"role": Role(row["role"])} | {key: json.loads(row[key]) for key in _JSON}))
        for row in rows
    ]


_JSON = ("counters", "expiries")


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What a process says of itself beside its counters."""

    fault: str | None = None
    """One sentence when it cannot do its work."""
    warning: str | None = None
    """One sentence when it soon cannot, or does with what it had."""
    expiries: Mapping[str, float] = field(default_factory=dict)


class Presence:
    """This process's row: written at start, renewed by a thread, removed at an orderly stop."""

    def __init__(
        self,
        engine: Engine,
        role: Role,
        *,
        slot: int = 0,
        port: int | None = None,
        counters: Callable[[], Mapping[str, float]] = dict,
        health: Callable[[], Health] = Health,
    ) -> None:
        """Nothing is written before ``start``."""
        self._engine = engine
        self._role = role
        self._name = f"{socket.gethostname()}:{role}:{slot}"
        self._port = port
        self._counters = counters
        self._health = health
        self._started = time.time()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.fault: str | None = None
        """One sentence when this process cannot do its work."""

    def start(self) -> None:
        """Write the row and keep it fresh."""
        self.write()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop renewing, and remove the row."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=BEAT_S)
        with self._engine.begin() as connection:
            connection.execute(delete(processes).where(processes.c.name == self._name, processes.c.pid == os.getpid()))

    def report_fault(self, sentence: str | None) -> None:
        """Say why this process cannot do its work, or that it can; the row has it with the next sign of life."""
        self.fault = sentence

    def write(self) -> None:
        """Renew the row, and drop rows of the long gone."""
        now = time.time()
        health = self._health()
        values = {
            "role": self._role.value,
            "pid": os.getpid(),
            "port": self._port,
            "started_at": self._started,
            "last_seen": now,
            "counters": json.dumps(dict(self._counters()), sort_keys=True),
            "fault": self.fault or health.fault,
            "warning": health.warning,
            "expiries": json.dumps(dict(health.expiries), sort_keys=True),
            "version": __version__,
        }
        with self._engine.begin() as connection:
            connection.execute(delete(processes).where(processes.c.last_seen < now - _FORGET_S))
            connection.execute(delete(processes).where(processes.c.name == self._name))
            connection.execute(processes.insert().values(name=self._name, **values))

    def _run(self) -> None:
        while not self._stop.wait(BEAT_S):
            try:
                self.write()
            except Exception as error:  # noqa: BLE001 - a boundary: a lost connection must not end the signs of life
                fault("presence_fault", error, role=self._role.value)
