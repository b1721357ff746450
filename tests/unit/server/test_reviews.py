"""Reviews over real sockets and a real database: what is committed, what is made of it, and what is refused."""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from pydicom import dcmread
from sqlalchemy import select

from builders.dicom import SeriesPlan, small_voxels
from builders.reviews import add_reviewable_study, review_steps
from dicom_node.derived import to_bytes
from dicom_node.results import SENDING_ORDER, pending_deliveries, results_of
from dicom_node.tables import results
from dicom_node.uids import ObjectRole
from inference.findings import StudyFindings
from inference.findings.encode import decode
from server.compose import Node
from server.http.app import create
from server.operations import NotThere, retry
from server.sweep import GIVEN_UP, Sweep
from server.tables import review_runs

PLAN = SeriesPlan(voxels=small_voxels(5), pixel_spacing_mm=(1.5, 0.75))
STUDY = PLAN.study_instance_uid
PERSON = {"name": "Doe^Jane", "identifier": "jdoe", "organisation": "General Hospital"}


@dataclass(frozen=True, slots=True)
class Desk:
    """A node that answers, and a study with findings."""

    node: Node
    http: httpx.Client
    queue: Any
    findings: StudyFindings

    def post(self, key: str | None = None, **body: Any) -> httpx.Response:
        whole = {"revision": 1, "accept_rest": True, "reviewer": PERSON} | body
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        return self.http.post(f"/api/v1/studies/{STUDY}/reviews", json=whole, headers=headers)

    def get(self, path: str) -> Any:
        return self.http.get(f"/api/v1/{path}").raise_for_status().json()

    def finding(self, question: str, level: str) -> Any:
        (found,) = (f for f in self.findings.findings if f.question.value == question and f.site.level == level)
        return found

    def make(self, number: int) -> str:
        steps = review_steps(self.node, self.queue)
        outcome = steps.make(STUDY, number, 1, 0)
        if outcome["state"] not in {"done", "failed"}:
            return str(outcome["state"])
        return str(steps.record(STUDY, number, outcome)["state"])

    def objects(self, role: str) -> list[Any]:
        with self.node.engine.connect() as connection:
            made = [record for record in results_of(connection, STUDY) if record.role == role]
        return [dcmread(self.node.spool.path(record.path)) for record in made]

    def queued(self) -> list[str]:
        return sorted(
            f.workflow_id for f in self.queue.list_workflows(status=["ENQUEUED", "DELAYED"], load_input=False)
        )


@pytest.fixture
def desk(node: Node, tmp_path: Path) -> Iterator[Desk]:
    application = create(node)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application, log_config=None, access_log=False, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    queue = application.state.client
    findings = add_reviewable_study(node, queue, tmp_path / "series", PLAN)
    with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=60) as http:
        yield Desk(node, http, queue, findings)
    server.should_exit = True
    thread.join(20)
    listener.close()
    queue.destroy()


def reject(finding: Any, **more: Any) -> dict[str, Any]:
    return {"id": finding.id, "action": "reject", "reason": "R_NOT_THERE"} | more


def move(finding: Any, level: str) -> dict[str, Any]:
    return {"id": finding.id, "action": "correct", "reason": "R_LEVEL", "correction": {"level": level}}


def test_a_review_is_committed_and_its_report_is_queued_with_it(desk: Desk) -> None:
    answer = desk.post(findings=[reject(desk.finding("spondylolisthesis", "L2-L3"))])

    assert answer.status_code == 201
    body = answer.json()
    assert (body["number"], body["revision"], body["supersedes"]) == (1, 1, None)
    assert body["reviewer"] == PERSON
    assert body["report"]["state"] == "queued"
    assert f"{STUDY}/review1/g1" in desk.queued()
    assert desk.get(f"studies/{STUDY}/revisions")["revisions"][0]["reviews"] == [1]


def test_the_findings_api_gives_reviewed_values_beside_those_of_the_ai(desk: Desk) -> None:
    fracture = desk.finding("compression_fracture", "L1")
    before = desk.http.get(f"/api/v1/studies/{STUDY}/findings").content
    assert desk.http.get(f"/api/v1/studies/{STUDY}/findings?reviewed=true").status_code == 404
    desk.post(findings=[move(fracture, "T12")])

    answer = desk.http.get(f"/api/v1/studies/{STUDY}/findings?reviewed=true")

    assert answer.headers["X-Spine-Review"] == "1"
    (moved,) = (f for f in decode(answer.content).findings if f.id == fracture.id)
    assert moved.site.level == "T12"
    assert desk.http.get(f"/api/v1/studies/{STUDY}/findings").content == before


