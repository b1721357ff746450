"""The parser of requests on a real socket: what never becomes a request is ended, what is large but whole is not."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from builders.web import serving
from server.http.wire import HEAD_BYTES


@pytest.fixture
def address(node) -> Iterator[tuple[str, int]]:
    with serving(node) as url:
        parts = urlsplit(url)
        yield "127.0.0.1", int(parts.port or 0)


@contextmanager
def connection(address: tuple[str, int]) -> Iterator[socket.socket]:
    with socket.create_connection(address, timeout=60) as opened:
        yield opened


def answer_to(address: tuple[str, int], request: bytes, endless: bytes = b"") -> bytes:
    """Everything that comes back; what is endless is sent until the node hangs up, or 16 MiB have gone."""
    with connection(address) as opened:
        opened.sendall(request)
        try:
            for _ in range((1 << 24) // max(len(endless), 1) if endless else 0):
                opened.sendall(endless)
        except (BrokenPipeError, ConnectionResetError):
            pass
        found = b""
        try:
            while chunk := opened.recv(1 << 16):
                found += chunk
        except ConnectionResetError:
            return found or b"reset"
        return found


HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
BODY = b"POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "request_head",
    [
        pytest.param(HEAD + b"X-Endless: ", id="a field"),
        pytest.param(b"GET /", id="the address"),
        pytest.param(BODY + b"1;", id="an extension of a chunk"),
        pytest.param(BODY + b"0\r\nX-Trailer: ", id="a trailer"),
    ],
)
def test_what_never_ends_is_ended(address, request_head):
    assert b"HTTP/1.1 200" not in answer_to(address, request_head, b"a" * (1 << 16))
    assert b"HTTP/1.1 200" in answer_to(address, HEAD + b"\r\n")


def test_a_head_up_to_the_bound_is_read(address):
    assert b"HTTP/1.1 200" in answer_to(address, HEAD + b"X-Long: " + b"a" * (HEAD_BYTES // 2) + b"\r\n\r\n")
    long = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X-Long: " + b"a" * (HEAD_BYTES + 1)
    with connection(address) as opened:
        opened.sendall(long)
        assert b" 431 " in opened.recv(1 << 16)


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="a TLS greeting"),
        pytest.param(b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n", id="bytes that are no text"),
        pytest.param(
            b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n"
            b"Connection: close\r\n\r\n0\r\n\r\n",
            id="two lengths",
        ),
        pytest.param(b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", id="a negative length"),
    ],
)
def test_what_is_no_request_is_refused(address, request_bytes):
    assert answer_to(address, request_bytes)[:12] in {b"HTTP/1.1 400", b"HTTP/1.1 404"}
    assert b"HTTP/1.1 200" in answer_to(address, HEAD + b"\r\n")


def test_many_requests_on_one_connection_are_answered_in_order(address):
    one = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = answer_to(address, one * 49 + HEAD + b"\r\n")
    assert answer.count(b"HTTP/1.1 200") == 50
