"""HTTP on the socket: uvicorn's fast parser, with the bound on a request's head that it leaves out."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 1 << 16
"""Longest head of a request, trailer or line of a chunk that is waited for; as h11, uvicorn's other parser, has it."""
_TOO_LONG = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: 37\r\nconnection: close\r\n\r\nThe head of the request is too large."
)


class BoundedProtocol(HttpToolsProtocol):
    """Ends a connection on which more than HEAD_BYTES come that are neither a whole head nor a body (RFC 6585 5)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As uvicorn makes its protocols."""
        super().__init__(*args, **kwargs)
        self._waiting_bytes = 0
        self._came_through = False

    def data_received(self, data: bytes) -> None:
        """Parse, then look whether it led to anything."""
        self._came_through = False
        super().data_received(data)
        self._waiting_bytes = 0 if self._came_through else self._waiting_bytes + len(data)
        if self._waiting_bytes > HEAD_BYTES and not self.transport.is_closing():
            self.transport.write(_TOO_LONG)
            self.transport.close()

    def on_body(self, body: bytes) -> None:
        """Bytes that the application gets; it bounds them itself."""
        self._came_through = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._came_through = True
        super().on_message_complete()
