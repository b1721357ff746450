"""A worker that is stopped (SIGSTOP) beyond its lease and goes on: it sends nothing, gives up, and begins anew."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from dbos import DBOSClient
from pydicom.uid import Comprehensive3DSRStorage, EnhancedSRStorage
from sqlalchemy import Engine, select

from builders.archive import Archive, Moment, archive
from builders.dicom import T2_TSE, SeriesPlan, write_series
from builders.node import Node
from builders.peers import LOOPBACK, free_tcp_port, is_listening, running, store_with_storescu, wait_until
from builders.postgres import PostgresCluster
from dicom_node.tables import deliveries
from server.database import make_engine, reading
from server.processes import Role, list_processes
from server.tables import executor_lease, runs
from server.work_queue import DELIVERY_WORKFLOW, STUDY_WORKFLOW, make_client

pytestmark = [pytest.mark.peer("dcmtk", "postgresql"), pytest.mark.slow, pytest.mark.timeout(600)]

QUICK = {"lease-ttl": 3, "lease-beat": 1, "threads": 1, "inference-engine": "onnxruntime"}
"""Short leases, and workers that are soon there; two objects of each study are sent."""
OBJECTS = 2


class Watch:
    """Stops whoever does the work, once, at a moment; the archive asks it."""

    def __init__(self) -> None:
        self.moment: Moment | None = None
        self.stopped: int | None = None
        self.client: DBOSClient | None = None
        self.engine: Engine | None = None

    def __call__(self, moment: Moment) -> None:
        if moment is self.moment:
            self.stop(DELIVERY_WORKFLOW)

    def stop(self, workflow: str) -> bool:
        assert self.client is not None
        flows = self.client.list_workflows(status="PENDING", name=workflow, load_input=False)
        if not flows:
            return False
        self.moment = None
        host, slot, _ = str(flows[0].executor_id).rsplit(":", 2)
        self.stopped = self.pids()[f"{host}:work:{slot}"]
        os.kill(self.stopped, signal.SIGSTOP)
        return True

    def pids(self) -> dict[str, int]:
        assert self.engine is not None
        with reading(self.engine) as connection:
            return {one.name: one.pid for one in list_processes(connection) if one.role is Role.WORK}

    def living(self) -> set[str]:
        assert self.engine is not None
        with reading(self.engine) as connection:
            query = select(executor_lease.c.executor_id).where(~executor_lease.c.dead)
            return set(connection.execute(query).scalars())

    def is_delivered(self, count: int) -> bool:
        assert self.engine is not None
        with reading(self.engine) as connection:
            read = list(connection.execute(select(runs.c.state)).scalars())
            sent = set(connection.execute(select(deliveries.c.state)).scalars())
        return read == ["done"] * count and sent == {"delivered"}


def test_a_worker_that_wakes_up_after_its_lease_sends_nothing(tmp_path: Path) -> None:
    archive_port, watch = free_tcp_port(), Watch()
    with ExitStack() as stack:
        url = stack.enter_context(PostgresCluster.started()).new_database()
        classes = [Comprehensive3DSRStorage, EnhancedSRStorage]
        archived = stack.enter_context(archive(archive_port, classes, pause=watch))
        options = {**QUICK, "database-url": url, "quiet-period": 1, "text-report": "send"}
        options["model"] = "mr_sagittal_segmentation"
        options["destination"] = f"PACS=ARCHIVE@{LOOPBACK}:{archive_port}"
        node = stack.enter_context(Node.started(tmp_path / "node", role="receive", options=options))
        wait_until(lambda: is_listening(node.dicom_port), timeout_s=120, what="the receiver to listen")
        watch.engine = make_engine(url.replace("postgresql:", "postgresql+psycopg:"))
        watch.client = make_client(watch.engine)
        options["data-dir"] = str(node.data_dir)
        words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
        work = [sys.executable, "-m", "server.cli", "work", *words]
        logs = [tmp_path / f"worker-{number}.log" for number in range(2)]
        workers = {process.pid: log for log in logs for process in [stack.enter_context(running(work, log=log))]}
        wait_until(lambda: len(watch.pids()) == 2, timeout_s=120, what="both workers")
        assert set(watch.pids().values()) == set(workers)

        for number, moment in enumerate([None, Moment.REQUESTED, Moment.STORED], start=1):
            pause_one(watch, moment, number, node, tmp_path / f"study-{number}", workers)
            expect(archived, number, moment)
        assert set(watch.pids().values()) == set(workers), "no worker had to be started again"
        watch.client.destroy()
        watch.engine.dispose()


def pause_one(
    watch: Watch, moment: Moment | None, number: int, node: Node, folder: Path, workers: dict[int, Path]
) -> None:
    wait_until(lambda: len(watch.living()) == 2, timeout_s=60, what="two workers")
    before = watch.living()
    watch.stopped, watch.moment = None, moment
    voxels = (np.random.default_rng(number).random((5, 48, 48)) * 500).astype(np.int16)
    paths = write_series(folder, SeriesPlan(voxels=voxels, study=f"paused {number}", attributes=dict(T2_TSE)))
    assert store_with_storescu(paths, node.dicom_port).returncode == 0
    if moment is None:
        wait_until(lambda: watch.stop(STUDY_WORKFLOW), timeout_s=60, what="a worker to read", poll_s=0.01)
    wait_until(lambda: watch.is_delivered(number), timeout_s=90, what=f"the takeover ({moment})", poll_s=0.2)
    assert watch.stopped is not None
    log, said = workers[watch.stopped], workers[watch.stopped].read_bytes().count(b"lease_lost")
    os.kill(watch.stopped, signal.SIGCONT)
    wait_until(lambda: log.read_bytes().count(b"lease_lost") > said, timeout_s=30, what="the paused one to notice")
    wait_until(lambda: len(watch.living() - before) == 1, timeout_s=60, what="it to begin anew")


def expect(archived: Archive, studies: int, moment: Moment | None) -> None:
    """Each object has come once; twice, with the same content, where it was on its way when its sender was stopped."""
    assert len({str(one.StudyInstanceUID) for one in archived.received}) == studies
    newest = [one for one in archived.received if one.StudyInstanceUID == archived.received[-1].StudyInstanceUID]
    copies = Counter(str(one.SOPInstanceUID) for one in newest)
    on_its_way = {str(newest[0].SOPInstanceUID)} if moment is Moment.STORED else set()
    assert len(copies) == OBJECTS
    assert {uid for uid, count in copies.items() if count > 1} == on_its_way
    assert len({(str(one.SOPInstanceUID), one.to_json()) for one in newest}) == OBJECTS
