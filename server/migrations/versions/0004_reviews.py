"""Reviews of findings: what was decided, by whom, and the work on their reports."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables; there is nothing to carry over."""
    op.create_table(
        "reviews",
        sa.Column("study_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("supersedes", sa.Integer(), nullable=True),
        sa.Column("idempotency_key", sa.String(length=255), nullable=False),
        sa.Column("request_sha256", sa.String(length=64), nullable=False),
        sa.Column("reviewer_name", sa.Text(), nullable=False),
        sa.Column("reviewer_identifier", sa.Text(), nullable=False),
        sa.Column("reviewer_organisation", sa.Text(), nullable=False),
        sa.Column("reviewed_at", sa.Float(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("findings_path", sa.Text(), nullable=False),
        sa.Column("findings_sha256", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("study_instance_uid", "number"),
        sa.UniqueConstraint("study_instance_uid", "idempotency_key", name="uq_review_key"),
    )
    op.create_table(
        "review_decisions",
        sa.Column("study_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("finding_id", sa.String(length=64), nullable=False),
        sa.Column("question", sa.String(length=32), nullable=False),
        sa.Column("level", sa.String(length=16), nullable=True),
        sa.Column("model", sa.String(length=128), nullable=True),
        sa.Column("model_version", sa.String(length=64), nullable=True),
        sa.Column("ai_assessment", sa.String(length=16), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint("study_instance_uid", "number", "ordinal"),
    )
    op.create_table(
        "review_runs",
        sa.Column("study_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("queued_at", sa.Float(), nullable=False),
        sa.Column("finished_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("study_instance_uid", "number"),
    )


def downgrade() -> None:
    """Forget every review."""
    op.drop_table("review_runs")
    op.drop_table("review_decisions")
    op.drop_table("reviews")
