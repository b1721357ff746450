"""kill -9 of receiver and worker at random moments of receive, infer and deliver: nothing lost, nothing doubled."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage
from sqlalchemy import Engine, select

from builders.archive import archive
from builders.dicom import T2_TSE, SeriesPlan, write_series
from builders.peers import LOOPBACK, free_tcp_port, is_listening, wait_until
from builders.survived import Sender, assert_every_instance_is_there, assert_one_report_per_revision, is_settled
from dicom_node.spool import Spool
from server.database import make_engine, reading
from server.tables import executor_lease, runs, workitems

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

KILLS = 22
SLICES = 5
LONGEST_LIFE_S = 2.5
"""A process is killed at a random moment up to here after it began to listen or to work."""
SETTLE_S = 300.0


class Role:
    """One role of the node as a process that is killed and started again."""

    def __init__(self, name: str, options: dict[str, object], log: Path) -> None:
        self.name = name
        self._words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "server.cli", self.name, *self._words]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self) -> None:
        assert self._process is not None
        assert self._process.poll() is None, f"{self.name} ended by itself: {self._log}"
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(60)


@pytest.fixture
def source(tmp_path: Path) -> list[Path]:
    """Instances of many small studies; no two have the same pixels."""
    noise = np.random.default_rng(3)
    paths: list[Path] = []
    for number in range(KILLS):
        voxels = (noise.random((SLICES, 48, 48)) * 500).astype(np.int16)
        plan = SeriesPlan(voxels=voxels, study=f"crash {number}", attributes=dict(T2_TSE))
        paths += write_series(tmp_path / f"study-{number}", plan)
    return paths


@contextmanager
def roles(tmp_path: Path, archive_port: int, dicom_port: int) -> Iterator[tuple[Role, Role, Engine]]:
    options: dict[str, object] = {
        "data-dir": tmp_path / "data",
        "dicom-host": LOOPBACK,
        "dicom-port": dicom_port,
        "quiet-period": 1,
        "disk-reserve-gib": 0,
        "disk-reserve-percent": 0,
        "lease-ttl": 6,
        "lease-beat": 1,
        "delivery-backoff": 1,
        "delivery-backoff-max": 2,
        "destination": f"PACS=ARCHIVE@{LOOPBACK}:{archive_port}",
        "threads": 1,
    }
    receiver = Role("receive", options, tmp_path / "receive.log")
    worker = Role("work", options, tmp_path / "work.log")
    receiver.start()
    wait_until(lambda: is_listening(dicom_port), timeout_s=120, what="the receiver to listen")
    worker.start()
    engine = make_engine(f"sqlite:///{tmp_path / 'data' / 'spine.sqlite'}")
    try:
        yield receiver, worker, engine
    finally:
        receiver.stop()
        worker.stop()
        engine.dispose()


def worker_is_up(engine: Engine, seen: set[str]) -> bool:
    """Whether a worker that was not seen before has its lease."""
    with reading(engine) as connection:
        living = set(connection.execute(select(executor_lease.c.executor_id).where(~executor_lease.c.dead)).scalars())
    return bool(living - seen)


def leases(engine: Engine) -> set[str]:
    with reading(engine) as connection:
        return set(connection.execute(select(executor_lease.c.executor_id)).scalars())


def kill_at_random(receiver: Role, worker: Role, engine: Engine, dicom_port: int) -> None:
    moment = random.Random(1)  # noqa: S311 - repeatable moments
    for _ in range(KILLS):
        if moment.random() < 0.4:
            time.sleep(moment.uniform(0.0, LONGEST_LIFE_S))
            receiver.kill()
            receiver.start()
            wait_until(lambda: is_listening(dicom_port), timeout_s=120, what="the receiver to listen again")
        else:
            time.sleep(moment.uniform(0.0, LONGEST_LIFE_S))
            worker.kill()
            seen = leases(engine)
            worker.start()
            wait_until(lambda known=seen: worker_is_up(engine, known), timeout_s=120, what="a new worker")


def assert_every_run_is_a_workitem(engine: Engine) -> None:
    with reading(engine) as connection:
        revisions = [(row.study_instance_uid, row.revision) for row in connection.execute(select(runs))]
        found = connection.execute(select(workitems)).all()
    assert sorted((row.study_instance_uid, row.revision) for row in found) == sorted(revisions)
    assert {row.state for row in found} == {"COMPLETED"}


def test_nothing_is_lost_or_doubled_by_kills(tmp_path: Path, source: list[Path]) -> None:
    archive_port, dicom_port = free_tcp_port(), free_tcp_port()
    with (
        archive(archive_port, [Comprehensive3DSRStorage, SegmentationStorage]) as archived,
        roles(tmp_path, archive_port, dicom_port) as (receiver, worker, engine),
    ):
        sender = Sender(dicom_port, source)
        sender.start()
        kill_at_random(receiver, worker, engine, dicom_port)
        sender.join(SETTLE_S)
        assert not sender.is_alive()
        assert len(sender.acknowledged) == len(source)
        wait_until(lambda: is_settled(engine, KILLS), timeout_s=SETTLE_S, what="every study to end", poll_s=0.5)
        assert_every_instance_is_there(engine, Spool(tmp_path / "data"), sender.acknowledged)
        assert_one_report_per_revision(engine, archived)
        assert_every_run_is_a_workitem(engine)
