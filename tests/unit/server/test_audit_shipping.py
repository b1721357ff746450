"""The trail on its way to a repository: complete, in order, valid, whatever breaks on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from lxml import etree
from sqlalchemy import Engine, update

from builders.authority import Authority
from builders.peers import free_tcp_port, wait_until
from builders.repository import Repository, repository
from inference.errors import PeerFailure, SettingRefusal
from server import audit_shipping
from server.audit_shipping import AuditShipping
from server.auth.audit import trail
from server.auth.audit.record import AuditKind, Outcome, record_of
from server.auth.audit.shipment import find_shipment, hold
from server.auth.roles import NODE
from server.auth.tables import audit_shipments
from server.compose import Node
from server.database import reading
from server.readiness import check_repository
from server.settings import Settings

SCHEMA = etree.RelaxNG(etree.parse(Path(__file__).parent / "data" / "audit-message.rng"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    node: Node
    ours: Authority
    port: int

    def add(self, count: int, **changed: object) -> None:
        with self.node.engine.begin() as connection:
            for number in range(count):
                trail.append(connection, record_of(AuditKind.LOGIN, NODE, about=f"record {number} <&>", **changed))

    def fault(self) -> str | None:
        with reading(self.node.engine) as connection:
            found = find_shipment(connection, self.node.settings.audit_repository)
        return found.fault if found else None

    def running(self) -> Repository:
        return repository(self.ours, self.ours.issue("repository"), port=self.port)


@pytest.fixture
def site(node: Node, settings: Callable[..., Settings], tmp_path: Path) -> Site:
    ours, port = Authority(tmp_path / "ours"), free_tcp_port()
    own = ours.issue("spine")
    made = settings(
        audit_repository=f"127.0.0.1:{port}",
        dicom_tls_certificate=own.certificate,
        dicom_tls_key=own.key,
        dicom_tls_ca=ours.certificate,
    )
    return Site(node=Node(settings=made, engine=node.engine, spool=node.spool), ours=ours, port=port)


def test_every_row_arrives_once_in_order_and_valid(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_shipping, "BATCH", 4)
    site.add(9)
    site.add(1, outcome=Outcome.SERIOUS_FAILURE)
    shipping = AuditShipping(site.node)
    with site.running() as there:
        assert [shipping.ship() for _ in range(4)] == [4, 4, 2, 0]
        site.add(1)
        assert shipping.ship() == 1

    assert there.numbers() == list(range(1, 12))
    for message in there.messages:
        assert SCHEMA.validate(etree.fromstring(message["message"].encode())), SCHEMA.error_log
        assert (message["id"], message["application"]) == ("DICOM+RFC3881", "spine-node")
    assert {m["priority"] for m in there.messages} == {str(10 * 8 + 5), str(10 * 8 + 3)}
    assert site.fault() is None


def test_nothing_is_lost_when_the_repository_is_away_or_breaks_off(site: Site) -> None:
    site.add(300)
    shipping = AuditShipping(site.node)
    with pytest.raises(PeerFailure, match="does not take records: Connection refused"):
        shipping.ship()
    assert "Connection refused" in str(site.fault())
    with reading(site.node.engine) as connection:
        (check,) = check_repository(connection, site.node.settings.audit_repository)
    assert (check.is_ok, check.is_warning) == (True, True)
    assert check.sentence.endswith("300 records wait.")
    with site.running() as there:
        there.breaks_after = 50_000
        with pytest.raises(PeerFailure):
            shipping.ship()
        there.breaks_after, there.closes_silently = None, True
        with pytest.raises(PeerFailure):
            shipping.ship()
        assert there.numbers() == list(range(1, 201)), "they are there, but nobody said so"
        there.closes_silently = False
        assert [shipping.ship() for _ in range(3)] == [200, 100, 0]

    assert there.numbers() == [*range(1, 201), *range(1, 301)], "sent again, none left out"
    assert site.fault() is None


def test_only_one_process_sends_and_another_takes_over(site: Site, engine: Engine) -> None:
    one = Site(
        node=Node(settings=site.node.settings, engine=engine, spool=site.node.spool), ours=site.ours, port=site.port
    )
    one.add(1)
    name = one.node.settings.audit_repository
    with engine.begin() as connection:
        assert hold(connection, name, "other:1", now=100.0, until=9e12) == 0
    with one.running() as there:
        assert AuditShipping(one.node).ship() == 0
        with engine.begin() as connection:
            connection.execute(update(audit_shipments).values(held_until=1.0))
        assert AuditShipping(one.node).ship() == 1
    assert there.numbers() == [1]


def test_a_repository_that_is_somebody_else_gets_nothing(site: Site, tmp_path: Path) -> None:
    site.add(1)
    theirs = Authority(tmp_path / "theirs", name="Somebody else")
    with (
        repository(theirs, theirs.issue("repository"), port=site.port) as there,
        pytest.raises(PeerFailure, match="its certificate is not believed"),
    ):
        AuditShipping(site.node).ship()
    assert there.messages == []


def test_a_repository_that_does_not_believe_us_takes_nothing(site: Site, tmp_path: Path) -> None:
    site.add(1)
    theirs = Authority(tmp_path / "theirs", name="Somebody else")
    with repository(theirs, site.ours.issue("repository"), port=site.port) as there, pytest.raises(PeerFailure):
        AuditShipping(site.node).ship()
    assert there.messages == []


def test_the_thread_sends_by_itself(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_shipping, "LOOK_S", 0.05)
    site.add(3)
    shipping = AuditShipping(site.node)
    with site.running() as there:
        shipping.start()
        wait_until(lambda: len(there.messages) == 3, timeout_s=10, what="the records")
        shipping.stop()


@pytest.mark.parametrize("text", ["host", "host:0", "host:99999", "a@b:1", "host:1/x", ":6514", "[::1"])
def test_an_address_that_is_none_is_refused(settings: Callable[..., Settings], text: str) -> None:
    with pytest.raises(SettingRefusal, match="audit_repository is HOST:PORT"):
        settings(audit_repository=text)
