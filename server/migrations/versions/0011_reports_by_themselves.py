"""Reports that come in by themselves; the patient's number as a column of the search index.

The column is filled when the web role starts (server.claims.patients.carry_over). The table study_patients, which it
stands for, stays until the next epoch: versions before this one still read it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and the table."""
    op.add_column("web_studies", sa.Column("patient_id", sa.Text(), nullable=False, server_default=""))
    op.create_index("ix_web_studies_patient", "web_studies", ["patient_id"])
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


def downgrade() -> None:
    """Drop what was added."""
    op.drop_table("received_reports")
    op.drop_column("claim_reports", "withdraws")
    op.drop_column("claim_reports", "source")
    op.drop_index("ix_web_studies_patient", "web_studies")
    op.drop_column("web_studies", "patient_id")
