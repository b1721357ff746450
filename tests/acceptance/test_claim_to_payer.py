"""A kyphoplasty claim from the missing report to the payer's acknowledgement: node, review, a payer over TLS."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from dataclasses import replace
from email import message_from_bytes
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from pypdf import PdfReader

from builders.dicom import STIR, T2_TSE, write_series
from builders.node import Node
from builders.payer import Payer, destinations_file, payer, x12_table
from builders.peers import store_with_storescu, wait_until
from builders.phantom import phantom_plan
from builders.posted_claims import claim_json, patient_json, report_json
from training.phantom import Contrast, Fracture, PhantomParameters, generate_spine

pytestmark = [pytest.mark.peer("dcmtk"), pytest.mark.slow, pytest.mark.timeout(900)]
WITHIN_S = 300.0
PATIENT = PhantomParameters(
    seed=11, rows=448, columns=360, spacing_mm=0.67, slices=5, slice_spacing_mm=4.5,
    fractures={"L1": Fracture("crush", 0.45)},
)  # fmt: skip
STUDY = "claim"
REVIEWER = {"name": "Reader^Ann", "identifier": "areader", "organisation": "General Hospital"}
MEMBER = {"member_id": "MEMBER-1"}


def write_study(folder: Path) -> tuple[str, list[Path]]:
    """T2 and STIR of a generated patient with an acute fracture of L1; the Study Instance UID and the files."""
    paths, uid = [], ""
    for number, (contrast, attributes) in enumerate(((Contrast.T2, T2_TSE), (Contrast.STIR, STIR)), start=1):
        phantom = generate_spine(replace(PATIENT, contrast=contrast))
        plan = phantom_plan(
            phantom, study=STUDY, series=str(contrast), number=number,
            attributes={**attributes, "StudyDate": "20260510"},
        )  # fmt: skip
        paths += write_series(folder / str(number), plan)
        uid = plan.study_instance_uid
    return uid, paths


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Everything that happened, in order."""
    folder = tmp_path_factory.mktemp("claim")
    uid, paths = write_study(folder / "study")
    with payer(folder) as listening:
        options = {
            "quiet-period": 1,
            "organisation": "General Hospital",
            "claim-destinations-file": destinations_file(folder, acme=x12_table(listening)),
        }
        with Node.started(folder / "node", options=options) as node:
            told = _tell(node, listening, uid, paths)
            history = [sys.executable, "-m", "server.cli", "claims", "history", told["claim"], "--data-dir"]
            told["command"] = subprocess.run(
                [*history, str(node.data_dir)], capture_output=True, text=True, timeout=120, check=False
            )
            told["log"] = node.log.read_text()
    return told


def _tell(node: Node, listening: Payer, uid: str, paths: list[Path]) -> dict[str, Any]:
    told: dict[str, Any] = {"uid": uid}
    with httpx.Client(base_url=f"{node.url}/api/v1", timeout=120) as http:
        claim = claim_json(STUDY) | {"patient": patient_json(STUDY) | MEMBER, "provider_npi": "1234567893"}
        made = http.post("/claims", json=claim, headers={"Idempotency-Key": "one"})
        told["claim"] = made.json()["claims"][0]["id"]

        def evidence() -> Any:
            return http.get(f"/claims/{told['claim']}/evidence").json()

        told["without a study"] = evidence()
        assert store_with_storescu(paths, node.dicom_port, called=node.ae_title).returncode == 0
        is_read = lambda: http.get(f"/studies/{uid}/findings").is_success  # noqa: E731
        wait_until(is_read, timeout_s=WITHIN_S, what="the findings", poll_s=0.5)
        wait_until(lambda: evidence()["verdict"] == "REPORT_MISSING", timeout_s=WITHIN_S, what="the study", poll_s=0.5)
        told["without a report"] = evidence()
        told["report"] = http.post(f"/claims/{told['claim']}/reports", json=report_json(STUDY, uid)).json()
        order = {"json": {"destination": "acme"}, "headers": {"Idempotency-Key": "send-1"}}
        told["not reviewed"] = http.post(f"/claims/{told['claim']}/attachments", **order)
        findings = http.get(f"/studies/{uid}/findings").json()["findings"]
        told["fracture"] = next(
            f for f in findings if f["question"] == "compression_fracture" and f["site"]["level"] == "L1"
        )
        decision = {"id": told["fracture"]["id"], "action": "accept"}
        review = {"revision": 1, "accept_rest": True, "reviewer": REVIEWER, "findings": [decision]}
        http.post(f"/studies/{uid}/reviews", json=review, headers={"Idempotency-Key": "r"}).raise_for_status()
        number = told["report"]["number"]
        wait_until(lambda: evidence()["number"] > number, timeout_s=WITHIN_S, what="the review", poll_s=0.5)
        told["reviewed"] = evidence()
        told["packet"] = http.get(f"/claims/{told['claim']}/packet").json()
        told["summary"] = http.get(f"/claims/{told['claim']}/packet/summary.pdf").content
        told["attached"] = [http.post(f"/claims/{told['claim']}/attachments", **order) for _ in range(2)]
        assert told["attached"][0].status_code == 201, told["attached"][0].text
        acn = told["attached"][0].json()["control_number"]
        wait_until(
            lambda: http.get(f"/attachments/{acn}").json()["state"] == "acknowledged",
            timeout_s=WITHIN_S, what="the acknowledgement", poll_s=0.5,
        )  # fmt: skip
        told["history"] = http.get(f"/claims/{told['claim']}/history").json()
        told["bodies"] = list(listening.bodies)
    return told


