"""Claims: what was handed in, their reports, what the evidence came to, what people did, and the webhook's notices."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables; there is nothing to carry over."""
    op.create_table(
        "claims",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.String(length=255), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("request_sha256", sa.String(length=64), nullable=False),
        sa.Column("claim", sa.Text(), nullable=False),
        sa.Column("studies", sa.Text(), nullable=False),
        sa.Column("medical_record_number", sa.Text(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("state_since", sa.Float(), nullable=False),
        sa.Column("received_at", sa.Float(), nullable=False),
        sa.Column("received_by", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("idempotency_key", "ordinal", name="uq_claim_key"),
    )
    op.create_index("ix_claims_patient", "claims", ["medical_record_number"])
    op.create_index("ix_claims_state", "claims", ["state", "received_at"])
    op.create_table(
        "study_patients",
        sa.Column("study_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("medical_record_number", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("study_instance_uid"),
    )
    op.create_index("ix_study_patients", "study_patients", ["medical_record_number"])
    op.create_table(
        "claim_reports",
        sa.Column("claim_id", sa.String(length=32), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("report", sa.Text(), nullable=False),
        sa.Column("added_at", sa.Float(), nullable=False),
        sa.Column("added_by", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("claim_id", "ordinal"),
        sa.UniqueConstraint("claim_id", "sha256", name="uq_claim_report"),
    )
    op.create_table(
        "claim_evaluations",
        sa.Column("claim_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("inputs_sha256", sa.String(length=64), nullable=False),
        sa.Column("evaluated_at", sa.Float(), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=True),
        sa.Column("prompts", sa.Integer(), nullable=False),
        sa.Column("refusal", sa.Text(), nullable=True),
        sa.Column("evidence", sa.Text(), nullable=True),
        sa.Column("left_out", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("claim_id", "number"),
    )
    op.create_table(
        "claim_notices",
        sa.Column("claim_id", sa.String(length=32), nullable=False),
        sa.Column("evaluation", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_try_at", sa.Float(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("claim_id", "evaluation"),
    )
    op.create_index("ix_claim_notices_due", "claim_notices", ["state", "next_try_at"])
    op.create_table(
        "claim_actions",
        sa.Column("claim_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("previous_sha256", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("claim_id", "number"),
    )


def downgrade() -> None:
    """Forget every claim."""
    for table in ("claim_actions", "claim_notices", "claim_evaluations", "claim_reports", "study_patients", "claims"):
        op.drop_table(table)
