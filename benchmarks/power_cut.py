"""``python -m benchmarks.power_cut``: power cuts while instances arrive, as many as one likes (needs root and FUSE).

A receiver writes to an ext4 file system whose disk keeps only what was flushed (``builders.power_disk``). At random
acknowledgements the power is cut: a random share of the blocks that were written and not flushed is kept. The receiver
starts again on what is left. It ends with an error when an acknowledged instance is lost.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from builders.cuts import cut_again_and_again
from builders.power import why_not
from builders.receiving import serve_for_ever


def main(
    *,
    cuts: Annotated[int, typer.Option(min=1, help="How often the power is cut.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the moments, and of what the disk keeps.")] = 1,
) -> None:
    """Cut, restart, look."""
    console = Console()
    if sentence := why_not():
        console.print(f"No power can be cut here: {sentence}.")
        raise typer.Exit(2)
    with tempfile.TemporaryDirectory(prefix="spine-cuts-") as name, console.status("") as status:
        result = cut_again_and_again(Path(name), serve_for_ever, cuts=cuts, seed=seed, say=status.update)
    console.print(f"{cuts} power cuts: {result.acknowledged} acknowledged instances, {len(result.lost)} lost.")
    if result.lost:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
