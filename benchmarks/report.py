"""The results as a table for people and as JSON for programs."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.claims import claims_table
from benchmarks.dicomweb import WebResult, web_as_json, web_table
from benchmarks.engines import engine_table, engines_as_json
from benchmarks.ingest import Case, IngestResult, ingest_as_json, ingest_table
from benchmarks.reading import Reading, reading_table
from benchmarks.receivers import RECEIVERS
from benchmarks.sending import sending_as_json, sending_table


def as_json(
    ingest: Sequence[IngestResult],
    latency_s: Mapping[str, Sequence[float]],
    engines_s: Mapping[str, Sequence[float]],
    readings: Sequence[Reading],
    web: Mapping[str, WebResult],
    *,
    claims: Mapping[str, Any],
    sending: Mapping[Case, Mapping[str, float]],
) -> dict[str, Any]:
    """Every figure of the run; ratios are of medians."""
    return {
        "schema": "spine-bench/1",
        "machine": {
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "load_average": os.getloadavg(),
        },
        "ingest": ingest_as_json(ingest),
        "receivers": {
            receiver.name: {
                "durable": receiver.durable,
                "start_s": _median(ingest, receiver.name, "start_s"),
                "restart_s": _median(ingest, receiver.name, "restart_s"),
                "resident_mib_idle": _median(ingest, receiver.name, "resident_mib_idle"),
                "resident_mib_after": _median(ingest, receiver.name, "resident_mib_after"),
            }
            for receiver in RECEIVERS
        },
        "latency_s": {kind: [round(value, 2) for value in seconds] for kind, seconds in latency_s.items()},
        "engines": engines_as_json(engines_s),
        "reading": [asdict(reading) for reading in readings],
        "dicomweb": web_as_json(web),
        "claims": dict(claims),
        "sending": sending_as_json(sending),
    }


def _median(ingest: Sequence[IngestResult], receiver: str, name: str) -> float:
    values = [value for result in ingest if result.receiver == receiver for value in getattr(result, name)]
    return round(statistics.median(values), 2)


def show(results: dict[str, Any], console: Console) -> None:
    """Print the tables."""
    console.print(ingest_table(results["ingest"]))
    console.print(sending_table(results["sending"]))
    table = Table(
        "receiver", "synced before the acknowledgement", "first start, s", "restart, s", "idle, MiB", "after, MiB"
    )
    for name, row in results["receivers"].items():
        seconds = [f"{row[key]:.2f}" for key in ("start_s", "restart_s")]
        mib = [f"{row[key]:.0f}" for key in ("resident_mib_idle", "resident_mib_after")]
        table.add_row(name, row["durable"], *seconds, *mib)
    console.print(table)
    for kind, values in results["latency_s"].items():
        seconds = ", ".join(f"{value:.1f}" for value in values)
        console.print(f"seconds from the end of the quiet period to the SR at the peer, 30-slice MR, {kind}: {seconds}")
    console.print(engine_table(results["engines"]))
    console.print(reading_table(results["reading"]))
    console.print(web_table(results["dicomweb"]))
    console.print(claims_table(results["claims"]))
