"""Protocol data units on a socket: framing, limits, timeouts (PS3.8 section 9.3). One blocking thread per connection.

Why not pynetdicom's transport: per image it costs two polling sleeps and a hand-over between two threads, and it lets a
peer announce and send a unit of any length. Negotiation and its codecs stay pynetdicom's (dicom_node.negotiation).
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

HEADER_BYTES = 6
"""Type, reserved, length (PS3.8 9.3.1)."""
PDV_HEADER_BYTES = 6
"""Length, context ID, message control header (PS3.8 9.3.5.1 and Annex E.2)."""
READ_AHEAD_BYTES = 1 << 14
"""How much is read beyond a header at once: a command and the begin of its data set come with one call."""
MAX_CONTROL_PDU_BYTES = 1 << 20
"""Longest association request that is read: 128 contexts with 30 transfer syntaxes each need less than 200 KiB."""
OTHER_PROTOCOLS = {0x16: ": it is a TLS handshake, and this port is without TLS", 0x47: ": it looks like HTTP"}
"""What else begins with these bytes: ContentType handshake (RFC 8446 5.1), and the G of GET."""
DELAYED_ACK_S = 0.025
"""A body that follows its header later than this (and within 60 ms) waited for our delayed ACK (40 ms on Linux)."""
DELAYED_ACK_MAX_S = 0.060
DELAYED_ACKS_BEFORE_QUICK = 2


class PduType(IntEnum):
    """PS3.8 9.3."""

    ASSOCIATE_RQ = 0x01
    ASSOCIATE_AC = 0x02
    ASSOCIATE_RJ = 0x03
    DATA = 0x04
    RELEASE_RQ = 0x05
    RELEASE_RP = 0x06
    ABORT = 0x07


class AbortReason(IntEnum):
    """Provider reasons of an A-ABORT (PS3.8 Table 9-26)."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    INVALID_PARAMETER_VALUE = 6


class ProtocolFault(Exception):  # noqa: N818 - style.md section 4: a fault of the peer, not an error of ours
    """The peer broke the protocol; the association is aborted with this reason."""

    def __init__(self, sentence: str, reason: AbortReason) -> None:
        """Keep the reason for the A-ABORT."""
        super().__init__(sentence)
        self.reason = reason


class PeerGone(Exception):  # noqa: N818 - an event, not an error
    """The connection was closed, reset, or silent for too long."""

    def __init__(self, sentence: str, *, timed_out: bool = False) -> None:
        """Say whether it was silence."""
        super().__init__(sentence)
        self.timed_out = timed_out


@dataclass(frozen=True, slots=True)
class DataValue:
    """One presentation data value: a fragment of a command or a data set. `data` is only valid until the next read."""

    context_id: int
    is_command: bool
    is_last: bool
    data: memoryview


