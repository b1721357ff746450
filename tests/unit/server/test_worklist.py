"""The order of the worklist, and what it says of each study."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
from sqlalchemy import insert

from builders.findings import refused_findings, spine_findings
from builders.web import web_client
from dicom_node.store import StudyState
from dicom_node.tables import deliveries, results, studies
from inference.findings import Absent, Grade, Present, Question, StudyFindings
from inference.findings.encode import encode
from inference.geometry import FrameReference
from server.compose import Node
from server.priority import PRIORITIES, Seen, priority_of, summary_of
from server.tables import runs

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


@pytest.fixture
def client(node: Node) -> Iterator[httpx.Client]:
    with web_client(node) as made:
        yield made


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


def test_it_is_paged_by_arrival(client: httpx.Client, node: Node) -> None:
    for number in range(3):
        keep(node, None, f"1.{number}", state="done", arrived=float(number))

    first = client.get("/api/v1/worklist?limit=2").json()
    last = client.get("/api/v1/worklist?limit=2&offset=2").json()

    assert ([s["study_instance_uid"] for s in first["studies"]], first["next_offset"]) == (["1.2", "1.1"], 2)
    assert ([s["study_instance_uid"] for s in last["studies"]], last["next_offset"]) == (["1.0"], None)
