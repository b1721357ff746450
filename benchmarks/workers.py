"""``python -m benchmarks.workers``: studies a minute with one worker on one core, and with two on one core each.

The studies are received first and queued all at once, when every worker has its models loaded, so that what is measured
is reading them, delivered to nobody. Beside it stands what the machine gives: the same reading in bare processes, one
and two, on the same cores. All take turns, round by round; ratios are of medians.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, func, select

from builders.dicom import write_series
from builders.node import Node
from builders.peers import is_listening, running, store_with_storescu, wait_until
from builders.phantom import phantom_plan
from dicom_node.spool import Spool
from dicom_node.tables import studies
from server.compose import Node as Parts
from server.database import make_engine, reading
from server.operations import complete
from server.runs import RunState
from server.settings import Settings
from server.tables import runs
from server.work_queue import make_client
from training.phantom import PhantomParameters, generate_spine

OPTIONS = {"threads": 1, "model": "mr_sagittal_segmentation", "quiet-period": 3600}
START_S, READ_S = 300.0, 1800.0
BARE_S = 20.0


def main(
    *,
    count: Annotated[int, typer.Option("--studies", min=2, help="Studies of each measurement.")] = 8,
    rounds: Annotated[int, typer.Option(min=1, help="Times that each case is run.")] = 3,
    slices: Annotated[int, typer.Option(min=5, help="Slices of a study.")] = 15,
    folder: Annotated[Path | None, typer.Option(help="Work on the disk of this folder.")] = None,
) -> None:
    """Measure one worker against two. Needs two cores that nothing else uses."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        raise SystemExit("Two cores are needed, and this process may use one.")
    rates: dict[tuple[str, int], list[float]] = {(what, n): [] for n in (1, 2) for what in ("bare", "worker")}
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=folder, prefix="spine-workers-") as name:
        source = _source(Path(name) / "source", count, slices)
        for number in range(rounds):
            for (what, processes), found in rates.items():
                if what == "bare":
                    found.append(_bare(source / "0", cores[:processes]))
                else:
                    found.append(_measure(Path(name) / f"{number}-{processes}", source, cores[:processes], count))
    table = Table("", "studies a minute (median)", "each round", title=f"{count} studies of {slices} slices")
    for (what, processes), found in rates.items():
        name = f"{processes} x {what}"
        table.add_row(name, f"{statistics.median(found):.2f}", ", ".join(f"{rate:.2f}" for rate in found))
    console = Console(width=None if sys.stdout.isatty() else 100)
    console.print(table)
    workers, bare = (
        statistics.median(rates[what, 2]) / statistics.median(rates[what, 1]) for what in ("worker", "bare")
    )
    console.print(
        f"two workers against one: {workers:.2f} x; two bare processes against one: {bare:.2f} x, which is what these "
        f"cores give; load average at the start {load:.1f}"
    )


def _source(folder: Path, count: int, slices: int) -> Path:
    """Generated studies, each with its own UIDs; reading one takes as long as another."""
    scene = generate_spine(PhantomParameters(seed=1, slices=slices, slice_spacing_mm=4.4))
    for number in range(count):
        write_series(folder / str(number), phantom_plan(scene, study=f"workers {number}"))
    return folder


def _bare(study: Path, cores: list[int]) -> float:
    """Studies a minute of bare processes, one on each core, together."""
    words = [sys.executable, "-m", "benchmarks.bare_reading", str(study), str(BARE_S)]
    processes = [
        subprocess.Popen(["taskset", "-c", str(core), *words], stdout=subprocess.PIPE, text=True) for core in cores
    ]
    return sum(float(process.communicate()[0]) for process in processes)


def _measure(folder: Path, source: Path, cores: list[int], count: int) -> float:
    """Studies a minute, with one worker on each core."""
    with ExitStack() as stack:
        node = stack.enter_context(Node.started(folder, role="receive", options=OPTIONS))
        wait_until(lambda: is_listening(node.dicom_port), timeout_s=START_S, what="the receiver to listen")
        words = [
            word for key, value in (OPTIONS | {"data-dir": node.data_dir}).items() for word in (f"--{key}", str(value))
        ]
        logs = [folder / f"worker-{core}.log" for core in cores]
        for core, log in zip(cores, logs, strict=True):
            command = ["taskset", "-c", str(core), sys.executable, "-m", "server.cli", "work", *words]
            stack.enter_context(running(command, log=log))
        sent = store_with_storescu([source], node.dicom_port)
        assert sent.returncode == 0, sent.stderr[-2000:]
        ready = ('"engine_chosen"', '"worker_started"')
        wait_until(
            lambda: all(word in log.read_text() for log in logs for word in ready),
            timeout_s=START_S,
            what="the workers to have their models",
        )
        engine = make_engine(f"sqlite:///{node.data_dir / 'spine.sqlite'}")
        began = time.monotonic()
        _queue_all(node, engine)
        wait_until(lambda: _done(engine) == count, timeout_s=READ_S, what="every study to be read", poll_s=0.1)
        seconds = time.monotonic() - began
        engine.dispose()
    return 60 * count / seconds


def _queue_all(node: Node, engine: Engine) -> None:
    parts = Parts(settings=Settings(data_dir=node.data_dir), engine=engine, spool=Spool(node.data_dir))
    client = make_client(engine)
    with reading(engine) as connection:
        uids = connection.execute(select(studies.c.study_instance_uid)).scalars().all()
    for uid in uids:
        complete(parts, client, uid)
    client.destroy()


def _done(engine: Engine) -> int:
    with reading(engine) as connection:
        query = select(func.count()).select_from(runs).where(runs.c.state == RunState.DONE)
        return int(connection.execute(query).scalar_one())


if __name__ == "__main__":
    typer.run(main)
