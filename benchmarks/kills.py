"""``python -m benchmarks.kills``: kill -9 of receiver and worker at random moments, as often as one likes.

The test suite kills 50 times; this command does it longer. Small generated studies are sent all the while, a
worker reads them, and a DICOM archive on loopback takes the reports. It ends with an error when an acknowledged
instance is lost, or a report is missing or doubled.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from builders.kills import kill_again_and_again


def main(
    *,
    kills: Annotated[int, typer.Option(min=1, help="How often a process is killed.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the moments.")] = 1,
) -> None:
    """Kill, restart, look."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="spine-kills-") as name, console.status("") as status:
        result = kill_again_and_again(Path(name), kills=kills, seed=seed, say=status.update)
    console.print(
        f"{kills} kills: {result.instances} acknowledged instances, 0 lost; {result.reports} reports, "
        f"each once at the archive; {result.retried} studies given up on the way and retried."
    )


if __name__ == "__main__":
    typer.run(main)
