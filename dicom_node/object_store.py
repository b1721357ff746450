"""Where hosts find each other's files that share no folder: an object store, and what a host keeps of it for reading.

An object has the name that its file has below the spool's root, and never changes: names hold a digest of the content,
or a number that is used once. So a copy is as good as the object, and writing an object again is harmless.

    cache/<name>        what this host has read, or has put there; goes when it was not read for a day, or for room
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from inference.errors import PeerFailure

CACHE = "cache"
KEPT_S = 86_400.0
"""A copy that was not read for so long goes: so what was deleted is nowhere a day later. Our choice."""
IN_USE_S = 600.0
"""A copy that was read so recently stays, whatever room it takes: a step may be reading it."""
RENAME_TRIES = 3
"""An empty folder may be removed between making it and using it."""


class ObjectStoreFailure(PeerFailure):
    """The object store did not do what it was asked to; the sentence names no object, whose name holds UIDs."""


class ObjectStore(Protocol):
    """The port. Thread-safe; every method raises ObjectStoreFailure where the store does not answer or refuses."""

    def put(self, name: str, path: Path) -> None:
        """Make a file an object; durable when this returns."""

    def get(self, name: str, target: Path) -> bool:
        """Write an object to a new file; False where there is none. What was read is what was put."""

    def has(self, name: str) -> bool:
        """Whether there is such an object."""

    def remove(self, name: str) -> None:
        """Remove an object; none is no error."""

    def names(self, prefix: str) -> Iterator[str]:
        """The names of all objects that begin so."""


class CachedStore:
    """An object store with copies of its objects in a folder of this host. Thread-safe, and safe among processes."""

    def __init__(self, store: ObjectStore, folder: Path, new_tmp: Callable[[], Path]) -> None:
        """Bring the parts together; nothing is written.

        Args:
            store: the store.
            folder: where copies are kept.
            new_tmp: a new path for an unfinished file, on the same file system.
        """
        self.store = store
        self._folder = folder
        self._new_tmp = new_tmp

    def copy(self, name: str) -> Path | None:
        """The copy that this host has; it is in use from now on. None where it has none."""
        path = self._folder / name
        try:
            os.utime(path)
        except FileNotFoundError:
            return None
        return path

    def find(self, name: str) -> Path | None:
        """A copy of an object, fetched where this host has none; None where there is no such object.

        Raises:
            ObjectStoreFailure: the store does not answer.
            OSError: the copy cannot be written.
        """
        path = self.copy(name)
        if path is not None:
            return path
        tmp = self._new_tmp()
        try:
            return self.keep(name, tmp) if self.store.get(name, tmp) else None
        finally:
            tmp.unlink(missing_ok=True)

    def put(self, name: str, path: Path) -> None:
        """Make a file an object, and then the copy of it.

        Raises:
            ObjectStoreFailure: the store did not take it; the file is where it was.
            OSError: the file is gone.
        """
        self.store.put(name, path)
        self.keep(name, path)

    def keep(self, name: str, path: Path) -> Path:
        """Make a file of this host the copy of an object that there is.

        Raises:
            OSError: it cannot be moved.
        """
        target = self._folder / name
        for attempt in range(RENAME_TRIES):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                path.rename(target)
                break
            except FileNotFoundError:
                if attempt == RENAME_TRIES - 1 or not path.exists():
                    raise
        os.utime(target)
        return target

    def remove(self, name: str) -> None:
        """Remove an object and the copy of this host; those of others go when they were not read for a day.

        Raises:
            ObjectStoreFailure: the store does not answer.
        """
        self.store.remove(name)
        (self._folder / name).unlink(missing_ok=True)

    def trim(self, budget_bytes: int, now: float) -> int:
        """Remove copies that were not read for long, and the longest unread above the budget; returns how many."""
        copies = sorted(self._copies())
        total = sum(size for _, size, _ in copies)
        removed = 0
        for read_at, size, path in copies:
            is_old = now - read_at > KEPT_S
            is_too_much = total > budget_bytes and now - read_at > IN_USE_S
            if not (is_old or is_too_much):
                break
            path.unlink(missing_ok=True)
            with suppress(OSError):  # not empty, or in use again
                path.parent.rmdir()
            total -= size
            removed += 1
        return removed

    def _copies(self) -> Iterator[tuple[float, int, Path]]:
        """When it was read last, size in bytes, and path of each."""
        for folder, _, names in os.walk(self._folder):
            for name in names:
                path = Path(folder) / name
                with suppress(FileNotFoundError):
                    status = path.stat()
                    yield status.st_mtime, status.st_size, path
