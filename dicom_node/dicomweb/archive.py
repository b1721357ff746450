"""Everything that DICOMweb serves from one database and one spool."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from sqlalchemy import Engine

from dicom_node.dicomweb.held import Holdings, Reading
from dicom_node.dicomweb.index import SearchIndex
from dicom_node.dicomweb.intake import IntakeLimits
from dicom_node.dicomweb.search import Search
from dicom_node.dicomweb.visit import let_in
from dicom_node.inbox import Inbox, InboxRules, ReceiverMetrics
from dicom_node.limits import Guest, Limits, PeerLimits
from dicom_node.recorder import Recorder
from dicom_node.spool import Spool

RECORD_DEADLINE_S = 15.0
"""How long a sender waits for a database that does not answer; as for C-STORE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebArchive:
    """What was received and made, searchable and retrievable."""

    holdings: Holdings
    index: SearchIndex
    search: Search
    door: Door


@dataclass(slots=True, kw_only=True)
class Door:
    """Where instances come in by HTTP: an inbox of this process, opened when the first one comes."""

    engine: Engine
    spool: Spool
    rules: InboxRules
    limits: IntakeLimits
    senders: PeerLimits = field(default_factory=PeerLimits)
    """What each sender may take."""
    metrics: ReceiverMetrics = field(default_factory=ReceiverMetrics)
    _counts: Limits = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _recorder: Recorder | None = None
    _inbox: Inbox | None = None

    def __post_init__(self) -> None:
        """Nobody has sent anything yet: who is signed in is in no row, so that a day begins with the process."""
        self._counts = Limits(self.senders, None, count=self.metrics.count)

    def let_in(self, *, address: str, source: str) -> Guest:
        """Begin a request of this address, and of this user, key or (where nobody signs in) address; see `visit`.

        Raises:
            WebRefusal: 429, the sender has taken what it may; 503, the disk is beyond its watermark.
        """
        return let_in(self._counts, self.inbox, address=address, source=source)

    def inbox(self) -> Inbox:
        """The inbox, for all requests."""
        with self._lock:
            if self._inbox is None:
                self._recorder = Recorder(self.engine, deadline_s=RECORD_DEADLINE_S)
                self._recorder.start()
                self._inbox = Inbox(
                    self.spool, self._recorder, self.engine, rules=self.rules, metrics=self.metrics, clock=time.time
                )
            return self._inbox

    def close(self, timeout_s: float = 10.0) -> None:
        """Commit what waits, and give the spool's unfinished files up."""
        with self._lock:
            if self._recorder is not None:
                self._recorder.stop(timeout_s)
                self.spool.close()
            self._recorder = self._inbox = None


def open_archive(
    engine: Engine,
    spool: Spool,
    reading: Reading,
    *,
    rules: InboxRules,
    limits: IntakeLimits,
    senders: PeerLimits,
) -> WebArchive:
    """The archive over these; nothing is read or written yet."""
    holdings = Holdings(reading=reading, spool=spool)
    index = SearchIndex(engine, holdings)
    return WebArchive(
        holdings=holdings,
        index=index,
        search=Search(index=index, holdings=holdings),
        door=Door(engine=engine, spool=spool, rules=rules, limits=limits, senders=senders),
    )
