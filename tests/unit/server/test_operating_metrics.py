"""What an operator is woken for, as Prometheus reads it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, insert

from dicom_node.spool import Spool
from dicom_node.tables import deliveries, results, studies
from server.agreement import DriftWatch
from server.compose import Node
from server.database import make_engine
from server.metrics import render
from server.output_drift import OutputWatch
from server.processes import Presence, Role
from server.runs import RunState, finish_run, queue_run, run_of
from server.settings import Settings
from server.tables import runs

STUDY = "1.2.3"


def values(node: Node) -> dict[tuple[str, ...], float]:
    """Sample name and label values -> value."""
    text = render(node, DriftWatch(), OutputWatch()).decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def add_study(engine: Engine, uid: str, state: str, *, age_s: float) -> float:
    received = time.time() - age_s
    row = {"study_instance_uid": uid, "state": state, "revision": 1, "source_ae_title": "CT"}
    with engine.begin() as connection:
        connection.execute(insert(studies).values(**row, first_received_at=received, last_received_at=received))
    return received


@pytest.fixture
def on(engine: Engine, settings: Callable[..., Settings], tmp_path: Path) -> Node:
    """A node on each database, with a destination."""
    made = settings(destinations=("PACS=PACS@127.0.0.1:1", "SECOND=B@127.0.0.1:1"), disk_reserve_gib=1.0)
    return Node(settings=made, engine=engine, spool=Spool(tmp_path))


def test_the_time_from_the_last_instance_to_the_report_is_of_the_revision(on: Node) -> None:
    received = add_study(on.engine, STUDY, "complete", age_s=40)
    with on.engine.begin() as connection:
        queue_run(connection, STUDY, 1, received + 30)
        assert run_of(connection, STUDY, 1).last_received_at == received
        later = studies.update().values(last_received_at=received + 39)  # of the next revision
        connection.execute(later)
        older = {"study_instance_uid": "old", "revision": 1, "generation": 1}  # its last instance is not known
        connection.execute(insert(runs).values(**older, state="done", queued_at=0, finished_at=1))
        finish_run(connection, STUDY, 1, RunState.DONE, received + 42)
    found = values(on)
    assert found["spine_study_latency_seconds_count",] == 1
    assert found["spine_study_latency_seconds_sum",] == pytest.approx(42, abs=0.01)
    assert [found["spine_study_latency_seconds_bucket", bound] for bound in ("30", "45", "+Inf")] == [0, 1, 1]


def test_the_oldest_study_that_is_not_finished(on: Node) -> None:
    for number, (state, age) in enumerate([("running", 100), ("running", 7000), ("done", 90_000), ("receiving", 5)]):
        add_study(on.engine, f"{STUDY}.{number}", state, age_s=age)
    found = values(on)
    ages = [found["spine_unfinished_oldest_seconds", state] for state in ("receiving", "complete", "running")]
    assert ages == pytest.approx([5, 0, 7000], abs=5)


def test_each_destination_has_its_last_success_and_what_waits(on: Node) -> None:
    states = [("delivered", 100.0), ("delivered", 300.0), ("dead", 400.0), ("retrying", 500.0)]
    with on.engine.begin() as connection:
        for number, (state, at) in enumerate(states):
            uid = f"2.25.{number}"
            row: dict[str, Any] = {"study_instance_uid": STUDY, "revision": 1, "sop_instance_uid": uid}
            connection.execute(
                insert(results).values(
                    **row, role="sr", sop_class_uid="1", series_instance_uid="1", path=uid, sha256=uid, created_at=at
                )
            )
            connection.execute(
                insert(deliveries).values(**row, destination="PACS", state=state, attempts=1, updated_at=at)
            )
    found = values(on)
    assert found["spine_delivery_last_success_timestamp_seconds", "PACS"] == 300
    assert found["spine_delivery_waiting", "PACS"] == 2
    assert (
        found["spine_delivery_waiting", "SECOND"],
        found["spine_delivery_last_success_timestamp_seconds", "SECOND"],
    ) == (0, 0)


def test_machine_clock_and_processes(on: Node) -> None:
    presence = Presence(on.engine, Role.WORK, counters=lambda: {"takeovers": 3})
    presence.report_fault("The inference server is not reached (model m).")
    presence.write()
    found = values(on)
    assert found["spine_disk_reserve_bytes",] >= 1024**3
    assert found["spine_disk_total_bytes",] > found["spine_disk_free_bytes",] > 0
    assert abs(found["spine_database_clock_offset_seconds",]) < 2
    assert found["spine_time_seconds",] == pytest.approx(time.time(), abs=30)
    assert found["spine_worker_events_total", "takeovers"] == 3
    started = [value for key, value in found.items() if key[0] == "spine_process_start_time_seconds"]
    assert started == pytest.approx([time.time()], abs=60)
    checks = {key[1]: value for key, value in found.items() if key[0] == "spine_check_ok"}
    assert checks == {"database": 1, "receiver": 0, "worker": 0, "models": 1}


def test_without_a_database_what_needs_none_is_still_said(node: Node) -> None:
    away = replace(node, engine=make_engine("postgresql+psycopg://spine:hush@127.0.0.1:1/spine?connect_timeout=1"))
    found = values(away)
    assert found["spine_check_ok", "database"] == 0
    assert found["spine_disk_free_bytes",] > 0
    assert ("spine_queue_depth",) not in found