def test_overlay_and_fhir_give_reviewed_values_where_they_are_asked_for(desk: Desk) -> None:
    fracture, slip = desk.finding("compression_fracture", "L1"), desk.finding("spondylolisthesis", "L2-L3")
    as_given = {kind: desk.get(f"studies/{STUDY}/{kind}") for kind in ("overlay", "fhir")}
    for kind in as_given:
        assert desk.http.get(f"/api/v1/studies/{STUDY}/{kind}?reviewed=true").status_code == 404
    desk.post(findings=[move(fracture, "T12"), reject(slip)])

    drawn, bundle = (desk.get(f"studies/{STUDY}/{kind}?reviewed=true") for kind in ("overlay", "fhir"))

    assert {f["id"]: f["site"]["level"] for f in drawn["findings"]}[fracture.id] == "T12"
    assert "E_REJECTED" in {entry["reason"] for entry in drawn["not_assessed"]}
    report, before = bundle["entry"][0]["resource"], as_given["fhir"]["entry"][0]["resource"]
    assert (before["status"], report["status"]) == ("preliminary", "final")
    assert report["id"] == before["id"]
    assert {kind: desk.get(f"studies/{STUDY}/{kind}") for kind in as_given} == as_given


def test_the_same_key_records_one_review(desk: Desk) -> None:
    first, again = desk.post("k"), desk.post("k")
    other = desk.post("k", findings=[reject(desk.finding("spondylolisthesis", "L2-L3"))])

    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 409)
    assert again.json() == first.json()
    assert other.json()["code"] == "E_REVIEW_KEY"
    assert len(desk.get(f"studies/{STUDY}/reviews")["reviews"]) == 1


def test_the_verified_report_is_made_once_and_queued_for_delivery(desk: Desk) -> None:
    desk.post(findings=[reject(desk.finding("spondylolisthesis", "L2-L3"))])

    assert desk.make(1) == "done"
    assert desk.make(1) == "superseded"

    (report,) = desk.objects("verified_sr")
    (ai_report,) = desk.objects("sr")
    named = report.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert named.ReferencedSOPInstanceUID == ai_report.SOPInstanceUID
    assert report.VerificationFlag == "VERIFIED"
    with desk.node.engine.connect() as connection:
        waiting = [parcel.role for parcel in pending_deliveries(connection, STUDY, 1, "PACS")]
    assert waiting == ["sr", "verified_sr"]
    assert f"{STUDY}/r1/deliver/PACS/g2/try1" in desk.queued()
    assert desk.get(f"studies/{STUDY}/reviews")["reviews"][0]["report"]["state"] == "done"


def test_a_review_is_told_in_words_too_and_a_second_one_names_the_first(desk: Desk) -> None:
    """Kept for viewers of this node unless the site wants it sent, and made only where the site wants it."""
    desk.post()
    desk.post(findings=[reject(desk.finding("spondylolisthesis", "L2-L3"))])
    assert [desk.make(number) for number in (1, 2)] == ["done", "done"]

    first, second = sorted(desk.objects("verified_text"), key=lambda report: report.SeriesNumber)
    assert (first.SeriesNumber, second.SeriesNumber) == (9601, 9602)
    (named,) = second.PredecessorDocumentsSequence[0].ReferencedSeriesSequence
    assert named.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID
    with desk.node.engine.connect() as connection:
        waiting = {parcel.role for parcel in pending_deliveries(connection, STUDY, 1, "PACS")}
    assert waiting == {"sr", "verified_sr"}

    desk.post()
    outcomes = {}
    for choice in ("off", "send"):
        settings = desk.node.settings.model_copy(update={"text_report": choice})
        steps = review_steps(replace(desk.node, settings=settings), desk.queue)
        outcomes[choice] = steps.make(STUDY, 3, 1, 0)
    assert [made["role"] for made in outcomes["off"]["results"]] == ["verified_sr"]
    steps.record(STUDY, 3, outcomes["send"])
    with desk.node.engine.connect() as connection:
        waiting = {parcel.role for parcel in pending_deliveries(connection, STUDY, 1, "PACS")}
    assert waiting == {"sr", "verified_sr", "verified_text"}


def test_a_crash_between_making_and_recording_makes_the_same_object_again(desk: Desk) -> None:
    desk.post()
    steps = review_steps(desk.node, desk.queue)

    first, second = steps.make(STUDY, 1, 1, 0), steps.make(STUDY, 1, 1, 0)

    assert first == second
    assert steps.record(STUDY, 1, second)["state"] == "done"


def test_a_second_review_supersedes_the_first_and_waits_for_its_report(desk: Desk) -> None:
    desk.post()
    second = desk.post(findings=[reject(desk.finding("spondylolisthesis", "L2-L3"))])

    assert (second.json()["number"], second.json()["supersedes"]) == (2, 1)
    assert desk.make(2) == "waiting"
    assert f"{STUDY}/review2/g1/wait1" in desk.queued()
    assert (desk.make(1), desk.make(2)) == ("done", "done")
    uids = {str(report.SOPInstanceUID) for report in desk.objects("verified_sr")}
    assert len(uids) == 2
    (named,) = (r for r in desk.objects("verified_sr") if r.SeriesNumber == 9502)
    predecessors = {
        str(instance.ReferencedSOPInstanceUID)
        for study in named.PredecessorDocumentsSequence
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }
    assert predecessors == {str(desk.objects("sr")[0].SOPInstanceUID), *(uids - {str(named.SOPInstanceUID)})}


