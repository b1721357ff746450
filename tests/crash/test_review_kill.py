"""kill -9 of web and worker around the commit of a review: a committed review has one verified SR, and no other has."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage
from sqlalchemy import select

from builders.archive import Archive, archive
from builders.dicom import T2_TSE, SeriesPlan, small_voxels, write_series
from builders.peers import LOOPBACK, free_tcp_port, store_with_storescu, wait_until
from builders.roles import Role
from dicom_node.tables import deliveries, results
from server.database import make_engine, reading

pytestmark = [pytest.mark.peer("dcmtk"), pytest.mark.slow, pytest.mark.timeout(900)]

MOMENTS_S = (0.0, 0.8, 2.5)
"""After a review was committed: before, while and after its report is made and sent."""
PERSON = {"name": "Doe^Jane", "identifier": "jdoe", "organisation": "General Hospital"}
WITHIN_S = 240.0


@pytest.fixture
def options(tmp_path: Path) -> dict[str, object]:
    return {
        "data-dir": tmp_path / "data",
        "dicom-host": LOOPBACK,
        "dicom-port": free_tcp_port(),
        "http-port": free_tcp_port(),
        "quiet-period": 1,
        "disk-reserve-gib": 0,
        "disk-reserve-percent": 0,
        "delivery-backoff": 1,
        "delivery-backoff-max": 2,
        "destination": f"PACS=ARCHIVE@{LOOPBACK}:{free_tcp_port()}",
        "threads": 1,
    }


@pytest.fixture
def roles(tmp_path: Path, options: dict[str, object]) -> Iterator[dict[str, Role]]:
    made = {name: Role(name, options, tmp_path / f"{name}.log") for name in ("receive", "work", "web")}
    made["receive"].start()
    made["web"].start()
    made["work"].start()
    yield made
    for role in made.values():
        role.kill()


def is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=5).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def post(url: str, study: str, number: int) -> httpx.Response:
    body = {"revision": 1, "accept_rest": True, "reviewer": PERSON}
    headers = {"Idempotency-Key": f"review {number}"}
    return httpx.post(f"{url}/api/v1/studies/{study}/reviews", json=body, headers=headers, timeout=60)


def states(url: str, study: str) -> list[str]:
    answer = httpx.get(f"{url}/api/v1/studies/{study}/reviews", timeout=30).raise_for_status().json()
    return [review["report"]["state"] for review in answer["reviews"]]


def test_each_committed_review_has_one_verified_report(
    tmp_path: Path, options: dict[str, object], roles: dict[str, Role]
) -> None:
    plan = SeriesPlan(voxels=small_voxels(5, 48, 48), study="killed reviews", attributes=dict(T2_TSE))
    study, url = plan.study_instance_uid, f"http://{LOOPBACK}:{options['http-port']}"
    port = int(str(options["destination"]).rpartition(":")[2])
    with archive(port, [Comprehensive3DSRStorage, SegmentationStorage]) as archived:
        wait_until(lambda: is_up(url), timeout_s=120, what="the web role")
        send(write_series(tmp_path / "study", plan), int(str(options["dicom-port"])))
        wait_until(lambda: len(archived.received) == 1, timeout_s=WITHIN_S, what="the SR", poll_s=0.5)
        for number, moment in enumerate(MOMENTS_S, start=1):
            assert post(url, study, number).status_code == 201
            time.sleep(moment)
            roles["work"].kill()
            roles["web"].kill()
            roles["web"].start()
            roles["work"].start()
            wait_until(lambda: is_up(url), timeout_s=120, what="the web role again")
            assert post(url, study, number).json()["number"] == number, "the answer was lost: the same key again"
        wait_until(
            lambda: states(url, study) == ["done"] * len(MOMENTS_S), timeout_s=WITHIN_S, what="reports", poll_s=0.5
        )
        wait_until(lambda: is_sent(tmp_path), timeout_s=WITHIN_S, what="deliveries", poll_s=0.5)
        assert_one_report_per_review(tmp_path, archived)


def send(paths: list[Path], port: int) -> None:
    wait_until(
        lambda: store_with_storescu(paths, port, called="SPINEAI").returncode == 0, timeout_s=120, what="the receiver"
    )


def rows(tmp_path: Path, table: Any) -> list[Any]:
    engine = make_engine(f"sqlite:///{tmp_path / 'data' / 'spine.sqlite'}")
    with reading(engine) as connection:
        found = list(connection.execute(select(table)))
    engine.dispose()
    return found


def is_sent(tmp_path: Path) -> bool:
    return {row.state for row in rows(tmp_path, deliveries)} == {"delivered"}


def assert_one_report_per_review(tmp_path: Path, archived: Archive) -> None:
    made = {row.sop_instance_uid for row in rows(tmp_path, results) if row.role == "verified_sr"}
    assert len(made) == len(MOMENTS_S)
    copies: dict[str, set[str]] = {}
    for dataset in archived.of("SR"):
        if dataset.VerificationFlag == "VERIFIED":
            copies.setdefault(str(dataset.SOPInstanceUID), set()).add(dataset.to_json())
    assert set(copies) == made
    assert all(len(contents) == 1 for contents in copies.values()), "one UID, two contents"
