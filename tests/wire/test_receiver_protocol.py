"""What a broken, hostile or impatient peer does to the receiver: nothing, but to its own association."""

from __future__ import annotations

import random
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE

from builders.dicom import SeriesPlan, slice_dataset, small_voxels, write_series
from builders.peers import peer_environment, program, store_with_storescu, wait_until
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

MR = (MRImageStorage, ExplicitVRLittleEndian)
PLAN = SeriesPlan(voxels=small_voxels(4))
COMMAND_LAST, DATA, DATA_LAST = 0x03, 0x00, 0x02
ABORT = 7


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with running_node(tmp_path / "node", max_associations=3) as running:
        yield running


@pytest.fixture
def sent(tmp_path: Path) -> list[Path]:
    return write_series(tmp_path / "sent", PLAN)


def still_serves(node: Node, path: Path) -> bool:
    with association(node.port, [MR]) as peer:
        return bool(store_file(peer, path).Status == 0x0000)


def unfinished(node: Node) -> list[str]:
    """Files of instances that are arriving, and an entry for each that is arriving in the log."""
    in_log = node.spool.log.arriving if node.spool.log is not None else 0
    return [path for path in node.spool.files("tmp") if not path.endswith(".lock")] + ["log"] * in_log


def test_wrong_called_ae_title_is_rejected_with_its_reason(node: Node) -> None:
    with RawPeer(node.port) as peer:
        peer.send(association_request(*MR, called="SOMEBODY"))
        assert peer.read_pdu() == (3, bytes((0, 1, 1, 7)))


def test_calling_ae_title_outside_the_list_is_rejected_with_its_reason(tmp_path: Path) -> None:
    with running_node(tmp_path / "node", calling_ae_titles=frozenset({"PACS", "MODALITY"})) as node:
        with RawPeer(node.port) as peer:
            peer.send(association_request(*MR, calling="STRANGER"))
            assert peer.read_pdu() == (3, bytes((0, 1, 1, 3)))
        with RawPeer(node.port) as peer:
            peer.associate(*MR, calling="PACS")


@pytest.mark.peer("dcmtk")
def test_echoscu_with_the_wrong_title_is_told_so(node: Node) -> None:
    command = [str(program("echoscu")), "-aec", "WRONG", "127.0.0.1", str(node.port)]
    done = subprocess.run(command, capture_output=True, text=True, env=peer_environment(), timeout=30, check=False)
    assert done.returncode != 0
    assert "Called AE Title Not Recognized" in done.stderr


def test_foreign_application_context_is_rejected_with_its_reason(node: Node) -> None:
    with RawPeer(node.port) as peer:
        peer.send(association_request(*MR).replace(b"1.2.840.10008.3.1.1.1", b"1.2.840.10008.3.1.1.2"))
        assert peer.read_pdu() == (3, bytes((0, 1, 1, 2)))


def test_more_associations_than_allowed_are_rejected_as_transient(node: Node, sent: list[Path]) -> None:
    peers = [RawPeer(node.port) for _ in range(3)]
    for peer in peers:
        peer.associate(*MR)
    with RawPeer(node.port) as late:
        late.send(association_request(*MR))
        assert late.read_pdu() == (3, bytes((0, 2, 3, 2)))
    for peer in peers:
        peer.socket.close()
    wait_until(lambda: len(node.receiver._live) == 0, timeout_s=10, what="the associations to end")
    assert still_serves(node, sent[0])


def test_abort_in_the_middle_keeps_what_was_acknowledged_and_nothing_else(node: Node, sent: list[Path]) -> None:
    with RawPeer(node.port) as peer:
        peer.associate(*MR)
        for index, path in enumerate(sent[:3]):
            peer.send(pdata((1, COMMAND_LAST, store_command(MR[0], PLAN.sop_instance_uid(index)))))
            data = data_set_bytes(path)
            if index == 2:
                peer.send(pdata((1, DATA, data[:700])))
                peer.send(bytes((7, 0, 0, 0, 0, 4, 0, 0, 0, 0)))
                break
            peer.send(pdata((1, DATA, data[:500]), (1, DATA_LAST, data[500:])))
            assert peer.read_pdu() is not None
    wait_until(lambda: not unfinished(node), timeout_s=10, what="the unfinished file to go")
    assert {row["sop_instance_uid"] for row in node.rows()} == {PLAN.sop_instance_uid(0), PLAN.sop_instance_uid(1)}
    assert [node.stored(PLAN.sop_instance_uid(index)) for index in range(2)] == [data_set_bytes(p) for p in sent[:2]]
    counts = node.receiver.metrics.snapshot
    wait_until(lambda: counts().get("instances_abandoned") == 1, timeout_s=10, what="the instance to be counted")
    wait_until(lambda: counts().get("associations_aborted") == 1, timeout_s=10, what="the association to be counted")


