"""The sending side of an association against peers that cut it short, answer nonsense or take tiny units."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, build_context, evt
from pynetdicom.sop_class import MRImageStorage

from builders.fragments import connected
from dicom_node import requestor
from dicom_node.admission import Origin
from dicom_node.dimse import decode_command, encode_response
from dicom_node.negotiation import AssociationPolicy, negotiate
from dicom_node.pdu import PduStream, PduType, PeerGone, ProtocolFault, data_values
from dicom_node.peer_answer import Rejection
from dicom_node.requestor import Context, Rejected, StorageAssociation

MR: Context = (str(MRImageStorage), str(ExplicitVRLittleEndian))
POLICY = AssociationPolicy(ae_title="PEER", calling_ae_titles=frozenset(), max_pdu_bytes=1 << 14)
DATASET = bytes(range(256)) * 300


@pytest.fixture
def scripted() -> Iterator[Callable[[Callable[[PduStream], None]], StorageAssociation]]:
    """A peer that accepts the association by the book, and then does what the script says."""
    threads = []

    def start(script: Callable[[PduStream], None]) -> StorageAssociation:
        ours, theirs = connected()

        def serve() -> None:
            stream = PduStream(theirs, max_pdu_bytes=1 << 14, timeout_s=10)
            _, body = stream.read()
            answer = negotiate(bytes(body), POLICY, [build_context(MR[0], [MR[1]])], Origin(address="127.0.0.1"))
            stream.send(PduType.ASSOCIATE_AC, answer.response)
            script(stream)
            stream.close()

        thread = threading.Thread(target=serve, daemon=True)
        threads.append(thread)
        thread.start()
        association = StorageAssociation(ours, timeout_s=2)
        association.request([MR], calling_ae_title="SPINEAI", called_ae_title="PEER")
        return association

    yield start
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def _take_message(stream: PduStream) -> tuple[int, bytes, bytes]:
    """Context ID, command and data set of one message."""
    parts: dict[bool, bytes] = {True: b"", False: b""}
    while True:
        _, body = stream.read()
        for value in data_values(body):
            parts[value.is_command] += bytes(value.data)
            if value.is_last and not value.is_command:
                return value.context_id, parts[True], parts[False]


def test_a_message_arrives_as_it_was_sent(scripted):
    got = []

    def script(stream: PduStream) -> None:
        context_id, command, dataset = _take_message(stream)
        request = decode_command(command)
        got.append((request.sop_class_uid, request.sop_instance_uid, dataset))
        stream.send_data(context_id, encode_response(request, 0xB000), 64)
        assert stream.read()[0] is PduType.RELEASE_RQ
        stream.send(PduType.RELEASE_RP, bytes(4))

    association = scripted(script)
    assert association.store(MR, "1.2.3", DATASET) == 0xB000
    association.close()
    assert got == [(MR[0], "1.2.3", DATASET)]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda stream, *_: stream.send(PduType.RELEASE_RQ, bytes(4)), id="release"),
        pytest.param(lambda stream, *_: stream.send(PduType.ASSOCIATE_AC, bytes(70)), id="acceptance again"),
        pytest.param(lambda stream, context_id, _: stream.send_data(context_id, bytes(7), 0), id="no command"),
        pytest.param(
            lambda stream, context_id, request: stream.send_data(
                context_id, encode_response(request, 0).replace(struct.pack("<HHIH", 0, 0x0120, 2, 1), bytes(10)), 0
            ),
            id="answers no message",
        ),
    ],
)
def test_nonsense_in_place_of_an_answer_is_aborted(scripted, answer):
    seen = []

    def script(stream: PduStream) -> None:
        context_id, command, _ = _take_message(stream)
        answer(stream, context_id, decode_command(command))
        seen.append(stream.read()[0])

    association = scripted(script)
    assert association.store(MR, "1.2.3", DATASET) is None
    assert not association.is_open
    association.close()
    assert seen == [PduType.ABORT]


def test_a_peer_that_goes_away_while_bytes_are_sent(scripted):
    association = scripted(lambda _: None)
    assert association.store(MR, "1.2.3", DATASET * 100) is None
    association.close()


def test_a_peer_that_takes_no_more_bytes_is_not_waited_for_for_ever(scripted):
    gone = threading.Event()
    association = scripted(lambda _: gone.wait(20))
    assert association.store(MR, "1.2.3", DATASET * 1000) is None
    gone.set()
    association.close()


@pytest.mark.parametrize("limit", [16, 4096, 0])
def test_units_are_no_longer_than_the_peer_allows(limit):
    got, longest = [], []
    entity = AE(ae_title="PEER")
    entity.maximum_pdu_size = limit
    entity.supported_contexts = [build_context(MR[0], [MR[1]])]
    handlers = [
        (evt.EVT_C_STORE, lambda event: got.append(event.request.DataSet.getvalue()) or 0),
        (evt.EVT_PDU_RECV, lambda event: longest.append(len(event.pdu.encode()) - 6)),
    ]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    association = StorageAssociation(socket.create_connection(server.server_address), timeout_s=10)
    association.request([MR], calling_ae_title="SPINEAI", called_ae_title="PEER")
    dataset = DATASET[:4000] if limit == 16 else DATASET
    assert association.store(MR, "1.2.3", dataset) == 0
    association.close()
    server.shutdown()
    assert got == [dataset]
    assert not limit or max(longest[1:]) <= limit


def test_a_rejection_says_why():
    entity = AE(ae_title="PEER")
    entity.require_called_aet = True
    entity.supported_contexts = [build_context(MR[0], [MR[1]])]
    server = entity.start_server(("127.0.0.1", 0), block=False)
    association = StorageAssociation(socket.create_connection(server.server_address), timeout_s=10)
    with pytest.raises(Rejected, match="Called AE title not recognised") as caught:
        association.request([MR], calling_ae_title="SPINEAI", called_ae_title="OTHER")
    assert caught.value.rejection == Rejection(result=1, source=1, reason=7)
    association.close()
    server.shutdown()


def test_an_answer_that_is_no_acceptance_is_aborted():
    ours, theirs = connected()
    theirs.sendall(struct.pack(">BxI", PduType.ASSOCIATE_AC, 4) + b"none")
    association = StorageAssociation(ours, timeout_s=2)
    with pytest.raises(ProtocolFault, match="an acceptance of 4 bytes"):
        association.request([MR], calling_ae_title="SPINEAI", called_ae_title="PEER")
    theirs.shutdown(socket.SHUT_WR)
    association.close()
    with theirs:
        sent = b"".join(iter(lambda: theirs.recv(1 << 16), b""))
    assert sent[0] == PduType.ASSOCIATE_RQ
    assert sent[-10] == PduType.ABORT


def test_a_peer_that_hangs_up_at_once():
    ours, theirs = connected()
    theirs.close()
    association = StorageAssociation(ours, timeout_s=2)
    with pytest.raises(PeerGone):
        association.request([MR], calling_ae_title="SPINEAI", called_ae_title="PEER")
    association.close()


@given(command=st.binary(min_size=1, max_size=300), dataset=st.binary(max_size=2000), limit=st.integers(8, 600))
def test_units_hold_every_byte_once_and_in_order(command, dataset, limit):
    parts = list(requestor._units(3, command, dataset, limit))
    got: dict[bool, bytes] = {True: b"", False: b""}
    last: dict[bool, int] = {True: 0, False: 0}
    for header, fragment in zip(parts[::2], parts[1::2], strict=True):
        kind, length = struct.unpack_from(">BxI", header)
        assert kind == PduType.DATA
        assert length <= limit
        (value,) = data_values(memoryview(header[6:] + bytes(fragment)))
        assert value.context_id == 3
        got[value.is_command] += bytes(value.data)
        last[value.is_command] += value.is_last
    assert got == {True: command, False: dataset}
    assert last == {True: 1, False: 1}


@given(parts=st.lists(st.binary(max_size=20), max_size=10), cut=st.integers(0, 250))
def test_what_is_left_after_a_partial_write(parts, cut):
    whole = b"".join(parts)
    sent = min(cut, len(whole))
    assert b"".join(requestor._rest(list(parts), sent)) == whole[sent:]


def test_a_unit_that_was_read_ahead_is_no_silence():
    ours, theirs = connected()
    stream = PduStream(ours, max_pdu_bytes=1 << 14, timeout_s=5)
    assert stream.is_silent(0.01)
    theirs.sendall(2 * struct.pack(">BxI4x", PduType.RELEASE_RQ, 4))
    assert not stream.is_silent(5)
    assert stream.read()[0] is PduType.RELEASE_RQ
    assert not stream.is_silent(0.01)
    assert stream.read()[0] is PduType.RELEASE_RQ
    assert stream.is_silent(0.01)
    stream.close()
    theirs.close()
