"""Make files and directories survive a power cut: the one place that knows the order of fsync and rename.

A file is durable when its data is synced, it has been renamed into place, and the directory that names it is synced;
a new directory is durable when its parent is synced (the guarantees of POSIX fsync and rename, nothing more).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

REMEMBERED_DIRECTORIES = 10_000
"""How many directories are remembered as durable before the memory is emptied; only speed depends on it."""


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class DurableTree:
    """The directories below one root. Safe for use by several threads and several processes."""

    def __init__(self, root: Path) -> None:
        """Remember the root; nothing is created before it is needed."""
        self.root = root
        self._durable: set[Path] = set()
        self._lock = threading.Lock()

    def ensure(self, directory: Path) -> None:
        """Create a directory below the root, durably; one that another process made is synced all the same."""
        with self._lock:
            if directory in self._durable and directory.is_dir():
                return
        missing_first = [directory, *directory.parents]
        levels = missing_first[: missing_first.index(self.root) + 1]
        for level in reversed(levels):
            level.mkdir(parents=level == self.root, exist_ok=True)
            sync_directory(level.parent)
        with self._lock:
            if len(self._durable) >= REMEMBERED_DIRECTORIES:
                self._durable.clear()
            self._durable.update(levels)

    def rename(self, source: Path, target: Path) -> None:
        """Move a file whose data is already synced into place, durably; replaces what is there."""
        self.rename_all([(source, target)])

    def rename_all(self, moves: Sequence[tuple[Path, Path]]) -> None:
        """Move files, sources and targets, whose data is synced already into place, each folder synced once."""
        for source, target in moves:
            self.ensure(target.parent)
            try:
                source.rename(target)
            except FileNotFoundError:  # an empty folder may be removed at any moment
                self.ensure(target.parent)
                source.rename(target)
        for folder in {target.parent for _, target in moves}:
            sync_directory(folder)
