"""An archive by pynetdicom that takes some SOP classes only, and remembers every C-STORE that it answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from builders.peers import LOOPBACK


class Moment(StrEnum):
    """When an archive may make its peer wait."""

    REQUESTED = "requested"
    """The association is requested and not answered."""
    STORED = "stored"
    """An instance is received and not answered."""


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
def archive(
    port: int,
    sop_classes: Sequence[str],
    *,
    ae_title: str = "ARCHIVE",
    host: str = LOOPBACK,
    pause: Callable[[Moment], None] = lambda _moment: None,
) -> Iterator[Archive]:
    """Listen until the block ends; ``pause`` is called at each moment of each association, and may take its time."""
    running = Archive(port=port)

    def store(event: Any) -> int:
        running.received.append(event.dataset)
        pause(Moment.STORED)
        return 0x0000

    entity = AE(ae_title=ae_title)
    for sop_class in sop_classes:
        entity.add_supported_context(sop_class)
    handlers = [(evt.EVT_REQUESTED, lambda _event: pause(Moment.REQUESTED)), (evt.EVT_C_STORE, store)]
    server = entity.start_server((host, port), block=False, evt_handlers=handlers)
    assert server is not None
    try:
        yield running
    finally:
        server.shutdown()
