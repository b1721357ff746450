"""A gate around sending, for tests: lets so many files out, and notes what it was asked and told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from dicom_node.delivery import SendOutcome
from server.fence import Overtaken


@dataclass(slots=True)
class CountingGate:
    """dicom_node.delivery.Gate that closes after so many files."""

    left: int
    asked: list[str] = field(default_factory=list)
    """``before NAME`` and ``after NAME``, in order."""

    def before(self, file: Path, /) -> None:
        """Let the file out, or not."""
        if self.left == 0:
            raise Overtaken("closed")
        self.left -= 1
        self.asked.append(f"before {file.stem}")

    def after(self, file: Path, outcome: SendOutcome, /) -> None:
        """Note the answer."""
        self.asked.append(f"after {file.stem}: {outcome.verdict}")
