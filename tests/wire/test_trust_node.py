"""A node with TLS, peers, users and a repository: what it says where, and the secrets that it never says."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from lxml import etree
from pynetdicom import AE
from pynetdicom.pdu_primitives import UserIdentityNegotiation
from pynetdicom.sop_class import Verification

from builders.authority import Authority, Issued
from builders.dicom import SeriesPlan, small_voxels, write_series
from builders.node import Node
from builders.peers import LOOPBACK, free_tcp_port, store_with_storescu, wait_until
from builders.receiving import RawPeer, association_request
from builders.repository import Repository, repository
from dicom_node.tls import TlsFiles, client_context
from server.auth.passwords import hash_password
from server.cli import run
from server.settings import Settings
from server.supervise import Supervisor

ASSOCIATE_AC = 2
"""PS3.8 9.3.3."""
SECRET, PASSCODE = "planted-in-the-url", "planted passcode 7"
SCHEMA_FILE = Path(__file__).parent.parent / "unit" / "server" / "data" / "audit-message.rng"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The receiver and the web process of one node."""

    receiver: Node
    web: Node
    tls_port: int
    ours: Authority
    own: Issued
    there: Repository

    def checks(self) -> dict[str, Any]:
        body = httpx.get(f"{self.web.url}/readyz", timeout=20).json()
        return {check["name"]: check for check in body["checks"]}

    def context(self, shown: Issued) -> Any:
        return client_context(TlsFiles(certificate=shown.certificate, key=shown.key, authorities=self.ours.certificate))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    ours = Authority(tmp_path / "ours")
    own, tls_port = ours.issue("spine", days=10), free_tcp_port()
    (tmp_path / "users").write_text(f"ruth:{hash_password(PASSCODE)}\n")
    (tmp_path / "peers.toml").write_text(
        '[modality]\nae_titles = ["MR1"]\nneeds_user = false\n[pacs]\nae_titles = ["PACS"]\n'
    )
    with ExitStack() as stack:
        there = stack.enter_context(repository(ours, ours.issue("repository")))
        options = {
            "data-dir": tmp_path / "data",
            "dicom-tls-port": tls_port,
            "dicom-tls-certificate": own.certificate,
            "dicom-tls-key": own.key,
            "dicom-tls-ca": ours.certificate,
            "dicom-peers-file": tmp_path / "peers.toml",
            "dicom-users-file": tmp_path / "users",
            "audit-repository": f"{LOOPBACK}:{there.port}",
        }
        web = stack.enter_context(Node.started(tmp_path / "web", role="web", options=options))
        receiver = stack.enter_context(Node.started(tmp_path / "receiver", role="receive", options=options))
        made = Site(receiver=receiver, web=web, tls_port=tls_port, ours=ours, own=own, there=there)
        wait_until(lambda: made.checks()["receiver"]["is_ok"], timeout_s=60, what="the receiver")
        yield made


def echo(site: Site, passcode: str) -> bool:
    """C-ECHO over TLS as a user."""
    entity = AE(ae_title="PACS")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 20
    entity.add_requested_context(Verification)
    asked = UserIdentityNegotiation()
    asked.user_identity_type, asked.primary_field, asked.secondary_field = 2, b"ruth", passcode.encode()
    tls = (site.context(site.ours.issue("pacs")), LOOPBACK)
    peer = entity.associate(LOOPBACK, site.tls_port, ae_title="SPINEAI", ext_neg=[asked], tls_args=tls)
    if not peer.is_established:
        return False
    status = peer.send_c_echo().Status
    peer.release()
    return bool(status == 0)


@pytest.mark.peer("dcmtk")
def test_what_a_trusting_node_says_and_what_it_never_says(site: Site, tmp_path: Path) -> None:
    sent = write_series(tmp_path / "sent", SeriesPlan(voxels=small_voxels(2)))
    shown = site.ours.issue("modality")
    options = ["+tls", str(shown.key), str(shown.certificate), "+cf", str(site.ours.certificate)]

    done = store_with_storescu(sent, site.tls_port, calling="MR1", options=options)
    assert done.returncode == 0, done.stderr
    assert echo(site, PASSCODE)
    assert not echo(site, "planted but wrong 8")
    with RawPeer(site.receiver.dicom_port) as peer:
        peer.send(association_request("1.2.840.10008.1.1", "1.2.840.10008.1.2", calling="STRANGER"))
        assert peer.read_pdu() == (3, bytes((0, 1, 1, 3)))

    _the_repository_has_it(site)
    _what_ends_and_what_is_broken_is_said(site)
    _the_table_of_peers_is_followed(site, tmp_path / "peers.toml")
    _no_secret_is_said(site)


def _the_repository_has_it(site: Site) -> None:
    def codes() -> list[tuple[str, str | None]]:
        trees = [etree.fromstring(message["message"].encode()) for message in list(site.there.messages)]
        assert all(schema.validate(tree) for tree in trees), schema.error_log
        ids = [tree.find("EventIdentification") for tree in trees]
        types = [event.find("EventTypeCode") for event in ids]
        return [
            (event.find("EventID").get("csd-code"), None if code is None else code.get("csd-code"))
            for event, code in zip(ids, types, strict=True)
        ]

    schema = etree.RelaxNG(etree.parse(SCHEMA_FILE))
    wait_until(lambda: len(site.there.messages) >= 6, timeout_s=30, what="the audit messages")
    found = codes()
    assert found.count(("110100", "110120")) == 2, "web and receiver have started"
    assert found.count(("110102", None)) == found.count(("110104", None)) == 1
    assert found.count(("110113", "110126")) == 2, "a wrong passcode and a stranger"
    assert site.there.numbers() == list(range(1, len(found) + 1))
    transferred = next(m["message"] for m in site.there.messages if 'csd-code="110104"' in m["message"])
    assert 'NumberOfInstances="2"' in transferred
    assert 'UserID="MR1"' in transferred


