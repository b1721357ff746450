"""A review between real peers: what a radiologist decides comes back to the archive as one verified SR."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from builders.node import Node
from builders.peers import StoreScp, store_with_storescu, wait_until
from builders.phantom import phantom_study
from builders.verified import assert_it_is_right, verified
from dicom_node.sr.checklist import children, groups_of
from server.demo_study import PATIENT

pytestmark = [
    pytest.mark.peer("dcmtk"),
    pytest.mark.peer("dicom3tools"),
    pytest.mark.slow,
    pytest.mark.timeout(900),
]

WITHIN_S = 240.0
PERSON = {"name": "Doe^Jane", "identifier": "jdoe", "organisation": "General Hospital"}


def post(node: Node, study: str, key: str, **body: Any) -> httpx.Response:
    whole = {"revision": 1, "accept_rest": True, "reviewer": PERSON} | body
    url = f"{node.url}/api/v1/studies/{study}/reviews"
    return httpx.post(url, json=whole, headers={"Idempotency-Key": key}, timeout=60)


def the_decisions(findings: dict[str, Any]) -> tuple[list[dict[str, Any]], str, str]:
    """The crushed L1 is at T12, another answer is rejected; ids of both."""
    said = [f for f in findings["findings"] if f["assessment"] != "not_assessed"]
    (fracture,) = (f for f in said if f["question"] == "compression_fracture" and f["assessment"] == "present")
    other = next(f for f in said if f["question"] != "compression_fracture")
    assert fracture["site"]["level"] == "L1"
    decisions = [
        {"id": fracture["id"], "action": "correct", "reason": "R_LEVEL", "correction": {"level": "T12"}},
        {"id": other["id"], "action": "reject", "reason": "R_NOT_THERE", "note": "Seen by eye."},
    ]
    return decisions, fracture["id"], other["id"]


def test_a_review_comes_back_as_one_verified_report(tmp_path: Path, storescp: Callable[..., StoreScp]) -> None:
    plan, paths = phantom_study(tmp_path / "study", PATIENT, study="review")
    study, archived = plan.study_instance_uid, storescp()
    options = {"quiet-period": 2, "delivery-backoff": 1, "destination": f"PACS={archived.destination}"}
    with Node.started(tmp_path / "node", options=options) as node:
        assert store_with_storescu(paths, node.dicom_port, called=node.ae_title).returncode == 0
        wait_until(lambda: len(archived.received()) == 2, timeout_s=WITHIN_S, what=f"SR and SEG (log: {node.log})")
        decisions, moved, rejected = the_decisions(node.get(f"/api/v1/studies/{study}/findings"))

        answer = post(node, study, "first", findings=decisions)
        assert answer.status_code == 201, answer.text
        wait_until(lambda: verified(archived) != [], timeout_s=60, what=f"the verified SR (log: {node.log})")
        assert post(node, study, "first", findings=decisions).status_code == 200
        reviewed = node.get(f"/api/v1/studies/{study}/findings?reviewed=true")
        wait_until(lambda: _all_delivered(node, 3), timeout_s=60, what="three deliveries")
        assert node.get("/api/v1/studies")["studies"][0]["revision"] == 1, "our own report starts nothing"
        agreement = node.get("/api/v1/statistics/agreement?by=question")["groups"]

    by_id = {finding["id"]: finding for finding in reviewed["findings"]}
    assert (by_id[moved]["site"]["level"], by_id[moved]["review"]["status"]) == ("T12", "corrected")
    assert (by_id[rejected]["assessment"], by_id[rejected]["reason"]) == ("not_assessed", "E_REJECTED")
    assert sum(group["counts"]["overruled"] for group in agreement) >= 2
    (report,) = verified(archived)
    assert_it_is_right(report, archived, paths)
    labels = [str(children(group, "121106")[0].TextValue) for group in groups_of(report)]
    assert any(label.startswith("T12: compression fracture") and "corrected by Jane Doe" in label for label in labels)
    assert not any(label.startswith("L1: compression fracture") for label in labels)
    log = node.log.read_text()
    assert "Jane" not in log
    assert "Seen by eye" not in log


def _all_delivered(node: Node, count: int) -> bool:
    return [row["state"] for row in node.get("/api/v1/deliveries")["deliveries"]] == ["delivered"] * count
