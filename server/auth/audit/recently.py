"""What was recorded lately, so that the same again adds no row."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock
from time import monotonic

from server.auth.audit.record import AuditRecord

ONCE_IN_S = 600.0
"""A study that is read image by image is one access: the same user, address, kind and study again within this time
add no row."""
_REMEMBERED = 10_000


@dataclass(slots=True)
class Recently:
    """What was recorded within the last ten minutes."""

    seen: OrderedDict[tuple[str, ...], float] = field(default_factory=OrderedDict)
    lock: Lock = field(default_factory=Lock)

    def is_known(self, key: tuple[str, ...]) -> bool:
        """Whether it was seen within that time."""
        with self.lock:
            at = self.seen.get(key)
        return at is not None and monotonic() - at <= ONCE_IN_S

    def is_new(self, key: tuple[str, ...]) -> bool:
        """Whether it was not seen within that time; remembers it."""
        now = monotonic()
        with self.lock:
            at = self.seen.pop(key, None)
            is_new = at is None or now - at > ONCE_IN_S
            self.seen[key] = now if is_new or at is None else at
            if len(self.seen) > _REMEMBERED:
                self.seen.popitem(last=False)
        return is_new

    def forget(self, key: tuple[str, ...]) -> None:
        """It was not recorded after all."""
        with self.lock:
            self.seen.pop(key, None)


def key_of(record: AuditRecord) -> tuple[str, ...]:
    """What makes two records the same access."""
    return (record.kind.value, record.outcome.value, record.subject, record.address, record.object, *record.studies)
