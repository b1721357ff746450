"""The report feed on real sockets: what is answered, what is kept, and who may send."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import trustme
from sqlalchemy import func, select

from builders.peers import LOOPBACK, free_tcp_port
from builders.received_reports import ACCESSION, Sender, answer_of, oru
from inference.errors import SettingRefusal
from server.compose import Node
from server.database import reading
from server.events import configure
from server.hl7 import listener
from server.hl7.listener import Listener
from server.settings import Settings
from server.tables import received_reports

WithSettings = Callable[..., Node]


@contextmanager
def listening(with_settings: WithSettings, **values: object) -> Iterator[Listener]:
    made = Listener(with_settings(hl7_port=free_tcp_port(), **values))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def feed(with_settings: WithSettings) -> Iterator[Listener]:
    with listening(with_settings) as made:
        yield made


def kept(node: Node) -> int:
    with reading(node.engine) as connection:
        return int(connection.execute(select(func.count()).select_from(received_reports)).scalar_one())


def test_a_report_is_kept_before_it_is_acknowledged_and_once(feed: Listener, node: Node) -> None:
    with Sender(feed.port) as sender:
        for _ in range(2):
            assert answer_of(sender.send(oru("MSG-1"))) == ("AA", "MSG-1", "")
            assert kept(node) == 1
        assert answer_of(sender.send(oru("MSG-1", MSH_3="RIS2"))) == ("AA", "MSG-1", ""), "another sender"
        assert answer_of(sender.send(oru("MSG-1", "Another text."))) == ("AR", "MSG-1", "205")
    with reading(node.engine) as connection:
        row = connection.execute(select(received_reports).where(received_reports.c.withdraws.is_(False))).first()
    assert row is not None
    assert node.spool.path(row.path).read_bytes() == oru("MSG-1")


def test_the_acknowledgement_is_for_the_sender(feed: Listener) -> None:
    with Sender(feed.port) as sender:
        head, answer = sender.send(oru("MSG-1", MSH_5="NODE", MSH_6="SPINE"))
        assert head[2:6] == ["NODE", "SPINE", "RIS", "HOSP"]
        assert (head[8], head[10], head[11]) == ("ACK^R01^ACK", "P", "2.5.1")
        assert answer == ["MSA", "AA", "MSG-1"]


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        (oru("1", MSH_9="ADT^A01"), ("AR", "1", "200")),
        (oru("1", MSH_9="ORU^R03"), ("AR", "1", "201")),
        (oru("1", MSH_11="T"), ("AR", "1", "202")),
        (oru("1", MSH_12="3.0"), ("AR", "1", "203")),
        (oru(""), ("AR", "", "101")),
        (oru("1" * 200), ("AR", "1" * 200, "101")),
        (oru("1", PID_3=""), ("AE", "1", "101")),
        (oru("1", OBR_3=""), ("AE", "1", "101")),
        (oru("1", text=""), ("AE", "1", "199")),
        (oru("1") + oru("2"), ("AE", "1", "199")),
        (oru("1", MSH_18="JIS"), ("AE", "1", "199")),
        (b"GET / HTTP/1.1", ("AR", "", "100")),
        (b"", ("AR", "", "100")),
        (b"MSH|", ("AR", "", "100")),
        (bytes(range(256)), ("AR", "", "100")),
    ],
    ids=[
        "ADT",
        "R03",
        "training",
        "version",
        "no-id",
        "long-id",
        "no-patient",
        "no-accession",
        "no-text",
        "two",
        "charset",
        "HTTP",
        "empty",
        "cut",
        "bytes",
    ],
)
def test_what_is_no_report_for_this_node_is_refused_by_name(
    feed: Listener, node: Node, message: bytes, answer: tuple[str, str, str]
) -> None:
    with Sender(feed.port) as sender:
        got = sender.send(message)
        assert answer_of(got) == answer
        (error,) = (segment for segment in got if segment[0] == "ERR")
        assert error[8].endswith("."), error
        assert kept(node) == 0
        assert answer_of(sender.send(oru("2")))[0] == "AA", "the connection goes on"


def test_what_is_no_block_or_too_large_ends_the_connection(
    feed: Listener, node: Node, with_settings: WithSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Sender(feed.port) as sender:
        assert answer_of(sender.exchange(b"hello\x1c\r")) == ("AR", "", "100")
        assert sender.socket.recv(1) == b""
    with Sender(feed.port) as sender:
        sender.socket.sendall(b"\x0b" + oru("1")[:-20])
        sender.socket.shutdown(socket.SHUT_WR)
        assert sender.socket.recv(1) == b""
    monkeypatch.setattr(listener, "LARGEST_MESSAGE", 100_000)
    with listening(with_settings) as small, Sender(small.port) as sender:
        assert answer_of(sender.exchange(b"\x0b" + b"A" * 300_000))[0] == "AR"
    assert kept(node) == 0


def test_what_cannot_be_kept_is_sent_again(feed: Listener, node: Node) -> None:
    (node.settings.data_dir / "reports").write_text("a file in the way")
    with Sender(feed.port) as sender:
        assert answer_of(sender.send(oru("1"))) == ("AE", "1", "207")
        (node.settings.data_dir / "reports").unlink()
        assert answer_of(sender.send(oru("1"))) == ("AA", "1", "")
    assert kept(node) == 1


def test_only_those_who_may_send_are_heard(with_settings: WithSettings, node: Node) -> None:
    with listening(with_settings, hl7_senders=("10.1.2.3",)) as elsewhere, Sender(elsewhere.port) as sender:
        assert sender.send(oru("1")) == []
    with listening(with_settings, hl7_senders=("10.1.2.3", "127.0.0.0/8")) as here, Sender(here.port) as sender:
        assert answer_of(sender.send(oru("1")))[0] == "AA"
    assert kept(node) == 1


def test_more_senders_than_may_be_open_at_once_are_closed(feed: Listener) -> None:
    with ExitStack() as stack:
        opened = [stack.enter_context(Sender(feed.port)) for _ in range(listener.MOST_CONNECTIONS)]
        assert [answer_of(sender.send(oru("1")))[0] for sender in opened] == ["AA"] * len(opened)
        assert stack.enter_context(Sender(feed.port)).send(oru("2")) == []


def test_over_tls_a_sender_proves_who_it_is(with_settings: WithSettings, tmp_path: Path) -> None:
    authority, other = trustme.CA(), trustme.CA()
    server, client, stranger = (ca.issue_cert(LOOPBACK, "localhost") for ca in (authority, authority, other))
    files = {name: tmp_path / f"{name}.pem" for name in ("certificate", "key", "authorities")}
    server.cert_chain_pems[0].write_to_path(files["certificate"])
    server.private_key_pem.write_to_path(files["key"])
    authority.cert_pem.write_to_path(files["authorities"])
    settings = {f"hl7_tls_{name}": path for name, path in files.items()}
    with listening(with_settings, **settings) as feed:
        for certificate, is_heard in ((client, True), (stranger, False), (None, False)):
            context = ssl.create_default_context()
            authority.configure_trust(context)
            if certificate is not None:
                certificate.configure_cert(context)
            assert _is_heard(feed.port, context) is is_heard
        assert _is_heard(feed.port, None) is False

        files["authorities"].write_bytes(other.cert_pem.bytes())  # the senders' authority is another from now on
        context = ssl.create_default_context()
        authority.configure_trust(context)
        stranger.configure_cert(context)
        assert _is_heard(feed.port, context) is True
        files["key"].write_text("broken")
        assert _is_heard(feed.port, context) is True
        assert "what was read before is still used" in str(feed.tls.fault)


def _is_heard(port: int, context: ssl.SSLContext | None) -> bool:
    try:
        with Sender(port, context) as sender:
            return bool(sender.send(oru("1")))
    except OSError:  # ssl.SSLError is one
        return False


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"hl7_host": "0.0.0.0", "hl7_port": 2575}, "PHI would be sent unprotected"),
        ({"hl7_host": "0.0.0.0", "hl7_port": 2575, "tls": True}, "needs hl7_senders"),
        ({"hl7_tls_certificate": "c.pem"}, "both hl7_tls_certificate and hl7_tls_key"),
        ({"hl7_tls_authorities": "c.pem"}, "hl7_tls_authorities needs TLS"),
        ({"hl7_senders": ("10.0.0.1/8",)}, "hl7_senders are addresses or networks"),
    ],
)
def test_settings_that_would_let_others_read_or_send_are_refused(values: dict[str, object], words: str) -> None:
    tls = {"hl7_tls_certificate": "c.pem", "hl7_tls_key": "k.pem"} if values.pop("tls", False) else {}
    with pytest.raises(SettingRefusal, match=words):
        Settings(**values, **tls)  # type: ignore[arg-type]


def test_a_port_that_is_taken_and_a_certificate_that_is_none_are_named(
    with_settings: WithSettings, tmp_path: Path
) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken, pytest.raises(SettingRefusal, match="cannot listen on"):
        Listener(with_settings(hl7_port=taken.getsockname()[1]))
    (tmp_path / "none.pem").write_text("nothing")
    tls = {"hl7_tls_certificate": tmp_path / "none.pem", "hl7_tls_key": tmp_path / "none.pem"}
    with pytest.raises(SettingRefusal, match="cannot use its certificate"):
        Listener(with_settings(hl7_port=free_tcp_port(), **tls))


def test_the_log_names_nobody(with_settings: WithSettings, capfd: pytest.CaptureFixture[str]) -> None:
    configure()
    with listening(with_settings) as feed, Sender(feed.port) as sender:
        for message in (oru("C-1"), oru("C-2", MSH_18="JIS"), oru("C-3", text=""), oru("C-4", MSH_9="ADT^A01")):
            sender.send(message)
    log = capfd.readouterr().err
    assert log.count("report_refused") == 3
    assert "report_received" in log
    for identity in ("Invented", "TEST-", "1960", ACCESSION, "C-1", "C-2", "RIS", "fracture"):
        assert identity not in log, identity
