"""Unfinished files of the spool: one folder for each process, and the lock that says that the process lives."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class TmpArea:
    """One process's folder for unfinished files, and the lock that says that the process lives."""

    def __init__(self, folder: Path, lock_descriptor: int) -> None:
        """Take over a folder and the descriptor that locks it."""
        self._folder = folder
        self._lock_descriptor = lock_descriptor

    @classmethod
    def open(cls, parent: Path) -> TmpArea:
        """Make a folder below `parent` and lock it.

        Raises:
            OSError: it cannot be made.
        """
        while True:
            folder = parent / f"{host_part()}{uuid.uuid4().hex}"
            lock = folder.with_suffix(".lock")
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # A sweep may have locked and removed the file between the two calls: then this lock protects nothing.
            if lock.exists() and lock.stat().st_ino == os.fstat(descriptor).st_ino:
                folder.mkdir(mode=0o700)
                return cls(folder, descriptor)
            os.close(descriptor)

    def new_path(self) -> Path:
        """A path in it that nothing has."""
        return self._folder / uuid.uuid4().hex

    def close(self) -> None:
        """Remove it, with what is in it."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.with_suffix(".lock").unlink(missing_ok=True)
        os.close(self._lock_descriptor)


@contextmanager
def locked(lock: Path) -> Iterator[bool]:
    """Whether the lock file was free; held while the block runs."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def host_part() -> str:
    """What the names of this host's unfinished files begin with."""
    return f"{socket.gethostname().replace('.', '-')}@"
