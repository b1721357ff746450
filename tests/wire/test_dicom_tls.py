"""DICOM over TLS against OpenSSL and DCMTK: who gets in, who does not and by which name, and files that change."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from builders.authority import Authority, Issued
from builders.dicom import SeriesPlan, small_voxels, write_series
from builders.peers import LOOPBACK, peer_environment, program, store_with_storescu, wait_until
from builders.receiving import Node, RawPeer, association_request, pdata, running_node, store_command
from dicom_node.tls import LiveContext, TlsFiles, server_context

MR = (MRImageStorage, ExplicitVRLittleEndian)
ALERT = 21
"""ContentType alert (RFC 8446 5.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A node with TLS, its authority, and somebody else's."""

    node: Node
    ours: Authority
    theirs: Authority
    own: Issued
    files: TlsFiles
    tls: LiveContext

    def counted(self) -> dict[str, int]:
        """What the receiver has counted."""
        return dict(self.node.receiver.metrics.snapshot())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs", name="Somebody else")
    own = ours.issue("spine")
    revocations = ours.revoke(ours.issue("lost"))
    files = TlsFiles(certificate=own.certificate, key=own.key, authorities=ours.certificate, revocations=revocations)
    tls = LiveContext(files, lambda found: server_context(found, demands_certificate=True))
    with running_node(tmp_path / "node", tls=tls, request_timeout_s=2.0, max_associations=20) as node:
        yield Site(node=node, ours=ours, theirs=theirs, own=own, files=files, tls=tls)


def peer_context(site: Site, shown: Issued | None) -> ssl.SSLContext:
    """What an orderly peer brings."""
    context = ssl.create_default_context(cafile=site.ours.certificate)
    if shown is not None:
        context.load_cert_chain(shown.certificate, shown.key)
    return context


def tls_options(authority: Authority, shown: Issued) -> list[str]:
    return ["+tls", str(shown.key), str(shown.certificate), "+cf", str(authority.certificate)]


def s_client(port: int, *options: str) -> subprocess.CompletedProcess[bytes]:
    """A handshake of OpenSSL's; after it, it stays until the server's alert or one second is over."""
    command = ["timeout", "1", "openssl", "s_client", "-connect", f"{LOOPBACK}:{port}", "-ign_eof", *options]
    return subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=30, check=False)


@pytest.mark.peer("dcmtk")
def test_dcmtk_stores_a_study_over_tls(site: Site, tmp_path: Path) -> None:
    sent = write_series(tmp_path / "sent", SeriesPlan(voxels=small_voxels()))
    shown = site.ours.issue("modality")

    done = store_with_storescu(sent, site.node.tls_port, options=tls_options(site.ours, shown))

    assert done.returncode == 0, done.stderr
    assert len(site.node.rows()) == len(sent)
    echo = [str(program("echoscu")), *tls_options(site.ours, shown), "-aec", "SPINEAI", LOOPBACK]
    told = subprocess.run(
        [*echo, str(site.node.tls_port)], env=peer_environment(), capture_output=True, timeout=30, check=False
    )
    assert told.returncode == 0, told.stderr
    assert site.counted()["associations_released"] == 2


@pytest.mark.parametrize(
    ("case", "word"),
    [
        ("stranger", "unknown_authority"),
        ("old", "certificate_expired"),
        ("revoked", "certificate_revoked"),
        ("nothing", "no_certificate"),
        ("tls-1.1", "tls_version"),
        ("cbc", "cipher_suite"),
    ],
)
def test_who_is_not_let_in_is_counted_by_name(site: Site, case: str, word: str) -> None:
    shown = {
        "stranger": lambda: site.theirs.issue("modality"),
        "old": lambda: site.ours.issue("modality", days=-1),
        "revoked": lambda: site.ours.issue("lost-again"),
    }.get(case, lambda: site.ours.issue("modality"))()
    if case == "revoked":
        site.ours.revoke(shown)
    options = [] if case == "nothing" else ["-cert", str(shown.certificate), "-key", str(shown.key)]
    options += {"tls-1.1": ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "cbc": ["-tls1_2", "-cipher", "AES128-SHA"]}.get(
        case, []
    )

    said = s_client(site.node.tls_port, *options)

    assert b"alert" in said.stderr, said.stderr
    wait_until(lambda: site.counted().get("associations_without_tls", 0) == 1, timeout_s=5, what="the refusal")
    assert site.counted()[f"tls_handshakes_failed_{word}"] == 1
    with RawPeer(site.node.tls_port, tls=peer_context(site, site.ours.issue("good"))) as peer:
        peer.associate(*MR)


