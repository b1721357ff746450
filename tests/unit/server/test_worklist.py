"""The order of the worklist, and what it says of each study."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import httpx
import pytest
from sqlalchemy import insert, select

from builders.findings import refused_findings, spine_findings
from builders.reviews import reviewed
from dicom_node.store import StudyState
from dicom_node.tables import deliveries, results, studies, web_studies
from inference.findings import Absent, Grade, Present, Question, ReviewReason, StudyFindings
from inference.findings.encode import decode, encode
from inference.geometry import FrameReference
from inference.review import Action, Correction, Decision, Review
from server.auth.roles import Method, Role, person
from server.compose import Node
from server.http.worklist import Search
from server.priority import PRIORITIES, Seen, priority_of, summary_of
from server.tables import reviews, runs, worklist_entries
from server.worklist_index import WorklistIndex

SOURCE = FrameReference(sop_class_uid="1.2.840.10008.5.1.4.1.1.4", sop_instance_uid="1.2.3", frame=None)


def called(study: str, question: Question | None, *grades: Grade) -> StudyFindings:
    """One question present with these grades; everything else absent."""
    document = spine_findings(study, SOURCE, (1.0, 1.0))
    found = [
        replace(finding, assessment=Present() if finding.question is question else Absent(), grades=grades)
        for finding in document.findings
    ]
    return replace(document, findings=tuple(found))


def graded(scale: str, value: str) -> Grade:
    return Grade(scale=scale, value=value)


ORDER = {
    "acute_fracture": called("1.1", Question.COMPRESSION_FRACTURE, graded("acuity", "acute-appearing")),
    "severe_stenosis": called("1.2", Question.STENOSIS, graded("sac_narrowing", "absolute")),
    "fracture": called("1.3", Question.COMPRESSION_FRACTURE, graded("genant", "2")),
    "chronic_fracture": called("1.5", Question.COMPRESSION_FRACTURE, graded("acuity", "chronic-appearing")),
    "finding": called("1.6", Question.STENOSIS, graded("canal_narrowing", "relative")),
    "not_assessed": refused_findings("1.7"),
    "nothing_called": called("1.8", None),
}


def keep(node: Node, document: StudyFindings | None, uid: str, *, state: str = "done", arrived: float = 0.0) -> None:
    with node.engine.begin() as connection:
        times = {"first_received_at": arrived, "last_received_at": arrived}
        values = {"study_instance_uid": uid, "state": state, "revision": 1, "source_ae_title": "SOURCE"}
        connection.execute(insert(studies).values(**values, **times))
        if document is None:
            return
        data = encode(document)
        path = f"results/{uid}.json"
        node.spool.write_result(path, data)
        run = {"study_instance_uid": uid, "revision": 1, "generation": 1, "state": "done", "queued_at": 0.0}
        found = {"findings_path": path, "findings_sha256": hashlib.sha256(data).hexdigest(), "inference_s": 7.0}
        connection.execute(insert(runs).values(**run, **found))


@pytest.mark.parametrize("code", ORDER)
def test_each_line_of_the_order_is_met(code: str) -> None:
    _, priority = priority_of(Seen(state=StudyState.DONE, summary=summary_of(ORDER[code])))

    assert priority.code == code


def test_what_was_not_read_stands_above_what_is_routine() -> None:
    failed = Seen(state=StudyState.FAILED, summary=None)
    codes = [line.code for line in PRIORITIES]

    assert priority_of(failed)[1].code == "not_read"
    assert codes.index("not_read") < codes.index("chronic_fracture")
    assert priority_of(Seen(state=StudyState.RECEIVING, summary=None))[1].code == "waiting"


def test_a_severe_finding_of_an_earlier_revision_counts_while_the_next_is_read() -> None:
    seen = Seen(state=StudyState.RUNNING, summary=summary_of(ORDER["acute_fracture"]))

    assert priority_of(seen)[1].code == "acute_fracture"


def test_a_normal_study_is_not_called_normal_while_more_of_it_arrives() -> None:
    seen = Seen(state=StudyState.RECEIVING, summary=summary_of(ORDER["nothing_called"]))

    assert priority_of(seen)[1].code == "waiting"


def test_the_most_urgent_is_on_top_whenever_it_came(client: httpx.Client, node: Node) -> None:
    for number, (code, document) in enumerate(reversed(ORDER.items())):
        keep(node, document, f"2.{code.count('_')}.{number}", arrived=float(100 - number))
    keep(node, None, "9.1", state="receiving", arrived=1000.0)
    keep(node, None, "9.2", state="refused", arrived=500.0)

    answer = client.get("/api/v1/worklist").json()

    shown = [study["priority"]["code"] for study in answer["studies"]]
    assert shown == [line["code"] for line in answer["priorities"]]
    assert answer["usual_inference_s"] == 7.0


def test_a_study_says_what_was_found_and_what_was_not_assessed(client: httpx.Client, node: Node) -> None:
    keep(node, spine_findings("1.1", SOURCE, (1.5, 0.75)), "1.1")

    (study,) = client.get("/api/v1/worklist").json()["studies"]

    assert [finding["level"] for finding in study["findings"]] == ["L1", "L2-L3"]
    assert study["findings"][0]["text"].startswith("L1: compression fracture, Genant 2")
    assert len(study["answers"]) == 5
    reasons = {(entry["question"], entry["reason"]): entry["levels"] for entry in study["not_assessed"]}
    assert reasons["compression_fracture", "E_TRUNCATION"] == ["L3"]
    assert study["numbering_note"] == "A transitional vertebra cannot be excluded."


def test_deliveries_are_counted_by_state(client: httpx.Client, node: Node) -> None:
    keep(node, ORDER["finding"], "1.6")
    with node.engine.begin() as connection:
        for uid, state in (("5", "delivered"), ("6", "dead")):
            made = {"sop_instance_uid": uid, "study_instance_uid": "1.6", "revision": 1, "role": "sr", "path": "p"}
            kept = {"sop_class_uid": "c", "series_instance_uid": "s", "sha256": "x", "created_at": 0.0}
            connection.execute(insert(results).values(**made, **kept))
            sent = {"study_instance_uid": "1.6", "revision": 1, "destination": "PACS", "sop_instance_uid": uid}
            said = {"state": state, "attempts": 1, "reason": "no room" if state == "dead" else None, "updated_at": 0.0}
            connection.execute(insert(deliveries).values(**sent, **said))

    (study,) = client.get("/api/v1/worklist").json()["studies"]

    assert [(d["state"], d["objects"], d["reason"]) for d in study["deliveries"]] == [
        ("dead", 1, "no room"),
        ("delivered", 1, None),
    ]


def test_of_equal_priority_it_is_paged_by_arrival(client: httpx.Client, node: Node) -> None:
    for number in range(3):
        keep(node, None, f"1.{number}", state="receiving", arrived=float(number))

    first = client.get("/api/v1/worklist?limit=2").json()
    last = client.get("/api/v1/worklist?limit=2&offset=2").json()

    assert ([s["study_instance_uid"] for s in first["studies"]], first["next_offset"]) == (["1.2", "1.1"], 2)
    assert ([s["study_instance_uid"] for s in last["studies"]], last["next_offset"]) == (["1.0"], None)


FRACTURE = ORDER["acute_fracture"]


def review(node: Node, uid: str, made: Review, number: int = 1) -> None:
    """Record what a reviewer made of the findings that were kept for a study."""
    document = reviewed(decode(node.spool.path(f"results/{uid}.json").read_bytes()), made, number=number)
    data = encode(document)
    path = f"results/{uid}-reviewed-{number}.json"
    node.spool.write_result(path, data)
    key = {"study_instance_uid": uid, "number": number, "revision": 1, "idempotency_key": str(number)}
    who = {"reviewer_name": "Doe^Jane", "reviewer_identifier": "j", "reviewer_organisation": "H", "reviewed_at": 5.0}
    kept = {"findings_path": path, "findings_sha256": hashlib.sha256(data).hexdigest(), "document": "{}"}
    with node.engine.begin() as connection:
        connection.execute(insert(reviews).values(**key, **who, **kept, request_sha256="r"))


def found(client: httpx.Client, **filters: object) -> list[str]:
    answer = client.get("/api/v1/worklist", params=filters).raise_for_status()
    return [study["study_instance_uid"] for study in answer.json()["studies"]]


def test_priority_and_values_follow_the_reviewer(client: httpx.Client, node: Node) -> None:
    keep(node, FRACTURE, "1.1")
    keep(node, ORDER["finding"], "1.6")
    assert found(client) == ["1.1", "1.6"]
    (fracture,) = [f for f in FRACTURE.findings if isinstance(f.assessment, Present) and f.site.level == "L1"]
    others = [f for f in FRACTURE.findings if isinstance(f.assessment, Present) and f is not fracture]
    rejections = [Decision(finding_id=f.id, action=Action.REJECT, reason=ReviewReason.NOT_THERE) for f in others]
    moved = Decision(
        finding_id=fracture.id,
        action=Action.CORRECT,
        reason=ReviewReason.GRADE,
        correction=Correction(level="T12", grades=(Grade(scale="acuity", value="chronic-appearing"),)),
    )

    review(node, "1.1", Review(decisions=(moved, *rejections), accept_rest=True))

    first, _ = client.get("/api/v1/worklist").json()["studies"]
    assert first["priority"]["code"] == "chronic_fracture"
    assert [finding["level"] for finding in first["findings"]] == ["T12"]
    change = next(change for change in first["changes"] if change["status"] == "corrected")
    assert change["ai"].startswith("L1: compression fracture, acute-appearing")
    assert change["reviewed"].startswith("T12: compression fracture, chronic-appearing")
    assert first["review"] == {"number": 1, "revision": 1, "reviewer": "Doe^Jane", "reviewed_at": 5.0, "holds": True}

    everything = [
        Decision(finding_id=f.id, action=Action.REJECT, reason=ReviewReason.NOT_THERE) for f in (fracture, *others)
    ]
    review(node, "1.1", Review(decisions=tuple(everything), accept_rest=True), number=2)

    assert found(client) == ["1.6", "1.1"], "what was rejected does not stand above what was called"
    assert {change["reviewed"] for change in client.get("/api/v1/worklist").json()["studies"][1]["changes"]} == {None}


def test_a_review_of_an_earlier_revision_does_not_hold(client: httpx.Client, node: Node) -> None:
    keep(node, FRACTURE, "1.1")
    review(node, "1.1", Review(accept_rest=True))
    assert found(client, reviewed=True) == ["1.1"]
    with node.engine.begin() as connection:
        (row,) = connection.execute(select(runs)).mappings()
        connection.execute(insert(runs).values({**row, "revision": 2, "finished_at": 9.0}))

    assert found(client, reviewed=False) == ["1.1"]
    (study,) = client.get("/api/v1/worklist").json()["studies"]
    assert (study["review"]["holds"], study["findings_revision"]) == (False, 2)


def test_the_node_filters_by_what_was_called_asked_and_sent(client: httpx.Client, node: Node) -> None:
    keep(node, FRACTURE, "1.1", arrived=10.0)
    keep(node, ORDER["severe_stenosis"], "1.2", arrived=20.0)
    keep(node, spine_findings("1.3", SOURCE, (1.5, 0.75)), "1.3", arrived=30.0)
    keep(node, None, "1.4", state="failed", arrived=40.0)

    assert found(client, question="stenosis") == ["1.2"]
    assert found(client, not_assessed="E_TRUNCATION") == ["1.3"]
    assert found(client, priority="severe_stenosis") == ["1.2"]
    assert found(client, state="failed") == ["1.4"]
    assert found(client, received_after=30.0) == ["1.3", "1.4"]
    assert found(client, delivery="dead") == []
    assert client.get("/api/v1/worklist", params={"question": "flu"}).status_code == 422
    page = client.get("/api/v1/worklist", params={"limit": 1}).json()
    assert page["counts"] == {"studies": 4, "urgent": 2, "in_work": 0, "reviewed": 0}
    assert page["next_offset"] == 1


def test_words_are_looked_for_in_a_body_and_names_only_for_those_who_see_images(client, node: Node) -> None:
    keep(node, FRACTURE, "1.1")
    keep(node, ORDER["finding"], "1.6")
    name = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}]}}
    with node.engine.begin() as connection:
        row = {"study_instance_uid": "1.6", "received_at": 0.0, "attributes": json.dumps(name)}
        connection.execute(insert(web_studies).values(**row))

    def search(words: str, **headers: str) -> list[str]:
        answer = client.post("/api/v1/worklist", json={"words": words}, headers=headers).raise_for_status()
        return [study["study_instance_uid"] for study in answer.json()["studies"]]

    assert search("FRACTURE acute") == ["1.1"]
    assert search("jane doe") == ["1.6"]
    assert search("alphabetic") == [], "a word of the format is no name"
    assert search("100%") == []
    assert not Search(words="doe").value(person("c", "C", Role.CODER, Method.OIDC)).with_patients


def test_an_unchanged_list_is_not_sent_again(client: httpx.Client, node: Node) -> None:
    keep(node, FRACTURE, "1.1")
    first = client.get("/api/v1/worklist")
    second = client.get("/api/v1/worklist", headers={"If-None-Match": first.headers["ETag"]})
    assert (second.status_code, second.content) == (304, b"")


def test_findings_that_are_gone_are_a_study_that_was_not_read(client: httpx.Client, node: Node) -> None:
    """Used to be no worklist at all."""
    keep(node, FRACTURE, "1.1")
    keep(node, ORDER["finding"], "1.6")
    node.spool.path("results/1.1.json").unlink()

    assert found(client) == ["1.1", "1.6"]
    assert found(client, priority="not_read") == ["1.1"]


def test_rows_are_made_anew_by_another_version_and_in_pieces(node: Node, monkeypatch) -> None:
    monkeypatch.setattr("server.worklist_index.BATCH", 1)
    for number in range(3):
        keep(node, FRACTURE, f"1.{number}")
    index = WorklistIndex(node.engine, node.spool, version="1")
    assert not index.refresh(budget_s=-1.0)
    assert index.refresh(budget_s=10.0)
    assert WorklistIndex(node.engine, node.spool, version="2").refresh(budget_s=10.0)
    with node.engine.begin() as connection:
        sources = connection.execute(select(worklist_entries.c.source)).scalars().all()
    assert len(sources) == 3
    assert all(source.endswith(":2") for source in sources)
