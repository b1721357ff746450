"""kill -9 of the receiver at random moments: every acknowledged instance is there afterwards, with its exact bytes."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import re
import signal
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from builders.dicom import SeriesPlan, slice_dataset, small_voxels, write_series
from builders.peers import free_tcp_port, is_listening, store_with_storescu, wait_until
from builders.receiving import RawPeer, data_set_bytes, pdata, running_node, serve_for_ever, store_command

ROUNDS = 12
SENDERS = 3
BATCH = 60
TEMPLATE_UID = f"2.25.{10**30}"
SUCCESS = struct.pack("<HHIH", 0, 0x0900, 2, 0x0000)
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["builders.receiving"])


@contextmanager
def receiver_process(folder: Path, port: int) -> Iterator[int]:
    """A receiver in a process of its own; its process ID. Killed when the block ends, if it still lives."""
    process = PROCESSES.Process(target=serve_for_ever, args=(folder, port), daemon=True)
    process.start()
    try:
        wait_until(lambda: is_listening(port), timeout_s=60, what="the receiver to listen", poll_s=0.02)
        assert process.pid is not None
        yield process.pid
    finally:
        process.kill()
        process.join(10)


class Sender(threading.Thread):
    """Sends instances one after the other, and notes each that was acknowledged; ends when the receiver dies."""

    def __init__(self, port: int, instances: dict[str, bytes]) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.instances = instances
        self.acknowledged: set[str] = set()

    def run(self) -> None:
        try:
            with RawPeer(self.port) as peer:
                peer.associate(MRImageStorage, ExplicitVRLittleEndian)
                for uid, data in self.instances.items():
                    peer.send(pdata((1, 0x03, store_command(MRImageStorage, uid))))
                    for start in range(0, len(data), 16_000):
                        control = 0x02 if start + 16_000 >= len(data) else 0x00
                        peer.send(pdata((1, control, data[start : start + 16_000])))
                    answer = peer.read_pdu()
                    if answer is None or SUCCESS not in answer[1]:
                        return
                    self.acknowledged.add(uid)
        except (OSError, AssertionError):
            return  # killed in the middle


@pytest.mark.slow
def test_every_acknowledged_instance_survives_kill_9(tmp_path: Path) -> None:
    generator = random.Random(9)  # noqa: S311 - repeatable moments
    folder, port = tmp_path / "node", free_tcp_port()
    template = template_bytes(tmp_path)
    acknowledged: dict[str, bytes] = {}
    for round_number in range(ROUNDS):
        with receiver_process(folder, port) as pid:
            senders = [Sender(port, batch(template, round_number, number)) for number in range(SENDERS)]
            for sender in senders:
                sender.start()
            # A number of acknowledgements, not a time: on any machine the kill then falls into the sending.
            enough = generator.randint(1, SENDERS * BATCH // 2)
            wait_until(partial(has_answers, senders, enough), timeout_s=60, what="answers", poll_s=0.001)
            assert any(sender.is_alive() for sender in senders)
            os.kill(pid, signal.SIGKILL)
            for sender in senders:
                sender.join(20)
                acknowledged |= {uid: sender.instances[uid] for uid in sender.acknowledged}
    assert len(acknowledged) > ROUNDS
    assert_all_there(folder, acknowledged)


@pytest.mark.slow
def test_every_acknowledged_instance_survives_kill_9_and_the_loss_of_every_row(tmp_path: Path) -> None:
    """More than a power cut takes from the database: what is durable is the log, and the files made of it."""
    folder, port = tmp_path / "node", free_tcp_port()
    template = template_bytes(tmp_path)
    acknowledged: dict[str, bytes] = {}
    with receiver_process(folder, port) as pid:
        senders = [Sender(port, batch(template, 0, number)) for number in range(SENDERS)]
        for sender in senders:
            sender.start()
        wait_until(partial(has_answers, senders, SENDERS * BATCH // 2), timeout_s=60, what="answers", poll_s=0.001)
        os.kill(pid, signal.SIGKILL)
        for sender in senders:
            sender.join(20)
            acknowledged |= {uid: sender.instances[uid] for uid in sender.acknowledged}
    for path in folder.glob("node.sqlite*"):
        path.unlink()
    assert_all_there(folder, acknowledged)


@pytest.mark.slow
@pytest.mark.peer("dcmtk")
def test_storescu_that_was_told_success_finds_its_instances_after_kill_9(tmp_path: Path) -> None:
    folder, port = tmp_path / "node", free_tcp_port()
    paths = write_series(tmp_path / "sent", SeriesPlan(voxels=small_voxels(150, 128, 128), study="storescu"))
    told: set[str] = set()
    for delay_s in (0.15, 0.3, 0.6):
        with receiver_process(folder, port) as pid:
            killer = threading.Timer(delay_s, os.kill, (pid, signal.SIGKILL))
            killer.start()
            done = store_with_storescu(paths, port, timeout_s=60)
            killer.cancel()
        successes = re.findall(
            r"Sending file: (\S+)(?:(?!Sending file).)*?Store Response \(Success\)", done.stderr, re.DOTALL
        )
        told |= set(successes)
    assert told
    assert_all_there(folder, {path: data_set_bytes(Path(path)) for path in told}, by_content=True)


def has_answers(senders: list[Sender], count: int) -> bool:
    return sum(len(sender.acknowledged) for sender in senders) >= count


def batch(template: bytes, round_number: int, number: int) -> dict[str, bytes]:
    """The instances of one sender in one round, SOP Instance UID to data set bytes: the template with other UIDs."""
    instances = {}
    for index in range(BATCH):
        uid = f"2.25.{10**30 + round_number * 10_000 + number * 100 + index}"
        instances[uid] = template.replace(TEMPLATE_UID.encode(), uid.encode())
    return instances


def template_bytes(tmp_path: Path) -> bytes:
    dataset = slice_dataset(SeriesPlan(voxels=small_voxels(1, 96, 96)), 0)
    dataset.SOPInstanceUID = TEMPLATE_UID
    dataset.file_meta.MediaStorageSOPInstanceUID = TEMPLATE_UID
    dataset.save_as(tmp_path / "template.dcm", enforce_file_format=True)
    return data_set_bytes(tmp_path / "template.dcm")


def assert_all_there(folder: Path, acknowledged: dict[str, bytes], *, by_content: bool = False) -> None:
    """Start once more; every acknowledged instance has a row and its bytes, and every file has a row."""
    with running_node(folder) as node:
        wait_until(lambda: not node.receiver._threads[1].is_alive(), timeout_s=30, what="the recovery to end")
        with node.engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        rows = {row["sop_instance_uid"]: row for row in node.rows()}
        digests = {row["sha256"] for row in rows.values()}
        for uid, data in acknowledged.items():
            digest = hashlib.sha256(data).hexdigest()
            assert digest in digests
            assert by_content or node.stored(uid) == data
        for uid, row in rows.items():
            assert hashlib.sha256(node.stored(uid)).hexdigest() == row["sha256"]
        assert set(node.files("received")) == {row["path"] for row in rows.values()}
        assert node.quarantined() == []
        assert [path for path in node.spool.files("tmp") if not path.endswith(".lock")] == []
