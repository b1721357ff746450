"""Several receiver processes of one node on one port: what each tells the others, and what one leaves to the next."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from sqlalchemy import Engine

from builders.dicom import SeriesPlan, small_voxels, write_series
from builders.peers import LOOPBACK, store_with_storescu, wait_until
from builders.receiving import (
    NO_WATERMARK,
    SMALL_LOG,
    RawPeer,
    association,
    data_set_bytes,
    pdata,
    running_node,
    store_command,
    store_file,
)
from dicom_node import receive_log, scp
from dicom_node.assembly import Assembler, AssemblyRules
from dicom_node.scp import Receiver, ReceiverSettings
from dicom_node.spool import Spool

PLAN = SeriesPlan(voxels=small_voxels(40, 32, 32))
MR = (MRImageStorage, ExplicitVRLittleEndian)


def second_receiver(node_port: int, spool: Spool, engine: Engine) -> Receiver:
    """As another process has it."""
    settings = ReceiverSettings(
        host=LOOPBACK, port=node_port, rules=NO_WATERMARK, log_rules=SMALL_LOG, shares_port=True
    )
    return Receiver(settings, engine, Spool(spool.root))


@pytest.mark.peer("dcmtk")
def test_two_receivers_share_a_port_and_nothing_is_lost_or_held_twice(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "sent", PLAN)
    with running_node(tmp_path / "node", shares_port=True) as node:
        other = second_receiver(node.port, node.spool, node.engine)
        other.start()
        try:
            parts = [paths[number::8] for number in range(8)]
            threads = [
                threading.Thread(target=store_with_storescu, args=(part, node.port), kwargs={"timeout_s": 60})
                for part in [*parts, *parts]
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            counts = [receiver.metrics.snapshot() for receiver in (node.receiver, other)]
        finally:
            other.stop(grace_s=20)
        assert all(count.get("associations_accepted") for count in counts), "the system gave one of them nothing"
        assert sum(count.get("instances_stored", 0) for count in counts) == len(paths)
        assert sum(count.get("instances_duplicate", 0) for count in counts) == len(paths)
        assert sorted(node.files("received")) == sorted(row["path"] for row in node.rows())
        for row in node.rows():
            assert node.stored(row["sop_instance_uid"])


def test_study_is_not_complete_while_another_receiver_takes_an_instance_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scp, "TEND_S", 0.05)
    sent = write_series(tmp_path / "sent", PLAN)
    complete: list[int] = []
    with running_node(tmp_path / "node") as node:
        rules = AssemblyRules(quiet_period_s=0.5, ask_after_s=0.1, poll_s=0.02)
        elsewhere = Assembler(node.engine, node.spool, rules, lambda _c, _s, revision: complete.append(revision))
        with RawPeer(node.port) as peer:
            peer.associate(*MR)
            for path, index in ((sent[0], 0), (sent[1], 1)):
                data = data_set_bytes(path)
                peer.send(pdata((1, 0x03, store_command(MR[0], PLAN.sop_instance_uid(index)))))
                peer.send(pdata((1, 0x00, data[:700])))
                if index == 1:
                    elsewhere.start()
                    time.sleep(1.2)  # longer than the quiet period: the instance is still arriving
                    assert complete == []
                peer.send(pdata((1, 0x02, data[700:])))
                peer.read_pdu()
            assert [row["sop_instance_uid"] for row in node.rows()]
        wait_until(lambda: complete == [1], timeout_s=20, what="the study to be complete")
        elsewhere.stop()


def test_what_a_dead_receiver_left_is_taken_over_by_one_that_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scp, "TEND_S", 0.02)
    sent = write_series(tmp_path / "sent", PLAN)
    with running_node(tmp_path / "node") as node:
        dead = second_receiver(0, node.spool, node.engine)
        dead.start()
        log = dead._spool.log
        assert log is not None
        wait_until(log.is_ready, timeout_s=20, what="the log")
        log._rules = type(SMALL_LOG)(gap_s=3600, patience_s=1e12)  # it dies before it has made files
        with RawPeer(dead.port) as peer:
            peer.associate(*MR)
            data = data_set_bytes(sent[0])
            peer.send(pdata((1, 0x03, store_command(MR[0], PLAN.sop_instance_uid(0))), (1, 0x02, data)))
            peer.read_pdu()
        assert log.arriving == 0
        for segment in (*log._used, *log._free):
            segment.close()  # the locks of a process that is gone
        log._used, log._free = [], []
        wait_until(lambda: bool(list(node.spool.files("received"))), timeout_s=20, what="the file")
        assert node.stored(PLAN.sop_instance_uid(0)) == data
        dead.stop(grace_s=1)


@pytest.mark.parametrize("blocked", ["spool/tmp", "spool/received"])
def test_what_is_durable_in_the_log_becomes_a_file_when_that_can_be_written(
    tmp_path: Path, blocked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receive_log, "RETRY_S", 0.05)
    with running_node(tmp_path / "node") as node:
        obstacle = tmp_path / "node" / blocked
        obstacle.write_bytes(b"")
        path = write_series(tmp_path / "sent", PLAN)[0]
        with association(node.port, [MR]) as peer:
            assert store_file(peer, path).Status == 0x0000
        (row,) = node.rows()
        assert list(node.spool.files("received")) == []
        obstacle.unlink()
        assert node.files("received") == [row["path"]]
        assert node.stored(row["sop_instance_uid"]) == data_set_bytes(path)
