"""Who is alive: a worker renews a row; whoever stops renewing is declared dead, and its studies go to another worker.

Dead is for ever: the id of a worker is new at every start, so that "this id is not dead" is a fence. A worker that was
paused (SIGSTOP, a suspended virtual machine, a broken link) and goes on asks before it lets anything out, and leaves
when it was declared dead meanwhile: :meth:`Lease.assure` before every send, :meth:`Lease.lock` inside the transaction
that publishes. A lease may only be taken by one that was itself in touch with the database for a whole lease: after an
outage of the database all leases are old, and nobody is dead.

DBOS has neither heartbeats nor takeover (workflow.md 2), so this is ours. Three private names of dbos 3.4.0 are used,
here and nowhere else: ``_recover_pending_workflows``, ``_active_workflows_set`` and
``_sys_db.reenqueue_for_recovery``; tests/crash keeps them honest. Takeover by ``resume_workflow`` would be public,
but it resets the count of attempts, so that a study which kills its worker would go round for ever.

Assumed: host names are unique, and the lease is much longer than the longest stall of a process.
"""

from __future__ import annotations

import fcntl
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn, Protocol

from sqlalchemy import Connection, Engine, select, text

from inference.errors import Failure, UsageRefusal
from server.database import CLOCKS
from server.events import event, fault
from server.tables import executor_lease

MAX_SLOTS = 64

_HELD_SHARE = 0.6  # side effects need this much of the lease still to run
_LOST_CLAIM_MS = 60_000
_FORGET_S = 86_400.0
INTERNAL_QUEUE = "_dbos_internal_queue"
"""Where DBOS puts what it recovers; every worker reads it."""


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


class LeaseLost(Failure):
    """This worker was declared dead: what it is doing is another's now."""


class Tenure(Protocol):
    """The right of a worker to act, as the steps of the workflows ask for it."""

    def assure(self) -> None:
        """Before anything leaves this machine: renew the right in the database.

        Raises:
            LeaseLost: it was lost (a worker does not come back from this call then: it begins anew).
        """
        ...

    def lock(self, connection: Connection) -> None:
        """In the transaction that publishes: nobody takes the right away before it is committed.

        Raises:
            LeaseLost: as above; nothing of the transaction may be committed.
        """
        ...


