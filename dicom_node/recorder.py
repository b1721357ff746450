"""Commits what the associations receive, each row within a deadline: at once, or several in one transaction.

On SQLite an association commits its row itself while no other does: two hops between threads cost more than the rows.
Otherwise one thread commits, several rows in one transaction, which has a price whatever it holds. On PostgreSQL it
always does: a server that stops answering holds its caller, and the association waits no longer than its deadline, then
tells its sender that it failed. The row may still be committed later: then the instance is held without having been
acknowledged, and the sender's next try is a duplicate.

On SQLite rows of received instances are committed without a sync: a kill of the process loses nothing, and after a
power cut recovery makes them again from the instances, which are durable before their rows are written (decision 29).
Rows about what was set aside are synced: their reasons are nowhere else. PostgreSQL syncs every commit: it may fail
alone, and then no receiver starts again that would look.
"""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, ClassVar, cast

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from dicom_node.arrivals import RacedError, driver_failure, record_by_driver, record_instances
from dicom_node.store import Instance, QuarantineEntry, record_quarantine
from dicom_node.verdicts import Verdict
from inference.errors import StorageFailure

LOOK_MS = 5
"""How often a write lock of SQLite that others hold is looked at: within this time its own handler looks thrice."""
CHECKPOINT_PAGES = 4000
"""So many pages (16 MiB) are in SQLite's write-ahead log before a commit copies them into the database, and syncs."""
MAX_BATCH = 64
"""Most rows in one transaction: our choice, well above the number of associations."""
RACE_TRIES = 3
"""A race with another receiver is lost at most once per instance; the rest is margin."""

log = logging.getLogger(__name__)


class _Ticket:
    """One row and its answer. A lock instead of a Future: it wakes its waiter in a fraction of the time."""

    __slots__ = ("_is_answered", "answer", "entry")

    def __init__(self, entry: Instance | QuarantineEntry) -> None:
        self.entry = entry
        self.answer: Verdict | StorageFailure | None = None
        self._is_answered = threading.Lock()
        self._is_answered.acquire()

    def give(self, answer: Verdict | StorageFailure) -> None:
        self.answer = answer
        self._is_answered.release()

    def wait(self, seconds: float) -> Verdict | StorageFailure | None:
        return self.answer if self._is_answered.acquire(timeout=seconds) else None


class Recorder:
    """Commits rows for many threads. Thread-safe; one per receiver process."""

    def __init__(self, engine: Engine, *, deadline_s: float) -> None:
        """Prepare the thread; it runs between start and stop."""
        self._engine = engine
        self._deadline_s = deadline_s
        self._rows: RowConnection | None = None  # of whoever has the turn
        self._turn = threading.Lock()
        self._tickets: queue.SimpleQueue[_Ticket | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="spool-recorder", daemon=True)

    def start(self) -> None:
        """Begin to commit."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Commit what waits, then end; gives up waiting after `timeout_s`."""
        self._tickets.put(None)
        self._thread.join(timeout_s)

    def record(self, entry: Instance | QuarantineEntry) -> Verdict:
        """Commit a row and return its verdict: durable when this returns.

        Raises:
            StorageFailure: not committed within the deadline, or the database refused; the sentence holds no SQL.
        """
        ticket = _Ticket(entry)
        if not self._record_here(ticket):
            self._tickets.put(ticket)
        answer = ticket.wait(self._deadline_s)
        if answer is None:
            raise StorageFailure(f"the database did not commit within {self._deadline_s:g} s")
        if isinstance(answer, StorageFailure):
            raise answer
        return answer

    def _record_here(self, ticket: _Ticket) -> bool:
        """Commit in the caller's thread when nobody else does; whether this was so.

        Not on PostgreSQL: a server that stops answering would hold the caller beyond its deadline.
        """
        is_short = self._engine.dialect.name == "sqlite" and isinstance(ticket.entry, Instance)
        if not is_short or not self._tickets.empty() or not self._turn.acquire(blocking=False):
            return False
        try:
            self._answer([ticket])
        finally:
            self._turn.release()
        return True

    def _run(self) -> None:
        try:
            self._serve()
        finally:
            with self._turn:
                self._close()

    def _serve(self) -> None:
        ends = False
        while not ends and (first := self._tickets.get()) is not None:
            batch = [first]
            with self._turn:
                while len(batch) < MAX_BATCH and not ends and not self._tickets.empty():
                    following = self._tickets.get()
                    if following is None:
                        ends = True
                    else:
                        batch.append(following)
                self._answer(batch)

    def _answer(self, batch: Sequence[_Ticket]) -> None:
        """Commit all together; when that fails, each by itself, so that one bad row does not fail the others."""
        try:
            verdicts = self._commit(batch)
        except (SQLAlchemyError, RacedError) as error:
            if len(batch) > 1:
                for ticket in batch:
                    self._answer([ticket])
                return
            log.warning("row_not_committed", extra={"error": type(error).__name__})
            batch[0].give(StorageFailure(f"the database refused the row ({type(error).__name__})"))
            return
        for ticket, verdict in zip(batch, verdicts, strict=True):
            ticket.give(verdict)

    def _commit(self, batch: Sequence[_Ticket]) -> list[Verdict]:
        for attempt in range(RACE_TRIES):
            try:
                return self._transact(batch)
            except RacedError:
                if attempt == RACE_TRIES - 1:
                    raise
        raise AssertionError("unreachable: the last try returns or raises")

    def _transact(self, batch: Sequence[_Ticket]) -> list[Verdict]:
        arrived = [ticket.entry for ticket in batch if isinstance(ticket.entry, Instance)]
        if len(arrived) == len(batch):
            self._rows = self._rows or RowConnection(self._engine, patience_s=self._deadline_s)
            try:
                return self._rows.record(arrived)
            except SQLAlchemyError:
                self._close()
                raise
        with self._engine.begin() as connection:
            verdicts = iter(record_instances(connection, arrived) if arrived else [])
            set_aside = [ticket.entry for ticket in batch if isinstance(ticket.entry, QuarantineEntry)]
            for entry in set_aside:
                record_quarantine(connection, entry)
        return [t.entry.verdict if isinstance(t.entry, QuarantineEntry) else next(verdicts) for t in batch]

    def _close(self) -> None:
        if self._rows is not None:
            self._rows.close()
        self._rows = None