@pytest.mark.peer("dcmtk")
@pytest.mark.parametrize(
    ("case", "word"),
    [("stranger", "unknown_authority"), ("old", "certificate_expired"), ("anonymous", "no_certificate")],
)
def test_dcmtk_without_a_good_certificate_is_not_let_in(site: Site, case: str, word: str) -> None:
    issuer = site.theirs if case == "stranger" else site.ours
    options = tls_options(site.ours, issuer.issue("modality", days=-1 if case == "old" else 90))
    if case == "anonymous":
        options = ["+tla", "-ic"]
    command = [str(program("echoscu")), *options, "-aec", "SPINEAI", LOOPBACK, str(site.node.tls_port)]

    done = subprocess.run(command, env=peer_environment(), capture_output=True, timeout=30, check=False)

    assert done.returncode != 0
    wait_until(lambda: site.counted().get("associations_without_tls", 0) == 1, timeout_s=5, what="the refusal")
    assert site.counted()[f"tls_handshakes_failed_{word}"] == 1


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_serve_and_end_in_order(site: Site, version: ssl.TLSVersion) -> None:
    context = peer_context(site, site.ours.issue("modality"))
    context.minimum_version = context.maximum_version = version
    with RawPeer(site.node.tls_port, tls=context) as peer:
        peer.associate(*MR)
        peer.send(b"\x05\0\0\0\0\x04\0\0\0\0")
        assert peer.read_pdu() == (6, bytes(4))
        assert peer.socket.recv(1) == b"", "closed with the alert, not cut"


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (association_request(*MR), "plain_bytes"),
        (b"GET / HTTP/1.1\r\n\r\n", "plain_http"),
        (bytes(range(100, 200)), "plain_bytes"),
        (b"\x16\x03\x01\x00\x05\x01\0\0\x01\0", "handshake"),
        (b"\x16\x03\x01", "timed_out"),
    ],
)
def test_what_is_no_handshake_is_named(site: Site, data: bytes, word: str, caplog: pytest.LogCaptureFixture) -> None:
    with RawPeer(site.node.tls_port) as peer:
        peer.send(data)
        answer = peer.socket.recv(1)
        assert answer in {b"", bytes((ALERT,))}
    wait_until(lambda: site.counted().get("associations_without_tls", 0) == 1, timeout_s=5, what="the end")
    record = next(r for r in caplog.records if r.message == "tls_handshake_failed")
    assert record.reason == word
    assert record.host == LOOPBACK
    assert record.exc_info is None


