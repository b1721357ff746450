"""Receiver and worker under kill -9 at random moments, and the look at what is there and at the archive afterwards."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import struct
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.uid import Comprehensive3DSRStorage, ExplicitVRLittleEndian, MRImageStorage, SegmentationStorage
from sqlalchemy import Engine, select

from builders.archive import Archive, archive
from builders.dicom import T2_TSE, SeriesPlan, write_series
from builders.peers import LOOPBACK, free_tcp_port, is_listening, wait_until
from builders.receiving import RawPeer, data_set_bytes, pdata, store_command
from dicom_node.spool import Spool
from dicom_node.tables import deliveries, instances, results, studies
from server.database import make_engine, reading
from server.sweep import GIVEN_UP
from server.tables import executor_lease, runs, workitems

SLICES = 5
LONGEST_LIFE_S = 2.5
"""A process is killed at a random moment up to here after it began to listen or to work."""
SETTLE_S = 300.0
STUDY_S = 3.0
"""A worker that is killed again and again reads few: most are left to its last life."""
SUCCESS = struct.pack("<HHIH", 0, 0x0900, 2, 0x0000)
"""The element Status (0000,0900) of a C-STORE-RSP that accepted."""


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


class Sender(threading.Thread):
    """A source that keeps sending its studies, instance by instance, until each instance was acknowledged."""

    def __init__(self, port: int, paths: list[Path]) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._waiting = list(paths)
        self._pause = random.Random(2).uniform  # noqa: S311 - repeatable moments
        self.acknowledged: dict[str, bytes] = {}

    def run(self) -> None:
        while self._waiting:
            try:
                with RawPeer(self._port) as peer:
                    peer.associate(MRImageStorage, ExplicitVRLittleEndian)
                    self._send(peer)
            except (AssertionError, OSError):
                time.sleep(0.3)  # the receiver is dead or died: try again

    def _send(self, peer: RawPeer) -> None:
        while self._waiting:
            path = self._waiting[0]
            data, uid = data_set_bytes(path), str(dcmread(path, stop_before_pixels=True).SOPInstanceUID)
            peer.send(pdata((1, 0x03, store_command(MRImageStorage, uid)), (1, 0x02, data)))
            answer = peer.read_pdu()
            if answer is None or SUCCESS not in answer[1]:
                raise OSError("not acknowledged")
            self.acknowledged[uid] = data
            self._waiting.pop(0)
            time.sleep(self._pause(0.0, 0.6))


def write_studies(folder: Path, count: int) -> list[Path]:
    """Instances of many small studies; no two have the same pixels."""
    noise = np.random.default_rng(3)
    paths: list[Path] = []
    for number in range(count):
        voxels = (noise.random((SLICES, 48, 48)) * 500).astype(np.int16)
        plan = SeriesPlan(voxels=voxels, study=f"crash {number}", attributes=dict(T2_TSE))
        paths += write_series(folder / f"study-{number}", plan)
    return paths


@contextmanager
def roles(folder: Path, archive_port: int, dicom_port: int) -> Iterator[tuple[Role, Role, Engine]]:
    options: dict[str, object] = {
        "data-dir": folder / "data",
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
        "inference-engine": "onnxruntime",
        "model": "mr_sagittal_segmentation",  # one is enough, and soon there again
    }
    receiver = Role("receive", options, folder / "receive.log")
    worker = Role("work", options, folder / "work.log")
    receiver.start()
    wait_until(lambda: is_listening(dicom_port), timeout_s=120, what="the receiver to listen")
    worker.start()
    engine = make_engine(f"sqlite:///{folder / 'data' / 'spine.sqlite'}")
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


def kill_at_random(
    receiver: Role, worker: Role, engine: Engine, dicom_port: int, *, kills: int, seed: int, say: Callable[[str], None]
) -> None:
    moment = random.Random(seed)  # noqa: S311 - repeatable moments
    for number in range(kills):
        say(f"kill {number + 1} of {kills}")
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


def is_settled(engine: Engine, count: int) -> bool:
    """Whether every study is done in its newest revision and everything is delivered."""
    with reading(engine) as connection:
        done = connection.execute(select(studies.c.state)).scalars().all()
        sent = connection.execute(select(deliveries.c.state)).scalars().all()
    return len(done) == count and set(done) == {"done"} and set(sent) == {"delivered"}


def assert_every_instance_is_there(engine: Engine, spool: Spool, acknowledged: dict[str, bytes]) -> None:
    with reading(engine) as connection:
        rows = {row.sop_instance_uid: row for row in connection.execute(select(instances))}
    assert set(rows) >= set(acknowledged)
    for uid, data in acknowledged.items():
        assert data_set_bytes(spool.path(rows[uid].path)) == data
        assert rows[uid].sha256 == hashlib.sha256(data).hexdigest()
        assert rows[uid].revision is not None


def assert_one_report_per_revision(engine: Engine, archived: Archive) -> int:
    with reading(engine) as connection:
        made = connection.execute(select(results).where(results.c.role == "sr")).all()
        revisions = {(row.study_instance_uid, row.revision) for row in connection.execute(select(runs))}
    reports = {(row.study_instance_uid, row.revision): row.sop_instance_uid for row in made}
    assert len(made) == len(reports) == len(revisions)
    assert set(reports) == revisions
    copies: dict[str, set[bytes]] = defaultdict(set)
    for dataset in archived.of("SR"):
        copies[str(dataset.SOPInstanceUID)].add(dataset.to_json().encode())
    assert set(copies) == set(reports.values())
    assert all(len(contents) == 1 for contents in copies.values()), "one UID, two contents"
    return len(reports)


def assert_every_run_is_a_workitem(engine: Engine, retried: int) -> None:
    """Each revision has one completed workitem; what was given up and retried has a cancelled one beside it."""
    with reading(engine) as connection:
        revisions = [(row.study_instance_uid, row.revision) for row in connection.execute(select(runs))]
        found = connection.execute(select(workitems)).all()
    completed = [(row.study_instance_uid, row.revision) for row in found if row.state == "COMPLETED"]
    assert sorted(completed) == sorted(revisions)
    others = [row.state for row in found if row.state != "COMPLETED"]
    assert set(others) <= {"CANCELED"}
    assert len(others) <= retried


@dataclass(frozen=True, slots=True, kw_only=True)
class KillResult:
    """What stood the kills."""

    instances: int
    """Acknowledged; every one is there."""
    reports: int
    """One for each revision, once at the archive."""
    retried: int
    """Studies that were given up, because a worker died too often in them, and retried."""


def retry_given_up(data_dir: Path, engine: Engine) -> int:
    """Do as an operator does with studies that were given up, or whose results were; returns how many."""
    failed = select(studies.c.study_instance_uid, studies.c.reason).where(studies.c.state == "failed")
    dead = select(deliveries.c.study_instance_uid, deliveries.c.reason).where(deliveries.c.state == "dead")
    with reading(engine) as connection:
        found = {(uid, reason) for query in (failed, dead) for uid, reason in connection.execute(query)}
    for uid, reason in found:
        assert reason == GIVEN_UP, f"study {uid} failed: {reason}"
        command = [sys.executable, "-m", "server.cli", "retry", uid, "--data-dir", str(data_dir)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return len(found)


def kill_again_and_again(
    folder: Path, *, kills: int, seed: int = 1, say: Callable[[str], None] = lambda _: None
) -> KillResult:
    """Send as many studies as there are kills, kill at random moments, and wait until everything is delivered.

    Raises:
        AssertionError: an acknowledged instance is lost or changed, a report is missing or doubled.
        TimeoutError: it did not end.
    """
    archive_port, dicom_port = free_tcp_port(), free_tcp_port()
    source = write_studies(folder, kills)
    with (
        archive(archive_port, [Comprehensive3DSRStorage, SegmentationStorage]) as archived,
        roles(folder, archive_port, dicom_port) as (receiver, worker, engine),
    ):
        sender = Sender(dicom_port, source)
        sender.start()
        kill_at_random(receiver, worker, engine, dicom_port, kills=kills, seed=seed, say=say)
        sender.join(SETTLE_S)
        assert not sender.is_alive()
        assert len(sender.acknowledged) == len(source)
        rest_s, retried = SETTLE_S + STUDY_S * kills, 0

        def is_over() -> bool:
            nonlocal retried
            retried += retry_given_up(folder / "data", engine)
            return is_settled(engine, kills)

        wait_until(is_over, timeout_s=rest_s, what="every study to end", poll_s=0.5)
        assert_every_instance_is_there(engine, Spool(folder / "data"), sender.acknowledged)
        reports = assert_one_report_per_revision(engine, archived)
        assert_every_run_is_a_workitem(engine, retried)
    return KillResult(instances=len(sender.acknowledged), reports=reports, retried=retried)
