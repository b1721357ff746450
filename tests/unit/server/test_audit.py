"""The audit trail: what is recorded, how it is said, and that a change shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from fhir.resources.R4B.auditevent import AuditEvent
from lxml import etree
from pydicom.sr.codedict import codes as dicom_codes
from sqlalchemy import Engine, delete, insert, text, update

from builders.web import serving, session_of
from dicom_node.tables import studies
from server.auth.audit import trail
from server.auth.audit.dicom import audit_message
from server.auth.audit.fhir import audit_event
from server.auth.audit.record import CODES, AuditKind, AuditRecord, Outcome, parse, record_of
from server.auth.roles import LOOPBACK, Method, Role, person
from server.auth.tables import audit
from server.cli import run
from server.compose import Node
from server.database import reading
from server.settings import Settings

SCHEMA = etree.RelaxNG(etree.parse(Path(__file__).parent / "data" / "audit-message.rng"))
ASKER = person("ruth", 'Dr "Ruth" <Example> & Söhne', Role.RADIOLOGIST, Method.PASSWORD)


def record(kind: AuditKind, **changed: object) -> AuditRecord:
    made = record_of(kind, ASKER, address="10.0.0.7", studies=("1.2.3",), about="GET /x")
    return replace(made, **changed)


@pytest.mark.parametrize("kind", AuditKind)
@pytest.mark.parametrize("outcome", Outcome)
def test_every_kind_is_a_valid_dicom_message_and_a_valid_fhir_event(kind: AuditKind, outcome: Outcome) -> None:
    for made in (
        record(kind, outcome=outcome, instances=3),
        record(kind, outcome=outcome, studies=(), object="", address="", role="", display_name="\u202e\x7f"),
    ):
        tree = etree.fromstring(audit_message(made, source="SPINEAI").encode())
        assert SCHEMA.validate(tree), SCHEMA.error_log
        event = AuditEvent.model_validate(audit_event(made, source="SPINEAI"))
        assert tree.find("EventIdentification/EventID").get("csd-code") == event.type.code == CODES[kind].event.value
        assert tree.find("ActiveParticipant").get("UserID") == event.agent[0].who.identifier.value == "ruth"


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("csd-code", "code"), ('ActionCode="R"', 'ActionCode="X"'), ("ActiveParticipant", "Participant")],
)
def test_the_schema_refuses_what_is_no_message(right: str, wrong: str) -> None:
    whole = audit_message(record(AuditKind.IMAGES_READ), source="SPINEAI")

    assert right in whole
    assert not SCHEMA.validate(etree.fromstring(whole.replace(right, wrong).encode()))


def test_the_codes_are_those_of_dicom() -> None:
    ours = {code.value: code.meaning for kind in CODES.values() for code in (kind.event, kind.type) if code is not None}
    entries = (getattr(dicom_codes.DCM, name) for name in dir(dicom_codes.DCM))
    known = {code.value: code.meaning for code in entries if hasattr(code, "meaning")}

    assert {value: known[value] for value in ours} == ours


def test_a_record_holds_no_more_of_a_path_than_uids() -> None:
    made = record(AuditKind.IMAGES_READ, studies=("1.2.3", "DOE^JOHN", "1.2/../x"))

    assert made.studies == ("1.2.3",)
    assert parse(made.canonical()) == made


def test_the_chain_shows_every_change(engine: Engine) -> None:
    def fault() -> str | None:
        with reading(engine) as connection:
            return trail.verify(connection).fault

    with engine.begin() as connection:
        for number in range(4):
            trail.append(connection, record(AuditKind.LOGIN, at=float(number)))
    assert fault() is None
    with reading(engine) as connection:
        whole = trail.verify(connection)
        noted = trail.entries(connection, limit=1)[0].sha256
    assert (whole.rows, whole.newest_sha256) == (4, noted)

    def changed(statement: object) -> str | None:
        with engine.connect() as connection:
            connection.execute(statement)
            found = trail.verify(connection)
            connection.rollback()
        return found.fault

    other = record(AuditKind.LOGIN, subject="someone else").canonical()
    assert (
        changed(update(audit).where(audit.c.number == 2).values(record=other))
        == "Row 2 of the audit trail was changed."
    )
    assert "Row 3 of the audit trail is missing" in changed(delete(audit).where(audit.c.number == 3))
    assert "Row 1 of the audit trail is missing" in changed(delete(audit).where(audit.c.number == 1))
    assert "does not follow" in changed(update(audit).where(audit.c.number == 4).values(previous_sha256="0" * 64))
    assert changed(update(audit).where(audit.c.number == 4).values(sha256="0" * 64)) is not None

    with engine.begin() as connection:
        connection.execute(delete(audit).where(audit.c.number == 4))
    with reading(engine) as connection:
        cut = trail.verify(connection, looked_for=noted)
    assert (cut.fault, cut.contains, cut.rows) == (None, False, 3), "a chain that was cut off is whole, but shorter"


@pytest.fixture
def client(settings: Callable[..., Settings], node: Node) -> Iterator[httpx.Client]:
    closed = Node(settings=settings(http_authentication=("local",)), engine=node.engine, spool=node.spool)
    with serving(closed) as url, httpx.Client(base_url=url, timeout=60) as made:
        yield made


def add_study(node: Node) -> None:
    row = {"study_instance_uid": "1.2.3", "state": "done", "revision": 1, "source_ae_title": "A"}
    with node.engine.begin() as connection:
        connection.execute(insert(studies).values(**row, first_received_at=0.0, last_received_at=0.0))


def test_reads_are_recorded_once_with_user_study_and_outcome(client: httpx.Client, node: Node) -> None:
    add_study(node)
    viewer, administrator = session_of(node, Role.VIEWER), session_of(node, Role.ADMINISTRATOR, subject="admin")
    for _ in range(2):
        client.get("/api/v1/studies/1.2.3/findings?PatientName=DOE^JOHN", headers=viewer)
        client.get("/dicom-web/studies?PatientName=DOE^JOHN", headers=viewer)
        client.get("/dicom-web/studies/1.2.3/series/4/instances/5/frames/1", headers=viewer)
    assert client.get("/api/v1/audit", headers=viewer).status_code == 403

    answer = client.get("/api/v1/audit?limit=3", headers=administrator).json()
    rest = client.get(f"/api/v1/audit?before={answer['next_before']}&form=fhir", headers=administrator).json()

    found = [(r["record"]["kind"], r["record"]["studies"], r["record"]["outcome"]) for r in answer["records"]]
    assert found == [("refused", [], "4"), ("images_read", ["1.2.3"], "4"), ("images_queried", [], "0")]
    assert [r["record"]["entity"][0]["what"]["identifier"]["value"] for r in rest["records"]] == ["urn:oid:1.2.3"]
    assert rest["next_before"] is None
    everything = client.get("/api/v1/audit", headers=administrator).text
    assert "audit_read" in everything
    assert "DOE" not in everything
    messages = client.get("/api/v1/audit?form=dicom", headers=administrator).json()["records"]
    assert all(SCHEMA.validate(etree.fromstring(message["record"].encode())) for message in messages)


def test_what_cannot_be_recorded_is_not_given(client: httpx.Client, node: Node) -> None:
    add_study(node)
    viewer = session_of(node, Role.VIEWER)
    with node.engine.begin() as connection:
        connection.execute(text("DROP TABLE audit"))

    answer = client.get("/api/v1/studies/1.2.3/findings", headers=viewer)

    assert answer.status_code == 503
    assert client.get("/api/v1/studies", headers=viewer).status_code == 200


def test_the_command_verifies(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--data-dir", str(node.settings.data_dir)]
    with node.engine.begin() as connection:
        trail.append(connection, record_of(AuditKind.LOGIN, LOOPBACK))

    assert run(["audit", "verify", *options]) == 0
    newest = capsys.readouterr().out.split()[-1].rstrip(".")
    assert run(["audit", "verify", "--contains", newest, *options]) == 0
    assert run(["audit", "verify", "--contains", "a" * 64, *options]) == 1
    assert "cut off" in capsys.readouterr().err
    with node.engine.begin() as connection:
        connection.execute(update(audit).values(record=audit.c.record + " "))
    assert run(["audit", "verify", *options]) == 1
    assert capsys.readouterr().err == "Row 1 of the audit trail was changed.\n"