def test_a_handshake_on_the_plain_port_is_named(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    said = s_client(site.node.port)

    assert said.returncode != 0
    wait_until(lambda: site.counted().get("associations_faulty", 0) == 1, timeout_s=5, what="the end")
    fault = next(r.fault for r in caplog.records if r.message == "association_fault")
    assert fault == "PDU type 0x16 does not exist: it is a TLS handshake, and this port is without TLS"


def test_a_slow_handshake_holds_up_nobody_and_ends_with_the_timer(site: Site) -> None:
    began = time.monotonic()
    with RawPeer(site.node.tls_port) as slow, RawPeer(site.node.tls_port) as dripping:
        context = peer_context(site, site.ours.issue("modality"))
        with RawPeer(site.node.tls_port, tls=context) as peer:
            peer.associate(*MR)
        assert time.monotonic() - began < 1.5
        for byte in b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\0\0\0\0":
            dripping.send(bytes((byte,)))
            time.sleep(0.1)
        assert slow.read_pdu() is None
        assert dripping.read_pdu() is None
    assert time.monotonic() - began < 6
    assert site.counted()["tls_handshakes_failed_timed_out"] == 2


def test_a_peer_that_is_silent_after_the_handshake_is_sent_away(site: Site) -> None:
    with RawPeer(site.node.tls_port, tls=peer_context(site, site.ours.issue("modality"))) as peer:
        assert peer.read_pdu() == (7, bytes((0, 0, 2, 0)))
    wait_until(lambda: site.counted().get("associations_timed_out", 0) == 1, timeout_s=5, what="the end")


def test_stopping_wakes_an_idle_association_and_says_so_encrypted(tmp_path: Path) -> None:
    ours = Authority(tmp_path / "ours")
    own = ours.issue("spine")
    files = TlsFiles(certificate=own.certificate, key=own.key, authorities=ours.certificate)
    tls = LiveContext(files, lambda found: server_context(found, demands_certificate=False))
    with running_node(tmp_path / "node", tls=tls) as node:
        context = ssl.create_default_context(cafile=ours.certificate)
        peer = RawPeer(node.tls_port, tls=context)
        peer.associate(*MR)
        stopping = threading.Thread(target=node.receiver.stop)
        began = time.monotonic()
        stopping.start()
        assert peer.read_pdu() == (7, bytes((0, 0, 2, 0)))
        peer.socket.close()
        stopping.join(10)
        assert time.monotonic() - began < 5


def test_sixteen_at_once(site: Site, tmp_path: Path) -> None:
    shown = site.ours.issue("modality")
    context = peer_context(site, shown)
    answers: list[tuple[int, bytes] | None] = []

    def send(number: int) -> None:
        with RawPeer(site.node.tls_port, tls=context) as peer:
            peer.associate(*MR)
            for message in range(3):
                data = os.urandom(100_000)
                peer.send(pdata((1, 3, store_command(MR[0], f"1.2.3.{number}.{message + 1}"))))
                peer.send(
                    pdata(*((1, 0, data[i : i + 16_000]) for i in range(0, len(data), 16_000))) + pdata((1, 2, b""))
                )
                answers.append(peer.read_pdu())

    threads = [threading.Thread(target=send, args=(number,)) for number in range(1, 17)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == 48
    assert all(answer is not None and answer[0] == 4 for answer in answers), (
        "random bytes are set aside, each with an answer"
    )
    assert len(site.node.quarantined()) == 48


def test_new_files_count_from_the_next_handshake_on(site: Site) -> None:
    context = peer_context(site, site.ours.issue("modality"))
    running = RawPeer(site.node.tls_port, tls=context)
    running.associate(*MR)
    first = running.socket.getpeercert()["serialNumber"]

    renewed = site.ours.issue("spine")

    with RawPeer(site.node.tls_port, tls=context) as peer:
        peer.associate(*MR)
        assert peer.socket.getpeercert()["serialNumber"] != first
        assert int(peer.socket.getpeercert()["serialNumber"], 16) == renewed.made.serial_number
    running.send(b"\x05\0\0\0\0\x04\0\0\0\0")
    assert running.read_pdu() == (6, bytes(4)), "the association that ran goes on"
    running.socket.close()

    site.own.key.write_text("this is no key")
    assert "what was read before is still used" in str(site.tls.fault)
    assert str(site.own.key) in str(site.tls.fault)
    with RawPeer(site.node.tls_port, tls=context) as peer:
        peer.associate(*MR)
        assert int(peer.socket.getpeercert()["serialNumber"], 16) == renewed.made.serial_number
    site.ours.issue("spine")
    assert site.tls.fault is None


def test_who_is_revoked_while_the_node_runs_is_out(site: Site) -> None:
    shown = site.ours.issue("modality")
    context = peer_context(site, shown)
    with RawPeer(site.node.tls_port, tls=context) as peer:
        peer.associate(*MR)

    site.ours.revoke(shown)

    with pytest.raises((ssl.SSLError, AssertionError, OSError)), RawPeer(site.node.tls_port, tls=context) as peer:
        peer.associate(*MR)
    wait_until(
        lambda: site.counted().get("tls_handshakes_failed_certificate_revoked", 0) == 1, timeout_s=5, what="the refusal"
    )


def test_who_only_knocks_and_who_does_not_believe_us_are_named(site: Site) -> None:
    RawPeer(site.node.tls_port).socket.close()
    wait_until(lambda: site.counted().get("tls_handshakes_failed_peer_left", 0) == 1, timeout_s=5, what="the knock")
    stranger = ssl.create_default_context(cafile=site.theirs.certificate)
    with socket.create_connection((LOOPBACK, site.node.tls_port)) as plain, pytest.raises(ssl.SSLCertVerificationError):
        stranger.wrap_socket(plain, server_hostname=LOOPBACK)
    word = "tls_handshakes_failed_our_certificate_refused"
    wait_until(lambda: site.counted().get(word, 0) == 1, timeout_s=5, what="the refusal")


def test_an_authority_without_its_list_gets_nobody_in(site: Site, tmp_path: Path) -> None:
    bundle = site.files.authorities
    assert bundle is not None
    bundle.write_text(bundle.read_text() + site.theirs.certificate.read_text())
    shown = site.theirs.issue("modality")
    s_client(site.node.tls_port, "-cert", str(shown.certificate), "-key", str(shown.key))
    word = "tls_handshakes_failed_no_revocation_list"
    wait_until(lambda: site.counted().get(word, 0) == 1, timeout_s=5, what="the refusal")


@pytest.mark.parametrize("prefix", [5, 60, 150])
def test_garbage_inside_the_encryption_and_cuts_end_one_association_only(site: Site, prefix: int) -> None:
    context = peer_context(site, site.ours.issue("modality"))
    with RawPeer(site.node.tls_port, tls=context) as peer:
        peer.send(association_request(*MR)[:prefix])
    with RawPeer(site.node.tls_port, tls=context) as peer:
        peer.associate(*MR)
        raw = peer.socket.detach()
        os.write(raw, os.urandom(300))  # below the encryption: no record of this session
        os.close(raw)
    with RawPeer(site.node.tls_port, tls=context) as peer:
        peer.associate(*MR)
