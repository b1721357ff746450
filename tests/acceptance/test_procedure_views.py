"""A facet ablation's claim: views sent by C-STORE, the signed report of the procedure, and what they come to."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from builders.dicom import derived_uid
from builders.fluoroscopy import FRONTAL, LATERAL, Shot, write_selection, write_shots
from builders.node import Node
from builders.peers import program, store_with_storescu, wait_until
from builders.posted_claims import claim_json, patient_json, report_json

pytestmark = [pytest.mark.peer("dcmtk"), pytest.mark.peer("dicom3tools"), pytest.mark.slow, pytest.mark.timeout(300)]
NOTE = """PROCEDURE: Left L4-L5 facet joint radiofrequency ablation.
DESCRIPTION OF PROCEDURE: Two cannulas were advanced to the left L4 and L5 medial branches. Final cannula position at
the left L4-L5 facet joint was confirmed in AP and lateral views. Images were saved.
Electronically signed by Ann Reader, MD
"""
LINE = {"number": 1, "procedure": "64635", "units": 1, "diagnoses": ["M47.816"], "bodies": ["L4"], "modifiers": ["LT"]}
WITHIN_S = 120.0
BOTH = (
    Shot(study="both", angles_deg=FRONTAL, time="101500"),
    Shot(study="both", angles_deg=LATERAL, time="101700"),
    Shot(study="both", angles_deg=FRONTAL, time="102200"),
)
LESS = {
    "one-plane": (Shot(study="one-plane", angles_deg=FRONTAL),),
    "no-angles": (Shot(study="no-angles", angles_deg=None), Shot(study="no-angles", angles_deg=None)),
    "other-day": tuple(Shot(study="other-day", angles_deg=a, day="20260520") for a in (FRONTAL, LATERAL)),
    "other-patient": tuple(Shot(study="other-patient", angles_deg=a, patient_of="x") for a in (FRONTAL, LATERAL)),
}


@dataclass(frozen=True, slots=True)
class Story:
    """What the claims came to, before the images and after."""

    before: Any
    after: dict[str, Any]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("views")
    with Node.started(folder / "node", options={"quiet-period": 1}) as node:
        claims = {study: hand_in(node, study) for study in ("both", *LESS)}
        before = evidence(node, claims["both"])
        paths = write_shots(folder / "both", BOTH)
        paths.append(write_selection(folder / "both" / "ko.dcm", paths[1:]))
        for study, shots in LESS.items():
            paths += write_shots(folder / study, shots)
        send(node, paths)
        for study in ("both", *LESS):
            uid = Shot(study=study, angles_deg=None).study_instance_uid
            wait_until(lambda uid=uid: is_read(node, uid), timeout_s=WITHIN_S, what=f"{study} to be read", poll_s=0.3)
        is_seen = lambda: evidence(node, claims["both"])["number"] > before["number"]  # noqa: E731
        wait_until(is_seen, timeout_s=WITHIN_S, what="the claim to be judged again", poll_s=0.3)
        late = claims["no-angles"]
        is_late_seen = lambda: "Views kept" in criterion(evidence(node, late), "two_planes")["sentence"]  # noqa: E731
        wait_until(is_late_seen, timeout_s=WITHIN_S, what="the other claims to be judged again", poll_s=0.3)
        return Story(before, {study: evidence(node, claim) for study, claim in claims.items()})


def is_read(node: Node, uid: str) -> bool:
    return httpx.get(f"{node.url}/api/v1/studies/{uid}/findings", timeout=60).is_success


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
        checked = subprocess.run(
            [str(program("dciodvfy")), "-new", str(path)], capture_output=True, text=True, check=False
        )
        assert "Error" not in checked.stdout + checked.stderr, checked.stderr
    assert store_with_storescu(paths, node.dicom_port, called=node.ae_title).returncode == 0


def evidence(node: Node, claim: str) -> Any:
    return httpx.get(f"{node.url}/api/v1/claims/{claim}/evidence", timeout=60).json()


def criterion(found: Any, name: str) -> Any:
    return next(one for one in found["evidence"]["criteria"] if one["criterion"] == name)


def test_two_planes_of_the_day_and_a_signed_report_support_the_claim(story: Story) -> None:
    assert story.before["verdict"] == "PARTIAL"
    assert "none of them is at hand" in criterion(story.before, "two_planes")["sentence"]

    after = story.after["both"]
    assert after["verdict"] == "SUPPORTS", after
    planes = criterion(after, "two_planes")
    assert planes["state"] == "met"
    assert "3, in 2 known direction(s) (2 frontal, 1 lateral)" in planes["sentence"]
    assert [pointer["kind"] for pointer in planes["pointers"]] == ["instance"] * 3
    lateral = derived_uid("shot", "both", 2)
    (text,) = [pointer["text"] for pointer in planes["pointers"] if pointer["reference"] == lateral]
    assert text == "retained view, lateral, at 10:17:00, final (marked as key image, or the last of its direction)"
    assert criterion(after, "final_needle")["state"] == "met"


@pytest.mark.parametrize(
    ("study", "state", "words"),
    [
        ("one-plane", "not met", "Views kept: 1, in 1 known direction(s) (1 frontal)."),
        ("no-angles", "not determinable", "Views kept: 2, in 0 known direction(s) (2 not known)."),
        ("other-day", "not determinable", "none of them is at hand"),
        ("other-patient", "not determinable", "none of them is at hand"),
    ],
)
def test_less_than_that_does_not(story: Story, study: str, state: str, words: str) -> None:
    found = story.after[study]
    assert found["verdict"] == "PARTIAL", found
    planes = criterion(found, "two_planes")
    assert (planes["state"], words in planes["sentence"]) == (state, True), planes