class PduStream:
    """Reads and writes units on one connected socket. Not thread-safe."""

    def __init__(self, connection: socket.socket, *, max_pdu_bytes: int, timeout_s: float) -> None:
        """Take the socket over.

        Args:
            connection: connected; Nagle's algorithm is switched off.
            max_pdu_bytes: longest P-DATA-TF body that a peer may send, as negotiated.
            timeout_s: longest time for one whole unit, from its first byte awaited to its last.
        """
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connection
        self._max_pdu_bytes = max_pdu_bytes
        self._buffer = memoryview(bytearray(max_pdu_bytes + READ_AHEAD_BYTES))
        self._start = self._end = 0  # of what was read ahead
        self._delayed_acks = 0
        self.has_read = False
        """Whether the peer has sent anything at all."""
        self.set_timeout(timeout_s)

    def set_timeout(self, timeout_s: float) -> None:
        """Bound every following unit. The time counts over the whole unit, so trickling bytes do not help."""
        self._timeout_s = timeout_s
        self._socket.settimeout(None)
        value = struct.pack("ll", int(timeout_s), int(timeout_s % 1 * 1e6))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)

    def read(self) -> tuple[PduType, memoryview]:
        """The next unit's type and body; the body is only valid until the next read.

        Raises:
            PeerGone: closed or silent.
            ProtocolFault: unknown type, or longer than allowed.
        """
        self._read_ahead()
        kind, length = struct.unpack_from(">BxI", self._buffer, self._start)
        try:
            pdu_type = PduType(kind)
        except ValueError:
            sentence = f"PDU type {kind:#04x} does not exist{OTHER_PROTOCOLS.get(kind, '')}"
            raise ProtocolFault(sentence, AbortReason.UNRECOGNIZED_PDU) from None
        limit = self._max_pdu_bytes if pdu_type is PduType.DATA else MAX_CONTROL_PDU_BYTES
        if length > limit:
            raise ProtocolFault(
                f"a {pdu_type.name} PDU of {length} bytes, at most {limit} are allowed",
                AbortReason.INVALID_PARAMETER_VALUE,
            )
        return pdu_type, self._body(length)

    def send(self, pdu_type: PduType, body: bytes) -> None:
        """Write one unit.

        Raises:
            PeerGone: it could not be written.
        """
        try:
            self._socket.sendall(struct.pack(">BxI", pdu_type, len(body)) + body)
        except OSError as error:
            raise PeerGone(f"the peer takes no bytes ({type(error).__name__})") from error

    def is_silent(self, seconds: float) -> bool:
        """Whether nothing arrives within that time; what does is left for `read`."""
        if self._end > self._start:
            return False  # read ahead already
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return False  # decrypted already, so that the system has nothing more to tell
        readable, _, _ = select.select([self._socket], [], [], seconds)
        return not readable

    def send_data(self, context_id: int, message: bytes, max_pdu_bytes: int, *, is_command: bool = True) -> None:
        """Write a command or data set as P-DATA-TF, in as many units as the peer's limit asks for (0: no limit)."""
        room = max(max_pdu_bytes - PDV_HEADER_BYTES, 2) if max_pdu_bytes else len(message)
        for start in range(0, len(message), room):
            fragment = message[start : start + room]
            # command; last (PS3.8 E.2)
            control = (0x01 if is_command else 0x00) | (0x02 if start + room >= len(message) else 0x00)
            self.send(PduType.DATA, struct.pack(">IBB", len(fragment) + 2, context_id, control) + fragment)

    def abort(self, reason: AbortReason) -> None:
        """Write an A-ABORT of the service provider (source 2); a peer that is gone is no error here."""
        try:
            self.send(PduType.ABORT, bytes((0, 0, 2, reason)))
        except PeerGone:
            return

    def await_close(self, timeout_s: float) -> None:
        """Wait until the peer closes, so that no reset overtakes our last unit (PS3.8 Sta13 and its ARTIM timer)."""
        try:
            self.set_timeout(timeout_s)
            self._socket.shutdown(socket.SHUT_WR)
            deadline = time.monotonic() + timeout_s
            while self._socket.recv_into(self._buffer) and time.monotonic() < deadline:
                continue
        except OSError:
            return

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _read_ahead(self) -> None:
        """Have a header, and whatever has arrived behind it, up to a limit."""
        left = self._end - self._start
        if left >= HEADER_BYTES:
            return
        self._buffer[:left] = self._buffer[self._start : self._end]
        self._start, self._end = 0, left
        began = time.monotonic()
        while self._end < HEADER_BYTES:
            self._end += self._receive(self._buffer[self._end : READ_AHEAD_BYTES], 0)
            self._check_time(began, is_done=self._end >= HEADER_BYTES)

    def _body(self, length: int) -> memoryview:
        """The body behind the header: what was read ahead, and the rest."""
        start = self._start + HEADER_BYTES
        ahead = min(self._end - start, length)
        self._start = start + ahead
        if ahead == length:
            return self._buffer[start : start + length]
        body = self._buffer[start : start + length]
        if len(body) < length:
            body = memoryview(bytearray(length))  # an association request that is longer than a data unit may be
            body[:ahead] = self._buffer[start : start + ahead]
        self._fill_body(body[ahead:])
        self._start = self._end = 0
        return body

    def _fill_body(self, body: memoryview) -> None:
        """Read a body. A sender whose Nagle's algorithm waits for our delayed ACK gets quick ACKs from then on."""
        if self._delayed_acks >= DELAYED_ACKS_BEFORE_QUICK:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            self._fill(body)
            return
        began = time.monotonic()
        self._fill(body)
        if DELAYED_ACK_S < time.monotonic() - began < DELAYED_ACK_MAX_S:
            self._delayed_acks += 1

    def _fill(self, view: memoryview) -> None:
        began = time.monotonic()
        filled = 0
        while filled < len(view):
            filled += self._receive(view[filled:], socket.MSG_WAITALL)
            self._check_time(began, is_done=filled == len(view))

    def _check_time(self, began: float, *, is_done: bool) -> None:
        if not is_done and time.monotonic() - began > self._timeout_s:
            raise PeerGone(f"the peer took longer than {self._timeout_s:g} s for one PDU", timed_out=True)

    def _receive(self, view: memoryview, flags: int) -> int:
        """Receive at least one byte."""
        try:
            count = self._socket.recv_into(view, 0, flags)
        except BlockingIOError as error:
            raise PeerGone(f"the peer was silent for {self._timeout_s:g} s", timed_out=True) from error
        except OSError as error:
            raise PeerGone(f"the connection broke ({type(error).__name__})") from error
        if count == 0:
            raise PeerGone("the connection ended inside a PDU" if self._end else "the peer closed the connection")
        self.has_read = True
        return count


def data_values(body: memoryview) -> Iterator[DataValue]:
    """The presentation data values of a P-DATA-TF body.

    Raises:
        ProtocolFault: their lengths do not add up.
    """
    offset = 0
    while offset < len(body):
        if len(body) - offset < PDV_HEADER_BYTES:
            raise ProtocolFault("a P-DATA-TF PDU ends inside a value", AbortReason.INVALID_PARAMETER_VALUE)
        length, context_id, control = struct.unpack_from(">IBB", body, offset)
        end = offset + 4 + length
        if length < PDV_HEADER_BYTES - 4 or end > len(body):
            raise ProtocolFault(
                f"a presentation data value says {length} bytes, {len(body) - offset - 4} are left",
                AbortReason.INVALID_PARAMETER_VALUE,
            )
        yield DataValue(context_id, bool(control & 0x01), bool(control & 0x02), body[offset + PDV_HEADER_BYTES : end])
        offset = end
