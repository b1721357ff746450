"""An audit record repository: syslog over TLS (RFC 5425), read by the letter, with bad habits where a test asks."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from builders.authority import Authority, Issued
from builders.peers import LOOPBACK

_HEADER = re.compile(
    rb"<(?P<priority>\d{1,3})>1 (?P<time>\S+) (?P<host>\S+) (?P<application>\S+) - (?P<id>\S+) "
    rb'\[meta sequenceId="(?P<number>\d+)"\] \xef\xbb\xbf(?P<message>.*)',
    re.DOTALL,
)


@dataclass(slots=True, kw_only=True)
class Repository:
    """What arrived, in the order of arrival."""

    port: int
    messages: list[dict[str, str]] = field(default_factory=list)
    breaks_after: int | None = None
    """Cut the connection after so many bytes."""
    closes_silently: bool = False
    """Answer the close alert with nothing but the end."""

    def numbers(self) -> list[int]:
        """Numbers of the rows."""
        return [int(message["number"]) for message in list(self.messages)]

    def serve(self, connection: ssl.SSLSocket) -> None:
        """Take the messages of one connection."""
        data = b""
        while more := connection.recv(65536):
            data += more
            if self.breaks_after is not None and len(data) > self.breaks_after:
                return
        while data:
            length, _, data = data.partition(b" ")
            message, data = data[: int(length)], data[int(length) :]
            found = _HEADER.fullmatch(message)
            assert found is not None, message
            self.messages.append({key: value.decode() for key, value in found.groupdict().items()})
        if not self.closes_silently:
            connection.unwrap().close()


@contextmanager
def repository(authority: Authority, shown: Issued, *, port: int = 0) -> Iterator[Repository]:
    """A running one that demands a certificate of the authority."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.certificate)
    context.load_cert_chain(shown.certificate, shown.key)
    context.verify_mode = ssl.CERT_REQUIRED
    listener = socket.create_server((LOOPBACK, port))
    made = Repository(port=listener.getsockname()[1])

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.settimeout(10)
            try:
                with context.wrap_socket(connection, server_side=True) as wrapped:
                    made.serve(wrapped)
            except OSError:
                connection.close()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)
