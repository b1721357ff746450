"""A worker that dies for good: another one takes its study over, and the study is read and recorded once."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from builders.dicom import T2_TSE, SeriesPlan, write_series
from builders.node import Node
from builders.peers import store_with_storescu, wait_until
from dicom_node.tables import results, studies
from server.database import make_engine, reading
from server.processes import list_processes
from server.work_queue import STUDY_WORKFLOW, make_client

pytestmark = [pytest.mark.peer("dcmtk"), pytest.mark.slow, pytest.mark.timeout(600)]

FASTER_LEASE = {"lease-ttl": 6, "lease-beat": 1}
TAKEOVER_S = 120.0
"""ARCHITECTURE.md 4: within two minutes."""


def test_another_worker_takes_the_study_over(tmp_path: Path) -> None:
    noise = (np.random.default_rng(4).random((30, 384, 384)) * 500).astype(np.int16)
    paths = write_series(tmp_path / "study", SeriesPlan(voxels=noise, study="takeover", attributes=dict(T2_TSE)))
    options = {**FASTER_LEASE, "quiet-period": 1}
    with Node.started(tmp_path / "node", options=options | {"workers": 2}) as node:
        engine = make_engine(f"sqlite:///{node.data_dir / 'spine.sqlite'}")
        client = make_client(engine)

        def holder() -> str | None:
            flows = client.list_workflows(status="PENDING", name=STUDY_WORKFLOW, load_input=False)
            return flows[0].executor_id if flows else None

        def state() -> str | None:
            with reading(engine) as connection:
                return connection.execute(select(studies.c.state)).scalar_one_or_none()

        assert store_with_storescu(paths, node.dicom_port, called=node.ae_title).returncode == 0
        wait_until(lambda: state() == "running" and holder() is not None, timeout_s=120, what="a worker to begin")
        first = holder()
        assert first is not None
        with reading(engine) as connection:
            pids = {process.name: process.pid for process in list_processes(connection)}
        host, slot, _ = first.rsplit(":", 2)
        os.kill(pids[f"{host}:work:{slot}"], signal.SIGKILL)

        wait_until(lambda: state() in {"done", "failed"}, timeout_s=TAKEOVER_S, what=f"the takeover (log: {node.log})")
        assert state() == "done"
        with reading(engine) as connection:
            assert len(connection.execute(select(results).where(results.c.role == "sr")).all()) == 1
        client.destroy()
        engine.dispose()
