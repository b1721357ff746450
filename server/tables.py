"""The server's own tables: runs of studies, delivery chains, worker leases, and the processes of this node.

DBOS keeps its tables in the same database (workflow.md 7); it is the engine, these rows are the record.
Times are seconds since the epoch (UTC) as a float.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Integer, MetaData, String, Table, Text

from dicom_node import tables as dicom_tables
from server.auth import tables as auth_tables

metadata = MetaData()

runs = Table(
    "runs",
    metadata,
    Column("study_instance_uid", String(64), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("generation", Integer, nullable=False, default=1),  # grows with each retry by a person
    Column("state", String(16), nullable=False),  # RunState
    Column("reason", Text),  # one sentence when failed or refused
    Column("queued_at", Float, nullable=False),
    Column("started_at", Float),
    Column("finished_at", Float),
    Column("content_at", Float),  # the time inside SR and SEG: set once, so that a repeated run makes the same bytes
    Column("inference_s", Float),
    Column("findings_path", Text),  # relative to the results folder
    Column("findings_sha256", String(64)),
)

delivery_chains = Table(
    "delivery_chains",
    metadata,
    Column("study_instance_uid", String(64), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("destination", String(64), primary_key=True),
    Column("generation", Integer, nullable=False, default=1),  # grows with each retry by a person; older chains stop
)

executor_lease = Table(
    "executor_lease",
    metadata,
    Column("executor_id", String(255), primary_key=True),
    Column("last_seen", Float(53), nullable=False),  # by the database's clock
    Column("dead", Boolean, nullable=False),
)

processes = Table(
    "processes",
    metadata,
    Column("name", String(255), primary_key=True),  # host:role:slot
    Column("role", String(16), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("port", Integer),
    Column("started_at", Float, nullable=False),
    Column("last_seen", Float, nullable=False),
    Column("counters", Text, nullable=False),  # JSON object of numbers
    Column("fault", Text),  # one sentence when the process cannot do its work
)

ALL_METADATA = (dicom_tables.metadata, metadata, auth_tables.metadata)
