"""Bodies of several parts (RFC 2387), written part by part so that one part at a time is in memory."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

CHUNK_BYTES = 1 << 20
"""Bytes read from a file at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part; its body is produced when it is sent."""

    media_type: str
    """With its parameters."""
    body: Iterable[bytes]
    length: int | None
    """Bytes of the body, where they are known before it is produced."""
    location: str | None = None
    """Content-Location: the URL of what the part holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Multipart:
    """A body of parts."""

    media_type: str
    """Of every part, without parameters."""
    parts: Iterable[Part]
    boundary: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def content_type(self) -> str:
        """The value of Content-Type."""
        return f'multipart/related; type="{self.media_type}"; boundary={self.boundary}'

    def chunks(self) -> Iterator[bytes]:
        """The body."""
        for part in self.parts:
            yield self._head(part)
            yield from part.body
            yield b"\r\n"
        yield self._tail()

    def length(self, parts: Sequence[Part]) -> int | None:
        """Bytes of the body with these parts; None where one of them is not known."""
        total = len(self._tail())
        for part in parts:
            if part.length is None:
                return None
            total += len(self._head(part)) + part.length + 2
        return total

    def _head(self, part: Part) -> bytes:
        lines = [f"--{self.boundary}", f"Content-Type: {part.media_type}"]
        if part.length is not None:
            lines.append(f"Content-Length: {part.length}")
        if part.location is not None:
            lines.append(f"Content-Location: {part.location}")
        return "\r\n".join([*lines, "", ""]).encode("ascii")

    def _tail(self) -> bytes:
        return f"--{self.boundary}--\r\n".encode("ascii")
