from __future__ import annotations

import json
import re
import time

import httpx
import pytest
from sqlalchemy import insert

from dicom_node.tables import deliveries, quarantine, results, studies
from server.compose import Node
from server.processes import Presence, Role
from server.tables import processes, runs


def add_studies(node: Node, count: int) -> None:
    with node.engine.begin() as connection:
        for number in range(count):
            connection.execute(
                insert(studies).values(
                    study_instance_uid=f"1.{number}",
                    state="done",
                    revision=1,
                    first_received_at=float(number),
                    last_received_at=float(number),
                    source_ae_title="SOURCE",
                )
            )


def add_findings(node: Node) -> None:
    add_studies(node, 1)
    node.spool.write_result("results/findings.json", b'{"schema": "spine-findings/1"}\n')
    with node.engine.begin() as connection:
        connection.execute(
            insert(runs).values(
                study_instance_uid="1.0",
                revision=1,
                generation=1,
                state="done",
                queued_at=0.0,
                findings_path="results/findings.json",
                inference_s=3.0,
            )
        )


def test_alive_is_not_ready(client: httpx.Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}

    answer = client.get("/readyz")

    assert answer.status_code == 503
    checks = {check["name"]: check["is_ok"] for check in answer.json()["checks"]}
    assert checks == {"database": True, "receiver": False, "worker": False, "models": True}


def test_ready_when_every_role_gave_a_sign_of_life(client: httpx.Client, node: Node) -> None:
    for role in (Role.RECEIVE, Role.WORK):
        Presence(node.engine, role).write()
    assert client.get("/readyz").status_code == 200

    faulty = Presence(node.engine, Role.WORK)
    faulty.fault = "The model cannot be loaded."
    faulty.write()

    assert client.get("/readyz").status_code == 503


def test_studies_are_paged(client: httpx.Client, node: Node) -> None:
    add_studies(node, 5)

    first = client.get("/api/v1/studies?limit=2").json()
    last = client.get("/api/v1/studies?limit=2&offset=4").json()

    assert [study["study_instance_uid"] for study in first["studies"]] == ["1.4", "1.3"]
    assert first["next_offset"] == 2
    assert (len(last["studies"]), last["next_offset"]) == (1, None)


def test_one_study_has_its_revisions_and_findings(client: httpx.Client, node: Node) -> None:
    add_findings(node)

    assert client.get("/api/v1/studies/1.0").json()["revisions"][0]["state"] == "done"
    answer = client.get("/api/v1/studies/1.0/findings")

    assert answer.content == b'{"schema": "spine-findings/1"}\n'
    assert answer.headers["X-Spine-Revision"] == "1"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/studies/9.9", 404),
        ("GET", "/api/v1/studies/9.9/findings", 404),
        ("GET", "/api/v1/studies/1.0/findings?revision=7", 404),
        ("POST", "/api/v1/studies/9.9/complete", 404),
        ("POST", "/api/v1/retry/9.9", 404),
        ("POST", "/api/v1/retry/1.0", 409),
        ("GET", "/api/v1/studies?limit=0", 422),
        ("GET", "/api/v1/studies?state=bogus", 422),
        ("GET", "/nothing", 404),
        ("DELETE", "/api/v1/studies", 405),
    ],
)
def test_errors_are_problems(client: httpx.Client, node: Node, method: str, path: str, status: int) -> None:
    add_findings(node)

    answer = client.request(method, path)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert set(answer.json()) == {"type", "title", "status", "detail"}


def test_a_lost_database_is_a_problem_and_not_a_hang(client: httpx.Client, node: Node) -> None:
    node.settings.data_dir.joinpath("spine.sqlite").write_bytes(b"x" * 4096)
    for suffix in ("-wal", "-shm"):
        node.settings.data_dir.joinpath(f"spine.sqlite{suffix}").unlink(missing_ok=True)
    node.engine.dispose()

    answer = client.get("/api/v1/studies")

    assert answer.status_code == 503
    assert answer.json()["detail"].startswith("The database does not answer")
    assert client.get("/readyz").status_code == 503


def test_deliveries_and_quarantine_are_listed(client: httpx.Client, node: Node) -> None:
    aside = {"path": "quarantine/x", "verdict": "conflict", "reason": "two contents", "sha256": "s"}
    with node.engine.begin() as connection:
        connection.execute(insert(quarantine).values(**aside, received_at=1.0, source_ae_title="A"))
        made = {"sop_instance_uid": "5", "study_instance_uid": "1.0", "revision": 1, "role": "sr", "path": "p"}
        connection.execute(
            insert(results).values(**made, sop_class_uid="c", series_instance_uid="s", sha256="x", created_at=0.0)
        )
        sent = {"study_instance_uid": "1.0", "revision": 1, "destination": "PACS", "sop_instance_uid": "5"}
        connection.execute(insert(deliveries).values(**sent, state="dead", attempts=3, reason="no", updated_at=0.0))

    assert client.get("/api/v1/deliveries?state=dead").json()["deliveries"][0]["reason"] == "no"
    assert client.get("/api/v1/deliveries?state=delivered").json()["deliveries"] == []
    assert client.get("/api/v1/quarantine").json()["quarantine"][0]["reason"] == "two contents"


def test_models_are_listed(client: httpx.Client) -> None:
    models = client.get("/api/v1/models").json()["models"]

    assert [model["name"] for model in models] == ["mr_axial_canal", "mr_disc_grading", "mr_sagittal_segmentation"]
    assert all(re.fullmatch(r"[0-9a-f]{64}", model["sha256"]) for model in models)


def test_the_documentation_loads_nothing_from_elsewhere(client: httpx.Client) -> None:
    page = client.get("/api/docs").text
    paths = client.get("/api/openapi.json").json()["paths"]

    assert not re.findall(r"(?:src|href)=\"(?!/api/)", page)
    assert "<script" not in page
    assert "research use only" in page
    assert all(path in page for path in paths)


def test_metrics_are_counts_without_identifiers(client: httpx.Client, node: Node) -> None:
    add_findings(node)
    Presence(node.engine, Role.RECEIVE, counters=lambda: {"instances_stored": 7, "associations_rejected": 2}).write()

    text = client.get("/metrics").text

    assert 'spine_studies{state="done"} 1.0' in text
    assert 'spine_inference_seconds_bucket{le="5"} 1.0' in text
    assert "spine_inference_seconds_sum 3.0" in text
    assert 'spine_receiver_events_total{kind="instances_stored"} 7.0' in text
    assert "1.0/r1" not in text
    assert "SOURCE" not in text


def test_a_process_that_is_gone_is_down(client: httpx.Client, node: Node) -> None:
    with node.engine.begin() as connection:
        row = {"name": "h:work:0", "role": "work", "pid": 1, "started_at": 0.0, "last_seen": time.time() - 60}
        connection.execute(insert(processes).values(**row, counters=json.dumps({})))

    assert 'spine_process_up{process="h:work:0",role="work"} 0.0' in client.get("/metrics").text