def boot_clock() -> float:
    """Seconds on a clock that goes on while the machine is suspended, unlike ``time.monotonic``."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """The sign of life of one worker, and the search for workers that give none."""

    def __init__(
        self,
        engine: Engine,
        slot: Slot,
        *,
        ttl: float,
        beat: float,
        on_lost: Callable[[], None],
        after_beat: Callable[[], None] = lambda: None,
    ) -> None:
        """Write the row now: DBOS may hand out work once it is launched, and a worker without a row counts as dead.

        Args:
            engine: the database.
            slot: which worker this is.
            ttl: seconds without a sign of life after which a worker is taken over.
            beat: seconds between two signs of life.
            on_lost: ends or restarts this process; it had better not return.
            after_beat: done after each sign of life.
        """
        self._engine = engine
        self._me = slot.executor_id
        self._ttl = ttl
        self._beat_s = beat
        self._on_lost = on_lost
        self._after_beat = after_beat
        self._now = CLOCKS[engine.dialect.name]
        self._stop = threading.Event()
        self._losing = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._takeovers = 0
        started = boot_clock()
        with engine.begin() as connection:
            connection.execute(
                text(f"INSERT INTO executor_lease (executor_id, last_seen, dead) VALUES (:me, {self._now}, :no)"),  # noqa: S608
                {"me": self._me, "no": False},
            )
            connection.execute(
                text("UPDATE executor_lease SET dead = :yes WHERE executor_id LIKE :slot AND executor_id <> :me"),
                {"yes": True, "slot": slot.prefix + "%", "me": self._me},
            )
        self._renewed = self._steady_since = started

    def held(self) -> bool:
        """Whether the lease is good for long enough to begin something that other machines see."""
        return boot_clock() - self._renewed < self._ttl * _HELD_SHARE

    def counters(self) -> dict[str, int]:
        """``takeovers``: silent workers whose studies this one put back into the queue, since it started."""
        return {"takeovers": self._takeovers}

    def beat(self) -> None:
        """Renew; leave at once if this worker was declared dead: another has its studies."""
        started = boot_clock()
        with self._engine.begin() as connection:
            renewed = connection.execute(
                text(f"UPDATE executor_lease SET last_seen = {self._now} WHERE executor_id = :me AND NOT dead"),  # noqa: S608
                {"me": self._me},
            ).rowcount
        if not renewed:
            self._lose()
        if started - self._renewed > self._ttl * _HELD_SHARE:
            self._steady_since = started
        self._renewed = started

    def assure(self) -> None:
        """See :class:`Tenure`; asked again where this process was stopped between question and answer."""
        self.beat()
        while not self.held():
            self.beat()

    def lock(self, connection: Connection) -> None:
        """See :class:`Tenure`. On SQLite the transaction is alone anyway."""
        query = select(executor_lease.c.dead).where(executor_lease.c.executor_id == self._me)
        if connection.execute(query.with_for_update(read=True)).scalar_one_or_none() is not False:
            self._lose()

    def _lose(self) -> NoReturn:
        with self._losing:  # one thread notices first; in a worker the others end here
            event("lease_lost", executor_id=self._me)
            self._on_lost()
        raise LeaseLost(f"Worker {self._me} was declared dead; its work is another's.")

    def reap(self) -> list[str]:
        """Declare silent workers dead, and put what they were doing back into the queue; returns the ids taken over."""
        dead, known = self._bury()
        from dbos import DBOS  # noqa: PLC0415 - a process that only shows leases does not load the engine

        pending = DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)
        holders = {flow.executor_id for flow in pending if flow.executor_id}
        orphaned = sorted((holders & dead) | (holders - known))
        if orphaned:
            DBOS._recover_pending_workflows(orphaned)  # noqa: SLF001 - see the module's text
            self._takeovers += len(orphaned)
            event("work_taken_over", executor_id=self._me, count=len(orphaned))
        self._release_lost_claims([(f.workflow_id, f.dequeued_at) for f in pending if f.executor_id == self._me])
        return orphaned

    def _bury(self) -> tuple[set[str], set[str]]:
        with self._engine.begin() as connection:
            if boot_clock() - self._steady_since >= self._ttl:
                self._declare_dead(connection)
            rows = connection.execute(text("SELECT executor_id, dead FROM executor_lease")).all()
            connection.execute(
                text(f"DELETE FROM executor_lease WHERE dead AND last_seen < {self._now} - :old"),  # noqa: S608
                {"old": _FORGET_S},
            )
        return {row.executor_id for row in rows if row.dead}, {row.executor_id for row in rows}

    def _declare_dead(self, connection: Connection) -> None:
        """Rows that a transaction of their worker holds are left for the next time: waiting would stop our own beat."""
        silent = (
            select(executor_lease.c.executor_id)
            .where(
                ~executor_lease.c.dead,
                executor_lease.c.executor_id != self._me,
                executor_lease.c.last_seen < text(f"{self._now} - :ttl").bindparams(ttl=self._ttl),
            )
            .with_for_update(skip_locked=True)
        )
        for executor_id in connection.execute(silent).scalars().all():
            event("worker_declared_dead", executor_id=executor_id)
            connection.execute(
                text("UPDATE executor_lease SET dead = :yes WHERE executor_id = :id"), {"yes": True, "id": executor_id}
            )

    def _release_lost_claims(self, mine: list[tuple[str, int | None]]) -> None:
        """Put back a claim whose answer was lost: it is PENDING under our name, and nobody runs it (workflow.md 3)."""
        from dbos import _dbos  # noqa: PLC0415

        engine = _dbos._get_dbos_instance()  # noqa: SLF001
        active = set(engine._active_workflows_set.activeList())  # noqa: SLF001
        now_ms = time.time() * 1000
        for workflow_id, claimed_at in mine:
            if workflow_id not in active and claimed_at is not None and now_ms - claimed_at > _LOST_CLAIM_MS:
                engine._sys_db.reenqueue_for_recovery(workflow_id, [self._me], INTERNAL_QUEUE)  # noqa: SLF001

    def start(self) -> None:
        """Renew in one thread and reap in another, until ``stop``.

        DBOS waits for a database that is away with growing pauses, and so may look for the dead again long after this
        worker could have given a sign of life.
        """
        self._threads = [
            threading.Thread(target=self._run, args=tasks, name=name, daemon=True)
            for name, tasks in (("lease", (self.beat,)), ("reaper", (self.reap, self._after_beat)))
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads, and let others know at once that this worker is gone."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=self._beat_s)
        with self._engine.begin() as connection:
            connection.execute(
                text("UPDATE executor_lease SET dead = :yes WHERE executor_id = :me"), {"yes": True, "me": self._me}
            )

    def _run(self, *tasks: Callable[[], object]) -> None:
        while not self._stop.wait(self._beat_s):
            for task in tasks:
                try:
                    task()
                except Exception as error:  # noqa: BLE001 - a boundary: a lost connection must not end the signs of life
                    fault("lease_fault", error, executor_id=self._me)
