"""What one peer may take of the receiver: associations, bytes a second, bytes a day, and time.

A *peer* is a network address for associations and speed, which it cannot choose freely, and an AE title for the quota
of a day, which the rows of instances are kept by. Speed is limited by reading later, so that TCP slows the sender down
and nothing is lost. What is refused is named and counted. For STOW-RS a request stands for an association, and who is
signed in for the AE title (dicom_node.dicomweb.visit).
"""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from dicom_node.negotiation import LOCAL_LIMIT_EXCEEDED, Rejection
from dicom_node.pdu import PeerGone
from dicom_node.tables import instances

ADDRESS_LIMIT_EXCEEDED = replace(LOCAL_LIMIT_EXCEEDED, word="address_limit")
AE_TITLE_LIMIT_EXCEEDED = replace(LOCAL_LIMIT_EXCEEDED, word="ae_title_limit")
"""The same values on the wire, told apart in metrics and logs."""
HEARD_OVER_LIMIT = 4
"""Connections of an address over its limit that are still heard, to be told so; further ones are closed at once."""
BURST_S = 1.0
"""A peer that was silent may send so much at once, in seconds of its rate."""
LONGEST_WAIT_S = 5.0
"""Before a unit is read; shorter than any sender's timeout."""
DAY_S = 86_400.0
KEEPALIVE_IDLE_S, KEEPALIVE_EVERY_S, KEEPALIVE_TRIES = 60, 15, 4
"""When the system asks a silent peer whether it is there: a peer whose machine died is found after two minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerLimits:
    """What each peer may take; 0: no limit."""

    associations_per_address: int = 0
    associations_per_ae_title: int = 0
    bytes_per_second: float = 0.0
    """Of an address, all its associations together."""
    bytes_per_day: int = 0
    """Of an AE title, by UTC."""
    least_bytes_per_second: float = 0.0
    """A message that comes slower than this, on average, is one that holds an association on purpose or in vain."""
    patience_s: float = 60.0
    """How long a message may take before its speed is looked at."""


class TooSlow(PeerGone):
    """The peer sends, and so slowly that its message would never end."""


@dataclass(slots=True)
class _Bucket:
    """Tokens are bytes; below zero is what was read too early."""

    rate: float
    tokens: float
    at: float

    def take(self, count: int, now: float) -> float:
        """Take tokens; how long to wait until they would have been there."""
        self.tokens = min(self.rate * BURST_S, self.tokens + (now - self.at) * self.rate) - count
        self.at = now
        return max(0.0, -self.tokens / self.rate)


class Limits:
    """Counts for all associations of a process. Thread-safe."""

    def __init__(
        self,
        limits: PeerLimits,
        engine: Engine | None,
        *,
        count: Callable[[str, int], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Begin without any peer.

        Args:
            limits: what each may take.
            engine: of the rows by which the bytes of a day are counted after a restart; None: they begin anew.
            count: of the receiver's metrics.
            clock: seconds since the epoch.
        """
        self.limits = limits
        self._engine = engine
        self.count = count
        self._clock = clock
        self._lock = threading.Lock()
        self._by_address: Counter[str] = Counter()
        self._by_ae_title: Counter[str] = Counter()
        self._buckets: dict[str, _Bucket] = {}
        self._today = -1
        self._of_day: dict[str, int] = {}

    def admit(self, address: str) -> Guest | None:
        """A new connection; None: to be closed at once."""
        most = self.limits.associations_per_address
        with self._lock:
            count = self._by_address[address]
            if most and count >= most + HEARD_OVER_LIMIT:
                return None
            self._by_address[address] += 1
        return Guest(limits=self, address=address, has_place=not most or count < most)

    def leave(self, address: str, ae_title: str | None) -> None:
        """A connection is over."""
        with self._lock:
            for counter, key in ((self._by_address, address), (self._by_ae_title, ae_title)):
                if key is not None:
                    counter[key] -= 1
                    if counter[key] <= 0:
                        del counter[key]
            if address not in self._by_address:
                self._buckets.pop(address, None)

    def seat(self, ae_title: str) -> bool:
        """Whether one more association of that AE title may be."""
        most = self.limits.associations_per_ae_title
        with self._lock:
            if most and self._by_ae_title[ae_title] >= most:
                return False
            self._by_ae_title[ae_title] += 1
            return True

    def wait_s(self, address: str, count: int) -> float:
        """How long to wait after so many bytes of that address."""
        rate = self.limits.bytes_per_second
        if not rate:
            return 0.0
        now = time.monotonic()
        with self._lock:
            bucket = self._buckets.setdefault(address, _Bucket(rate, rate * BURST_S, now))
            return min(bucket.take(count, now), LONGEST_WAIT_S)

    def is_over_quota(self, ae_title: str) -> bool:
        """Whether that AE title has sent its bytes of today."""
        most = self.limits.bytes_per_day
        return bool(most) and self._sent_today(ae_title) >= most

    def add_to_quota(self, ae_title: str, count: int) -> None:
        """So many bytes of data sets came."""
        if self.limits.bytes_per_day:
            sent = self._sent_today(ae_title)
            with self._lock:
                self._of_day[ae_title] = max(sent, self._of_day.get(ae_title, 0)) + count

    def _sent_today(self, ae_title: str) -> int:
        day = int(self._clock() // DAY_S)
        with self._lock:
            if day != self._today:
                self._today, self._of_day = day, {}
            known = self._of_day.get(ae_title)
        if known is not None:
            return known
        kept = self._kept_since(ae_title, day * DAY_S)
        with self._lock:
            return self._of_day.setdefault(ae_title, kept)

    def seconds_until_midnight(self) -> float:
        """UTC: when the quotas begin anew."""
        return DAY_S - self._clock() % DAY_S

    def _kept_since(self, ae_title: str, since: float) -> int:
        """What the rows say; 0 where the database does not answer: a quota is no reason to lose an instance."""
        if self._engine is None:
            return 0
        columns = (instances.c.source_ae_title == ae_title, instances.c.received_at >= since)
        query = select(func.coalesce(func.sum(instances.c.size_bytes), 0)).where(*columns)
        try:
            with self._engine.connect() as connection:
                return int(connection.execute(query).scalar_one())
        except SQLAlchemyError:
            return 0


@dataclass(slots=True, kw_only=True)
class Guest:
    """One connection, as the limits see it. Used by one thread."""

    limits: Limits
    address: str
    has_place: bool
    """False: over the limit of its address; to be rejected."""
    _ae_title: str | None = None
    _began: float | None = None
    """When the message that is arriving began."""
    _bytes: int = 0
    """Of it."""

    def rejection(self, ae_title: str) -> Rejection | None:
        """Why the association of that AE title is not accepted; None where it is, and counts from now on."""
        if not self.has_place:
            return ADDRESS_LIMIT_EXCEEDED
        if not self.limits.seat(ae_title):
            return AE_TITLE_LIMIT_EXCEEDED
        self._ae_title = ae_title
        return None

    def received(self, count: int) -> float:
        """A unit was read; how many seconds to wait before the next, where the peer is too fast.

        Raises:
            TooSlow: its message comes too slowly to be meant.
        """
        now = time.monotonic()
        self._began = now if self._began is None else self._began
        self._bytes += count
        taken, rules = now - self._began, self.limits.limits
        if taken > rules.patience_s and self._bytes < rules.least_bytes_per_second * taken:
            raise TooSlow(f"{self._bytes} bytes in {taken:.0f} s, less than the least", timed_out=True)
        wait = self.limits.wait_s(self.address, count)
        if wait > 0:
            self.limits.count("throttled_milliseconds", int(wait * 1000))
            self._began += wait  # ours, not the peer's
        return wait

    def ended_message(self) -> None:
        """A whole message was served."""
        self._began, self._bytes = None, 0

    def is_over_quota(self) -> bool:
        """Whether this peer has sent its bytes of today."""
        return self._ae_title is not None and self.limits.is_over_quota(self._ae_title)

    def sent(self, count: int) -> None:
        """So many bytes of a data set came."""
        if self._ae_title is not None:
            self.limits.add_to_quota(self._ae_title, count)

    def leave(self) -> None:
        """The connection is over."""
        self.limits.leave(self.address, self._ae_title)


def keep_alive(connection: socket.socket) -> None:
    """Let the system find out that a peer is gone which can no longer say so (a half-open connection).

    Raises:
        OSError: it is closed already.
    """
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_EVERY_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_TRIES)