def codes(evidence: Any) -> set[str]:
    return {prompt["code"] for prompt in evidence["evidence"]["prompts"]}


def test_what_is_missing_is_asked_for_step_by_step(story: dict[str, Any]) -> None:
    assert story["without a study"]["verdict"] == "NO_EVIDENCE"
    assert story["without a report"]["verdict"] == "REPORT_MISSING"
    assert "attach_signed_report" in codes(story["without a report"])
    assert story["report"]["verdict"] == "SUPPORTS"
    assert story["reviewed"]["verdict"] == "SUPPORTS"


def test_the_ai_saw_the_acute_fracture_and_supported_nothing_alone(story: dict[str, Any]) -> None:
    grades = {grade["scale"]: grade["value"] for grade in story["fracture"]["further_grades"]}
    assert (story["fracture"]["assessment"], grades["acuity"]) == ("present", "acute-appearing")
    assert story["without a report"]["verdict"] != "SUPPORTS"
    states = {c["criterion"]: c["state"] for c in story["report"]["evidence"]["criteria"]}
    assert states["height_loss"] == "not determinable"
    reviewed = {c["criterion"]: c["state"] for c in story["reviewed"]["evidence"]["criteria"]}
    assert reviewed["height_loss"] == "met"


def test_nothing_is_sent_before_a_radiologist_accepted_the_finding(story: dict[str, Any]) -> None:
    refused = story["not reviewed"]
    assert refused.status_code == 422
    assert "a radiologist has to accept it" in refused.json()["detail"]


def test_the_payer_gets_the_report_and_the_summary_once(story: dict[str, Any]) -> None:
    first, again = story["attached"]
    assert (first.status_code, again.status_code) == (201, 200)
    acn = first.json()["control_number"]
    assert first.json()["pwk"] == f"PWK*RR*EL***AC*{acn}~"
    (body,) = set(story["bodies"])
    assert f"TRN*1*{acn}~".encode() in body
    pdf = _pdf_of(body)
    assert pdf == story["summary"]


def _pdf_of(body: bytes) -> bytes:
    """The PDF in the C-CDA in the MIME entity in the 275."""
    entities = [base64.b64decode(data) for data in re.findall(rb"BDS\*B64\*\d+\*([A-Za-z0-9+/=]+)", body)]
    assert len(entities) == 2, "the report and the summary"
    documents = [message_from_bytes(entity).get_payload(decode=True) for entity in entities]
    texts = [re.search(rb'mediaType="application/pdf"[^>]*>([^<]+)<', document) for document in documents]
    (found,) = [base64.b64decode(text.group(1)) for text in texts if text]
    return found


def test_the_summary_says_what_a_reader_at_the_payer_looks_for(story: dict[str, Any]) -> None:
    text = " ".join(page.extract_text() for page in PdfReader(BytesIO(story["summary"])).pages)
    for words in ("L1", "2026-05-10", "Acute compression fracture of L1", "research use", "Ann Reader", "MEMBER-1"):
        assert words in text, words
    names = {file["name"] for file in story["packet"]["manifest"]["files"]}
    assert {"summary.pdf", "summary.dcm", "kos-1.dcm", "sr-1.dcm"} <= names
    assert any(name.endswith("-overlay.png") for name in names)


def test_the_history_says_who_did_what_and_its_command_agrees(story: dict[str, Any]) -> None:
    actions = [action["action"] for action in story["history"]["actions"]]
    assert actions == ["received", "report_added", "attached"]
    assert story["command"].returncode == 0, story["command"].stderr
    assert '"attached"' in story["command"].stdout


def test_the_log_names_nobody(story: dict[str, Any]) -> None:
    for identity in ("Invented", "MEMBER-1", "19600101", "1960-01-01", "A-1001", "Acute compression"):
        assert identity not in story["log"], identity
