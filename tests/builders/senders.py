"""Senders that note what was acknowledged, a receiver that can be killed, and the look at what is there afterwards."""

from __future__ import annotations

import hashlib
import multiprocessing
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from builders.dicom import SeriesPlan, slice_dataset, small_voxels
from builders.peers import is_listening, wait_until
from builders.receiving import RawPeer, data_set_bytes, pdata, running_node, serve_for_ever, store_command

BATCH = 60
TEMPLATE_UID = f"2.25.{10**30}"
SUCCESS = struct.pack("<HHIH", 0, 0x0900, 2, 0x0000)
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["builders.receiving"])


@contextmanager
def receiver_process(folder: Path, port: int, serve: Callable[[Path, int], None] = serve_for_ever) -> Iterator[int]:
    """A receiver in a process of its own; its process ID. Killed when the block ends, if it still lives."""
    process = PROCESSES.Process(target=serve, args=(folder, port), daemon=True)
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


def has_answers(senders: Sequence[Sender], count: int) -> bool:
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
