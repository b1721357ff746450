"""Statistics over many reviews, on SQLite and on PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, insert

from dicom_node.tables import studies
from inference.review.control_chart import REFERENCE_STUDIES
from server.agreement import By, DriftWatch, Signal, agreement, drift
from server.database import reading
from server.tables import review_decisions, reviews

QUESTION = "compression_fracture"


def add_review(engine: Engine, study: int, *decisions: tuple[str | None, str], number: int = 1) -> None:
    """One review of a study: what the AI said, and what became of it."""
    uid = f"1.{study}"
    row = {
        "study_instance_uid": uid,
        "number": number,
        "revision": 1,
        "idempotency_key": str(number),
        "request_sha256": "x",
        "reviewer_name": "Doe^Jane",
        "reviewer_identifier": "jdoe",
        "reviewer_organisation": "Hospital",
        "reviewed_at": float(study),
        "document": "{}",
        "findings_path": "p",
        "findings_sha256": "x",
    }
    rows: list[dict[str, Any]] = [
        {
            "study_instance_uid": uid,
            "number": number,
            "ordinal": ordinal,
            "finding_id": "1.2",
            "question": QUESTION,
            "level": f"L{ordinal + 1}",
            "model": "m",
            "model_version": "1",
            "ai_assessment": said,
            "status": status,
        }
        for ordinal, (said, status) in enumerate(decisions)
    ]
    with engine.begin() as connection:
        if number == 1:
            values = {"state": "done", "revision": 1, "first_received_at": 0.0, "last_received_at": 0.0}
            source = f"SITE{study % 2}"
            connection.execute(insert(studies).values(study_instance_uid=uid, source_ae_title=source, **values))
        connection.execute(insert(reviews).values(**row))
        connection.execute(insert(review_decisions), rows)


def test_counts_by_level_and_source(engine: Engine) -> None:
    add_review(engine, 0, ("present", "accepted"), ("absent", "rejected"), ("not_assessed", "accepted"))
    add_review(engine, 1, ("present", "corrected"), ("absent", "accepted"), (None, "added"))
    add_review(engine, 1, ("present", "accepted"), ("absent", "accepted"), (None, "added"), number=2)
    with reading(engine) as connection:
        (whole,) = agreement(connection, [By.MODEL, By.VERSION, By.QUESTION])
        levels = {g["level"]: g["counts"] for g in agreement(connection, [By.LEVEL])}
        sources = {g["source"]: g["disagreement"]["value"] for g in agreement(connection, [By.SOURCE])}
    assert (whole["model"], whole["version"], whole["question"]) == ("m", "1", QUESTION)
    assert whole["counts"] == {
        "answered": 4,
        "overruled": 1,
        "present": 2,
        "present_overruled": 0,
        "absent": 2,
        "absent_overruled": 1,
        "not_assessed": 1,
        "not_assessed_answered": 0,
        "added": 1,
    }
    assert whole["disagreement_of_absent"]["value"] == 0.5
    assert (levels["L1"]["answered"], levels["L3"]["added"]) == (2, 1)
    assert sources == {"SITE0": 0.5, "SITE1": 0.0}


@pytest.mark.parametrize(("later", "is_alarm"), [("accepted", False), ("rejected", True)])
def test_a_model_that_is_overruled_more_often_raises_the_alarm(engine: Engine, later: str, is_alarm: bool) -> None:  # noqa: FBT001
    for study in range(REFERENCE_STUDIES):
        add_review(engine, study, ("present", "rejected" if study % 10 == 0 else "accepted"))
    watch = DriftWatch()
    with reading(engine) as connection:
        assert watch(connection) == drift(connection) == []
    for study in range(REFERENCE_STUDIES, REFERENCE_STUDIES + 30):
        add_review(engine, study, ("present", later))
    with reading(engine) as connection:
        found = watch(connection)
        assert found == drift(connection)
    alarms = {(model, signal, chart.direction) for model, _, _, signal, chart in found if chart.is_alarm}
    assert alarms == ({("m", Signal.OVERRULED, "up")} if is_alarm else set())
