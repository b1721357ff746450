"""Keeps the search index of DICOMweb up, so that a search rarely has to wait for files to be read."""

from __future__ import annotations

import threading

from dicom_node.dicomweb.index import SearchIndex
from server.events import fault

LOOK_S = 2.0
"""Time between two looks: what was received in between is read by the search that asks for it."""
STRETCH_S = 1.0
"""How long it reads before it looks whether it should stop."""


class Indexer:
    """A thread that reads the headers of what was received."""

    def __init__(self, index: SearchIndex) -> None:
        """Nothing runs before ``start``."""
        self._index = index
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
                is_complete = self._index.refresh(budget_s=STRETCH_S)
            except Exception as error:  # noqa: BLE001 - a boundary: a lost connection must not end the thread
                fault("indexing_fault", error)
                is_complete = True
