"""The server's own tables: runs, workitems, deliveries, reviews, claims and attachments, leases, processes.

DBOS keeps its tables in the same database (workflow.md 7); it is the engine, these rows are the record.
Times are seconds since the epoch (UTC) as a float.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text, UniqueConstraint, false

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
    Column("last_received_at", Float),  # of the study when this revision was handed over; NULL in rows from before 0016
    Column("queued_at", Float, nullable=False),
    Column("started_at", Float),
    Column("finished_at", Float),
    Column("content_at", Float),  # the time inside SR and SEG: set once, so that a repeated run makes the same bytes
    Column("inference_s", Float),
    Column("findings_path", Text),  # relative to the results folder
    Column("findings_sha256", String(64)),
    Column("fence", Integer, nullable=False, server_default="0"),  # grows each time a worker takes it up
)

delivery_chains = Table(
    "delivery_chains",
    metadata,
    Column("study_instance_uid", String(64), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("destination", String(64), primary_key=True),
    Column("generation", Integer, nullable=False, default=1),  # grows with each retry by a person; older chains stop
    Column("fence", Integer, nullable=False, server_default="0"),  # grows each time a worker takes it up
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
    Column("warning", Text),  # one sentence when it soon cannot, or does with what it had
    Column("expiries", Text, nullable=False, server_default="{}"),  # JSON object: what of its TLS files ends when
    Column("version", String(32)),  # of the software that it runs
)

schema_epoch = Table(  # one row: a version of the software that knows no such epoch may not use these tables
    "schema_epoch",
    metadata,
    Column("epoch", Integer, primary_key=True, autoincrement=False),
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

study_holds = Table(  # studies whose images no rule may delete
    "study_holds",
    metadata,
    Column("study_instance_uid", String(64), primary_key=True),
    Column("reason", Text, nullable=False),  # why, in the words of who holds it
    Column("held_by", String(255), nullable=False),
    Column("held_by_name", Text, nullable=False),
    Column("held_at", Float, nullable=False),
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

claims = Table(
    "claims",
    metadata,
    Column("id", String(32), primary_key=True),  # ours, opaque: it stands in addresses and logs
    Column("number", Text, nullable=False),  # the biller's
    Column("idempotency_key", String(255), nullable=False),
    Column("ordinal", Integer, nullable=False),  # place in the file that it came in
    Column("request_sha256", String(64), nullable=False),  # of that file
    Column("claim", Text, nullable=False),  # claims.claim.Claim as JSON
    Column("studies", Text, nullable=False),  # facts on studies that came with it, as JSON
    Column("medical_record_number", Text),
    Column("state", String(16), nullable=False),  # ClaimState
    Column("state_since", Float, nullable=False),
    Column("received_at", Float, nullable=False),
    Column("received_by", String(255), nullable=False),
    UniqueConstraint("idempotency_key", "ordinal", name="uq_claim_key"),
)
Index("ix_claims_patient", claims.c.medical_record_number)
Index("ix_claims_state", claims.c.state, claims.c.received_at)

study_patients = Table(  # of versions before this one, which read it; nothing here does; goes with the next epoch
    "study_patients",
    metadata,
    Column("study_instance_uid", String(64), primary_key=True),
    Column("medical_record_number", Text, nullable=False),
)
Index("ix_study_patients", study_patients.c.medical_record_number)

claim_reports = Table(  # rows are added and never changed
    "claim_reports",
    metadata,
    Column("claim_id", String(32), primary_key=True),
    Column("ordinal", Integer, primary_key=True),
    Column("sha256", String(64), nullable=False),  # of the bytes as received
    Column("path", Text, nullable=False),  # relative to the data folder
    Column("report", Text, nullable=False),  # claims.report.Report as JSON
    Column("added_at", Float, nullable=False),
    Column("added_by", String(255), nullable=False),
    Column("source", Text, nullable=False, default="", server_default=""),  # which object or message; empty: a request
    Column("withdraws", Boolean, nullable=False, default=False, server_default=false()),  # the report of its number
    UniqueConstraint("claim_id", "sha256", name="uq_claim_report"),
)

received_reports = Table(  # what a report feed sent, for whichever claim it is of; rows are added and never changed
    "received_reports",
    metadata,
    Column("identity", String(255), primary_key=True),  # of the message: its sender and control id, as a digest
    Column("sha256", String(64), nullable=False),  # of the bytes as received
    Column("path", Text, nullable=False),  # relative to the data folder
    Column("medical_record_number", Text, nullable=False),
    Column("report", Text, nullable=False),  # claims.report.Report as JSON
    Column("withdraws", Boolean, nullable=False),
    Column("received_at", Float, nullable=False),
)
Index("ix_received_reports_patient", received_reports.c.medical_record_number)
Index("ix_received_reports_arrival", received_reports.c.received_at)

claim_evaluations = Table(  # one row for each time the evidence came to something else, never changed
    "claim_evaluations",
    metadata,
    Column("claim_id", String(32), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("inputs_sha256", String(64), nullable=False),  # of everything that it was made of
    Column("evaluated_at", Float, nullable=False),
    Column("verdict", String(16)),  # claims.evidence.Verdict; NULL where the claim cannot be judged
    Column("prompts", Integer, nullable=False),
    Column("refusal", Text),  # one sentence where the claim cannot be judged
    Column("evidence", Text),  # claims.evidence.ClaimEvidence as JSON
    Column("left_out", Text, nullable=False),  # studies of the record number that are not the patient's, as JSON
)

claim_notices = Table(  # what the webhook was told, and what it has still to be told
    "claim_notices",
    metadata,
    Column("claim_id", String(32), primary_key=True),
    Column("evaluation", Integer, primary_key=True),
    Column("state", String(16), nullable=False),  # server.claims.notices.NoticeState
    Column("attempts", Integer, nullable=False),
    Column("next_try_at", Float, nullable=False),
    Column("reason", Text),  # one sentence about the last try
)
Index("ix_claim_notices_due", claim_notices.c.state, claim_notices.c.next_try_at)

claim_actions = Table(  # what people did with a claim, in a chain of hashes; never changed
    "claim_actions",
    metadata,
    Column("claim_id", String(32), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("record", Text, nullable=False),  # canonical JSON
    Column("previous_sha256", String(64), nullable=False),
    Column("sha256", String(64), nullable=False),
)

claim_attachments = Table(
    "claim_attachments",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),  # interchange control number of the 275
    Column("control_number", String(50), nullable=False, unique=True),  # attachment control number: PWK06
    Column("claim_id", Text, nullable=False),
    Column("study_instance_uid", String(64)),
    Column("destination", String(64), nullable=False),
    Column("content_sha256", String(64), nullable=False),  # of what is attached to which claim, without any number
    Column("path", Text, nullable=False),  # the request's body, relative to the data folder; the same at every try
    Column("content_type", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("queued_by", String(255), nullable=False),
    Column("queued_by_name", Text, nullable=False),
    Column("queued_at", Float, nullable=False),
    Column("state", String(16), nullable=False),  # AttachmentState
    Column("generation", Integer, nullable=False, default=1),  # grows with each retry by a person
    Column("attempts", Integer, nullable=False, default=0),
    Column("reason", Text),  # one sentence about the last try, or the last answer
    Column("next_try_at", Float),
    Column("sent_at", Float),
    Column("answered_at", Float),
    Column("updated_at", Float, nullable=False),
    Column("fence", Integer, nullable=False, server_default="0"),  # grows each time a worker takes it up
)

workitems = Table(
    "workitems",
    metadata,
    Column("workitem_uid", String(64), primary_key=True),
    Column("state", String(16), nullable=False),  # dicom_node.ups.states.UpsState
    Column("transaction_uid", String(64)),  # the lock of who claimed it; never shown
    Column("is_for_us", Boolean, nullable=False),  # this node performs it, and nobody else may claim it
    Column("is_ready", Boolean, nullable=False),  # its input is said to be there
    Column("study_instance_uid", String(64)),  # of its input
    Column("revision", Integer),  # the run that performs it; NULL while it waits for its study
    Column("document", Text, nullable=False),  # what its creator and performer said of it, as DICOM JSON
    Column("created_at", Float, nullable=False),
    Column("changed_at", Float, nullable=False),
    Column("started_at", Float),  # of what this node performs
    Column("finished_at", Float),
    Column("reason", Text),  # why this node did not complete it
    Column("discontinuation", String(16)),  # code of PS3.16 CID 9300 beside it
)
Index("ix_workitems_run", workitems.c.study_instance_uid, workitems.c.revision)
Index("ix_workitems_created", workitems.c.created_at, workitems.c.workitem_uid)

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
