"""Each limit of the receiver with real sockets, and the name under which what it refuses is told and counted."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from sqlalchemy import func, select

from builders.dicom import SeriesPlan, small_voxels, write_series
from builders.peers import leave_out, wait_until
from builders.receiving import (
    Node,
    RawPeer,
    association,
    association_request,
    data_set_bytes,
    pdata,
    running_node,
    store_command,
    store_file,
)
from dicom_node.inbox import ROOM_CHECK_BYTES, InboxRules
from dicom_node.limits import DAY_S, HEARD_OVER_LIMIT, PeerLimits
from dicom_node.spool import FreeSpace, Spool
from dicom_node.tables import instances

MR = (MRImageStorage, ExplicitVRLittleEndian)
COMMAND_LAST, DATA, DATA_LAST = 0x03, 0x00, 0x02
LOCAL_LIMIT = (3, bytes((0, 2, 3, 2)))
"""A-ASSOCIATE-RJ: transient, by the presentation layer, local limit exceeded (PS3.8 Table 9-21)."""


@pytest.fixture
def sent(tmp_path: Path) -> list[Path]:
    return write_series(tmp_path / "sent", SeriesPlan(voxels=small_voxels(4)))


def counted(node: Node, name: str) -> int:
    return node.receiver.metrics.snapshot().get(name, 0)


def told(port: int, calling: str, source: str = "127.0.0.1") -> tuple[int, bytes] | None:
    """What an association request from one of the addresses of loopback is answered."""
    with socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(source, 0)) as connection:
        peer = RawPeer.__new__(RawPeer)
        peer.socket = connection
        peer.send(association_request(*MR, calling=calling))
        answer = peer.read_pdu()
        return None if answer is None else (answer[0], answer[1][:4])


def test_associations_of_one_address_are_limited_and_those_of_another_are_not(tmp_path: Path) -> None:
    with running_node(tmp_path, limits=PeerLimits(associations_per_address=2)) as node:
        with RawPeer(node.port) as first, RawPeer(node.port) as second:
            for peer in (first, second):
                peer.associate(*MR)
            assert told(node.port, "RAW") == LOCAL_LIMIT
            other = told(node.port, "RAW", source="127.0.0.2")
            assert other is not None
            assert other[0] == 2
        wait_until(lambda: counted(node, "associations_broken") == 3, timeout_s=5, what="the associations to end")
        accepted = told(node.port, "RAW")
        assert accepted is not None
        assert accepted[0] == 2
        assert counted(node, "associations_rejected_address_limit") == 1


def test_a_flood_from_one_address_leaves_room_for_others(tmp_path: Path) -> None:
    with running_node(tmp_path, limits=PeerLimits(associations_per_address=2)) as node:
        heard = [RawPeer(node.port) for _ in range(2 + HEARD_OVER_LIMIT)]
        closed = [RawPeer(node.port) for _ in range(40)]
        assert [peer.read_pdu() for peer in closed] == [None] * 40
        wait_until(lambda: counted(node, "connections_refused") == 40, timeout_s=10, what="all forty to be counted")
        other = told(node.port, "RAW", source="127.0.0.2")
        assert other is not None
        assert other[0] == 2
        for peer in (*heard, *closed):
            peer.socket.close()


def test_associations_of_one_ae_title_are_limited(tmp_path: Path) -> None:
    with running_node(tmp_path, limits=PeerLimits(associations_per_ae_title=1)) as node, RawPeer(node.port) as peer:
        peer.associate(*MR, calling="ONE")
        assert told(node.port, "ONE") == LOCAL_LIMIT
        other = told(node.port, "TWO")
        assert other is not None
        assert other[0] == 2
        assert counted(node, "associations_rejected_ae_title_limit") == 1


def test_a_fast_sender_is_slowed_down_and_loses_nothing(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "sent", SeriesPlan(voxels=small_voxels(4, 256, 256)))
    size = sum(len(data_set_bytes(path)) for path in paths)
    with running_node(tmp_path / "node", limits=PeerLimits(bytes_per_second=size / 2)) as node:
        began = time.monotonic()
        with association(node.port, [MR]) as peer:
            assert {store_file(peer, path).Status for path in paths} == {0}
        taken = time.monotonic() - began
        assert taken > 0.8, "the first second's bytes are free, the others are not"
        assert counted(node, "throttled_milliseconds") > 500
        assert len(node.rows()) == 4


def test_the_bytes_of_a_day_are_limited_by_ae_title_and_begin_anew_at_midnight(
    tmp_path: Path, sent: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [20_000 * DAY_S + 100]
    size = len(data_set_bytes(sent[0]))
    limits = PeerLimits(bytes_per_day=size + size // 2)
    for first in (True, False):  # after a restart the rows tell what was sent
        with running_node(tmp_path / "node", limits=limits) as node:
            monkeypatch.setattr(node.receiver._limits, "_clock", lambda: now[0])
            monkeypatch.setattr(node.receiver, "_clock", lambda: now[0])
            with association(node.port, [MR], calling="ONE") as peer:
                answers = [store_file(peer, path) for path in sent[:3]]
            assert [answer.Status for answer in answers] == ([0, 0, 0xA702] if first else [0xA702] * 3)
            assert answers[2].ErrorComment == "Quota of this sender is used up; try again tomorrow (UTC)"
            with association(node.port, [MR], calling="TWO") as peer:
                assert store_file(peer, sent[3]).Status == 0
            assert counted(node, "instances_over_quota") == (1 if first else 3)
            with node.engine.begin() as connection:  # the wall clock was theirs until the fixture was given ours
                connection.execute(instances.update().values(received_at=now[0]))
    with running_node(tmp_path / "node", limits=limits) as node:
        monkeypatch.setattr(node.receiver._limits, "_clock", lambda: now[0] + DAY_S)
        with association(node.port, [MR], calling="ONE") as peer:
            assert store_file(peer, sent[2]).Status == 0


def test_an_instance_that_is_too_large_is_refused_by_name(tmp_path: Path, sent: list[Path]) -> None:
    rules = InboxRules(min_free_bytes=0, min_free_fraction=0, max_instance_bytes=1000)
    with running_node(tmp_path / "node", rules=rules) as node, association(node.port, [MR]) as peer:
        answer = store_file(peer, sent[0])
        assert (answer.Status, answer.ErrorComment) == (0xA701, "Data set is larger than this node accepts")
        assert counted(node, "instances_too_large") == 1
        assert node.rows() == []


@pytest.mark.parametrize("unit", [b"\0", b""])
def test_a_message_in_many_small_units_that_never_ends_is_aborted(tmp_path: Path, unit: bytes) -> None:
    limits = PeerLimits(least_bytes_per_second=1000, patience_s=0.5)
    with running_node(tmp_path, limits=limits) as node, RawPeer(node.port) as peer:
        peer.associate(*MR)
        peer.send(pdata((1, COMMAND_LAST, store_command(MRImageStorage, "1.2.3"))))
        began = time.monotonic()
        while time.monotonic() - began < 10:
            try:
                peer.send(pdata((1, DATA, unit)) if unit else pdata())
            except OSError:
                break
            time.sleep(0.02)
        assert 0.4 < time.monotonic() - began < 8
        wait_until(lambda: counted(node, "associations_too_slow") == 1, timeout_s=5, what="the association to end")
        assert node.rows() == []


def test_a_pause_between_messages_is_not_slowness(tmp_path: Path, sent: list[Path]) -> None:
    limits = PeerLimits(least_bytes_per_second=1000, patience_s=0.3)
    with running_node(tmp_path / "node", limits=limits) as node, association(node.port, [MR]) as peer:
        for path in sent[:3]:
            assert store_file(peer, path).Status == 0
            time.sleep(0.5)
        assert counted(node, "associations_too_slow") == 0


def test_a_load_balancer_s_probe_is_counted_and_is_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with running_node(tmp_path) as node:
        caplog.clear()
        for _ in range(5):
            socket.create_connection(("127.0.0.1", node.port)).close()
        wait_until(lambda: counted(node, "associations_probed") == 5, timeout_s=5, what="the probes to be counted")
        assert [record for record in caplog.records if record.name == "dicom_node.association"] == []
        assert counted(node, "associations_broken") == 0


def test_the_system_asks_whether_a_silent_peer_is_there(tmp_path: Path) -> None:
    with running_node(tmp_path) as node, RawPeer(node.port) as peer:
        peer.associate(*MR)
        (connection, _) = next(iter(node.receiver._live.values()))
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60


def test_a_large_instance_is_refused_when_the_disk_comes_to_its_watermark_on_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [FreeSpace(free_bytes=10**12, total_bytes=10**13)]
    monkeypatch.setattr(Spool, "free_space", lambda _self: free[0])
    rules = InboxRules(min_free_bytes=10**11, min_free_fraction=0)
    with running_node(tmp_path, rules=rules) as node, RawPeer(node.port) as peer:
        peer.associate(*MR)
        peer.send(pdata((1, COMMAND_LAST, store_command(MRImageStorage, "1.2.3"))))
        for piece in range(2 * ROOM_CHECK_BYTES // 200_000):
            peer.send(pdata((1, DATA, bytes(200_000))))
            if piece == 10:
                free[0] = FreeSpace(free_bytes=10**9, total_bytes=10**13)
        peer.send(pdata((1, DATA_LAST, bytes(2))))
        answer = peer.read_pdu()
        assert answer is not None
        assert b"\x00\x00\x00\x09\x02\x00\x00\x00\x00\xa7" in answer[1], "status 0xA700"
        assert counted(node, "instances_out_of_space") == 1


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own, where this user may mount one."""
    import subprocess  # noqa: PLC0415

    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=False)
    if done.returncode:
        leave_out("needs to mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_the_database_goes_on_when_the_images_are_at_their_mark(tmp_path: Path) -> None:
    """On a disk of 32 MiB of which 12 are kept back, senders are refused at last; the database still writes."""
    reserve = 12 << 20
    paths = write_series(tmp_path / "sent", SeriesPlan(voxels=small_voxels(30, 1024, 512)))
    with small_disk(tmp_path / "disk", "32m") as disk:
        rules = InboxRules(min_free_bytes=reserve, min_free_fraction=0)
        with running_node(disk / "node", rules=rules) as node:
            statuses: list[int] = []
            threads = [threading.Thread(target=fill, args=(node.port, paths[n::3], statuses)) for n in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            assert set(statuses) == {0, 0xA700}
            assert len(node.rows()) == statuses.count(0)
            free = node.spool.free_space().free_bytes
            assert reserve - 3 * (2 << 20) < free < reserve + (2 << 20), "less than one instance each beyond the mark"
            with node.engine.begin() as connection:
                connection.exec_driver_sql("CREATE TABLE work (body BLOB)")
                for _ in range(30):
                    connection.exec_driver_sql("INSERT INTO work VALUES (zeroblob(100000))")
                assert connection.execute(select(func.count()).select_from(instances)).scalar_one()
            with node.engine.connect() as connection:
                assert connection.exec_driver_sql("SELECT count(*) FROM work").scalar() == 30


def fill(port: int, paths: list[Path], statuses: list[int]) -> None:
    with association(port, [MR]) as peer:
        for path in paths:
            assert dcmread(path, stop_before_pixels=True).Rows == 1024
            statuses.append(store_file(peer, path).Status)
