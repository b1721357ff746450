"""A worker that dies for good: another one takes its study over, and the study is read and recorded once."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest
from dbos import DBOSClient
from sqlalchemy import Engine, select

from builders.dicom import T2_TSE, SeriesPlan, small_voxels, write_series
from builders.node import Node
from builders.peers import is_listening, running, store_with_storescu, wait_until
from dicom_node.tables import results, studies
from server.database import make_engine, reading
from server.processes import Role, list_processes
from server.work_queue import STUDY_WORKFLOW, make_client

pytestmark = [pytest.mark.peer("dcmtk"), pytest.mark.slow, pytest.mark.timeout(600)]

FASTER_LEASE = {"lease-ttl": 3, "lease-beat": 1, "inference-engine": "onnxruntime", "model": "mr_sagittal_segmentation"}
TAKEOVER_S = 60.0


def test_another_worker_takes_the_study_over(tmp_path: Path) -> None:
    voxels = small_voxels(10, 256, 256)
    paths = write_series(tmp_path / "study", SeriesPlan(voxels=voxels, study="takeover", attributes=dict(T2_TSE)))
    with ExitStack() as running_roles:
        node = running_roles.enter_context(
            Node.started(tmp_path / "node", role="receive", options={**FASTER_LEASE, "quiet-period": 1})
        )
        wait_until(lambda: is_listening(node.dicom_port), timeout_s=120, what="the receiver to listen")
        engine = make_engine(f"sqlite:///{node.data_dir / 'spine.sqlite'}")
        client = make_client(engine)
        workers = [running_roles.enter_context(worker(node, tmp_path / f"worker-{n}.log")) for n in range(2)]
        by_pid = {process.pid: process for process in workers}
        wait_until(lambda: len(worker_pids(engine)) == len(workers), timeout_s=120, what="both workers")

        assert store_with_storescu(paths, node.dicom_port, called=node.ae_title).returncode == 0
        wait_until(lambda: holder(client) is not None, timeout_s=120, what="a worker to begin")
        first = holder(client)
        assert first is not None
        host, slot, _ = first.rsplit(":", 2)
        by_pid[worker_pids(engine)[f"{host}:work:{slot}"]].send_signal(signal.SIGKILL)

        wait_until(lambda: state(engine) in {"done", "failed"}, timeout_s=TAKEOVER_S, what="the takeover")
        assert state(engine) == "done"
        assert sum(process.poll() is None for process in workers) == 1
        with reading(engine) as connection:
            assert len(connection.execute(select(results).where(results.c.role == "sr")).all()) == 1
        client.destroy()
        engine.dispose()


def worker(node: Node, log: Path) -> AbstractContextManager[subprocess.Popen[bytes]]:
    options = {**FASTER_LEASE, "data-dir": node.data_dir, "threads": 1}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return running([sys.executable, "-m", "server.cli", "work", *words], log=log)


def holder(client: DBOSClient) -> str | None:
    """Who reads the study now."""
    flows = client.list_workflows(status="PENDING", name=STUDY_WORKFLOW, load_input=False)
    return flows[0].executor_id if flows else None


def state(engine: Engine) -> str | None:
    with reading(engine) as connection:
        return connection.execute(select(studies.c.state)).scalar_one_or_none()


def worker_pids(engine: Engine) -> dict[str, int]:
    with reading(engine) as connection:
        return {process.name: process.pid for process in list_processes(connection) if process.role is Role.WORK}