class RowConnection:
    """A connection that adds rows of received instances, and nothing else. Used by one thread at a time."""

    _BEGIN: ClassVar = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "BEGIN"}

    def __init__(self, engine: Engine, *, patience_s: float) -> None:
        """Connect.

        Args:
            engine: of the database.
            patience_s: longest wait for the write lock of SQLite.

        Raises:
            SQLAlchemyError: the database cannot be reached.
        """
        self._patience_s = patience_s
        self._dialect = engine.dialect
        self._begin = self._BEGIN[self._dialect.name]
        try:
            self._connection = engine.raw_connection()
        except self._dialect.loaded_dbapi.Error as error:
            raise driver_failure(error, self._dialect) from error
        self._connection.detach()  # it never goes back to the pool
        try:
            self._cursor = self._connection.cursor()
            if self._dialect.name == "sqlite":
                self._cursor.execute("PRAGMA synchronous=NORMAL")  # in WAL mode: consistent, not synced one by one
                self._cursor.execute(f"PRAGMA busy_timeout={LOOK_MS}")
                self._cursor.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
            else:
                cast("Any", self._connection.dbapi_connection).autocommit = True  # transactions are begun here
        except self._dialect.loaded_dbapi.Error as error:
            self._connection.close()
            raise driver_failure(error, self._dialect) from error

    def record(self, arrived: Sequence[Instance]) -> list[Verdict]:
        """Add instances in a transaction of their own; see `arrivals.record_instances`.

        Raises:
            RacedError: nothing was committed.
            SQLAlchemyError: the database refused; nothing was committed.
        """
        try:
            self._take_turn()
            try:
                verdicts = record_by_driver(self._cursor, self._dialect, arrived)
            except RacedError:
                self._cursor.execute("ROLLBACK")
                raise
            self._cursor.execute("COMMIT")
        except self._dialect.loaded_dbapi.Error as error:
            raise driver_failure(error, self._dialect) from error
        return verdicts

    def _take_turn(self) -> None:
        """Begin a transaction, which on SQLite waits for the write lock.

        SQLite's own looks become rare, one in 100 ms: a process that commits again and again leaves the lock free for
        microseconds, and would let an instance wait past its deadline.
        """
        given_up = time.monotonic() + self._patience_s
        while True:
            try:
                self._cursor.execute(self._begin)
            except sqlite3.OperationalError as error:
                is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY  # the low byte is the primary code
                if not is_busy or time.monotonic() > given_up:
                    raise
                time.sleep(0.001)  # SQLite may answer without having waited
            else:
                return

    def close(self) -> None:
        """Close it; what was begun and not committed is undone. One that is broken already is no error."""
        with suppress(self._dialect.loaded_dbapi.Error):
            self._connection.close()
