"""Claims over HTTP: checks and handed-in claims on a real node, its memory over ten thousand, and whether it answers.

``python -m benchmarks.claims_node`` starts the web role on loopback with one study of 300 slices of 512 x 512. Times
are by the clock, of one client that waits for each answer. While the packet of a claim is made of that study, another
client asks ``/healthz`` all the time.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import func, select

from builders.dicom import SeriesPlan, small_voxels
from builders.node import Node as Running
from builders.posted_claims import claim_json, report_json
from builders.reviews import add_reviewable_study
from server.compose import Node, open_node
from server.database import reading
from server.processes import Role, list_processes
from server.settings_file import load
from server.tables import claims
from server.work_queue import make_client

CHECKS, BULK, EARLY = 300, 10_000, 1_000
SLICES = 300
OPENED = 30
"""Times that the page of one claim is opened."""
HEALTH_EVERY_S = 0.01
IDLE_S = 2.0


def measure_node(folder: Path, *, bulk: int = BULK, say: Callable[[str], None]) -> dict[str, Any]:
    """Times in milliseconds, memory in MiB."""
    say("claims on the node: writing a study")
    plan = SeriesPlan(
        voxels=small_voxels(SLICES, 512, 512), pixel_spacing_mm=(0.5, 0.5), attributes={"StudyDate": "20260510"}
    )
    node = open_node(load({"data_dir": folder / "node" / "data"}))
    client = make_client(node.engine)
    add_reviewable_study(node, client, folder / "series", plan)
    options = {"http-requests-per-minute": 0}
    with (
        Running.started(folder / "node", role="web", options=options) as running,
        httpx.Client(base_url=running.url, timeout=300) as http,
    ):
        result = _measure(node, http, plan, bulk=bulk, say=say)
    client.destroy()
    node.engine.dispose()
    return result


def _measure(
    node: Node, http: httpx.Client, plan: SeriesPlan, *, bulk: int, say: Callable[[str], None]
) -> dict[str, Any]:
    report = report_json(plan.study, plan.study_instance_uid)
    claim = _hand_in(http, claim_json(plan.study))
    http.post(f"/api/v1/claims/{claim}/reports", json=report).raise_for_status()
    say("claims on the node: one claim and its packet")
    result = _one_claim(http, f"/api/v1/claims/{claim}")
    say(f"claims on the node: {bulk} checks and {bulk // 10} claims in a row")
    body = {"claim": claim_json(plan.study, studies=[_study(plan)]), "reports": [report]}
    result |= _bulk(node, http, body, bulk)
    with reading(node.engine) as connection:
        kept = connection.execute(select(func.count()).select_from(claims)).scalar_one()
    assert kept == 1 + (bulk + 9) // 10, "a claim was lost"
    return result


def _one_claim(http: httpx.Client, claim: str) -> dict[str, Any]:
    opened = [_timed(lambda: http.get(f"{claim}/history").raise_for_status()) for _ in range(OPENED)]
    with _health(http) as idle:
        time.sleep(IDLE_S)
    with _health(http) as busy:
        made = _timed(lambda: http.get(f"{claim}/packet").raise_for_status())
    again = [_timed(lambda: http.get(f"{claim}/packet").raise_for_status()) for _ in range(OPENED)]
    return {
        "opened_p50_ms": round(statistics.median(opened), 1),
        "packet_made_ms": round(made, 1),
        "packet_again_p50_ms": round(statistics.median(again), 1),
        "health_idle_p95_ms": round(_p95(idle), 1),
        "health_busy_p50_ms": round(statistics.median(busy), 1),
        "health_busy_p95_ms": round(_p95(busy), 1),
        "health_busy_max_ms": round(max(busy), 1),
    }


def _bulk(node: Node, http: httpx.Client, body: dict[str, Any], bulk: int) -> dict[str, Any]:
    """Checks in a row, and between them a tenth as many claims that are handed in and kept."""

    def check() -> None:
        answer = http.post("/api/v1/claims/check", json=body).raise_for_status()
        assert answer.json()["evidence"]["verdict"] == "SUPPORTS"

    check()
    checked = [_timed(check) for _ in range(CHECKS)]
    early, began = 0.0, time.perf_counter()
    for number in range(bulk):
        check()
        if number % 10 == 0:
            _hand_in(http, claim_json(f"nobody {number}", number=f"B-{number}"))
        if number == min(EARLY, bulk) - 1:
            early = _resident_mib(node)
    seconds = time.perf_counter() - began
    return {
        "check_p50_ms": round(statistics.median(checked), 1),
        "check_p95_ms": round(_p95(checked), 1),
        "bulk": bulk,
        "bulk_per_s": round(bulk / seconds, 1),
        "resident_mib_early": round(early, 1),
        "resident_mib_end": round(_resident_mib(node), 1),
    }


def _hand_in(http: httpx.Client, claim: Mapping[str, Any]) -> str:
    headers = {"Idempotency-Key": f"bench {claim['id']}"}
    answer = http.post("/api/v1/claims", json=claim, headers=headers).raise_for_status()
    return str(answer.json()["claims"][0]["id"])


def _study(plan: SeriesPlan) -> dict[str, Any]:
    patient = claim_json(plan.study)["patient"]
    return {"study_instance_uid": plan.study_instance_uid, "date": "2026-05-10", "modality": "MR", "patient": patient}


@contextmanager
def _health(http: httpx.Client) -> Iterator[list[float]]:
    """Milliseconds of each answer of ``/healthz`` until the block ends."""
    found: list[float] = []
    stopping = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=http.base_url, timeout=60) as client:
            while not stopping.wait(HEALTH_EVERY_S):
                found.append(_timed(lambda: client.get("/healthz").raise_for_status()))

    thread = threading.Thread(target=ask)
    thread.start()
    yield found
    stopping.set()
    thread.join()


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


def _p95(milliseconds: list[float]) -> float:
    return statistics.quantiles(milliseconds, n=20)[18]


def _resident_mib(node: Node) -> float:
    with reading(node.engine) as connection:
        pid = next(process.pid for process in list_processes(connection) if process.role is Role.WEB)
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


def node_table(result: Mapping[str, Any]) -> Table:
    """One row for each figure."""
    table = Table("claims over HTTP, by the clock", "")
    rows = (
        (f"opening a claim, median of {OPENED}, ms", "opened_p50_ms"),
        (f"packet of a study of {SLICES} slices made, ms", "packet_made_ms"),
        (f"the same packet again, median of {OPENED}, ms", "packet_again_p50_ms"),
        ("/healthz of an idle node, 95th percentile, ms", "health_idle_p95_ms"),
        ("/healthz while the packet is made, median, ms", "health_busy_p50_ms"),
        ("/healthz while the packet is made, 95th percentile, ms", "health_busy_p95_ms"),
        ("/healthz while the packet is made, longest, ms", "health_busy_max_ms"),
        (f"POST /claims/check, median of {CHECKS}, ms", "check_p50_ms"),
        (f"POST /claims/check, 95th percentile of {CHECKS}, ms", "check_p95_ms"),
        (
            f"{result['bulk']} checks in a row, a tenth as many claims handed in between, checks per second",
            "bulk_per_s",
        ),
        (f"resident memory of the web process after {EARLY} of them, MiB", "resident_mib_early"),
        ("resident memory at their end, MiB", "resident_mib_end"),
    )
    for words, name in rows:
        table.add_row(words, f"{result[name]}")
    return table


def main(
    *,
    bulk: Annotated[int, typer.Option(min=1, help="Checks in a row.")] = BULK,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure claims on a node."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    with tempfile.TemporaryDirectory(prefix="spine-bench-") as name, console.status("") as status:
        result = measure_node(Path(name), bulk=bulk, say=status.update)
    if as_json:
        typer.echo(json.dumps(result, indent=2))
    else:
        console.print(node_table(result))


if __name__ == "__main__":
    typer.run(main)
