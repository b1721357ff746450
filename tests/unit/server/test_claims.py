"""Claims over real sockets and a real database: handed in, judged, judged again by themselves, and worked on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import delete, select, update

from builders.claim_office import PLAN, STUDY, UID, Office, open_office
from builders.posted_claims import claim_json, report_json
from builders.reviews import add_reviewable_study
from builders.web import serving
from server.auth.audit.record import AuditKind
from server.auth.audit.trail import entries
from server.auth.roles import LOOPBACK
from server.claims.history import Action, fault_of, record_action
from server.claims.packets import manifest_path
from server.claims.retention import delete_old
from server.claims.seals import seal_fault
from server.claims.watch import ClaimWatch
from server.compose import Node
from server.database import reading
from server.http.app import create
from server.tables import claim_actions, claim_evaluations, claims


@pytest.fixture
def office(node: Node, tmp_path: Path) -> Iterator[Office]:
    with open_office(node, tmp_path / "series") as opened:
        yield opened


def codes(evidence: Any) -> set[str]:
    return {prompt["code"] for prompt in evidence["evidence"]["prompts"]}


def test_a_claim_without_a_report_asks_for_it_and_with_it_is_supported(office: Office) -> None:
    claim = office.kept()
    before = office.evidence(claim)
    assert before["verdict"] == "REPORT_MISSING", before
    assert "attach_signed_report" in codes(before)
    assert any("MR" in prompt["sentence"] for prompt in before["evidence"]["prompts"])

    answer = office.report(claim)

    assert answer.status_code == 201
    assert answer.json()["verdict"] == "SUPPORTS"
    after = office.evidence(claim)
    assert (after["number"], after["verdict"]) == (2, "SUPPORTS")
    assert "attach_signed_report" not in codes(after)
    pointers = [pointer["text"] for body in after["evidence"]["bodies"] for pointer in body["pointers"]]
    assert any("Acute L1 compression fracture." in text for text in pointers)


def test_a_measured_height_loss_answers_its_criterion_once_a_physician_accepted_it(office: Office) -> None:
    claim = office.kept()
    assert _height_loss(office.evidence(claim)) == "not determinable"
    office.review({"id": office.fracture(), "action": "accept"})
    office.watch.look()
    assert _height_loss(office.evidence(claim)) == "met"


def _height_loss(evidence: Any) -> str:
    """State of the criterion that rests on the 31 % of the findings."""
    (one,) = (c for c in evidence["evidence"]["criteria"] if c["criterion"] == "height_loss")
    assert "31" in one["sentence"], one
    return str(one["state"])


def test_the_same_file_is_kept_once_and_its_key_for_another_is_refused(office: Office) -> None:
    first, again = (office.hand_in(claim_json(STUDY), "key-1") for _ in range(2))
    other = office.hand_in(claim_json(STUDY, number="A-2"), "key-1")
    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 409)
    assert first.json() == again.json()
    assert "idempotency key" in other.json()["detail"]
    assert len(office.get("")["claims"]) == 1


def test_a_review_changes_the_evidence_without_anybody_asking(office: Office) -> None:
    claim = office.kept()
    office.report(claim)
    office.watch.look()
    unchanged = office.evidence(claim)["number"]
    office.watch.look()
    assert office.evidence(claim)["number"] == unchanged

    office.review({"id": office.fracture(), "action": "reject", "reason": "R_NOT_THERE"})
    office.watch.look()

    evidence = office.evidence(claim)
    assert evidence["number"] == unchanged + 1
    assert evidence["verdict"] == "CONTRADICTS"
    sentences = [body["sentence"] for body in evidence["evidence"]["bodies"]]
    assert any("reviewed findings" in sentence for sentence in sentences)


def test_a_study_that_comes_later_is_found(node: Node, tmp_path: Path) -> None:
    application = create(node)
    watch = ClaimWatch(node, application.state.dicomweb.index, None)
    with serving(node) as url, httpx.Client(base_url=url, timeout=60) as http:
        posted = http.post("/api/v1/claims", json=claim_json(STUDY), headers={"Idempotency-Key": "k"})
        assert posted.json()["claims"][0]["verdict"] == "NO_EVIDENCE"
        watch.look()
        add_reviewable_study(node, application.state.client, tmp_path / "series", PLAN)
        watch.look()
        found = http.get(f"/api/v1/claims/{posted.json()['claims'][0]['id']}/evidence").json()
    application.state.dicomweb.door.close()
    application.state.client.destroy()
    assert found["verdict"] == "REPORT_MISSING"


def test_a_study_of_the_same_record_number_with_another_birth_date_is_left_out_and_said(office: Office) -> None:
    patient = claim_json(STUDY)["patient"] | {"birth_date": "1961-01-01"}
    evidence = office.evidence(office.kept(patient=patient))
    assert evidence["verdict"] == "NO_EVIDENCE"
    assert [uid for uid, _ in evidence["left_out"]] == [UID]
    assert "birth date differs" in evidence["left_out"][0][1]
    assert "1961" not in evidence["left_out"][0][1]


def test_a_report_of_another_patient_makes_the_claim_one_that_cannot_be_judged(office: Office) -> None:
    claim = office.kept()
    other = claim_json(STUDY)["patient"] | {"medical_record_number": "SOMEBODY-ELSE"}
    answer = office.report(claim, patient=other)
    assert answer.status_code == 422
    assert "medical record number differs" in answer.json()["detail"]
    assert office.evidence(claim)["verdict"] == "REPORT_MISSING"


def test_a_report_is_added_once(office: Office) -> None:
    claim = office.kept()
    assert [office.report(claim).status_code for _ in range(2)] == [201, 200]
    assert office.report(claim, text="Another text. No acute fracture.").status_code == 422
    assert len(office.get(claim)["reports"]) == 1


def test_what_people_decide_is_kept_with_who_and_why_and_changes_no_evidence(office: Office) -> None:
    claim = office.kept()
    before = office.evidence(claim)
    prompt = {"prompt": "attach_signed_report", "body": "L1"}

    assert office.decide(claim, "prompt_accepted", **prompt).status_code == 204
    assert office.decide(claim, "overridden", **prompt, reason="It was faxed.").status_code == 204
    assert office.decide(claim, "overridden", **prompt).status_code == 422
    assert office.decide(claim, "overridden", prompt="nothing_like_it", reason="x").status_code == 409
    assert office.decide(claim, "attached").status_code == 422

    assert office.evidence(claim) == before
    actions = office.get(f"{claim}/history")["actions"]
    assert [a["action"] for a in actions] == ["received", "prompt_accepted", "overridden"]
    assert actions[2] | {"reason": "It was faxed.", "about": "attach_signed_report", "body": "L1"} == actions[2]


def test_a_closed_claim_is_left_alone_until_it_is_opened(office: Office) -> None:
    claim = office.kept()
    assert office.decide(claim, "closed").status_code == 204
    assert office.report(claim).status_code == 409
    assert office.decide(claim, "noted", reason="x").status_code == 409
    office.review({"id": office.fracture(), "action": "reject", "reason": "R_NOT_THERE"})
    office.watch.look()
    assert office.evidence(claim)["number"] == 1
    assert office.decide(claim, "reopened", reason="The payer asks again.").status_code == 204
    assert office.evidence(claim)["state"] == "open"
    assert [c["id"] for c in office.http.get("/api/v1/claims?state=open").json()["claims"]] == [claim]


@pytest.mark.parametrize("damage", ["changed", "removed", "from another claim"])
def test_a_history_that_was_tampered_with_shows(office: Office, damage: str) -> None:
    claim, other = office.kept(), office.kept(number="A-2")
    for note in ("one", "two"):
        office.decide(claim, "noted", reason=note)
    mine, second = claim_actions.c.claim_id == claim, claim_actions.c.number == 2
    with reading(office.node.engine) as connection:
        assert fault_of(connection, claim) is None
    with office.node.engine.begin() as connection:
        row = connection.execute(select(claim_actions).where(mine, second)).one()
        if damage == "changed":
            values = {"record": row.record.replace("one", "won")}
            connection.execute(update(claim_actions).where(mine, second).values(**values))
        elif damage == "removed":
            connection.execute(delete(claim_actions).where(mine, second))
        else:
            theirs = connection.execute(select(claim_actions).where(claim_actions.c.claim_id == other)).one()
            values = {"record": theirs.record, "sha256": theirs.sha256, "previous_sha256": theirs.previous_sha256}
            connection.execute(update(claim_actions).where(mine, claim_actions.c.number == 1).values(**values))
    with reading(office.node.engine) as connection:
        assert fault_of(connection, claim) is not None
        assert fault_of(connection, other) is None


def test_a_history_that_was_cut_off_and_a_packet_that_was_changed_show(office: Office) -> None:
    claim = office.kept()
    office.decide(claim, "noted", reason="one")
    number = office.get(f"{claim}/packet")["evaluation"]
    manifest = office.node.spool.path(manifest_path(claim).format(number=number))
    content = manifest.read_bytes()

    def fault() -> str | None:
        with reading(office.node.engine) as connection:
            assert fault_of(connection, claim) is None
            return seal_fault(connection, office.node.spool, claim, manifest_path(claim))

    assert fault() is None
    manifest.write_bytes(content + b" ")
    assert "packet of evaluation 1 is not the one" in str(fault())
    manifest.unlink()
    assert "packet of evaluation 1 is gone" in str(fault())
    manifest.write_bytes(content)
    mine = claim_actions.c.claim_id == claim
    with office.node.engine.begin() as connection:
        connection.execute(delete(claim_actions).where(mine, claim_actions.c.number == 2))
    assert "Row 2 of the claim's history was cut off" in str(fault())
    with office.node.engine.begin() as connection:
        record_action(connection, claim, Action.NOTED, LOOPBACK, reason="two")
    assert "Row 2 of the claim's history is not the one" in str(fault())


def test_evaluations_are_only_added(office: Office) -> None:
    claim = office.kept()
    office.report(claim)
    with reading(office.node.engine) as connection:
        rows = connection.execute(select(claim_evaluations.c.number, claim_evaluations.c.verdict)).all()
    assert [tuple(row) for row in rows] == [(1, "REPORT_MISSING"), (2, "SUPPORTS")]


@pytest.mark.parametrize(
    "claim",
    [b"", b"{}", b"[]", b"ISA*00*", b"\xff\xfe\x00", b"[" * 100_000, claim_json(STUDY, lines=[]), b"null"],
    ids=["empty", "object", "list", "x12 cut off", "bytes", "deep", "no line", "null"],
)
def test_what_is_no_claim_is_refused_in_one_sentence_and_nothing_is_kept(office: Office, claim: Any) -> None:
    answer = office.hand_in(claim)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"].strip()
    assert not office.get("")["claims"]


def test_a_check_keeps_nothing(office: Office) -> None:
    body = {"claim": claim_json(STUDY), "reports": [report_json(STUDY, UID)]}
    body["claim"]["studies"] = [
        {
            "study_instance_uid": UID,
            "date": "2026-05-10",
            "modality": "MR",
            "patient": body["claim"]["patient"],
            "levels": ["L1"],
        }
    ]
    answer = office.http.post("/api/v1/claims/check", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["evidence"]["verdict"] == "SUPPORTS"
    assert not office.get("")["claims"]


def test_what_is_not_there_is_404(office: Office) -> None:
    nobody = f"clm-{0:016x}"
    for path in (nobody, f"{nobody}/evidence", f"{nobody}/history", f"{nobody}/packet"):
        assert office.http.get(f"/api/v1/claims/{path}").status_code == 404
    assert office.report(nobody).status_code == 404
    assert office.decide(nobody, "closed").status_code == 404
    assert office.http.get("/api/v1/claims/not-ours").status_code == 422


def test_every_example_of_the_openapi_document_works(office: Office) -> None:
    document = office.http.get("/api/openapi.json").json()
    content = document["paths"]["/api/v1/claims"]["post"]["requestBody"]["content"]
    made = office.hand_in(content["application/json"]["example"])
    assert made.status_code == 201
    claim = made.json()["claims"][0]["id"]
    schemas = document["components"]["schemas"]
    for name, path in (("ReportBody", "reports"), ("ClaimDecisionBody", "decisions")):
        for example in schemas[name]["examples"]:
            assert office.http.post(f"/api/v1/claims/{claim}/{path}", json=example).is_success
    assert office.evidence(claim)["verdict"] == "SUPPORTS"
    for example in schemas["CheckBody"]["examples"]:
        checked = office.http.post("/api/v1/claims/check", json=example)
        assert checked.json()["evidence"]["verdict"] == "SUPPORTS"


def test_a_claim_that_was_closed_long_ago_is_deleted_and_the_audit_trail_says_so(office: Office) -> None:
    kept, closed, old = (office.kept(number=f"A-{n}") for n in range(3))
    office.report(old)
    for claim in (closed, old):
        office.decide(claim, "closed")
    for claim, days in ((kept, 100), (old, 31)):
        with office.node.engine.begin() as connection:
            since = update(claims).where(claims.c.id == claim)
            connection.execute(since.values(state_since=claims.c.state_since - days * 86_400))

    assert [delete_old(office.node, 30) for _ in range(2)] == [1, 0]

    assert {claim["id"] for claim in office.get("")["claims"]} == {kept, closed}
    assert office.http.get(f"/api/v1/claims/{old}/history").status_code == 404
    assert not office.node.spool.path(f"claims/{old}").exists()
    with reading(office.node.engine) as connection:
        newest = next(e.record for e in entries(connection, limit=10) if e.record.kind is AuditKind.CLAIM_DELETED)
        assert connection.execute(select(claim_actions).where(claim_actions.c.claim_id == old)).all() == []
    assert (newest.subject, newest.object) == ("node", old)


def test_a_packet_is_of_what_there_is_now_and_is_made_once(office: Office) -> None:
    claim = office.kept()
    before = office.get(f"{claim}/packet")
    office.review({"id": office.fracture(), "action": "accept"})
    after, again = (office.get(f"{claim}/packet") for _ in range(2))  # nobody looked in between

    assert (before["evaluation"], after["evaluation"]) == (1, 2)
    assert after == again
    assert [p["manifest"]["number"] for p in (before, after)] == [1, 2]
    assert after["manifest"]["previous_manifest_sha256"] is not None
    assert office.http.get(f"/api/v1/claims/{claim}/packet/summary.pdf").content.startswith(b"%PDF-")
    assert office.http.get(f"/api/v1/claims/{claim}/packet/none.pdf").status_code == 404


@pytest.mark.parametrize("document", [{}, {"schema": "spine-findings/1", "findings": [1]}, {"schema": "other"}])
def test_findings_that_are_none_are_refused(office: Office, document: dict[str, Any]) -> None:
    body = {"claim": claim_json(STUDY), "findings": [document]}
    answer = office.http.post("/api/v1/claims/check", json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"] == "Document 1 of the findings is not one of schema spine-findings/1."