def _what_ends_and_what_is_broken_is_said(site: Site) -> None:
    def warning(of: Callable[[str], bool]) -> Callable[[], bool]:
        return lambda: of(str(site.checks().get("trusted files of receive", {}).get("sentence")))

    assert site.checks()["trusted files of receive"]["is_warning"] is True
    assert warning(lambda said: said.startswith(str(site.own.certificate)))()
    metrics = httpx.get(f"{site.web.url}/metrics", timeout=20).text
    (line,) = [text for text in metrics.splitlines() if 'certificate="dicom_certificate"' in text]
    assert 9.5 < float(line.split()[-1]) / 86_400 < 10.0
    assert "spine_audit_waiting{repository=" in metrics
    site.own.key.write_text("broken")
    wait_until(warning(lambda said: "what was read before is still used" in said), timeout_s=20, what="the fault")
    assert "spine_process_warning{" in httpx.get(f"{site.web.url}/metrics", timeout=20).text
    assert echo(site, PASSCODE), "the certificate before it still serves"
    site.ours.issue("spine", days=90)
    wait_until(warning(lambda said: said == "None"), timeout_s=20, what="the end of the warning")


def _the_table_of_peers_is_followed(site: Site, table: Path) -> None:
    def is_let_in(calling: str) -> bool:
        with RawPeer(site.receiver.dicom_port) as peer:
            peer.send(association_request("1.2.840.10008.1.1", "1.2.840.10008.1.2", calling=calling))
            return peer.read_pdu()[0] == ASSOCIATE_AC

    def warning() -> str:
        return str(site.checks().get("trusted files of receive", {}).get("sentence"))

    assert (is_let_in("MR1"), is_let_in("MR2")) == (True, False)
    table.write_text('[second]\nae_titles = ["MR2"]\nneeds_user = false\n')
    assert (is_let_in("MR1"), is_let_in("MR2")) == (False, True)
    table.write_text('[second]\nae_title = ["MR1"]\n')
    assert (is_let_in("MR1"), is_let_in("MR2")) == (False, True), "the table before it still counts"
    wait_until(lambda: "DICOM peer second: ae_title: Extra inputs" in warning(), timeout_s=20, what="the fault")
    assert "dicom_peers_unusable" in site.receiver.log.read_text()
    table.unlink()
    assert (is_let_in("MR1"), is_let_in("MR2")) == (False, True)


def _no_secret_is_said(site: Site) -> None:
    said = [site.receiver.log.read_text(), site.web.log.read_text()]
    assert "association_rejected" in said[0]
    assert "tls_files_unusable" in said[0]
    paths = ("/metrics", "/readyz", "/api/v1/audit", "/x")
    said += [httpx.get(f"{site.web.url}{path}", timeout=20).text for path in paths]
    commands = [Path(f"/proc/{pid}/cmdline").read_bytes().decode() for pid in _children()]
    assert sum("server.cli" in command for command in commands) == 2
    for text in (*said, *commands, *(m["message"] for m in site.there.messages)):
        for secret in (PASSCODE, "planted but wrong", "scrypt$", "PRIVATE KEY"):
            assert secret not in text


def _children() -> list[str]:
    return Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text(encoding="ascii").split()


@pytest.mark.parametrize("words", [["check"], ["receive"], ["web"], ["work"], ["status"], ["audit", "verify"]])
@pytest.mark.parametrize(
    "url", [f"postgresql://u:{SECRET}@127.0.0.1:1/x", f"postgresql://u@127.0.0.1:1/x?password={SECRET}"]
)
def test_the_database_password_is_in_no_error(
    words: list[str], url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPINE_DATABASE_URL", url)
    monkeypatch.setenv("SPINE_DATA_DIR", str(tmp_path))

    assert run(words) == 1

    said = "".join(capfd.readouterr())
    assert "cannot be prepared" in said or "does not answer" in said
    assert "***" in said or "password=hidden" in said
    assert SECRET not in said


def test_the_processes_of_the_node_show_no_setting(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, database_url=f"postgresql://u:{SECRET}@127.0.0.1:1/x")
    child = Supervisor(settings)._children[0]
    child.start()
    assert child.process is not None
    try:
        of_process = Path(f"/proc/{child.process.pid}/cmdline")
        wait_until(lambda: bool(of_process.read_bytes()), timeout_s=5, what="the new program")
        shown = of_process.read_bytes().split(b"\0")
        assert shown[1:] == [b"-m", b"server.cli", b"receive", b""]
        assert SECRET in child.environment["SPINE_DATABASE_URL"]
    finally:
        child.process.kill()
        child.process.wait()


def test_a_password_on_the_command_line_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for url in ("postgresql://u:planted@h/x", "postgresql://u@h/x?password=planted"):
        assert run(["status", "--database-url", url]) == 2
        said = capsys.readouterr().err
        assert "shows in the list of processes" in said
        assert "planted" not in said
