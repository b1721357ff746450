"""Outputs of models over many studies: which series of numbers there are, and what shifts in them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Table, insert

from builders.findings import MODEL, spine_findings
from builders.reviews import reviewed
from builders.web import web_client
from dicom_node.tables import studies
from inference.findings import Absent, Question, ReviewReason
from inference.geometry import FrameReference
from inference.review import Action, Decision, Review
from inference.review.control_chart import REFERENCE_STUDIES
from server.compose import Node
from server.database import reading
from server.output_drift import OutputWatch, output_drift
from server.outputs import outputs_of
from server.tables import runs, worklist_entries

SOURCE = FrameReference(sop_class_uid="1.2.840.10008.5.1.4.1.1.4", sop_instance_uid="1.2.3", frame=None)
DOCUMENT = spine_findings("1.1", SOURCE, (1.0, 1.0))
FRACTURES = f"{MODEL.name}|{MODEL.version}|compression_fracture"


def keep(node: Node, numbers: range, *, site: str = "SITE", height_mm: float = 25.0, present: bool = False) -> None:
    """The outputs of studies, spread a little around a height."""
    rows: dict[Table, list[dict[str, Any]]] = {studies: [], runs: [], worklist_entries: []}
    ranks = {"rank_done": 1, "rank_not_read": 1, "rank_open": 1}
    for number in numbers:
        given = outputs_of(DOCUMENT)
        given[FRACTURES]["measurements"] = {"anterior_height": height_mm + (number % 7 - 3) * 0.5}
        given[FRACTURES]["present"] = present
        key = {"study_instance_uid": f"{site}.{number}"}
        times = {"first_received_at": 0.0, "last_received_at": 0.0}
        texts = {"source": "", "called": "", "not_assessed": "", "said": "{}", "outputs": json.dumps(given)}
        rows[studies].append({**key, **times, "state": "done", "revision": 1, "source_ae_title": site})
        finished = {"state": "done", "queued_at": 0.0, "finished_at": float(number)}
        rows[runs].append({**key, **finished, "revision": 1, "generation": 1})
        rows[worklist_entries].append({**key, **ranks, **texts, "findings_revision": 1})
    with node.engine.begin() as connection:
        for table, values in rows.items():
            connection.execute(insert(table), values)


def test_a_study_gives_one_value_for_each_model_and_question() -> None:
    given = outputs_of(DOCUMENT)
    assert given[FRACTURES]["present"]
    assert given[FRACTURES]["answered"]
    assert given[FRACTURES]["grades"] == {"genant": "2", "genant_shape": "wedge"}
    assert set(given[FRACTURES]["measurements"]) >= {"anterior_height", "height_loss"}
    assert not given[f"{MODEL.name}|{MODEL.version}|stenosis"]["answered"]
    silent = [replace(f, assessment=Absent()) for f in DOCUMENT.findings if f.question is Question.SPONDYLOLISTHESIS]
    (slip,) = outputs_of(replace(DOCUMENT, findings=tuple(silent))).values()
    assert (slip["present"], slip["answered"]) == (False, True)


def test_a_reviewer_changes_nothing_of_what_the_model_gave() -> None:
    rejected = Decision(finding_id=DOCUMENT.findings[0].id, action=Action.REJECT, reason=ReviewReason.NOT_THERE)
    after = reviewed(DOCUMENT, Review(decisions=(rejected,), accept_rest=True))
    assert outputs_of(after) == outputs_of(DOCUMENT)


@pytest.mark.parametrize("height_mm", [25.0, 28.0])
def test_a_shift_at_one_source_is_an_alarm_there_and_nowhere_else(node: Node, height_mm: float) -> None:
    for site, later in (("SITE", 25.0), ("OTHER", height_mm)):
        keep(node, range(REFERENCE_STUDIES), site=site)
        keep(node, range(REFERENCE_STUDIES, REFERENCE_STUDIES + 40), site=site, height_mm=later)
    with reading(node.engine) as connection:
        found = output_drift(connection)
    alarms = {(one.watched.source, one.watched.signal, one.shift.direction) for one in found if one.shift.is_alarm}
    assert alarms == (set() if height_mm == 25.0 else {("OTHER", "measured anterior_height", "up")})
    assert {one.watched.version for one in found} == {MODEL.version}


def test_the_page_and_the_metrics_say_it(node: Node) -> None:
    keep(node, range(REFERENCE_STUDIES))
    keep(node, range(REFERENCE_STUDIES, REFERENCE_STUDIES + 60), present=True)
    with web_client(node) as client:
        answer = client.get("/api/v1/statistics/outputs").json()
        metrics = client.get("/metrics").text
        page = client.get("/statistics")
    assert "not that they are wrong" in answer["note"]
    (alarm,) = [one for one in answer["shifts"] if one["alarm"]]
    assert (alarm["signal"], alarm["direction"], alarm["source"]) == ("present", "up", "SITE")
    line = next(
        one for one in metrics.splitlines() if one.startswith("spine_output_shift_alarm") and one.endswith(" 1.0")
    )
    assert 'signal="present"' in line
    assert page.status_code == 200


def test_it_is_computed_anew_only_after_another_study(node: Node) -> None:
    watch = OutputWatch()
    keep(node, range(REFERENCE_STUDIES + 1))
    with reading(node.engine) as connection:
        first = watch(connection)
        assert watch(connection) is first
    keep(node, range(999, 1000))
    with reading(node.engine) as connection:
        assert watch(connection) is not first
