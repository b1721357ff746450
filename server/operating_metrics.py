"""What an operator is woken for: ages, free disk, clocks, checks, last success for each destination.

deploy/prometheus/spine-node.rules.yml alarms on these; docs/runbook.md says what each alarm means and what to do.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from sqlalchemy import ColumnElement, Connection, case, func, select, text

from dicom_node.results import DeliveryState
from dicom_node.store import StudyState
from dicom_node.tables import deliveries, studies
from dicom_node.uploads import waiting_uploads
from server.compose import Node, inbox_rules
from server.database import CLOCKS
from server.readiness import node_checks
from server.runs import RunState
from server.tables import runs

READING_BUCKETS_S = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
LATENCY_BUCKETS_S = (10.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14_400.0)
_OPEN_STUDIES = (StudyState.RECEIVING, StudyState.COMPLETE, StudyState.RUNNING)
_OPEN_DELIVERIES = (DeliveryState.PENDING, DeliveryState.RETRYING, DeliveryState.DEAD)


def of_machine(node: Node) -> Iterator[Metric]:
    """What is known also while the database is away."""
    yield GaugeMetricFamily("spine_time_seconds", "Clock of this machine (seconds since the epoch).", value=time.time())
    yield _checks(node)
    yield from _of_disk(node)


def of_rows(connection: Connection, node: Node) -> Iterator[Metric]:
    """What the rows say."""
    yield histogram(
        connection,
        HistogramMetricFamily("spine_inference_seconds", "Time to read one study revision and encode its objects."),
        runs.c.inference_s,
        READING_BUCKETS_S,
    )
    yield histogram(
        connection,
        HistogramMetricFamily(
            "spine_study_latency_seconds",
            "Time from the last instance of a study revision to its SR, the quiet period included.",
        ),
        case((runs.c.state == RunState.DONE, runs.c.finished_at - runs.c.last_received_at)),
        LATENCY_BUCKETS_S,
    )
    yield _unfinished(connection)
    yield from _uploads(connection)
    yield from _of_destinations(connection, node)
    yield _clock(connection)


def histogram(
    connection: Connection, family: HistogramMetricFamily, seconds: ColumnElement[float], buckets: Sequence[float]
) -> Metric:
    """A histogram over an expression of a table's rows, NULL left out; one pass over the table."""
    counts = [func.count(case((seconds <= bound, 1))) for bound in buckets]
    row = connection.execute(select(func.count(seconds), func.coalesce(func.sum(seconds), 0.0), *counts)).one()
    named = [(f"{bound:g}", float(count)) for bound, count in zip(buckets, row[2:], strict=True)]
    family.add_metric([], buckets=[*named, ("+Inf", float(row[0]))], sum_value=float(row[1]))
    return family


def _unfinished(connection: Connection) -> Metric:
    family = GaugeMetricFamily(
        "spine_unfinished_oldest_seconds",
        "Age of the study that has been in an unfinished state longest, by its last instance; 0 where there is none.",
        labels=["state"],
    )
    query = select(studies.c.state, func.min(studies.c.last_received_at)).group_by(studies.c.state)
    rows = connection.execute(query.where(studies.c.state.in_(_OPEN_STUDIES)))
    oldest = {state: float(at) for state, at in rows}
    now = time.time()
    for state in _OPEN_STUDIES:
        family.add_metric([state.value], max(0.0, now - oldest.get(state.value, now)))
    return family


def _uploads(connection: Connection) -> Iterator[Metric]:
    waiting, oldest = waiting_uploads(connection)
    age = 0.0 if oldest is None else max(0.0, time.time() - oldest)
    yield GaugeMetricFamily(
        "spine_uploads_waiting", "Instances that are not in the object store yet which hosts share.", value=waiting
    )
    yield GaugeMetricFamily("spine_uploads_oldest_seconds", "Age of the first of them; 0: none waits.", value=age)


def _of_destinations(connection: Connection, node: Node) -> Iterator[Metric]:
    """For each destination of the settings, and each that objects still wait for."""
    last = GaugeMetricFamily(
        "spine_delivery_last_success_timestamp_seconds",
        "When a destination last took an object (seconds since the epoch); 0: never.",
        labels=["destination"],
    )
    waiting = GaugeMetricFamily(
        "spine_delivery_waiting",
        "Objects that a destination has not taken: pending, retrying or dead.",
        labels=["destination"],
    )
    query = select(
        deliveries.c.destination,
        func.max(case((deliveries.c.state == DeliveryState.DELIVERED, deliveries.c.updated_at), else_=0.0)),
        func.count(case((deliveries.c.state.in_(_OPEN_DELIVERIES), 1))),
    ).group_by(deliveries.c.destination)
    found = {name: (at, count) for name, at, count in connection.execute(query)}
    for name in sorted(found.keys() | {peer.name for peer in node.settings.destination_peers()}):
        at, count = found.get(name, (0.0, 0))
        last.add_metric([name], at)
        waiting.add_metric([name], count)
    yield last
    yield waiting


def _of_disk(node: Node) -> Iterator[Metric]:
    try:
        space = node.spool.free_space()
    except OSError:  # spine_check_ok says so
        return
    rules = inbox_rules(node.settings)
    yield GaugeMetricFamily("spine_disk_free_bytes", "Free space where instances are kept.", value=space.free_bytes)
    yield GaugeMetricFamily("spine_disk_total_bytes", "Size of that file system.", value=space.total_bytes)
    yield GaugeMetricFamily(
        "spine_disk_reserve_bytes",
        "Free space below which instances are refused with 0xA700.",
        value=max(rules.min_free_bytes, rules.min_free_fraction * space.total_bytes),
    )


def _clock(connection: Connection) -> Metric:
    before = time.time()
    theirs = float(connection.execute(text(f"SELECT {CLOCKS[connection.dialect.name]}")).scalar_one())
    return GaugeMetricFamily(
        "spine_database_clock_offset_seconds",
        "Clock of the database less that of this process.",
        value=theirs - (before + time.time()) / 2,
    )


def _checks(node: Node) -> Metric:
    family = GaugeMetricFamily("spine_check_ok", "1 where a check of /readyz passes.", labels=["check"])
    for check in node_checks(node):
        family.add_metric([check.name], 1.0 if check.is_ok else 0.0)
    return family