def test_a_review_after_one_that_was_not_seen_is_refused(desk: Desk) -> None:
    desk.post()
    late, right = desk.post(supersedes=7), desk.post(supersedes=1)
    assert (late.status_code, late.json()["code"]) == (409, "E_REVIEW_SUPERSEDED")
    assert right.status_code == 201


def test_a_late_instance_leaves_the_review_with_its_revision_and_the_new_report_says_so(
    desk: Desk, tmp_path: Path
) -> None:
    desk.post()
    desk.make(1)
    more = SeriesPlan(voxels=small_voxels(5), pixel_spacing_mm=(1.5, 0.75), series="second", number=2)
    add_reviewable_study(desk.node, desk.queue, tmp_path / "late", more, revision=2)

    late = desk.post()
    unreviewed = desk.http.get(f"/api/v1/studies/{STUDY}/findings?reviewed=true")
    earlier = desk.http.get(f"/api/v1/studies/{STUDY}/findings?reviewed=true&revision=1")

    assert (late.status_code, late.json()["code"]) == (409, "E_REVIEW_SUPERSEDED")
    assert (unreviewed.status_code, earlier.status_code) == (404, 200)
    (second,) = (report for report in desk.objects("sr") if report.SeriesNumber == 9011)
    text = to_bytes(second)
    assert b"Revision 1 of this study was reviewed by Jane Doe" in text
    assert b"which nobody has reviewed" in text
    assert desk.post(revision=2).json()["supersedes"] == 1


def test_everything_rejected_makes_a_rejection_note_where_the_site_wants_one(desk: Desk) -> None:
    wants_one = Node(
        settings=desk.node.settings.model_copy(update={"rejection_note": "quality"}),
        engine=desk.node.engine,
        spool=desk.node.spool,
    )
    said = [f for f in desk.findings.findings if type(f.assessment).__name__ != "NotAssessed"]
    assert len(said) == 3
    desk.post(findings=[reject(finding) for finding in said])
    steps = review_steps(wants_one, desk.queue)

    assert steps.record(STUDY, 1, steps.make(STUDY, 1, 1, 0))["state"] == "done"

    (note,) = desk.objects("rejection_note")
    assert note.ConceptNameCodeSequence[0].CodeValue == "113001"
    desk.post(findings=[reject(finding) for finding in said[1:]])
    assert steps.record(STUDY, 2, steps.make(STUDY, 2, 1, 0))["state"] == "done"
    assert len(desk.objects("rejection_note")) == 1, "one finding stands"


def test_without_the_setting_there_is_no_rejection_note(desk: Desk) -> None:
    said = [f for f in desk.findings.findings if type(f.assessment).__name__ != "NotAssessed"]
    desk.post(findings=[reject(finding) for finding in said])
    desk.make(1)
    assert desk.objects("rejection_note") == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"reviewer": None}, 422, "E_REVIEW_REVIEWER"),
        ({"reviewer": {**PERSON, "organisation": " "}}, 422, "E_REVIEW_REVIEWER"),
        ({"reviewer": {**PERSON, "name": "山田^太郎"}}, 422, "E_REVIEW_REVIEWER"),
        ({"reviewer": {**PERSON, "name": "Doe\\Jane"}}, 422, None),
        ({"reviewer": {**PERSON, "name": "Doe\nJane"}}, 422, None),
        ({"accept_rest": False}, 422, "E_REVIEW_INCOMPLETE"),
        ({"revision": 2}, 409, "E_REVIEW_SUPERSEDED"),
        ({"findings": [{"id": "1.2.3", "action": "accept"}]}, 422, "E_REVIEW_FINDING"),
        ({"findings": [{"id": "1.2.3", "action": "praise"}]}, 422, None),
        ({"added": [{"question": "stenosis", "site": {"level": "L9"}}]}, 422, "E_REVIEW_LEVEL"),
        ({"added": [{"question": "stenosis", "site": {"level": "L1-L2", "region": "foramen"}}]}, 422, "E_REVIEW_LEVEL"),
        ({"unknown": 1}, 422, None),
    ],
)
def test_what_cannot_be_is_a_problem_with_its_code(
    desk: Desk, body: dict[str, Any], status: int, code: str | None
) -> None:
    answer = desk.post(**body)
    assert (answer.status_code, answer.json().get("code")) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert desk.get(f"studies/{STUDY}/reviews")["reviews"] == []


