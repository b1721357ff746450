"""What the worklist says of each study, so that a list of many is filtered and sorted by the database."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; it is filled from the findings that are there when the worklist is first looked at."""
    op.create_table(
        "worklist_entries",
        sa.Column("study_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=160), nullable=False),
        sa.Column("findings_revision", sa.Integer(), nullable=False),
        sa.Column("review", sa.Integer(), nullable=True),
        sa.Column("rank_done", sa.Integer(), nullable=False),
        sa.Column("rank_not_read", sa.Integer(), nullable=False),
        sa.Column("rank_open", sa.Integer(), nullable=False),
        sa.Column("called", sa.Text(), nullable=False),
        sa.Column("not_assessed", sa.Text(), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.Column("outputs", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("study_instance_uid"),
    )
    op.create_index("ix_studies_arrival", "studies", ["last_received_at", "study_instance_uid"])


def downgrade() -> None:
    """Forget it: it follows from the findings."""
    op.drop_index("ix_studies_arrival", table_name="studies")
    op.drop_table("worklist_entries")
