"""Received instances go to the object store after they were acknowledged, and only then is their study handed over.

Until then an instance is durable on the disk of the host that received it, and its row says that it waits. One process
of each host does this; the others stand by, and follow when it ends.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple

from sqlalchemy import Connection, Engine, bindparam, func, select, tuple_, update
from sqlalchemy.exc import SQLAlchemyError

from dicom_node.object_store import ObjectStoreFailure
from dicom_node.spool import RECEIVED, TMP, Spool
from dicom_node.tables import instances, removals

LOOK_S = 0.5
TRIM_S = 60.0
RETRY_S = 5.0
"""After the store or the database refused."""
AT_ONCE = 4
"""Objects that are put at the same time: our choice, most of the time each waits for the store."""
ROWS_AT_ONCE = 200
"""Fewer than SQLite's default limit of 999 bound values."""
LOCK = "uploader.lock"

log = logging.getLogger(__name__)


class Waiting(NamedTuple):
    """An instance that waits to be put."""

    received_at: float
    sop_instance_uid: str
    path: str


class WaitingUploads(NamedTuple):
    """What waits on all hosts together."""

    instances: int
    oldest_received_at: float | None


def waiting_uploads(connection: Connection) -> WaitingUploads:
    """How many instances wait, and when the first of them was received (seconds since the epoch)."""
    query = select(func.count(), func.min(instances.c.received_at)).where(instances.c.waits_for_upload)
    return WaitingUploads(*connection.execute(query).one())


def studies_with_uploads(connection: Connection) -> frozenset[str]:
    """Studies of which an instance waits."""
    query = select(instances.c.study_instance_uid).where(instances.c.waits_for_upload).distinct()
    return frozenset(connection.execute(query).scalars())


class Uploader:
    """A thread that puts what this host received into the object store, and keeps the copies within their room."""

    def __init__(self, engine: Engine, spool: Spool, *, cache_bytes: int) -> None:
        """Bring the parts together.

        Args:
            engine: the database of the rows.
            spool: the spool, with an object store.
            cache_bytes: most that copies of objects take on this host.
        """
        self._engine = engine
        self._spool = spool
        self._cache_bytes = cache_bytes
        self._lock: int | None = None
        self._next_trim = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="uploader", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """End; what waits is put by the next process of this host."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def upload_all(self) -> int:
        """Put what this host has of what waits; returns how many.

        Raises:
            ObjectStoreFailure: the store does not answer; what it took before is marked.
            SQLAlchemyError: the database refused.
        """
        done = 0
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="upload") as pool:
            for page in self._pages():
                here = [one for one in page if self._spool.is_here(one.path)]
                answers = pool.map(self._put, here)
                put: list[Waiting] = []
                try:
                    put += (one for one, is_put in zip(here, answers, strict=True) if is_put)
                finally:
                    self._mark(put)
                done += len(put)
                if self._stopping.is_set():
                    break
        return done

    def _put(self, one: Waiting) -> bool:
        try:
            self._spool.upload(one.path)
        except FileNotFoundError:
            return False  # moved meanwhile; the next look finds it where it is
        return True

    def _pages(self) -> Iterator[Sequence[Waiting]]:
        """Everything that waits, the first received first; not what is still to be deleted under the same name."""
        last = (0.0, "")
        order = (instances.c.received_at, instances.c.sop_instance_uid)
        while True:
            going = select(removals.c.path)
            query = (
                select(*order, instances.c.path)
                .where(instances.c.waits_for_upload, tuple_(*order) > last, instances.c.path.not_in(going))
                .order_by(*order)
                .limit(ROWS_AT_ONCE)
            )
            with self._engine.connect() as connection:
                page = [Waiting(*row) for row in connection.execute(query)]
            if not page:
                return
            yield page
            last = (page[-1].received_at, page[-1].sop_instance_uid)

    def _mark(self, put: Sequence[Waiting]) -> None:
        if not put:
            return
        named = (instances.c.sop_instance_uid == bindparam("uid")) & (instances.c.path == bindparam("at"))
        with self._engine.begin() as connection:
            connection.execute(
                update(instances).where(named).values(waits_for_upload=False),
                [{"uid": one.sop_instance_uid, "at": one.path} for one in put],
            )

    def tidy(self, now: float) -> None:
        """Keep the copies within their room; a file that was made of the log again after it was put becomes a copy."""
        if self._spool.objects is None:
            return
        files = self._spool.files(RECEIVED)
        while chunk := list(islice(files, ROWS_AT_ONCE)):
            query = select(instances.c.path).where(instances.c.path.in_(chunk), ~instances.c.waits_for_upload)
            with self._engine.connect() as connection:
                again = connection.execute(query).scalars().all()
            for path in again:
                self._spool.upload(path)
        self._spool.objects.trim(self._cache_bytes, now)

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_S):
            if not self._is_ours():
                continue
            try:
                self.upload_all()
                if time.monotonic() >= self._next_trim:
                    self._next_trim = time.monotonic() + TRIM_S
                    self.tidy(time.time())
            except (SQLAlchemyError, OSError, ObjectStoreFailure) as error:
                reason = str(error) if isinstance(error, ObjectStoreFailure) else type(error).__name__
                log.warning("uploads_wait", extra={"reason": reason})
                self._stopping.wait(RETRY_S)

    def _is_ours(self) -> bool:
        """Whether this process is the one of its host; once it is, until it ends."""
        if self._lock is not None:
            return True
        folder = self._spool.root / TMP
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._lock = descriptor
        return True
