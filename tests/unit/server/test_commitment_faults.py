"""What is no request for storage commitment, or too much of one, is refused by status; what is taken is queued."""

from __future__ import annotations

import struct

from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom.sop_class import StorageCommitmentPushModel

from builders.commitment import ELSEWHERE, Modality, receiving, rows
from builders.receiving import RawPeer, pdata
from dicom_node.commitment import CommitmentReport
from dicom_node.commitment_scp import MAX_DATA_SET_BYTES
from dicom_node.storage_classes import COMMITMENT_SOP_INSTANCE_UID
from dicom_node.tables import commitment_requests
from server.compose import Node
from server.work_queue import TELLING_WORKFLOW


def test_a_request_that_was_taken_is_in_the_work_queue_before_the_modality_knows(node: Node) -> None:
    with receiving(node) as (receiver, commitments):
        assert Modality().ask(receiver.port, ELSEWHERE, stays=False) == 0
        (flow,) = commitments.client.list_workflows(name=[TELLING_WORKFLOW])
        assert (flow.workflow_id, flow.status) == ("commitment/1/g1/try1", "DELAYED")


def test_a_request_that_would_fill_the_memory_is_counted_out_and_refused(node: Node) -> None:
    with receiving(node) as (receiver, _), RawPeer(receiver.port) as peer:
        peer.associate(StorageCommitmentPushModel, ImplicitVRLittleEndian)
        peer.send(pdata((1, 0x03, normalized_command(0x0130, (0x1008, 1)))))
        for _ in range(MAX_DATA_SET_BYTES // 200_000 + 1):
            peer.send(pdata((1, 0x00, bytes(200_000))))
        peer.send(pdata((1, 0x02, bytes(2))))
        answer = peer.read_pdu()
        assert answer is not None
        assert b"\x00\x00\x00\x09\x02\x00\x00\x00\x13\x02" in answer[1], "status 0x0213"
    assert rows(node, commitment_requests) == []


def test_a_response_to_no_report_is_a_fault_of_the_peer(node: Node) -> None:
    with receiving(node) as (receiver, _), RawPeer(receiver.port) as peer:
        peer.associate(StorageCommitmentPushModel, ImplicitVRLittleEndian)
        response = normalized_command(0x8100, (0x0120, 7), (0x0900, 0), data_set_type=0x0101)
        peer.send(pdata((1, 0x03, response)))
        assert peer.read_pdu() == (7, bytes((0, 0, 2, 2))), "A-ABORT by the provider: unexpected PDU"


def normalized_command(field: int, *numbers: tuple[int, int], data_set_type: int = 1) -> bytes:
    """A command set of Storage Commitment, implicit VR little endian."""

    def element(number: int, value: bytes) -> bytes:
        return struct.pack("<HHI", 0, number, len(value)) + value

    unsigned = {0x0100: field, 0x0110: 3, 0x0800: data_set_type} | dict(numbers)
    values = {number: struct.pack("<H", value) for number, value in unsigned.items()}
    values[0x0003] = StorageCommitmentPushModel.encode()
    values[0x1001] = COMMITMENT_SOP_INSTANCE_UID.encode()
    body = b"".join(element(number, value + bytes(len(value) % 2)) for number, value in sorted(values.items()))
    return element(0, struct.pack("<I", len(body))) + body


def test_what_is_no_request_is_refused_by_status(node: Node) -> None:
    modality = Modality()
    with receiving(node) as (receiver, commitments):
        assert modality.ask(receiver.port, ELSEWHERE, action=7) == 0x0123
        assert modality.ask(receiver.port) == 0x0115
        assert modality.ask(receiver.port, ELSEWHERE, transaction="") == 0x0115
        assert not commitments.take_report(
            CommitmentReport(transaction_uid="2.25.3", committed=(ELSEWHERE,), failed=())
        )
        assert receiver.metrics.snapshot()["n_action_rq_refused"] == 3
    assert rows(node, commitment_requests) == []
