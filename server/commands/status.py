"""``spine-node status``."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Table
from sqlalchemy import Row

from dicom_node.commitment_rows import delivery_counts, open_requests
from dicom_node.results import DeliveryState, list_deliveries
from dicom_node.store import list_quarantine, list_studies
from server.attachment_rows import unfinished_attachments
from server.compose import open_node
from server.database import reading
from server.options import with_settings
from server.output import wide_console
from server.processes import Process, list_processes
from server.settings import Settings


@with_settings
def command(
    settings: Settings, limit: Annotated[int, typer.Option(min=1, help="At most so many studies.")] = 20
) -> None:
    """Show processes, studies, deliveries, storage commitment, open attachments, and how much was set aside."""
    node = open_node(settings)
    open_states = (DeliveryState.PENDING, DeliveryState.RETRYING, DeliveryState.DEAD)
    with reading(node.engine) as connection:
        processes = list_processes(connection)
        studies = list_studies(connection, limit=limit)
        deliveries = list_deliveries(connection, states=open_states, limit=limit)
        attachments = unfinished_attachments(connection, limit)
        by_state = delivery_counts(connection)
        requests = open_requests(connection, limit)
        set_aside = len(list_quarantine(connection))
    console = wide_console()
    console.print(_process_table(processes))
    table = Table("study", "state", "revision", "instances", "last received", "reason", title="Studies")
    for study in studies:
        received = _moment(study.last_received_at)
        numbers = (str(study.revision), str(study.instance_count))
        table.add_row(study.study_instance_uid, study.state.value, *numbers, received, study.reason or "")
    console.print(table)
    parcels = Table("number", "study", "object", "destination", "state", "attempts", "reason", title="Not delivered")
    for parcel in deliveries:
        words = (str(parcel.id), parcel.study_instance_uid, parcel.role, parcel.destination, parcel.state.value)
        parcels.add_row(*words, str(parcel.attempts), parcel.reason or "")
    console.print(parcels)
    console.print(_commitment_table(by_state))
    console.print(_request_table(requests))
    console.print(_attachment_table(attachments))
    console.print(f"{set_aside} instances were set aside.")


def _process_table(processes: list[Process]) -> Table:
    now = time.time()
    table = Table("process", "pid", "port", "since", "version", "alive", title="Processes")
    for process in processes:
        alive = process.fault or ("yes" if process.is_alive(now) else "no")
        port = "" if process.port is None else str(process.port)
        table.add_row(process.name, str(process.pid), port, _moment(process.started_at), process.version or "", alive)
    return table


def _commitment_table(rows: list[Row[Any]]) -> Table:
    table = Table("destination", "state", "commitment", "objects", title="Deliveries")
    for row in rows:
        table.add_row(row.destination, row.state, row.commitment or "not asked for", str(row.objects))
    return table


def _request_table(rows: list[Row[Any]]) -> Table:
    table = Table("AE title", "state", "attempts", "requested", "reason", title="Peers not told of commitment")
    for row in rows:
        words = (row.calling_ae_title, row.state, str(row.attempts), _moment(row.requested_at))
        table.add_row(*words, row.reason or "")
    return table


def _attachment_table(rows: list[Row[Any]]) -> Table:
    table = Table(
        "attachment", "destination", "state", "attempts", "next try", "reason", title="Attachments not acknowledged"
    )
    for row in rows:
        next_try = "" if row.next_try_at is None else _moment(row.next_try_at)
        table.add_row(row.control_number, row.destination, row.state, str(row.attempts), next_try, row.reason or "")
    return table


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
