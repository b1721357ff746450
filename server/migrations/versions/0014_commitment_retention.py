"""Storage Commitment, and deletion of what was received by rules of retention."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables; deliveries of before are not asked about, and nothing is on hold."""
    op.add_column("deliveries", sa.Column("commitment", sa.String(length=16), nullable=True))
    op.add_column("deliveries", sa.Column("commitment_failures", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("deliveries", sa.Column("transaction_uid", sa.String(length=64), nullable=True))
    op.create_index("ix_deliveries_study", "deliveries", ["study_instance_uid"])
    op.create_index("ix_deliveries_transaction", "deliveries", ["transaction_uid"])
    op.create_table(
        "commitment_requests",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("transaction_uid", sa.String(length=64), nullable=False),
        sa.Column("calling_ae_title", sa.String(length=16), nullable=False),
        sa.Column("items", sa.Text(), nullable=False),
        sa.Column("is_duplicate", sa.Boolean(), nullable=False),
        sa.Column("requested_at", sa.Float(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("told_at", sa.Float(), nullable=True),
        sa.Column("committed", sa.Integer(), nullable=True),
        sa.Column("failed", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_commitment_requests", "commitment_requests", ["transaction_uid", "calling_ae_title"])
    _retention()


def _retention() -> None:
    op.create_table(
        "expirations",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("study_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("expired_at", sa.Float(), nullable=False),
        sa.Column("instance_count", sa.Integer(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("modalities", sa.Text(), nullable=False),
        sa.Column("cause", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_expirations_study", "expirations", ["study_instance_uid"])
    op.create_table(
        "removals",
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("study_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("inode", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("path"),
    )
    op.create_table(
        "study_holds",
        sa.Column("study_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("held_by", sa.String(length=255), nullable=False),
        sa.Column("held_by_name", sa.Text(), nullable=False),
        sa.Column("held_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("study_instance_uid"),
    )


def downgrade() -> None:
    """Forget what was asked, held and deleted; files that were still to be removed are found without a row."""
    for table in ("study_holds", "removals", "expirations", "commitment_requests"):
        op.drop_table(table)
    for index in ("ix_deliveries_transaction", "ix_deliveries_study"):
        op.drop_index(index, "deliveries")
    for column in ("transaction_uid", "commitment_failures", "commitment"):
        op.drop_column("deliveries", column)
