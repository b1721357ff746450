"""What the worker's child process does first: load the models once, or say why they cannot be used."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from functools import partial

from inference.errors import PeerFailure, Refusal
from server.events import configure, fault
from server.kernel import Value, Work
from server.memory import keep_freed_memory, spare_lasting_objects
from server.settings import Settings


@dataclass(frozen=True, slots=True)
class ReaderFactory:
    """Makes the child's work; picklable, because the child is spawned."""

    settings: Settings

    def __call__(self) -> Work:
        """Load the models, in the child; where one is refused, every study fails with that sentence."""
        # What reads is imported in the child alone: the worker itself stays small, and starts sooner.
        from server.detectors import load  # noqa: PLC0415
        from server.study_reader import StudyReader  # noqa: PLC0415

        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
        configure(self.settings.log_level)
        keep_freed_memory()
        try:
            reader = StudyReader(self.settings, load(self.settings))
        except PeerFailure as failure:  # each study asks again
            fault("inference_server_away", failure, reason=str(failure))
            return StudyReader(self.settings, None)
        except Refusal as refusal:
            fault("models_refused", reason=refusal.sentence)
            return partial(_cannot_read, f"The models cannot be used: {refusal.sentence}")
        spare_lasting_objects()
        return reader


def _cannot_read(reason: str, _request: Value) -> Value:
    return {"state": "failed", "reason": reason}
