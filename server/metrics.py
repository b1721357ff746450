"""Prometheus metrics, made anew at each request from the database: counts and times, never an identifier.

States are counted from rows, so that they are right after any restart. What only a process knows (refused
associations, bytes) it writes beside its sign of life (server.processes); those start at zero with the process, as a
Prometheus counter may.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from sqlalchemy import Connection, Table, func, select
from sqlalchemy.exc import DBAPIError

from dicom_node.tables import commitment_requests, deliveries, instances, quarantine, studies
from server.agreement import DriftWatch, decision_counts
from server.auth.audit.shipment import list_shipments
from server.compose import Node
from server.database import reading
from server.events import fault
from server.operating_metrics import of_machine, of_rows
from server.output_drift import OutputWatch, Watched
from server.processes import Role, list_processes
from server.runs import UNFINISHED
from server.tables import claim_attachments, review_runs, runs


def render(node: Node, watch: DriftWatch, outputs: OutputWatch) -> bytes:
    """The metrics in the text format."""
    registry = CollectorRegistry()
    registry.register(_Rows(node, watch, outputs))
    return generate_latest(registry)


class _Rows:
    """A collector over the database."""

    def __init__(self, node: Node, watch: DriftWatch, outputs: OutputWatch) -> None:
        self._node = node
        self._watch = watch
        self._outputs = outputs

    def describe(self) -> Iterable[Metric]:
        """Nothing ahead of time: the registry would otherwise collect once to find out."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every metric; without a database, those that need none, of which one says so."""
        yield from of_machine(self._node)
        try:
            yield from self._of_rows()
        except DBAPIError as error:
            fault("metrics_without_database", error)

    def _of_rows(self) -> Iterator[Metric]:
        """From one look at the database."""
        with reading(self._node.engine) as connection:
            yield _by_state(connection, studies, "spine_studies", "Studies by state.")
            yield _by_state(connection, runs, "spine_runs", "Study revisions by the state of the work on them.")
            yield _by_state(connection, deliveries, "spine_deliveries", "Objects to deliver by state and destination.")
            yield _commitments(connection)
            yield _by_state(
                connection,
                commitment_requests,
                "spine_commitment_requests",
                "Requests for storage commitment that peers made, by state.",
            )
            yield _by_state(
                connection, claim_attachments, "spine_claim_attachments", "Attachments by state and destination."
            )
            yield _count(
                connection, instances, "spine_instances_received", "Instances that were acknowledged and are kept."
            )
            yield _count(connection, quarantine, "spine_instances_quarantined", "Instances that were set aside.")
            yield _queue_depth(connection)
            yield from _of_reviews(connection, self._watch)
            yield _of_outputs(connection, self._outputs)
            yield from _of_processes(connection)
            yield _audit_waiting(connection)
            yield from of_rows(connection, self._node)


def _by_state(connection: Connection, table: Table, name: str, text: str) -> Metric:
    keys = [table.c[key] for key in ("state", "destination") if key in table.c]
    family = GaugeMetricFamily(name, text, labels=[key.name for key in keys])
    for *labels, count in connection.execute(select(*keys, func.count()).group_by(*keys)):
        family.add_metric([str(label) for label in labels], count)
    return family


def _commitments(connection: Connection) -> Metric:
    keys = (deliveries.c.commitment, deliveries.c.destination)
    family = GaugeMetricFamily(
        "spine_delivery_commitments",
        "Objects by whether the destination that took them answers for them (Storage Commitment).",
        labels=[key.name for key in keys],
    )
    query = select(*keys, func.count()).where(deliveries.c.commitment.is_not(None)).group_by(*keys)
    for *labels, count in connection.execute(query):
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
    started = GaugeMetricFamily(
        "spine_process_start_time_seconds",
        "When a process began (seconds since the epoch).",
        labels=["role", "process"],
    )
    warned = GaugeMetricFamily(
        "spine_process_warning", "1 where a process says that somebody should look.", labels=["role", "process"]
    )
    ends = GaugeMetricFamily(
        "spine_certificate_expiry_seconds",
        "Seconds until a certificate or a revocation list ends; negative: it has ended.",
        labels=["role", "process", "certificate"],
    )
    counted = {
        Role.RECEIVE: CounterMetricFamily(
            "spine_receiver_events", "What the receivers counted since they started.", labels=["kind"]
        ),
        Role.WEB: CounterMetricFamily(
            "spine_web_events", "What the web processes counted of STOW-RS since they started.", labels=["kind"]
        ),
        Role.WORK: CounterMetricFamily(
            "spine_worker_events", "What the workers counted since they started.", labels=["kind"]
        ),
    }
    totals: dict[tuple[Role, str], float] = {}
    for process in list_processes(connection):
        of_process = [process.role.value, process.name]
        warned.add_metric(of_process, 1.0 if process.warning else 0.0)
        for use, ends_at in sorted(process.expiries.items()):
            ends.add_metric([*of_process, use], ends_at - now)
        up.add_metric([process.role.value, process.name], 1.0 if process.is_alive(now) else 0.0)
        started.add_metric([process.role.value, process.name], process.started_at)
        for kind, value in process.counters.items():
            totals[process.role, kind] = totals.get((process.role, kind), 0.0) + value
    for (role, kind), value in sorted(totals.items()):
        counted[role].add_metric([kind], value)
    yield from (up, started, warned, ends, *counted.values())
