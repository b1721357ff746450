"""HTTPS follows its certificate's files, on real connections, without a restart."""

from __future__ import annotations

import hashlib
import shutil
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from builders.authority import Authority, Issued
from builders.web import serving
from inference.errors import SettingRefusal
from server.compose import Node
from server.trust_watch import TrustWatch
from server.web import http_tls

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@contextmanager
def opened(
    url: str,
    authority: Authority,
    *,
    server_name: str | None = "127.0.0.1",
    context: ssl.SSLContext | None = None,
    session: ssl.SSLSession | None = None,
) -> Iterator[ssl.SSLSocket]:
    """A connection of TLS; without a server name none is sent (and none is checked)."""
    context = context or ssl.create_default_context(cafile=authority.certificate)
    context.check_hostname = server_name is not None
    plain = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=10)
    with context.wrap_socket(plain, server_hostname=server_name, session=session) as connection:
        yield connection


def shown(connection: ssl.SSLSocket) -> str:
    """The fingerprint of the server's certificate."""
    return hashlib.sha256(connection.getpeercert(binary_form=True) or b"").hexdigest()


def is_served(connection: ssl.SSLSocket) -> bool:
    connection.sendall(HEALTH)
    return connection.recv(1 << 16).startswith(b"HTTP/1.1 200")


def put(issued: Issued, folder: Path) -> None:
    shutil.copy(issued.certificate, folder / "cert.pem")
    shutil.copy(issued.key, folder / "key.pem")


def test_a_new_certificate_counts_from_the_next_connection_on(
    with_settings: Callable[..., Node], tmp_path: Path
) -> None:
    ours = Authority(tmp_path / "ours")
    first, second, third = (ours.issue(name) for name in ("first", "second", "third"))
    put(first, tmp_path)
    node = with_settings(http_tls_certificate=tmp_path / "cert.pem", http_tls_key=tmp_path / "key.pem")
    with serving(node) as url, opened(url, ours) as standing:
        assert shown(standing) == first.sha256
        put(second, tmp_path)
        for name in ("127.0.0.1", "second", None):
            with opened(url, ours, server_name=name) as connection:
                assert shown(connection) == second.sha256
                assert is_served(connection)
        assert is_served(standing), "a connection that stands goes on"

        shutil.copy(third.certificate, tmp_path / "cert.pem")  # its key is not there yet
        with opened(url, ours) as connection:
            assert shown(connection) == second.sha256
        (tmp_path / "cert.pem").unlink()
        with opened(url, ours) as connection:
            assert is_served(connection)
        put(third, tmp_path)
        with opened(url, ours) as connection:
            assert shown(connection) == third.sha256


def test_no_session_of_an_earlier_certificate_is_taken_up_again(
    with_settings: Callable[..., Node], tmp_path: Path
) -> None:
    ours = Authority(tmp_path / "ours")
    put(ours.issue("first"), tmp_path)
    node = with_settings(http_tls_certificate=tmp_path / "cert.pem", http_tls_key=tmp_path / "key.pem")
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = ssl.create_default_context(cafile=ours.certificate)
        context.minimum_version = context.maximum_version = version
        with serving(node) as url:
            with opened(url, ours, context=context) as first:
                assert is_served(first)  # with TLS 1.3 the session comes after the handshake
                session = first.session
            with opened(url, ours, context=context, session=session) as again:
                assert again.session_reused
            second = ours.issue("second")
            put(second, tmp_path)
            with opened(url, ours, context=context, session=session) as other:
                assert not other.session_reused
                assert shown(other) == second.sha256


def test_files_that_do_not_fit_are_named_and_refused_at_the_start(
    with_settings: Callable[..., Node], tmp_path: Path
) -> None:
    ours = Authority(tmp_path / "ours")
    first, second = ours.issue("first"), ours.issue("second")
    put(first, tmp_path)
    settings = with_settings(http_tls_certificate=tmp_path / "cert.pem", http_tls_key=tmp_path / "key.pem").settings
    live = http_tls(settings)
    assert live is not None
    watch = TrustWatch(files={"http": live.files}, warning_days=30.0, live={"http_tls_files_unusable": live})
    assert watch().warning is None
    shutil.copy(second.key, tmp_path / "key.pem")
    assert "cert.pem with" in str(watch().warning)
    assert str(watch().warning).endswith("KEY_VALUES_MISMATCH; what was read before is still used.")
    with pytest.raises(SettingRefusal, match="KEY_VALUES_MISMATCH"):
        http_tls(settings)
