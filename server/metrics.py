"""Prometheus metrics, made anew at each request from the database: counts and times, never an identifier.

States are counted from rows, so that they are right after any restart. What only a process knows (refused
associations, bytes) it writes beside its sign of life (server.processes); those start at zero with the process, as a
Prometheus counter may.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from sqlalchemy import Connection, Engine, Table, func, select

from dicom_node.tables import deliveries, instances, quarantine, studies
from server.agreement import DriftWatch, decision_counts
from server.auth.audit.shipment import list_shipments
from server.database import reading
from server.output_drift import OutputWatch, Watched
from server.processes import list_processes
from server.runs import UNFINISHED
from server.tables import claim_attachments, review_runs, runs

_DAY_S = 86_400.0
SECONDS_BUCKETS = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)


def render(engine: Engine, watch: DriftWatch, outputs: OutputWatch) -> bytes:
    """The metrics in the text format."""
    registry = CollectorRegistry()
    registry.register(_Rows(engine, watch, outputs))
    return generate_latest(registry)


class _Rows:
    """A collector over the database."""

    def __init__(self, engine: Engine, watch: DriftWatch, outputs: OutputWatch) -> None:
        self._engine = engine
        self._watch = watch
        self._outputs = outputs

    def describe(self) -> Iterable[Metric]:
        """Nothing ahead of time: the registry would otherwise collect once to find out."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every metric, from one look at the database."""
        with reading(self._engine) as connection:
            yield _by_state(connection, studies, "spine_studies", "Studies by state.")
            yield _by_state(connection, runs, "spine_runs", "Study revisions by the state of the work on them.")
            yield _by_state(connection, deliveries, "spine_deliveries", "Objects to deliver by state and destination.")
            yield _by_state(
                connection, claim_attachments, "spine_claim_attachments", "Attachments by state and destination."
            )
            yield _count(
                connection, instances, "spine_instances_received", "Instances that were acknowledged and are kept."
            )
            yield _count(connection, quarantine, "spine_instances_quarantined", "Instances that were set aside.")
            yield _queue_depth(connection)
            yield _run_seconds(connection)
            yield from _of_reviews(connection, self._watch)
            yield _of_outputs(connection, self._outputs)
            yield from _of_processes(connection)
            yield _audit_waiting(connection)


def _by_state(connection: Connection, table: Table, name: str, text: str) -> Metric:
    keys = [table.c[key] for key in ("state", "destination") if key in table.c]
    family = GaugeMetricFamily(name, text, labels=[key.name for key in keys])
    for *labels, count in connection.execute(select(*keys, func.count()).group_by(*keys)):
        family.add_metric([str(label) for label in labels], count)
    return family


def _count(connection: Connection, table: Table, name: str, text: str) -> Metric:
    family = CounterMetricFamily(name, text)
    family.add_metric([], connection.execute(select(func.count()).select_from(table)).scalar_one())
    return family


def _queue_depth(connection: Connection) -> Metric:
    waiting = select(func.count()).select_from(runs).where(runs.c.state.in_(UNFINISHED))
    return GaugeMetricFamily(
        "spine_queue_depth",
        "Study revisions that wait for a worker or are with one.",
        value=connection.execute(waiting).scalar_one(),
    )


def _run_seconds(connection: Connection) -> Metric:
    seconds = runs.c.inference_s
    total = connection.execute(select(func.count(seconds), func.coalesce(func.sum(seconds), 0.0))).one()
    buckets = [
        (f"{bound:g}", float(connection.execute(select(func.count()).where(seconds <= bound)).scalar_one()))
        for bound in SECONDS_BUCKETS
    ]
    family = HistogramMetricFamily("spine_inference_seconds", "Time to read one study revision and encode its objects.")
    family.add_metric([], buckets=[*buckets, ("+Inf", float(total[0]))], sum_value=float(total[1]))
    return family


def _of_reviews(connection: Connection, watch: DriftWatch) -> Iterator[Metric]:
    yield _by_state(connection, review_runs, "spine_reviews", "Reviews by the state of the work on their reports.")
    labels = ["model", "version", "question"]
    decided = GaugeMetricFamily(
        "spine_review_decisions", "Findings by what the newest review made of them.", labels=[*labels, "status"]
    )
    for *group, count in decision_counts(connection):
        decided.add_metric([str(value) for value in group], count)
    yield decided
    alarms = GaugeMetricFamily(
        "spine_drift_alarm", "1 where a rate has moved from its reference.", labels=[*labels, "signal", "direction"]
    )
    for model, version, question, signal, chart in watch(connection):
        value = 1.0 if chart.is_alarm else 0.0
        alarms.add_metric([model, version, question, signal.value, chart.direction.value], value)
    yield alarms


def _of_outputs(connection: Connection, watch: OutputWatch) -> Metric:
    alarms = GaugeMetricFamily(
        "spine_output_shift_alarm",
        "1 where what a model gives has shifted from the first studies of a source.",
        labels=[*Watched._fields, "direction"],
    )
    for one in watch(connection):
        labels = [*one.watched, one.shift.direction.value if one.shift.direction else ""]
        alarms.add_metric(labels, 1.0 if one.shift.is_alarm else 0.0)
    return alarms


def _audit_waiting(connection: Connection) -> Metric:
    family = GaugeMetricFamily(
        "spine_audit_waiting", "Audit records that a repository has not taken yet.", labels=["repository"]
    )
    for shipment in list_shipments(connection):
        family.add_metric([shipment.repository], shipment.waiting)
    return family


def _of_processes(connection: Connection) -> Iterator[Metric]:
    now = time.time()
    up = GaugeMetricFamily("spine_process_up", "Whether a process gave a sign of life.", labels=["role", "process"])
    counted = CounterMetricFamily(
        "spine_receiver_events", "What the receiver counted since it started.", labels=["kind"]
    )
    warned = GaugeMetricFamily(
        "spine_process_warning", "1 where a process says that somebody should look.", labels=["role", "process"]
    )
    ends = GaugeMetricFamily(
        "spine_tls_days_left", "Days until a TLS file ends; negative: it has ended.", labels=["role", "process", "use"]
    )
    totals: dict[str, float] = {}
    for process in list_processes(connection):
        of_process = [process.role.value, process.name]
        warned.add_metric(of_process, 1.0 if process.warning else 0.0)
        for use, ends_at in sorted(process.expiries.items()):
            ends.add_metric([*of_process, use], (ends_at - now) / _DAY_S)
        up.add_metric([process.role.value, process.name], 1.0 if process.is_alive(now) else 0.0)
        for kind, value in process.counters.items():
            totals[kind] = totals.get(kind, 0.0) + value
    for kind, value in sorted(totals.items()):
        counted.add_metric([kind], value)
    yield from (up, warned, ends, counted)
