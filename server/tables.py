"""The server's own tables: runs of studies, deliveries, reviews, worker leases, and the processes of this node.

DBOS keeps its tables in the same database (workflow.md 7); it is the engine, these rows are the record.
Times are seconds since the epoch (UTC) as a float.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Integer, MetaData, String, Table, Text, UniqueConstraint

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

reviews = Table(  # rows are added and never changed
    "reviews",
    metadata,
    Column("study_instance_uid", String(64), primary_key=True),
    Column("number", Integer, primary_key=True),  # counts the reviews of a study
    Column("revision", Integer, nullable=False),  # whose findings were reviewed
    Column("supersedes", Integer),  # number of the review that this one replaces
    Column("idempotency_key", String(255), nullable=False),
    Column("request_sha256", String(64), nullable=False),  # of what was asked, and by whom
    Column("reviewer_name", Text, nullable=False),
    Column("reviewer_identifier", Text, nullable=False),
    Column("reviewer_organisation", Text, nullable=False),
    Column("reviewed_at", Float, nullable=False),
    Column("document", Text, nullable=False),  # the decisions as canonical JSON
    Column("findings_path", Text, nullable=False),  # the reviewed findings, relative to the results folder
    Column("findings_sha256", String(64), nullable=False),
    UniqueConstraint("study_instance_uid", "idempotency_key", name="uq_review_key"),
)

review_decisions = Table(  # what statistics count: one row for each finding of each review, never changed
    "review_decisions",
    metadata,
    Column("study_instance_uid", String(64), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("ordinal", Integer, primary_key=True),  # place in the reviewed document
    Column("finding_id", String(64), nullable=False),
    Column("question", String(32), nullable=False),
    Column("level", String(16)),  # where the AI said it is
    Column("model", String(128)),
    Column("model_version", String(64)),
    Column("ai_assessment", String(16)),  # present | absent | not_assessed; NULL where the AI did not give it
    Column("status", String(16), nullable=False),  # inference.findings.ReviewStatus
    Column("reason", String(32)),
)

review_runs = Table(
    "review_runs",
    metadata,
    Column("study_instance_uid", String(64), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("generation", Integer, nullable=False, default=1),  # grows with each retry by a person
    Column("state", String(16), nullable=False),  # RunState of making the verified report
    Column("reason", Text),
    Column("queued_at", Float, nullable=False),
    Column("finished_at", Float),
)

worklist_entries = Table(  # follows from findings alone: rows may all be deleted, and are made again
    "worklist_entries",
    metadata,
    Column("study_instance_uid", String(64), primary_key=True),
    Column("source", String(160), nullable=False),  # digest of the findings and version of what is said of them
    Column("findings_revision", Integer, nullable=False),
    Column("review", Integer),  # number of the review that left these findings; NULL as the AI gave them
    Column("rank_done", Integer, nullable=False),  # place in the order of priorities, by the state of the study:
    Column("rank_not_read", Integer, nullable=False),  # failed or refused
    Column("rank_open", Integer, nullable=False),  # any other
    Column("called", Text, nullable=False),  # questions that were called present, each between commas
    Column("not_assessed", Text, nullable=False),  # reasons of what was not assessed, each between commas
    Column("said", Text, nullable=False),  # what the page shows, JSON
    Column("outputs", Text, nullable=False),  # what each model gave, JSON (server.outputs)
)

ALL_METADATA = (dicom_tables.metadata, metadata, auth_tables.metadata)
