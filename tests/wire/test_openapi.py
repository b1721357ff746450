"""Every route of the OpenAPI document, with values that no client would send: no fault of ours, nothing undeclared."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import insert, select

from builders.dicom import SeriesPlan, small_voxels
from builders.findings import reference, spine_findings, spine_segmentation
from builders.fuzzing import Fuzzed, fuzz
from builders.read_study import headers_of, keep_read_study
from builders.web import add_person, key_of, serving
from dicom_node.tables import results
from server.auth.roles import FOR_KEYS
from server.auth.tables import api_keys, users
from server.compose import Node, open_node
from server.processes import Presence, Role
from server.settings import Settings
from server.tables import workitems

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
IDENTITY = {"PatientName": "Planted^Zebulon", "PatientID": "PLANTED-4711", "AccessionNumber": "PLANTED0815"}
PLAN = SeriesPlan(voxels=small_voxels(2), attributes=IDENTITY)
LOCK = "2.25.999000999"
PLANTED = ("Planted", "Zebulon", "PLANTED", LOCK)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A node where people sign in, with a study that was read and a workitem that somebody has claimed."""
    closed = {"http_authentication": ("local",), "organisation": "Test"}
    free = {"disk_reserve_gib": 0.0, "disk_reserve_percent": 0.0}
    made = open_node(Settings(data_dir=tmp_path / "data", http_port=0, dicom_port=0, **closed, **free))
    headers = headers_of([PLAN])
    sources = [reference(header) for header in headers[PLAN.series_instance_uid]]
    findings = spine_findings(PLAN.study_instance_uid, sources[1], (1.0, 1.0))
    keep_read_study(made, headers, findings, [spine_segmentation(PLAN.series_instance_uid, sources, (32, 24))])
    claimed = {"workitem_uid": "2.25.4", "state": "IN PROGRESS", "transaction_uid": LOCK, "is_for_us": False}
    with made.engine.begin() as connection:
        connection.execute(
            insert(workitems).values(**claimed, is_ready=True, document="{}", created_at=1.0, changed_at=1.0)
        )
    add_person(made, "planted-user")
    alive = [Presence(made.engine, role) for role in (Role.RECEIVE, Role.WORK)]
    for presence in alive:
        presence.start()
    yield made
    for presence in alive:
        presence.stop()
    made.engine.dispose()


def held(node: Node) -> dict[str, str]:
    """Parameters that name what the node holds."""
    with node.engine.connect() as connection:
        report = connection.execute(select(results).where(results.c.role == "sr")).one()
    return {
        "path.study_instance_uid": PLAN.study_instance_uid,
        "path.study": PLAN.study_instance_uid,
        "path.series": report.series_instance_uid,
        "path.instance": report.sop_instance_uid,
        "path.workitem": "2.25.4",
    }


def secrets(node: Node) -> set[str]:
    with node.engine.connect() as connection:
        hashes = {str(value) for value in connection.execute(select(users.c.password_hash)).scalars()}
        return hashes | {str(value) for value in connection.execute(select(api_keys.c.key_sha256)).scalars()}


def check(fuzzed: Fuzzed, hidden: set[str]) -> None:
    faults = [found for found in fuzzed.exchanges if found.status >= 500 and "/readyz" not in found.url]
    assert not faults, faults[0]
    for found in fuzzed.exchanges:
        assert not [secret for secret in hidden if secret in found.body], found.url
        if found.status >= 400 and "/readyz" not in found.url and found.method != "HEAD":
            assert found.media_type == "application/problem+json", found
            assert json.loads(found.body)["status"] == found.status
            assert not [word for word in PLANTED if word in found.body], found
    assert fuzzed.is_clean, re.sub(r"(?s)^.*?=+ FAILURES =+", "", fuzzed.report)


@pytest.mark.parametrize("knows", [pytest.param(False, id="made up"), pytest.param(True, id="held")])
def test_a_machine_with_every_permission_breaks_nothing(node: Node, tmp_path: Path, *, knows: bool) -> None:
    with serving(node) as url:
        key = key_of(node, *FOR_KEYS)
        document = httpx.get(f"{url}/api/openapi.json", headers=key, timeout=60).text
        known = held(node) if knows else None
        fuzzed = fuzz(tmp_path / "fuzz", url, document=document, headers=key, parameters=known)

    assert len(fuzzed.exchanges) > 50
    assert {found.status // 100 for found in fuzzed.exchanges} >= {2, 4}
    check(fuzzed, secrets(node) | {key["Authorization"].removeprefix("Bearer "), LOCK})


def test_nobody_gets_past_the_door(node: Node, tmp_path: Path) -> None:
    with serving(node) as url:
        document = httpx.get(f"{url}/api/openapi.json", headers=key_of(node, *FOR_KEYS), timeout=60).text
        fuzzed = fuzz(tmp_path / "fuzz", url, document=document, headers={})

    closed = [found for found in fuzzed.exchanges if not found.url.endswith(("/healthz", "/readyz"))]
    assert {found.status for found in closed} <= {400, 401, 404, 405, 429}
    check(fuzzed, secrets(node) | set(PLANTED))
