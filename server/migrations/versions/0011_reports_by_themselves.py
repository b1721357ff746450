"""Reports that come in by themselves; the patient's number in the search index instead of a table beside it."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_PATIENT_ID = "00100020"
_STUDIES = sa.table(
    "web_studies", sa.column("study_instance_uid"), sa.column("attributes"), sa.column("patient_id")
)
_BATCH = 500


def upgrade() -> None:
    """Add the columns, and fill in the patient's number from what the index holds of each study."""
    op.add_column("web_studies", sa.Column("patient_id", sa.Text(), nullable=False, server_default=""))
    op.create_index("ix_web_studies_patient", "web_studies", ["patient_id"])
    _fill()
    op.drop_table("study_patients")
    op.add_column("claim_reports", sa.Column("source", sa.Text(), nullable=False, server_default=""))
    op.add_column("claim_reports", sa.Column("withdraws", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "received_reports",
        sa.Column("identity", sa.String(length=255), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("medical_record_number", sa.Text(), nullable=False),
        sa.Column("report", sa.Text(), nullable=False),
        sa.Column("withdraws", sa.Boolean(), nullable=False),
        sa.Column("received_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("identity"),
    )
    op.create_index("ix_received_reports_patient", "received_reports", ["medical_record_number"])
    op.create_index("ix_received_reports_arrival", "received_reports", ["received_at"])


def _fill() -> None:
    connection, last = op.get_bind(), ""
    query = sa.select(_STUDIES.c.study_instance_uid, _STUDIES.c.attributes).order_by(_STUDIES.c.study_instance_uid)
    while rows := connection.execute(query.where(_STUDIES.c.study_instance_uid > last).limit(_BATCH)).all():
        for uid, attributes in rows:
            values = json.loads(attributes).get(_PATIENT_ID, {}).get("Value") or [""]
            which = _STUDIES.c.study_instance_uid == uid
            connection.execute(sa.update(_STUDIES).where(which).values(patient_id=str(values[0] or "").strip()))
        last = rows[-1].study_instance_uid


def downgrade() -> None:
    """Drop what was added; the table that was dropped was made again from the search index."""
    op.drop_table("received_reports")
    op.drop_column("claim_reports", "withdraws")
    op.drop_column("claim_reports", "source")
    op.create_table(
        "study_patients",
        sa.Column("study_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("medical_record_number", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("study_instance_uid"),
    )
    op.create_index("ix_study_patients", "study_patients", ["medical_record_number"])
    op.drop_index("ix_web_studies_patient", "web_studies")
    op.drop_column("web_studies", "patient_id")
