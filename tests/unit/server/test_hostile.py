"""Hostile values in every parameter of every route, on SQLite and PostgreSQL; and no name of a patient in any log."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import Engine, func, select

from builders.dicom import SeriesPlan, small_voxels, write_series
from builders.web import PASSWORD, add_person, key_of, sign_in, web_client
from builders.workitems import READING, workitem, worklist
from dicom_node.spool import Spool
from dicom_node.ups.elements import element
from server.auth.roles import FOR_KEYS
from server.compose import Node
from server.events import configure
from server.settings import Settings
from server.tables import ALL_METADATA

HOSTILE = (
    "'; DROP TABLE studies; --",
    '" OR 1=1 --',
    "%' AND pg_sleep(9) --",
    "../../../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "\x00",
    "\r\nX-Injected: yes",
    "\ud800",
    "٣٤",
    "9" * 80,
    "-1",
    "1e400",
    "{{7*7}}${jndi:ldap://x}",
    "<script>alert(1)</script>",
    "A" * 5000,
)
"""SQL, paths out of the spool, NUL, header injection, half a character, other digits, large and odd numbers."""


SEARCHED = ("PatientName", "ModalitiesInStudy", "StudyDate", "undeclared")


pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def node(database_node: Node) -> Node:
    return database_node


def encoded(value: str) -> str:
    return quote(value.encode("utf-8", "surrogatepass"), safe="")


def requests(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each route with each hostile value in each of its parameters, one at a time, and in those of a search."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            plain = re.sub(r"\{[^}]*\}", "1.2.3", path)
            declared = operation.get("parameters", [])
            queries = [parameter["name"] for parameter in declared if parameter["in"] == "query"]
            for value in HOSTILE:
                for name in re.findall(r"\{([^}]*)\}", path):
                    yield method, re.sub(r"\{[^}]*\}", "1.2.3", path.replace(f"{{{name}}}", encoded(value)))
                for name in (*queries, *(SEARCHED if path.startswith("/dicom-web") and "{" not in path else ())):
                    yield method, f"{plain}?{name}={encoded(value)}"


def counts(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        return {
            table.name: int(connection.execute(select(func.count()).select_from(table)).scalar_one())
            for metadata in ALL_METADATA
            for table in metadata.tables.values()
            if table.name not in {"audit", "audit_trail"}
        }


def test_a_hostile_value_is_refused_or_finds_nothing(
    node: Node, client: httpx.Client, capfd: pytest.CaptureFixture[str]
) -> None:
    document = client.get("/api/openapi.json").json()
    before = counts(node.engine)
    asked = list(requests(document))
    for method, target in asked:
        url = httpx.URL(str(client.base_url)).copy_with(raw_path=target.encode())
        answer = client.request(method, url)
        assert answer.status_code < 500 or "/readyz" in target, (method, target, answer.text)
        assert "x-injected" not in answer.headers
        assert "root:" not in answer.text
        if answer.status_code >= 400 and "/readyz" not in target:
            assert answer.headers["content-type"] == "application/problem+json", (method, target)
            assert "Traceback" not in answer.text

    assert len(asked) > 1000
    assert counts(node.engine) == before
    assert "fault" not in capfd.readouterr().err


def test_a_hostile_name_signs_nobody_in(engine: Engine, settings: Callable[..., Settings], node: Node) -> None:
    closed = Node(settings=settings(http_authentication=("local",)), engine=engine, spool=node.spool)
    add_person(closed, "alice")
    with web_client(closed) as client:
        own = {"Origin": str(client.base_url).rstrip("/")}
        for value in ("alice' OR '1'='1", "alice\x00", "\x00", "alice'; --"):
            assert sign_in(client, value, **own).status_code == 401
        keys = ("' OR 1=1 --", "x" * 5000, "\xff")
        for value in keys:
            answer = client.get("/api/v1/studies", headers={"Authorization": f"Bearer {value}".encode("latin-1")})
            assert answer.status_code == 401
        assert sign_in(client, "alice", **own).status_code == 303


IDENTITY = {"PatientName": "Zebulon^Quatermass", "PatientID": "PLANTED4711", "AccessionNumber": "ACC0815PLANTED"}
PLANTED = re.compile(f"zebulon|quatermass|planted|{PASSWORD}", re.IGNORECASE)


def test_after_a_whole_session_no_name_is_in_a_log_an_address_or_an_error(
    engine: Engine,
    settings: Callable[..., Settings],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    closed = settings(http_authentication=("local",))
    closed.data_dir.mkdir()
    node = Node(settings=closed, engine=engine, spool=Spool(closed.data_dir))
    configure("DEBUG")
    with web_client(node) as client:
        answers = list(session(client, key_of(node, *FOR_KEYS), write_series(tmp_path / "in", series())))
    errors = [answer.text for answer in answers if answer.status_code >= 400]
    written = capfd.readouterr()

    assert len(errors) >= 8
    assert not [text for text in errors if PLANTED.search(text)]
    assert not PLANTED.search(written.out + written.err)
    assert "instances_stored_by_web" in written.out + written.err, "the log was looked at"


def series() -> SeriesPlan:
    return SeriesPlan(voxels=small_voxels(2), attributes=IDENTITY)


def session(client: httpx.Client, key: dict[str, str], paths: list[Path]) -> Iterator[httpx.Response]:
    """Store, search, read, ask for a workitem, and fail at each of them, always with the patient's identity."""
    own = {"Origin": str(client.base_url).rstrip("/")}
    yield sign_in(client, "zebulon", **own)
    yield sign_in(client, "zebulon", "planted", **own)
    study = series().study_instance_uid
    good = [path.read_bytes() for path in paths]
    for body in (*good, good[0][:200], good[0][:-7], b"PLANTED4711", good[0].replace(b"PLANTED4711", b"PLANTED4712")):
        yield store(client, key, body)
    for query in ("PatientName=Zebulon*", "PatientID=PLANTED4711", "PatientBirthDate=PLANTED", "Zebulon=1"):
        yield client.get(f"/dicom-web/studies?{query}", headers=key)
        yield client.get(f"/dicom-web/workitems?{query}", headers=key)
    yield client.get(f"/dicom-web/studies/{study}/metadata", headers=key)
    yield client.get("/dicom-web/studies/Zebulon^Quatermass/metadata", headers=key)
    yield client.get("/api/v1/studies/PLANTED4711/findings", headers=key)
    yield client.get(f"/api/v1/studies/{study}/findings", headers=key)
    items = worklist(client, key)
    name = dict([element("PatientName", {"Alphabetic": "Zebulon^Quatermass"}), element("PatientID", "PLANTED4711")])
    yield items.create("2.25.1", workitem(study, task=READING) | name)
    yield items.create("2.25.1", workitem(study, task=READING) | name)
    yield items.create("2.25.2", name)
    yield items.update("2.25.1", name | dict([element("ProcedureStepState", "PLANTED")]))
    yield items.cancel("2.25.1", dict([element("ReasonForCancellation", "Zebulon is planted")]))


def store(client: httpx.Client, key: dict[str, str], body: bytes) -> httpx.Response:
    boundary = b"--x\r\nContent-Type: application/dicom\r\n\r\n" + body + b"\r\n--x--\r\n"
    kind = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=x'}
    return client.post("/dicom-web/studies", content=boundary, headers=key | kind)
