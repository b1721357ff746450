"""What must be true after kills and outages: a source that sends until it was acknowledged, and what is there then."""

from __future__ import annotations

import hashlib
import random
import struct
import threading
import time
from collections import defaultdict
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from sqlalchemy import Engine, select

from builders.archive import Archive
from builders.receiving import RawPeer, data_set_bytes, pdata, store_command
from dicom_node.spool import Spool
from dicom_node.tables import deliveries, instances, results, studies
from server.database import reading
from server.tables import runs

SUCCESS = struct.pack("<HHIH", 0, 0x0900, 2, 0x0000)
"""The element Status (0000,0900) of a C-STORE-RSP that accepted."""


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


def assert_one_report_per_revision(engine: Engine, archived: Archive) -> None:
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
