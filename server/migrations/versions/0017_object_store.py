"""Instances that are on their way to the object store that hosts share."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, with an index of those that wait: none, where hosts share no store."""
    op.add_column("instances", sa.Column("waits_for_upload", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index(
        "ix_instances_upload",
        "instances",
        ["received_at", "sop_instance_uid"],
        postgresql_where=sa.text("waits_for_upload"),
        sqlite_where=sa.text("waits_for_upload = 1"),
    )


def downgrade() -> None:
    """Forget it."""
    op.drop_index("ix_instances_upload", "instances")
    op.drop_column("instances", "waits_for_upload")
