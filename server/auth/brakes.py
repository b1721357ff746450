"""Brakes: how often something may be tried, in memory, with a bound on how much is remembered.

Failed logins count three ways. For one name from one address: a few, then a pause. For one address, whatever the
name: more, then a pause. For one name from everywhere: more again, then a pause, but not for an address from which
that user has signed in lately. So guessing is slow, from one machine or from many; somebody who fails on purpose stops
a user at his own address only; and from one address he stops a few names, never everybody.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

_REMEMBERED = 10_000


@dataclass(slots=True)
class _Bucket:
    tokens: float
    updated: float


class Brake:
    """A token bucket for each key: `limit` at once, and as many again in `window_s` seconds."""

    def __init__(self, limit: int, window_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is spent yet."""
        self._limit = float(limit)
        self._rate = limit / window_s
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def spend(self, key: str) -> float:
        """Take one; returns 0, or the seconds until one is there again."""
        with self._lock:
            bucket = self._bucket(key)
            if bucket.tokens < 1.0:
                return (1.0 - bucket.tokens) / self._rate
            bucket.tokens -= 1.0
            return 0.0

    def wait(self, key: str) -> float:
        """The seconds until one is there, without taking it."""
        with self._lock:
            return max(0.0, (1.0 - self._bucket(key).tokens) / self._rate)

    def give_back(self, key: str) -> None:
        """Put one back that was taken."""
        with self._lock:
            bucket = self._bucket(key)
            bucket.tokens = min(self._limit, bucket.tokens + 1.0)

    def forget(self, key: str) -> None:
        """Start again for that key."""
        with self._lock:
            self._buckets.pop(key, None)

    def _bucket(self, key: str) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.pop(key, None) or _Bucket(self._limit, now)
        bucket.tokens = min(self._limit, bucket.tokens + (now - bucket.updated) * self._rate)
        bucket.updated = now
        self._buckets[key] = bucket
        if len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)
        return bucket


PAIR_LIMIT, ADDRESS_LIMIT, NAME_LIMIT = 5, 30, 50
WINDOW_S = 900.0
"""OWASP Authentication Cheat Sheet leaves the numbers to the site; five tries in a quarter of an hour forgive a
forgotten password and allow 480 guesses a day."""


class LoginBrake:
    """The three counts of failed logins."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Nobody has failed yet."""
        self._pair = Brake(PAIR_LIMIT, WINDOW_S, clock=clock)
        self._address = Brake(ADDRESS_LIMIT, WINDOW_S, clock=clock)
        self._name = Brake(NAME_LIMIT, WINDOW_S, clock=clock)
        self._lock = threading.Lock()
        self._known: OrderedDict[str, None] = OrderedDict()

    def try_once(self, name: str, address: str) -> float:
        """Count one try before the password is compared; returns 0, or the seconds to wait.

        A try counts until it has succeeded, so that many at the same moment are not many guesses.
        """
        pair = f"{address} {name}"
        brakes = [(self._pair, pair)]
        with self._lock:
            if pair not in self._known:
                brakes += [(self._address, address), (self._name, name)]
            waits = [brake.wait(key) for brake, key in brakes]
            if max(waits) > 0.0:
                return max(waits)
            for brake, key in brakes:
                brake.spend(key)
        return 0.0

    def succeeded(self, name: str, address: str) -> None:
        """Forget the tries of this pair, and know the address from now on."""
        pair = f"{address} {name}"
        with self._lock:
            if pair not in self._known:
                self._address.give_back(address)
                self._name.give_back(name)
            self._pair.forget(pair)
            self._known.pop(pair, None)
            self._known[pair] = None
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
