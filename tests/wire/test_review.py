"""A review between real peers: what a radiologist decides comes back to the archive as one verified SR."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from builders.node import Node
from builders.peers import StoreScp, program, store_with_storescu, wait_until
from builders.phantom import phantom_study
from dicom_node.sr.checklist import children, groups_of, violations
from server.demo_study import PATIENT

pytestmark = [
    pytest.mark.peer("dcmtk"),
    pytest.mark.peer("dicom3tools"),
    pytest.mark.slow,
    pytest.mark.timeout(900),
]

WITHIN_S = 240.0
PERSON = {"name": "Doe^Jane", "identifier": "jdoe", "organisation": "General Hospital"}
KNOWN = ("Unrecognized defined term = <99SPINEAI>", "DeviceUID(0018,1002)> - Attribute is not present in standard")


def verified(archived: StoreScp) -> list[Dataset]:
    reports = [dataset for dataset in map(dcmread, archived.received()) if dataset.Modality == "SR"]
    return [report for report in reports if report.VerificationFlag == "VERIFIED"]


def output(name: str, *words: object) -> str:
    executable = program(name)
    assert executable is not None
    done = subprocess.run([executable, *map(str, words)], capture_output=True, text=True, check=False, timeout=120)
    return done.stdout + done.stderr


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


def assert_it_is_right(report: Dataset, archived: StoreScp, paths: list[Path]) -> None:
    (path,) = (p for p in archived.received() if dcmread(p).SOPInstanceUID == report.SOPInstanceUID)
    (ai_report,) = (
        d for d in map(dcmread, archived.received()) if d.Modality == "SR" and d.VerificationFlag == "UNVERIFIED"
    )
    lines = [line for line in output("dciodvfy", "-new", path).splitlines() if line.startswith(("Error", "Warning"))]
    assert [line for line in lines if not any(words in line for words in KNOWN)] == []
    text = output("dsrdump", "+Pl", path)
    assert "VERIFIED" in text
    assert "Corrected by Jane Doe" in text
    assert "Rejected by Jane Doe" in text
    sources = {str(header.SOPInstanceUID): header for header in map(dcmread, paths)}
    assert violations(report, sources, verified=True) == ()
    named = report.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert named.ReferencedSOPInstanceUID == ai_report.SOPInstanceUID
    assert report.SeriesDescription == "Spine: verified by Jane Doe"
