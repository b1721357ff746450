"""An association that we ask for, to verify and to store: pynetdicom's negotiation, and messages written by one thread.

Why not pynetdicom's own sender: per instance it polls twice between two threads and copies each fragment several times.
Here a message (command and data set, cut into units as the peer wants them) goes to the kernel in one call from the
mapped file, and the answer is read from the same socket (decision 2).
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterator, Mapping, Sequence
from itertools import count

from pydicom.uid import UID
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.presentation import build_context

from dicom_node.dimse import CommandField, decode_status, encode_echo_request, encode_store_request
from dicom_node.negotiation import ACCEPTED, APPLICATION_CONTEXT_NAME, own_user_information
from dicom_node.pdu import (
    HEADER_BYTES,
    PDV_HEADER_BYTES,
    AbortReason,
    PduStream,
    PduType,
    PeerGone,
    ProtocolFault,
    data_values,
)
from dicom_node.peer_answer import Rejection

Context = tuple[str, str]
"""SOP Class UID and the one transfer syntax that is proposed for it: so the peer answers for each (PS3.7 D.3.2)."""
ANSWER_PDU_BYTES = 1 << 14
"""Maximum Length Received that we announce: answers are short commands."""
LONGEST_PDU_BYTES = 1 << 17
"""Of ours, where the peer sets no limit or a larger one; larger units are no faster."""
PARTS_AT_ONCE = 512
"""Buffers of one call; Linux takes 1024 (IOV_MAX)."""
LEAST_ACCEPTANCE_BYTES = 68
"""What stands before the items of an A-ASSOCIATE-AC (PS3.8 9.3.3)."""
CLOSE_TIMEOUT_S = 2.0
NOT_ANSWERED = -1
"""In place of a result of PS3.8 Table 9-18, where the peer left a context out or answered another transfer syntax."""


class Rejected(Exception):  # noqa: N818 - an answer of the peer, not an error of ours
    """The peer rejected the association (A-ASSOCIATE-RJ)."""

    def __init__(self, rejection: Rejection, sentence: str) -> None:
        """Keep what the peer said (PS3.8 Table 9-21)."""
        super().__init__(sentence)
        self.rejection = rejection


class StorageAssociation:
    """One association on a connected socket. Not thread-safe."""

    def __init__(self, connection: socket.socket, *, timeout_s: float) -> None:
        """Take the socket over.

        Args:
            connection: connected; may be one of TLS.
            timeout_s: longest wait for each answer, and for the peer to take more bytes.
        """
        self._socket = connection
        self._timeout_s = timeout_s
        self._stream = PduStream(connection, max_pdu_bytes=ANSWER_PDU_BYTES, timeout_s=timeout_s)
        self._peer_pdu_bytes = LONGEST_PDU_BYTES
        self._contexts: Mapping[Context, int] = {}
        self._message_ids = count(1)
        self.is_open = False
        self.results: Mapping[Context, int] = {}
        """What the peer said to each context (PS3.8 Table 9-18), or NOT_ANSWERED."""

    def request(self, contexts: Sequence[Context], *, calling_ae_title: str, called_ae_title: str) -> None:
        """Negotiate; at most 128 contexts.

        Raises:
            Rejected: by the peer.
            PeerGone: it ended the connection, aborted, or gave no answer in time.
            ProtocolFault: its answer is none; it was told so by an abort.
        """
        self._contexts = {context: 2 * index + 1 for index, context in enumerate(contexts)}
        body = _encode_request(self._contexts, calling_ae_title, called_ae_title)
        try:
            self._stream.send(PduType.ASSOCIATE_RQ, body)
            acceptance = _decode_answer(*self._stream.read())
        except ProtocolFault as fault:
            self._stream.abort(fault.reason)
            raise
        self.results = _results(self._contexts, acceptance)
        self._peer_pdu_bytes = min(acceptance.maximum_length_received or LONGEST_PDU_BYTES, LONGEST_PDU_BYTES)
        self.is_open = True

    def is_accepted(self, context: Context) -> bool:
        """Whether the peer takes instances of this class in this transfer syntax."""
        return self.results.get(context) == ACCEPTED

    def store(self, context: Context, sop_instance_uid: str, dataset: bytes | memoryview) -> int | None:
        """Send one instance by C-STORE (PS3.7 9.3.1).

        Args:
            context: an accepted one.
            sop_instance_uid: of the instance.
            dataset: its bytes behind the file meta information, in the context's transfer syntax.

        Returns:
            The peer's status; None where it gave none, and then the association is over.
        """
        message_id = next(self._message_ids) % 0x10000
        command = encode_store_request(message_id, context[0], sop_instance_uid)
        units = _units(self._contexts[context], command, dataset, self._peer_pdu_bytes)
        return self._ask(CommandField.C_STORE_RQ, message_id, units)

    def echo(self, context: Context) -> int | None:
        """Ask by C-ECHO (PS3.7 9.3.5) whether the peer is there; the context and the answer are as of `store`."""
        message_id = next(self._message_ids) % 0x10000
        command = encode_echo_request(message_id, context[0])
        units = _units(self._contexts[context], command, None, self._peer_pdu_bytes)
        return self._ask(CommandField.C_ECHO_RQ, message_id, units)

    def _ask(self, request: CommandField, message_id: int, units: Iterator[bytes | memoryview]) -> int | None:
        try:
            self._write(list(units))
            return self._read_status(request, message_id)
        except ProtocolFault as fault:
            self._stream.abort(fault.reason)
        except PeerGone as gone:
            if gone.timed_out:
                self._stream.abort(AbortReason.NOT_SPECIFIED)
        self.is_open = False
        return None

    def close(self) -> None:
        """Release the association if it stands, and close the socket."""
        try:
            if self.is_open:
                self._stream.send(PduType.RELEASE_RQ, bytes(4))
                self._stream.read()
        except (PeerGone, ProtocolFault):
            pass  # everything that was sent is answered: how the peer parts changes nothing
        finally:
            self.is_open = False
            self._stream.await_close(CLOSE_TIMEOUT_S)
            self._stream.close()

    def _write(self, parts: list[bytes | memoryview]) -> None:
        try:
            if isinstance(self._socket, ssl.SSLSocket):
                self._socket.sendall(b"".join(parts))
                return
            while parts:
                parts = _rest(parts, self._socket.sendmsg(parts[:PARTS_AT_ONCE]))
        except OSError as error:
            timed_out = isinstance(error, (BlockingIOError, TimeoutError))
            sentence = f"the peer takes no more bytes ({type(error).__name__})"
            raise PeerGone(sentence, timed_out=timed_out) from error

    def _read_status(self, request: CommandField, message_id: int) -> int:
        command = bytearray()
        while True:
            pdu_type, body = self._stream.read()
            if pdu_type is PduType.ABORT:
                raise PeerGone("the peer aborted the association")
            if pdu_type is not PduType.DATA:
                raise ProtocolFault(f"{pdu_type.name} in place of an answer", AbortReason.UNEXPECTED_PDU)
            for value in data_values(body):
                if not value.is_command:
                    raise ProtocolFault("a data set in an answer that has none", AbortReason.UNEXPECTED_PDU)
                command += value.data
                if value.is_last:
                    return decode_status(bytes(command), request, message_id)


def _units(
    context_id: int, command: bytes, dataset: bytes | memoryview | None, limit: int
) -> Iterator[bytes | memoryview]:
    """One message as P-DATA-TF units of one value each (PS3.8 9.3.5, Annex E), headers and fragments in turn."""
    room = max((limit - PDV_HEADER_BYTES) & ~1, 2)
    data = () if dataset is None else ((0x00, memoryview(dataset)),)
    for kind, payload in ((0x01, memoryview(command)), *data):
        for start in range(0, max(len(payload), 1), room):
            fragment = payload[start : start + room]
            control = kind | (0x02 if start + room >= len(payload) else 0x00)
            length = len(fragment)
            yield struct.pack(">BxIIBB", PduType.DATA, length + PDV_HEADER_BYTES, length + 2, context_id, control)
            yield fragment


def _rest(parts: list[bytes | memoryview], sent: int) -> list[bytes | memoryview]:
    """What is left of the parts after so many bytes."""
    for index, part in enumerate(parts):
        if sent < len(part):
            return [memoryview(part)[sent:], *parts[index + 1 :]]
        sent -= len(part)
    return []


def _encode_request(contexts: Mapping[Context, int], calling_ae_title: str, called_ae_title: str) -> bytes:
    """Body of the A-ASSOCIATE-RQ (PS3.8 9.3.2)."""
    proposed = []
    for (sop_class_uid, transfer_syntax_uid), context_id in contexts.items():
        context = build_context(sop_class_uid, [transfer_syntax_uid])
        context.context_id = context_id
        proposed.append(context)
    request = A_ASSOCIATE()
    request.application_context_name = UID(APPLICATION_CONTEXT_NAME)
    request.calling_ae_title, request.called_ae_title = calling_ae_title, called_ae_title
    request.presentation_context_definition_list = proposed
    request.user_information = own_user_information(ANSWER_PDU_BYTES)
    unit = A_ASSOCIATE_RQ()
    unit.from_primitive(request)
    return unit.encode()[HEADER_BYTES:]


def _decode_answer(pdu_type: PduType, body: memoryview) -> A_ASSOCIATE:
    """The acceptance.

    Raises:
        Rejected, PeerGone, ProtocolFault: it is none.
    """
    if pdu_type is PduType.ABORT:
        raise PeerGone("the peer aborted the association")
    kinds: dict[PduType, type[A_ASSOCIATE_AC | A_ASSOCIATE_RJ]]
    kinds = {PduType.ASSOCIATE_AC: A_ASSOCIATE_AC, PduType.ASSOCIATE_RJ: A_ASSOCIATE_RJ}
    if pdu_type not in kinds:
        raise ProtocolFault(f"{pdu_type.name} in answer to an association request", AbortReason.UNEXPECTED_PDU)
    if pdu_type is PduType.ASSOCIATE_AC and len(body) < LEAST_ACCEPTANCE_BYTES:
        raise ProtocolFault(f"an acceptance of {len(body)} bytes", AbortReason.INVALID_PARAMETER_VALUE)
    try:
        unit = kinds[pdu_type]()
        unit.decode(struct.pack(">BxI", pdu_type, len(body)) + bytes(body))
        answer: A_ASSOCIATE = unit.to_primitive()
    except Exception as error:  # pynetdicom's parsers raise whatever the bytes make them raise
        sentence = f"the answer to the association request cannot be read ({type(error).__name__})"
        raise ProtocolFault(sentence, AbortReason.INVALID_PARAMETER_VALUE) from error
    if pdu_type is PduType.ASSOCIATE_RJ:
        rejection = Rejection(
            result=int(answer.result or 0), source=int(answer.result_source or 0), reason=int(answer.diagnostic or 0)
        )
        raise Rejected(rejection, answer.reason_str)
    return answer


def _results(contexts: Mapping[Context, int], acceptance: A_ASSOCIATE) -> dict[Context, int]:
    answers = {c.context_id: c for c in acceptance.presentation_context_definition_results_list}
    results = {}
    for context, context_id in contexts.items():
        answer = answers.get(context_id)
        results[context] = NOT_ANSWERED if answer is None or answer.result is None else int(answer.result)
        if answer is not None and results[context] == ACCEPTED and [*map(str, answer.transfer_syntax)] != [context[1]]:
            results[context] = NOT_ANSWERED
    return results
