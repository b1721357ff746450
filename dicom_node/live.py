"""A value that follows its files: what is written into them counts without a restart."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from inference.errors import SettingRefusal

T = TypeVar("T")


class Live(Generic[T]):
    """A value made of files, as they are now or as they last could be used.

    What cannot be used keeps the value that could, and is named in `fault` until the files are in order again: a
    certificate and its key are two files, which nobody replaces in the same moment. Thread-safe.
    """

    def __init__(self, paths: Sequence[Path], build: Callable[[], T]) -> None:
        """Make the first value.

        Raises:
            SettingRefusal: a file cannot be used.
        """
        self._paths = paths
        self._build = build
        self._lock = threading.Lock()
        self._stamps = _stamps(paths)
        self._value = build()
        self._fault: str | None = None

    def current(self) -> T:
        """The value of the files as they are, or of the last ones that could be used; costs one `stat` a file."""
        with self._lock:
            stamps = _stamps(self._paths)
            if stamps != self._stamps or self._fault is not None:
                self._load(stamps)
            return self._value

    @property
    def fault(self) -> str | None:
        """One sentence where the files cannot be used as they are now."""
        self.current()
        return self._fault

    def _load(self, stamps: tuple[object, ...]) -> None:
        try:
            self._value, self._fault = self._build(), None
        except SettingRefusal as refusal:
            self._fault = f"{refusal.sentence.rstrip('.')}; what was read before is still used."
        self._stamps = stamps


def _stamps(paths: Sequence[Path]) -> tuple[object, ...]:
    """What changes when a file is written or replaced."""
    found: list[object] = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            found.append(None)
        else:
            found.append((status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(found)
