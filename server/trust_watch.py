"""What a process says of the files that it believes: when certificates end, and what cannot be used as it is now."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dicom_node.certificates import expiries
from dicom_node.live import Live
from dicom_node.tls import TlsFiles
from server.events import fault
from server.processes import Health


@dataclass(slots=True, kw_only=True)
class TrustWatch:
    """Looked at with every sign of life; says in the log what is new."""

    files: Mapping[str, TlsFiles]
    """By what they are for: ``dicom``, ``http``."""
    warning_days: float
    live: Mapping[str, Live[Any]] = field(default_factory=dict)
    """What follows its files, by the event that says that they cannot be used."""
    _said: set[str] = field(default_factory=set)

    def __call__(self) -> Health:
        """As of now."""
        now = time.time()
        found = {f"{use}_{end.use}": end for use, files in self.files.items() for end in expiries(files)}
        ended = [end for end in found.values() if end.days_left(now) < 0]
        ending = [end for end in found.values() if end not in ended and end.is_near(now, self.warning_days)]
        broken = {name: live.fault for name, live in self.live.items() if live.fault is not None}
        for name, sentence in broken.items():
            self._say(name, [sentence])
        self._say("tls_file_ended", [end.sentence(now) for end in ended])
        self._say("tls_file_ends_soon", [end.sentence(now) for end in ending])
        unusable = [end for end in ended if end.use != "authorities"]  # a bundle may hold others that are still good
        noted = min((*ended, *ending), key=lambda end: end.ends_at, default=None)
        return Health(
            fault=unusable[0].sentence(now) if unusable else None,
            warning=next(iter(broken.values()), None if noted is None else noted.sentence(now)),
            expiries={use: end.ends_at for use, end in found.items()},
        )

    def _say(self, name: str, sentences: list[str]) -> None:
        for sentence in sentences:  # each counts whole days, so that it is said once a day
            if sentence not in self._said:
                self._said.add(sentence)
                fault(name, reason=sentence)
