"""One way of bytes over TLS, to a peer that says at the end that it has read them all.

`ssl.SSLSocket.unwrap` cannot tell: it takes any alert of the peer, a refusal of our certificate too, for the answer to
our close alert (SSL_shutdown looks at the state alone). Here the records are read through memory, where the order is
ours: our close alert goes out first, and then only the peer's close alert ends the wait.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

_CHUNK = 65_536


class Pipe:
    """On a connected socket that has a time limit."""

    def __init__(self, connection: socket.socket, context: ssl.SSLContext, host: str) -> None:
        """Shake hands.

        Raises:
            OSError: there is no TLS with the peer, or it is not `host`.
        """
        self._socket = connection
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._until_done(self._tls.do_handshake)

    def write(self, data: bytes) -> None:
        """Send bytes; more may be said only by `close`.

        Raises:
            OSError: they could not be sent.
        """
        for start in range(0, len(data), _CHUNK):
            self._tls.write(data[start : start + _CHUNK])
            self._flush()

    def close(self) -> None:
        """End, and wait until the peer has read everything and ended too.

        Raises:
            OSError: it ended otherwise.
        """
        with suppress(ssl.SSLWantReadError):
            self._tls.read(_CHUNK)  # what came with the handshake: anything but tickets is a refusal
        with suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        self._flush()
        with suppress(ssl.SSLZeroReturnError):
            while True:
                self._until_done(lambda: self._tls.read(_CHUNK))

    def _until_done(self, step: Callable[[], object]) -> None:
        while True:
            try:
                step()
            except ssl.SSLWantReadError:
                self._flush()
                self._receive()
            else:
                self._flush()
                return

    def _flush(self) -> None:
        self._socket.sendall(self._outgoing.read())

    def _receive(self) -> None:
        data = self._socket.recv(_CHUNK)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
