"""A facet ablation's claim: views sent by C-STORE, the signed report of the procedure, and what they come to."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from builders.fluoroscopy import FRONTAL, LATERAL, Shot, write_selection, write_shots
from builders.node import Node
from builders.peers import program, store_with_storescu, wait_until
from builders.posted_claims import claim_json, patient_json, report_json

pytestmark = [pytest.mark.peer("dcmtk"), pytest.mark.peer("dicom3tools"), pytest.mark.timeout(300)]
NOTE = """PROCEDURE: Left L4-L5 facet joint radiofrequency ablation.
DESCRIPTION OF PROCEDURE: Two cannulas were advanced to the left L4 and L5 medial branches. Final cannula position at the left
L4-L5 facet joint was confirmed in AP and lateral views. Images were saved.
Electronically signed by Ann Reader, MD
"""
LINE = {"number": 1, "procedure": "64635", "units": 1, "diagnoses": ["M47.816"], "bodies": ["L4"], "modifiers": ["LT"]}
WITHIN_S = 120.0


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node.started(tmp_path_factory.mktemp("views") / "node", options={"quiet-period": 1}) as started:
        yield started


def hand_in(node: Node, study: str) -> str:
    """A claim for the patient of a study, with the signed report of the procedure; our id of it."""
    claim = claim_json(study, number=f"A-{study}", policy="medicare-facet-ablation", lines=[LINE])
    with httpx.Client(base_url=f"{node.url}/api/v1", timeout=60) as http:
        made = http.post("/claims", json=claim, headers={"Idempotency-Key": study})
        assert made.status_code == 201, made.text
        name = str(made.json()["claims"][0]["id"])
        report = report_json(study, "", NOTE, study_date="2026-06-01", modality="XA", patient=patient_json(study))
        report["facts"].pop("study_instance_uid")
        assert http.post(f"/claims/{name}/reports", json=report).status_code == 201
    return name


def send(node: Node, paths: list[Path]) -> None:
    for path in paths:
        checked = subprocess.run([str(program("dciodvfy")), "-new", str(path)], capture_output=True, text=True, check=False)
        assert "Error" not in checked.stdout + checked.stderr, checked.stderr
    assert store_with_storescu(paths, node.dicom_port, called=node.ae_title).returncode == 0


def evidence(node: Node, claim: str) -> Any:
    return httpx.get(f"{node.url}/api/v1/claims/{claim}/evidence", timeout=60).json()


def criterion(found: Any, name: str) -> Any:
    return next(one for one in found["evidence"]["criteria"] if one["criterion"] == name)


def read(node: Node, claim: str, number: int) -> Any:
    """The evidence once it has been judged again."""
    is_newer = lambda: evidence(node, claim)["number"] > number  # noqa: E731
    wait_until(is_newer, timeout_s=WITHIN_S, what="the claim to be judged again", poll_s=0.3)
    return evidence(node, claim)


def test_two_planes_of_the_day_and_a_signed_report_support_the_claim(node: Node, tmp_path: Path) -> None:
    claim = hand_in(node, "both")
    before = evidence(node, claim)
    assert before["verdict"] == "PARTIAL"
    assert "none of them is at hand" in criterion(before, "two_planes")["sentence"]

    shots = [
        Shot(study="both", angles_deg=FRONTAL, time="101500"),
        Shot(study="both", angles_deg=LATERAL, time="101700"),
        Shot(study="both", angles_deg=FRONTAL, time="102200"),
    ]
    paths = write_shots(tmp_path / "both", shots)
    send(node, [*paths, write_selection(tmp_path / "both" / "ko.dcm", paths[1:])])
    after = read(node, claim, before["number"])

    assert after["verdict"] == "SUPPORTS", after
    planes = criterion(after, "two_planes")
    assert planes["state"] == "met"
    assert "3, in 2 known direction(s) (2 frontal, 1 lateral)" in planes["sentence"]
    texts = [pointer["text"] for pointer in planes["pointers"]]
    assert "retained view, lateral, at 10:17:00, marked or last of its direction" in texts
    assert [pointer["kind"] for pointer in planes["pointers"]] == ["instance"] * 3
    assert "final needle position in it" not in planes["sentence"]
    assert criterion(after, "final_needle")["state"] == "met"


@pytest.mark.parametrize(
    ("shots", "state", "words"),
    [
        ([{"angles_deg": FRONTAL}], "not met", "1 frontal"),
        ([{"angles_deg": None}, {"angles_deg": None}], "not determinable", "2 not known"),
        ([{"angles_deg": FRONTAL, "day": "20260520"}, {"angles_deg": LATERAL, "day": "20260520"}], None, None),
        ([{"angles_deg": FRONTAL, "patient_of": "x"}, {"angles_deg": LATERAL, "patient_of": "x"}], None, None),
    ],
    ids=["one-plane", "no-angles", "another-day", "another-patient"],
)
def test_less_than_that_does_not(
    node: Node, tmp_path: Path, request: Any, shots: list[dict[str, Any]], state: str | None, words: str | None
) -> None:
    study = request.node.callspec.id
    send(node, write_shots(tmp_path / study, [Shot(study=study, **one) for one in shots]))
    uid = Shot(study=study, angles_deg=None).study_instance_uid
    is_read = lambda: httpx.get(f"{node.url}/api/v1/studies/{uid}/findings", timeout=60).is_success  # noqa: E731
    wait_until(is_read, timeout_s=WITHIN_S, what="the study to be read", poll_s=0.3)

    found = evidence(node, hand_in(node, study))

    assert found["verdict"] == "PARTIAL", found
    planes = criterion(found, "two_planes")
    assert planes["state"] == (state or "not determinable")
    assert (words or "none of them is at hand") in planes["sentence"]
    assert bool(planes["pointers"])
