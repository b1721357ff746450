"""Bytes of a peer that arrive in fragments of chosen lengths, over a real connection."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dicom_node.pdu import PduStream, PeerGone, ProtocolFault

Unit = tuple[int, bytes]
"""Type and body."""


def encoded_unit(unit: Unit) -> bytes:
    """With its header."""
    kind, body = unit
    return struct.pack(">BxI", kind, len(body)) + body


class _Fragmented(socket.socket):
    """Gives no more than the next of these lengths at once, then whatever there is."""

    lengths: Iterator[int] = iter(())

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        view = memoryview(buffer)[: nbytes or None]
        most = next(self.lengths, len(view))
        return super().recv_into(view[:most], 0, 0 if most < len(view) else flags)


def connected() -> tuple[socket.socket, socket.socket]:
    """The two ends of a TCP connection of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    return ours, theirs


@contextmanager
def arriving(data: bytes, lengths: Sequence[int] = ()) -> Iterator[PduStream]:
    """The stream of a peer that sent this (less than a socket holds), and closed its side."""
    plain, theirs = connected()
    with theirs, _Fragmented(fileno=plain.detach()) as ours:
        ours.lengths = iter(lengths)
        stream = PduStream(ours, max_pdu_bytes=1 << 14, timeout_s=5)
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        yield stream


def units_in(data: bytes, lengths: Sequence[int] = ()) -> tuple[list[Unit], PeerGone | ProtocolFault]:
    """The units that a stream holds, and how it ended."""
    units: list[Unit] = []
    with arriving(data, lengths) as stream:
        try:
            while True:
                kind, body = stream.read()
                units.append((int(kind), bytes(body)))
        except (PeerGone, ProtocolFault) as end:
            return units, end
