"""Keeps the search index of DICOMweb and the worklist up, so that who asks rarely waits for files to be read."""

from __future__ import annotations

import threading
from typing import Protocol

from server.events import fault

LOOK_S = 2.0
"""Time between two looks: what was received in between is read by the search that asks for it."""
STRETCH_S = 1.0
"""How long it reads before it looks whether it should stop."""


class Index(Protocol):
    """What is made from files that were written since."""

    def refresh(self, *, budget_s: float) -> bool:
        """Read for about so long; returns whether nothing is missing any more."""
        ...


class Indexer:
    """A thread that reads what was received, and what was found in it."""

    def __init__(self, *indexes: Index) -> None:
        """Nothing runs before ``start``."""
        self._indexes = indexes
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="indexer", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        is_complete = True
        while not self._stopping.wait(LOOK_S if is_complete else 0):
            try:
                left = [index for index in self._indexes if not index.refresh(budget_s=STRETCH_S)]
                is_complete = not left
            except Exception as error:  # noqa: BLE001 - a boundary: a lost connection must not end the thread
                fault("indexing_fault", error)
                is_complete = True
