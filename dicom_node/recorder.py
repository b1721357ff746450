"""One thread that commits what the associations receive, several instances in one transaction, each within a deadline.

Why a thread: a foreign write lock on SQLite makes every writer wait, up to the engine's busy timeout (30 s), and a
commit cannot be called off. The association waits here no longer than its own deadline, then tells its sender that it
failed. The row may still be committed later: then the instance is held without having been acknowledged, and the
sender's next try is a duplicate. Why several at once: a transaction has a price, whatever it holds.

Rows of received instances are committed without a sync of the database: a kill of the process loses nothing, and after
a power cut recovery makes them again from the instances, which are durable before their rows are written (decision 29).
Rows about what was set aside are synced: their reasons are nowhere else.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from dicom_node.store import Instance, QuarantineEntry, RacedError, record_instances, record_quarantine
from dicom_node.verdicts import Verdict
from inference.errors import StorageFailure

MAX_BATCH = 64
"""Most rows in one transaction: our choice, well above the number of associations."""
RACE_TRIES = 3
"""A race with another receiver is lost at most once per instance; the rest is margin."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Ticket:
    entry: Instance | QuarantineEntry
    answer: Future[Verdict] = field(default_factory=Future)


class Recorder:
    """Commits rows for many threads. Thread-safe; one per receiver process."""

    def __init__(self, engine: Engine, *, deadline_s: float) -> None:
        """Prepare the thread; it runs between start and stop."""
        self._engine = engine
        self._deadline_s = deadline_s
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
        self._tickets.put(ticket)
        try:
            return ticket.answer.result(self._deadline_s)
        except FutureTimeoutError as error:
            raise StorageFailure(f"the database did not commit within {self._deadline_s:g} s") from error

    def _run(self) -> None:
        while (first := self._tickets.get()) is not None:
            batch = [first]
            ends = False
            while len(batch) < MAX_BATCH and not self._tickets.empty():
                following = self._tickets.get()
                if following is None:
                    ends = True
                    break
                batch.append(following)
            self._answer(batch)
            if ends:
                return

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
            failure = StorageFailure(f"the database refused the row ({type(error).__name__})")
            batch[0].answer.set_exception(failure)
            return
        for ticket, verdict in zip(batch, verdicts, strict=True):
            ticket.answer.set_result(verdict)

    def _commit(self, batch: Sequence[_Ticket]) -> list[Verdict]:
        for attempt in range(RACE_TRIES):
            try:
                set_aside = [ticket.entry for ticket in batch if isinstance(ticket.entry, QuarantineEntry)]
                with self._engine.connect() as connection, _transaction(connection, is_synced=bool(set_aside)):
                    arrived = [ticket.entry for ticket in batch if isinstance(ticket.entry, Instance)]
                    verdicts = iter(record_instances(connection, arrived) if arrived else [])
                    for entry in set_aside:
                        record_quarantine(connection, entry)
            except RacedError:
                if attempt == RACE_TRIES - 1:
                    raise
                continue
            return [t.entry.verdict if isinstance(t.entry, QuarantineEntry) else next(verdicts) for t in batch]
        raise AssertionError("unreachable: the last try returns or raises")


@contextmanager
def _transaction(connection: Connection, *, is_synced: bool) -> Iterator[None]:
    """One transaction, committed at the end. Not synced: it may be lost in a power cut, with all that came after it."""
    if is_synced:
        with connection.begin():
            yield
    elif connection.dialect.name == "sqlite":
        driver = connection.connection.cursor()  # not through SQLAlchemy, which would begin the transaction
        driver.execute("PRAGMA synchronous=NORMAL")  # in WAL mode: consistent, and not synced at each commit
        try:
            with connection.begin():
                yield
        finally:
            driver.execute("PRAGMA synchronous=FULL")
            driver.close()
    else:
        with connection.begin():
            connection.exec_driver_sql("SET LOCAL synchronous_commit TO OFF")
            yield
