"""The DICOM node's own tables: what was received, what became of it, what was sent, and what can be searched.

A *study* row counts revisions: the first complete set of instances is revision 1; instances that arrive later make
revision 2, and so on. Nothing is overwritten. Times are seconds since the epoch (UTC), as a float.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

metadata = MetaData()

studies = Table(
    "studies",
    metadata,
    Column("study_instance_uid", String(64), primary_key=True),
    Column("state", String(16), nullable=False),  # StudyState
    Column("revision", Integer, nullable=False, default=0),  # revisions handed to the workflow so far
    Column("first_received_at", Float, nullable=False),
    Column("last_received_at", Float, nullable=False),
    Column("expected_instances", Integer),  # NumberOfStudyRelatedInstances by C-FIND, when the source was asked
    Column("source_ae_title", String(16), nullable=False),
    Column("reason", Text),  # one sentence when failed or refused, or a note about how the study was completed
)
Index("ix_studies_state", studies.c.state, studies.c.last_received_at)
Index("ix_studies_arrival", studies.c.last_received_at, studies.c.study_instance_uid)

instances = Table(
    "instances",
    metadata,
    Column("sop_instance_uid", String(64), primary_key=True),
    Column("study_instance_uid", String(64), ForeignKey("studies.study_instance_uid"), nullable=False),
    Column("series_instance_uid", String(64), nullable=False),
    Column("sop_class_uid", String(64), nullable=False),
    Column("transfer_syntax_uid", String(64), nullable=False),
    Column("path", Text, nullable=False),  # relative to the spool's root
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),  # of the dataset bytes as received, without the file meta group
    Column("received_at", Float, nullable=False),
    Column("source_ae_title", String(16), nullable=False),
    Column("revision", Integer),  # study revision that first used it; NULL while not handed over
    Column("ours", Boolean, nullable=False, default=False),  # an object that this node made, come back
    Column("waits_for_upload", Boolean, nullable=False, default=False, server_default=false()),  # dicom_node.uploads
)
Index("ix_instances_study", instances.c.study_instance_uid, instances.c.series_instance_uid)
Index(
    "ix_instances_upload",
    instances.c.received_at,
    instances.c.sop_instance_uid,
    postgresql_where=instances.c.waits_for_upload,
    sqlite_where=text("waits_for_upload = 1"),  # as a query says it
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("sop_instance_uid", String(64)),
    Column("study_instance_uid", String(64)),
    Column("path", Text, nullable=False, unique=True),  # relative to the spool's root; named by content: no bytes twice
    Column("verdict", String(32), nullable=False),  # dicom_node.verdicts.Verdict
    Column("reason", Text, nullable=False),  # one sentence, no identity
    Column("sha256", String(64), nullable=False),  # of the dataset bytes as received, without the file meta group
    Column("received_at", Float, nullable=False),
    Column("source_ae_title", String(16), nullable=False),
)

results = Table(
    "results",
    metadata,
    Column("sop_instance_uid", String(64), primary_key=True),
    Column("study_instance_uid", String(64), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("role", String(16), nullable=False),  # uids.ObjectRole
    Column("sop_class_uid", String(64), nullable=False),
    Column("series_instance_uid", String(64), nullable=False),
    Column("path", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("created_at", Float, nullable=False),
)
Index("ix_results_study", results.c.study_instance_uid, results.c.revision)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("study_instance_uid", String(64), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("destination", String(64), nullable=False),
    Column("sop_instance_uid", String(64), ForeignKey("results.sop_instance_uid"), nullable=False),
    Column("state", String(16), nullable=False),  # DeliveryState
    Column("attempts", Integer, nullable=False, default=0),
    Column("reason", Text),
    Column("updated_at", Float, nullable=False),
    Column("commitment", String(16)),  # dicom_node.commitment.Commitment; NULL where none is asked for
    Column("commitment_failures", Integer, nullable=False, default=0),  # times the peer said that it has it not
    Column("transaction_uid", String(64)),  # of the newest request for commitment
    UniqueConstraint("destination", "sop_instance_uid", name="uq_delivery"),
)
Index("ix_deliveries_study", deliveries.c.study_instance_uid)
Index("ix_deliveries_transaction", deliveries.c.transaction_uid)

commitment_requests = Table(  # what peers asked this node to commit to
    "commitment_requests",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("transaction_uid", String(64), nullable=False),
    Column("calling_ae_title", String(16), nullable=False),
    Column("items", Text, nullable=False),  # JSON: [SOP Class UID, SOP Instance UID] of each
    Column("is_duplicate", Boolean, nullable=False),  # its Transaction UID was in use, for other instances
    Column("requested_at", Float, nullable=False),
    Column("state", String(16), nullable=False),  # dicom_node.commitment_rows.RequestState
    Column("generation", Integer, nullable=False, default=1),  # grows when the same is asked again
    Column("attempts", Integer, nullable=False, default=0),
    Column("reason", Text),  # one sentence about the last try to tell the peer
    Column("told_at", Float),
    Column("committed", Integer),  # how many instances the peer was told are held
    Column("failed", Integer),
)
Index("ix_commitment_requests", commitment_requests.c.transaction_uid, commitment_requests.c.calling_ae_title)

expirations = Table(  # what was deleted by the rules of retention; rows are added and never changed
    "expirations",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("study_instance_uid", String(64), nullable=False),
    Column("revision", Integer, nullable=False),  # the newest at that time
    Column("expired_at", Float, nullable=False),
    Column("instance_count", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("modalities", Text, nullable=False),  # of its series as far as they were indexed, between commas
    Column("cause", String(16), nullable=False),  # dicom_node.expiry.Cause
)
Index("ix_expirations_study", expirations.c.study_instance_uid)

removals = Table(  # files of expired studies that are still to be unlinked
    "removals",
    metadata,
    Column("path", Text, primary_key=True),  # relative to the spool's root
    Column("study_instance_uid", String(64), nullable=False),
    Column("inode", BigInteger, nullable=False),  # a file that came to this path later has another one, and stays
)

# What QIDO-RS searches: header attributes as DICOM JSON, read from the files after they were acknowledged. Rows are
# only ever added, and can all be deleted: what is missing is read again. They hold names and birth dates.

web_studies = Table(
    "web_studies",
    metadata,
    Column("study_instance_uid", String(64), primary_key=True),
    Column("received_at", Float, nullable=False),  # of the instance that speaks for the study: the first that was read
    Column("attributes", Text, nullable=False),  # DICOM JSON (PS3.18 F.2) of the study's and the patient's attributes
    Column("patient_id", Text, nullable=False, default="", server_default=""),  # of the attributes; empty: none is said
)
Index("ix_web_studies_received", web_studies.c.received_at, web_studies.c.study_instance_uid)
Index("ix_web_studies_patient", web_studies.c.patient_id)

web_series = Table(
    "web_series",
    metadata,
    Column("study_instance_uid", String(64), primary_key=True),
    Column("series_instance_uid", String(64), primary_key=True),
    Column("modality", String(16), nullable=False),  # empty where the header does not say it
    Column("number", BigInteger, nullable=False),  # SeriesNumber, for the order only
    Column("attributes", Text, nullable=False),
)

web_instances = Table(
    "web_instances",
    metadata,
    Column("sop_instance_uid", String(64), primary_key=True),
    Column("study_instance_uid", String(64), nullable=False),
    Column("series_instance_uid", String(64), nullable=False),
    Column("number", BigInteger, nullable=False),  # InstanceNumber, for the order only
    Column("attributes", Text, nullable=False),
)
Index("ix_web_instances_study", web_instances.c.study_instance_uid, web_instances.c.series_instance_uid)

# What WADO-RS answers without reading a header again: whole headers, and where native pixels lie. As disposable as
# the rows above.

web_headers = Table(
    "web_headers",
    metadata,
    Column("sop_instance_uid", String(64), primary_key=True),
    Column("path", Text, nullable=False),  # of the file that it was read from: says nothing about another file
    Column("pixels_at", BigInteger),  # first byte of native pixels that can be sent as they are; NULL: none
    Column("frame_bytes", BigInteger),
    Column("frame_count", Integer),
    Column("document", LargeBinary),  # zlib over DICOM JSON; last, so that what stands before is read without it
)
