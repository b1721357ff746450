"""``python -m benchmarks.fuzz``: broken units at a receiver, a million by default.

Ends with an error when the receiver dies, keeps a connection that was ended, or logs a traceback; prints its memory.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from builders.pdu_fuzz import fuzz


def main(
    *,
    units: Annotated[int, typer.Option(min=10, help="How many units are sent.")] = 1_000_000,
    seed: Annotated[int, typer.Option(help="Of the faults.")] = 1,
) -> None:
    """Send, look."""
    console = Console()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="spine-fuzz-") as name:
        result = fuzz(Path(name), units=units, seed=seed, say=console.log)
    early, late = result.memory_mib
    console.print(
        f"{result.units} units in {result.conversations} conversations, {time.monotonic() - begun:.0f} s: "
        f"{result.tracebacks} tracebacks; resident memory {early:.0f} MiB after a fifth, {late:.0f} MiB at the end."
    )
    if result.tracebacks:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
