"""``python -m benchmarks.soak``: a day's studies in an hour, from four sources, while the archive comes and goes.

Small generated studies arrive at random moments beside garbage; the archive is down half of the time, for up to a
tenth of it at once. It ends with an error when an acknowledged instance is lost, or a report is missing or doubled, and
prints whether reading times and memory stayed what they were.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from builders.soak import soak


def main(
    *,
    minutes: Annotated[float, typer.Option(min=0.2, help="How long studies arrive.")] = 60.0,
    studies: Annotated[int, typer.Option(min=4, help="How many arrive in that time.")] = 400,
    seed: Annotated[int, typer.Option(help="Of the moments.")] = 1,
) -> None:
    """Send, fail, look."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="spine-soak-") as name:
        result = soak(Path(name), minutes=minutes, count=studies, seed=seed, say=console.log)
    console.print(
        f"{studies} studies in {minutes:g} minutes: {result.instances} acknowledged instances, 0 lost; "
        f"{result.reports} reports, each once at the archive."
    )
    console.print(f"Hand-over to the end of reading, median: {result.early_s:.1f} s, then {result.late_s:.1f} s.")
    for role, (early, late) in sorted(result.memory_mib.items()):
        console.print(
            f"Resident memory, {role}: {early:.0f} MiB after a quarter of the time, {late:.0f} MiB at the end."
        )


if __name__ == "__main__":
    typer.run(main)