def test_connection_that_breaks_in_the_middle_leaves_nothing(node: Node, sent: list[Path]) -> None:
    with RawPeer(node.port) as peer:
        peer.associate(*MR)
        peer.send(pdata((1, COMMAND_LAST, store_command(MR[0], PLAN.sop_instance_uid(0)))))
        peer.send(pdata((1, DATA, data_set_bytes(sent[0])[:700]))[:-5])
        # SO_LINGER 0: a reset instead of an orderly end.
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_until(lambda: not node.receiver._live, timeout_s=10, what="the association to end")
    assert (node.rows(), unfinished(node)) == ([], [])
    assert still_serves(node, sent[0])


@pytest.mark.parametrize("size", [1, 2, 13, 1000])
@pytest.mark.parametrize("per_unit", [1, 100])
def test_any_fragmentation_gives_the_same_bytes(node: Node, sent: list[Path], size: int, per_unit: int) -> None:
    data = data_set_bytes(sent[0])
    command = store_command(MR[0], PLAN.sop_instance_uid(0))
    parts = [(1, 0x01, command[start : start + 50]) for start in range(0, len(command), 50)]
    parts += [(1, DATA, data[start : start + size]) for start in range(0, len(data), size)]
    parts[-1] = (1, DATA_LAST, parts[-1][2])
    last_of_command = -(-len(command) // 50) - 1
    parts[last_of_command] = (1, COMMAND_LAST, parts[last_of_command][2])
    with RawPeer(node.port) as peer:
        peer.associate(*MR)
        peer.send(b"".join(pdata(*parts[start : start + per_unit]) for start in range(0, len(parts), per_unit)))
        kind, body = peer.read_pdu() or (0, b"")
    assert kind == 4
    assert struct.pack("<HHIH", 0, 0x0900, 2, 0x0000) in body
    assert node.stored(PLAN.sop_instance_uid(0)) == data


def test_response_respects_a_small_pdu_limit_of_the_peer(node: Node, sent: list[Path]) -> None:
    with RawPeer(node.port) as peer:
        peer.associate(*MR, max_pdu=64)
        peer.send(pdata((1, COMMAND_LAST, store_command(MR[0], PLAN.sop_instance_uid(0)))))
        peer.send(pdata((1, DATA_LAST, data_set_bytes(sent[0]))))
        command, last = b"", False
        while not last:
            kind, body = peer.read_pdu() or (0, b"")
            assert kind == 4
            assert len(body) <= 64
            command, last = command + body[6:], bool(body[5] & 0x02)
    assert struct.pack("<HHIH", 0, 0x0900, 2, 0x0000) in command


BAD_UNITS = {
    "unknown type": (b"\x99\0\0\0\0\4abcd", 1),
    "HTTP": (b"GET / HTTP/1.1\r\n\r\n", 1),
    "longer than allowed": (struct.pack(">BxI", 4, 0xFFFFFFFF), 6),
    "association request again": (association_request(*MR), 2),
    "release response": (struct.pack(">BxI", 6, 4) + bytes(4), 2),
    "value longer than its unit": (struct.pack(">BxIIBB", 4, 6, 99, 1, 3), 6),
    "value without header": (struct.pack(">BxI", 4, 3) + b"abc", 6),
    "value shorter than its header": (struct.pack(">BxIIBB", 4, 6, 1, 1, 3), 6),
    "data before a command": (pdata((1, DATA_LAST, b"data")), 2),
    "unknown context": (pdata((3, COMMAND_LAST, store_command(MR[0], "1.2.3"))), 6),
    "context changes": (
        pdata((1, COMMAND_LAST, store_command(MR[0], "1.2.3")), (3, DATA_LAST, b"data")),
        2,
    ),
    "command inside a data set": (
        pdata((1, COMMAND_LAST, store_command(MR[0], "1.2.3")), (1, COMMAND_LAST, store_command(MR[0], "1.2.4"))),
        2,
    ),
    "command is no command": (pdata((1, COMMAND_LAST, b"\x10\0\x10\0\4\0\0\0abcd")), 6),
    "command is truncated": (pdata((1, COMMAND_LAST, store_command(MR[0], "1.2.3")[:-3])), 6),
    "command is empty": (pdata((1, COMMAND_LAST, b"")), 6),
    "C-FIND": (pdata((1, COMMAND_LAST, store_command(MR[0], "1.2.3", field=0x0020))), 2),
    "a response": (pdata((1, COMMAND_LAST, store_command(MR[0], "1.2.3", field=0x8001))), 2),
    "endless command": (pdata((1, 0x01, bytes(70_000))), 6),
}


@pytest.mark.parametrize(("unit", "reason"), BAD_UNITS.values(), ids=BAD_UNITS)
def test_broken_protocol_aborts_this_association_with_its_reason(
    node: Node, sent: list[Path], unit: bytes, reason: int
) -> None:
    with RawPeer(node.port) as peer:
        peer.associate(*MR)
        peer.send(unit)
        assert peer.read_pdu() == (ABORT, bytes((0, 0, 2, reason)))
        assert peer.read_pdu() is None
    assert (node.rows(), unfinished(node)) == ([], [])
    assert still_serves(node, sent[0])


def test_store_without_data_set_is_answered_with_mistyped_argument(node: Node) -> None:
    with RawPeer(node.port) as peer:
        peer.associate(*MR)
        peer.send(pdata((1, COMMAND_LAST, store_command(MR[0], "1.2.3", data_set_type=0x0101))))
        kind, body = peer.read_pdu() or (0, b"")
    assert kind == 4
    assert struct.pack("<HHIH", 0, 0x0900, 2, 0x0212) in body


def test_empty_data_set_is_refused(node: Node) -> None:
    with RawPeer(node.port) as peer:
        peer.associate(*MR)
        peer.send(pdata((1, COMMAND_LAST, store_command(MR[0], "1.2.3")), (1, DATA_LAST, b"")))
        _, body = peer.read_pdu() or (0, b"")
    assert struct.pack("<HHIH", 0, 0x0900, 2, 0xC000) in body


def test_random_bytes_never_harm_the_receiver(node: Node, sent: list[Path]) -> None:
    generator = random.Random(20)  # noqa: S311 - repeatable noise
    request = bytearray(association_request(*MR))
    for round_number in range(120):
        noise = bytearray(request)
        for _ in range(generator.randint(1, 12)):
            noise[generator.randrange(len(noise))] = generator.randrange(256)
        with RawPeer(node.port) as peer:
            peer.send(bytes(noise) if round_number % 3 else generator.randbytes(generator.randint(1, 300)))
            peer.socket.shutdown(socket.SHUT_WR)
            while peer.read_pdu() is not None:
                continue
    wait_until(lambda: not node.receiver._live, timeout_s=15, what="all associations to end")
    assert still_serves(node, sent[0])


def test_silent_connection_is_closed_after_the_request_timeout(tmp_path: Path) -> None:
    with running_node(tmp_path / "node", request_timeout_s=0.5) as node, RawPeer(node.port) as peer:
        began = time.monotonic()
        assert peer.read_pdu() == (ABORT, bytes((0, 0, 2, 0)))
        assert 0.3 < time.monotonic() - began < 5


def test_trickling_bytes_do_not_hold_an_association_open(tmp_path: Path) -> None:
    """A unit has to be whole within the timeout, however often a byte of it arrives."""
    with running_node(tmp_path / "node", network_timeout_s=0.6) as node, RawPeer(node.port) as peer:
        peer.associate(*MR)
        peer.socket.settimeout(0.1)
        peer.send(struct.pack(">BxI", 4, 1000))
        ended = None
        for _ in range(60):
            try:
                peer.send(b"x")
                ended = peer.read_pdu()
            except TimeoutError:
                continue
            except OSError:
                break
            if ended is None or ended[0] == ABORT:
                break
        wait_until(lambda: not node.receiver._live, timeout_s=10, what="the association to end")


def test_peer_that_stops_in_the_middle_is_aborted_and_leaves_nothing(tmp_path: Path, sent: list[Path]) -> None:
    with running_node(tmp_path / "node", network_timeout_s=0.5) as node, RawPeer(node.port) as peer:
        peer.associate(*MR)
        peer.send(pdata((1, COMMAND_LAST, store_command(MR[0], PLAN.sop_instance_uid(0)))))
        peer.send(pdata((1, DATA, data_set_bytes(sent[0])[:700])))
        assert peer.read_pdu() == (ABORT, bytes((0, 0, 2, 0)))
        wait_until(lambda: not unfinished(node), timeout_s=5, what="the unfinished file to go")
        assert node.rows() == []


def test_study_counts_as_arriving_while_an_instance_is_on_its_way(node: Node, sent: list[Path]) -> None:
    with RawPeer(node.port) as peer:
        peer.associate(*MR)
        for index in range(2):
            data = data_set_bytes(sent[index])
            peer.send(pdata((1, COMMAND_LAST, store_command(MR[0], PLAN.sop_instance_uid(index)))))
            peer.send(pdata((1, DATA, data[:700])))
            if index:
                wait_until(lambda: bool(node.receiver.arriving_studies()), timeout_s=5, what="the study to be arriving")
                assert node.receiver.arriving_studies() == {PLAN.study_instance_uid}
            peer.send(pdata((1, DATA_LAST, data[700:])))
            peer.read_pdu()
        assert node.receiver.arriving_studies() == frozenset()


def test_stop_lets_the_instance_finish_then_aborts(tmp_path: Path, sent: list[Path]) -> None:
    with running_node(tmp_path / "node") as node, RawPeer(node.port) as peer, RawPeer(node.port) as idle:
        port = node.port
        idle.associate(*MR)
        peer.associate(*MR)
        data = data_set_bytes(sent[0])
        peer.send(pdata((1, COMMAND_LAST, store_command(MR[0], PLAN.sop_instance_uid(0)))))
        peer.send(pdata((1, DATA, data[:700])))
        wait_until(lambda: bool(unfinished(node)), timeout_s=5, what="the instance to begin")
        stopping = threading.Thread(target=node.receiver.stop)
        stopping.start()
        assert idle.read_pdu() == (ABORT, bytes((0, 0, 2, 0)))
        peer.send(pdata((1, DATA_LAST, data[700:])))
        kind, body = peer.read_pdu() or (0, b"")
        assert kind == 4
        assert struct.pack("<HHIH", 0, 0x0900, 2, 0x0000) in body
        assert peer.read_pdu() == (ABORT, bytes((0, 0, 2, 0)))
        stopping.join(10)
        assert not stopping.is_alive()
        assert len(node.rows()) == 1
        with pytest.raises(ConnectionRefusedError):
            RawPeer(port)


@pytest.mark.peer("dcmtk")
def test_four_storescu_at_once_lose_nothing(tmp_path: Path) -> None:
    with running_node(tmp_path / "node", max_associations=8) as node:
        plans = [SeriesPlan(voxels=small_voxels(12, seed=n), series=f"s{n}") for n in range(4)]
        batches = [write_series(tmp_path / f"sent{n}", plan) for n, plan in enumerate(plans)]
        codes: list[int] = []
        threads = [
            threading.Thread(target=lambda paths=paths: codes.append(store_with_storescu(paths, node.port).returncode))
            for paths in batches
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert codes == [0, 0, 0, 0]
        assert len(node.rows()) == 48
        for batch, plan in zip(batches, plans, strict=True):
            for index, path in enumerate(batch):
                assert node.stored(plan.sop_instance_uid(index)) == data_set_bytes(path)


def test_same_instance_on_two_associations_at_once_is_one_row(node: Node, sent: list[Path]) -> None:
    statuses: list[int] = []

    def send() -> None:
        with association(node.port, [MR]) as peer:
            statuses.extend(int(store_file(peer, path).Status) for path in sent)

    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert statuses == [0x0000] * 12
    assert len(node.rows()) == 4


def test_receiver_is_light_and_quick_to_start(tmp_path: Path) -> None:
    """In its own process: no model runtime, no decoder, below 200 MiB, listening soon after its start."""
    script = """
import sys, time
began = time.perf_counter()
from dicom_node.undecoded import hide_decoders
hide_decoders()
from pathlib import Path
from builders.receiving import running_node
with running_node(Path(sys.argv[1])) as node:
    assert node.port
    took = time.perf_counter() - began
heavy = {"torch", "onnxruntime", "openvino", "monai", "highdicom", "SimpleITK", "scipy", "gdcm", "openjpeg", "jpeg_ls",
         "pylibjpeg", "PIL", "dbos", "fastapi", "models", "server"}
loaded = {name.split(".")[0] for name, module in sys.modules.items() if module}
# Not ru_maxrss: a child begins with the peak of the process that started it.
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(took, int(status["VmHWM"].split()[0]) / 1024, *(heavy & loaded))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "node")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**peer_environment(), "PYTHONPATH": f"{Path(__file__).parents[2]}:{Path(__file__).parents[1]}"},
    )
    took, memory_mib, *heavy = done.stdout.split()
    assert heavy == []
    assert float(memory_mib) < 200
    assert float(took) < 10  # 1 s is the goal on an idle machine (make bench); tests share theirs


def test_pynetdicom_sender_with_its_own_defaults_is_served(node: Node) -> None:
    entity = AE(ae_title="PYNETDICOM")
    entity.add_requested_context(MRImageStorage)
    peer = entity.associate("127.0.0.1", node.port, ae_title="SPINEAI")
    statuses = [peer.send_c_store(slice_dataset(PLAN, index)).Status for index in range(4)]
    peer.release()
    assert statuses == [0x0000] * 4
    assert len(node.rows()) == 4
