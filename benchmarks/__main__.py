"""``python -m benchmarks``: run everything, print the tables, write the JSON."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.claims import measure_claims
from benchmarks.dicomweb import measure_web
from benchmarks.engines import measure_engines
from benchmarks.ingest import measure_ingest
from benchmarks.latency import measure_latency
from benchmarks.reading import measure_reading
from benchmarks.report import as_json, show
from benchmarks.sending import measure_sending

REPORT_WIDTH = 120
"""Columns of the tables where there is no terminal."""


def main(
    *,
    out: Annotated[Path, typer.Option(help="Where the JSON goes.")] = Path("build/bench.json"),
    folder: Annotated[Path | None, typer.Option(help="Work on the disk of this folder.")] = None,
    rounds: Annotated[int, typer.Option(min=1, max=10, help="Times that each case is run.")] = 3,
    studies: Annotated[int, typer.Option(min=0, max=10, help="Studies of the latency measurement.")] = 3,
    engine_runs: Annotated[int, typer.Option(min=1, help="Timed runs of each inference engine.")] = 20,
) -> None:
    """Measure the node beside Orthanc and storescp, on loopback, in a few minutes."""
    console = Console(width=None if sys.stdout.isatty() else REPORT_WIDTH)
    with tempfile.TemporaryDirectory(dir=folder, prefix="spine-bench-") as name, console.status("") as status:
        ingest = measure_ingest(Path(name), rounds=rounds, say=status.update)
        sending = measure_sending(Path(name) / "sending", rounds=rounds, say=status.update)
        latency_s = measure_latency(Path(name) / "latency", studies=studies, say=status.update) if studies else {}
        engines_s = measure_engines(runs=engine_runs, threads=os.cpu_count() or 1, say=status.update)
        readings = measure_reading(Path(name) / "reading", runs=rounds, say=status.update)
        web = measure_web(Path(name) / "web", rounds=rounds, say=status.update)
        claims = measure_claims(say=status.update)
    results = as_json(ingest, latency_s, engines_s, readings, web, claims=claims, sending=sending)
    show(results, console)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, indent=2) + "\n")
    console.print(f"written: {out}")


if __name__ == "__main__":
    typer.run(main)
