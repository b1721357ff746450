"""Who is alive: a worker renews a row; whoever stops renewing is declared dead, and its studies go to another worker.

DBOS has neither heartbeats nor takeover (workflow.md 2), so this is ours. Three private names of dbos 3.4.0 are used,
here and nowhere else: ``_recover_pending_workflows``, ``_active_workflows_set`` and
``_sys_db.reenqueue_for_recovery``; tests/crash keeps them honest. Takeover by ``resume_workflow`` would be public,
but it resets the count of attempts, so that a study which kills its worker would go round for ever.

Assumed: host names are unique, and the lease is much longer than the longest stall of a process.
"""

from __future__ import annotations

import fcntl
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sqlalchemy import Engine, text

from inference.errors import UsageRefusal
from server.events import event, fault

MAX_SLOTS = 64
LOST_EXIT_CODE = 70
"""Exit code of a worker that was declared dead (sysexits.h EX_SOFTWARE)."""

_HELD_SHARE = 0.6  # side effects need this much of the lease still to run
_LOST_CLAIM_MS = 60_000
_FORGET_S = 86_400.0
_CLOCK = {
    "sqlite": "(julianday('now') - 2440587.5) * 86400.0",  # Julian day of 1970-01-01T00:00Z
    "postgresql": "extract(epoch from clock_timestamp())",
}
_DBOS_INTERNAL_QUEUE = "_dbos_internal_queue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """The right to be worker (or receiver) number ``number`` of this host, held as long as the file is locked."""

    number: int
    executor_id: str
    """``host:slot:random``: new at every start, because a repeated id would restart a study that still runs."""
    file: IO[str]

    @property
    def prefix(self) -> str:
        """What the ids of every former holder of this slot begin with."""
        return self.executor_id.rsplit(":", 1)[0] + ":"


def take_slot(number: int, folder: Path, kind: str = "worker") -> Slot:
    """Lock a slot of this host, for a worker or a process of another kind.

    Raises:
        UsageRefusal: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / f"{kind}-{number}.lock").open("w", encoding="ascii")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise UsageRefusal(
            f"{kind.capitalize()} slot {number} of this data folder is taken by a running process."
        ) from None
    return Slot(number=number, executor_id=f"{socket.gethostname()}:{number}:{uuid.uuid4().hex[:8]}", file=file)


def first_free_slot(folder: Path, kind: str = "worker") -> Slot:
    """Lock the first slot that is free.

    Raises:
        UsageRefusal: all are taken.
    """
    for number in range(MAX_SLOTS):
        try:
            return take_slot(number, folder, kind)
        except UsageRefusal:
            continue
    raise UsageRefusal(f"All {MAX_SLOTS} {kind} slots of this data folder are taken.")


class Lease:
    """The sign of life of one worker, and the search for workers that give none."""

    def __init__(
        self,
        engine: Engine,
        slot: Slot,
        *,
        ttl: float,
        beat: float,
        on_lost: Callable[[], None] = lambda: os._exit(LOST_EXIT_CODE),
        after_beat: Callable[[], None] = lambda: None,
    ) -> None:
        """Write the row now: DBOS may hand out work once it is launched, and a worker without a row counts as dead."""
        self._engine = engine
        self._me = slot.executor_id
        self._ttl = ttl
        self._beat_s = beat
        self._on_lost = on_lost
        self._after_beat = after_beat
        self._now = _CLOCK[engine.dialect.name]
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        started = time.monotonic()
        with engine.begin() as connection:
            connection.execute(
                text(f"INSERT INTO executor_lease (executor_id, last_seen, dead) VALUES (:me, {self._now}, :no)"),  # noqa: S608
                {"me": self._me, "no": False},
            )
            connection.execute(
                text("UPDATE executor_lease SET dead = :yes WHERE executor_id LIKE :slot AND executor_id <> :me"),
                {"yes": True, "slot": slot.prefix + "%", "me": self._me},
            )
        self._renewed = started

    def held(self) -> bool:
        """Whether the lease is good for long enough to begin something that other machines see."""
        return time.monotonic() - self._renewed < self._ttl * _HELD_SHARE

    def beat(self) -> None:
        """Renew; leave at once if this worker was declared dead: another has its studies."""
        started = time.monotonic()
        with self._engine.begin() as connection:
            renewed = connection.execute(
                text(f"UPDATE executor_lease SET last_seen = {self._now} WHERE executor_id = :me AND NOT dead"),  # noqa: S608
                {"me": self._me},
            ).rowcount
        if not renewed:
            self._on_lost()
        self._renewed = started

    def reap(self) -> list[str]:
        """Declare silent workers dead, and put what they were doing back into the queue; returns the ids taken over."""
        dead, known = self._bury()
        from dbos import DBOS  # noqa: PLC0415 - a process that only shows leases does not load the engine

        pending = DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)
        holders = {flow.executor_id for flow in pending if flow.executor_id}
        orphaned = sorted((holders & dead) | (holders - known))
        if orphaned:
            DBOS._recover_pending_workflows(orphaned)  # noqa: SLF001 - see the module's text
            event("work_taken_over", executor_id=self._me, count=len(orphaned))
        self._release_lost_claims([(f.workflow_id, f.dequeued_at) for f in pending if f.executor_id == self._me])
        return orphaned

    def _bury(self) -> tuple[set[str], set[str]]:
        with self._engine.begin() as connection:
            connection.execute(
                text(
                    "UPDATE executor_lease SET dead = :yes "  # noqa: S608 - the clock is one of two constants
                    f"WHERE NOT dead AND executor_id <> :me AND last_seen < {self._now} - :ttl"
                ),
                {"yes": True, "me": self._me, "ttl": self._ttl},
            )
            rows = connection.execute(text("SELECT executor_id, dead FROM executor_lease")).all()
            connection.execute(
                text(f"DELETE FROM executor_lease WHERE dead AND last_seen < {self._now} - :old"),  # noqa: S608
                {"old": _FORGET_S},
            )
        return {row.executor_id for row in rows if row.dead}, {row.executor_id for row in rows}

    def _release_lost_claims(self, mine: list[tuple[str, int | None]]) -> None:
        """Put back a claim whose answer was lost: it is PENDING under our name, and nobody runs it (workflow.md 3)."""
        from dbos import _dbos  # noqa: PLC0415

        engine = _dbos._get_dbos_instance()  # noqa: SLF001
        active = set(engine._active_workflows_set.activeList())  # noqa: SLF001
        now_ms = time.time() * 1000
        for workflow_id, claimed_at in mine:
            if workflow_id not in active and claimed_at is not None and now_ms - claimed_at > _LOST_CLAIM_MS:
                engine._sys_db.reenqueue_for_recovery(workflow_id, [self._me], _DBOS_INTERNAL_QUEUE)  # noqa: SLF001

    def start(self) -> None:
        """Renew and reap in a thread of its own, until ``stop``."""
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and let others know at once that this worker is gone."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=self._beat_s)
        with self._engine.begin() as connection:
            connection.execute(
                text("UPDATE executor_lease SET dead = :yes WHERE executor_id = :me"), {"yes": True, "me": self._me}
            )

    def _run(self) -> None:
        while not self._stop.wait(self._beat_s):
            for task in (self.beat, self.reap, self._after_beat):
                try:
                    task()
                except Exception as error:  # noqa: BLE001 - a boundary: a lost connection must not end the signs of life
                    fault("lease_fault", error, executor_id=self._me)
