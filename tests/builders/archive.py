"""An archive by pynetdicom that takes some SOP classes only, and remembers every C-STORE that it answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from builders.peers import LOOPBACK


@dataclass(slots=True, kw_only=True)
class Archive:
    """A running archive."""

    port: int
    received: list[Dataset] = field(default_factory=list)
    """In the order of arrival; an instance that came twice is here twice."""

    def of(self, modality: str) -> list[Dataset]:
        """What arrived of one modality."""
        return [dataset for dataset in self.received if dataset.Modality == modality]


@contextmanager
def archive(port: int, sop_classes: Sequence[str], *, ae_title: str = "ARCHIVE") -> Iterator[Archive]:
    """Listen on a port of loopback until the block ends."""
    running = Archive(port=port)

    def store(event: Any) -> int:
        running.received.append(event.dataset)
        return 0x0000

    entity = AE(ae_title=ae_title)
    for sop_class in sop_classes:
        entity.add_supported_context(sop_class)
    server = entity.start_server((LOOPBACK, port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    assert server is not None
    try:
        yield running
    finally:
        server.shutdown()