def test_a_shape_is_on_an_image_that_was_received(desk: Desk) -> None:
    fracture = desk.finding("compression_fracture", "L1")
    line = {"type": "POLYLINE", "points": [[8.0, 6.0], [8.0, 16.0]]}

    def redraw(sop_instance_uid: str) -> httpx.Response:
        shape = {"sop_instance_uid": sop_instance_uid, "geometry": line, "measurement": "anterior_height"}
        decision = {"id": fracture.id, "action": "correct", "reason": "R_GEOMETRY", "correction": {"evidence": [shape]}}
        return desk.post(findings=[decision])

    assert redraw("1.2.3").json()["code"] == "E_REVIEW_GEOMETRY"
    assert redraw(PLAN.sop_instance_uid(1)).status_code == 201
    reviewed = decode(desk.http.get(f"/api/v1/studies/{STUDY}/findings?reviewed=true").content)
    (drawn,) = (f for f in reviewed.findings if f.id == fracture.id)
    height = drawn.measurement("anterior_height")
    assert height is not None
    assert height.value == 15.0


def test_a_review_needs_a_key_and_a_study_that_was_read(desk: Desk) -> None:
    body = {"revision": 1, "accept_rest": True, "reviewer": PERSON}
    assert desk.http.post(f"/api/v1/studies/{STUDY}/reviews", json=body).status_code == 422
    keyed = {"Idempotency-Key": "k"}
    assert desk.http.post("/api/v1/studies/9.9/reviews", json=body, headers=keyed).status_code == 404
    assert desk.http.get("/api/v1/studies/9.9/reviews").status_code == 404
    assert desk.http.get("/api/v1/studies/9.9/revisions").status_code == 404


def test_a_report_that_could_not_be_made_is_said_and_can_be_retried(desk: Desk) -> None:
    desk.post()
    (ai_report,) = (desk.node.spool.path(r.path) for r in _records(desk, "sr"))
    content = ai_report.read_bytes()
    ai_report.write_bytes(b"")

    assert desk.make(1) == "failed"
    report = desk.get(f"studies/{STUDY}/reviews")["reviews"][0]["report"]
    assert "fault of the program" in report["reason"]
    ai_report.write_bytes(content)
    assert retry(desk.node.engine, desk.queue, STUDY).reviews == (1,)
    steps = review_steps(desk.node, desk.queue)
    assert steps.make(STUDY, 1, 1, 0) == {"state": "superseded"}
    assert steps.record(STUDY, 1, steps.make(STUDY, 1, 2, 0))["state"] == "done"
    with pytest.raises(NotThere):
        retry(desk.node.engine, desk.queue, "9.9")


def _records(desk: Desk, role: str) -> list[Any]:
    with desk.node.engine.connect() as connection:
        return list(connection.execute(select(results).where(results.c.role == role)))


def test_a_report_that_nobody_works_on_is_given_up(desk: Desk) -> None:
    desk.post()
    desk.queue.cancel_workflow(f"{STUDY}/review1/g1")
    with desk.node.engine.begin() as connection:
        connection.execute(review_runs.update().values(queued_at=0.0))

    Sweep(desk.node.engine, desk.queue).run(1e9)

    assert desk.get(f"studies/{STUDY}/reviews")["reviews"][0]["report"]["reason"] == GIVEN_UP


def test_agreement_counts_the_newest_review_of_a_study(desk: Desk) -> None:
    fracture, normal = (desk.finding("compression_fracture", level) for level in ("L1", "L2"))
    desk.post(findings=[reject(fracture), reject(normal)])
    desk.post(findings=[move(fracture, "T12")], added=[{"question": "modic", "site": {"level": "L3"}}])

    groups = desk.get("statistics/agreement?by=question&by=model")["groups"]

    fractures = next(g for g in groups if g["question"] == "compression_fracture" and g["model"])
    assert fractures["counts"]["answered"] == 2
    assert fractures["counts"]["overruled"] == 1
    assert fractures["counts"]["not_assessed"] == 1
    assert fractures["disagreement"] == {"value": 0.5, "low": 0.0945, "high": 0.9055}
    assert next(g for g in groups if g["question"] == "modic")["counts"]["added"] == 1
    by_source = desk.get("statistics/agreement?by=source")["groups"]
    assert [group["source"] for group in by_source] == ["SOURCE"]
    assert desk.http.get("/api/v1/statistics/agreement?by=patient").status_code == 422
    assert desk.get("statistics/drift") == {"charts": []}
    metrics = desk.http.get("/metrics").text
    assert 'spine_review_decisions{model="mr_sagittal_segmentation",question="compression_fracture"' in metrics
    assert STUDY not in metrics


def test_what_is_sent_first_is_every_role() -> None:
    assert set(SENDING_ORDER) == {role.value for role in ObjectRole}
