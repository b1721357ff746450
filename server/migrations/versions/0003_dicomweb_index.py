"""What QIDO-RS searches: header attributes of studies, series and instances."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables; they are filled from the files when they are first searched."""
    op.create_table(
        "web_studies",
        sa.Column("study_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("received_at", sa.Float(), nullable=False),
        sa.Column("attributes", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("study_instance_uid"),
    )
    op.create_index("ix_web_studies_received", "web_studies", ["received_at", "study_instance_uid"])
    op.create_table(
        "web_series",
        sa.Column("study_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("series_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("modality", sa.String(length=16), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("attributes", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("study_instance_uid", "series_instance_uid"),
    )
    op.create_table(
        "web_instances",
        sa.Column("sop_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("study_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("series_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("attributes", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sop_instance_uid"),
    )
    op.create_index("ix_web_instances_study", "web_instances", ["study_instance_uid", "series_instance_uid"])


def downgrade() -> None:
    """Drop them; nothing is lost that the files do not hold."""
    op.drop_table("web_instances")
    op.drop_table("web_series")
    op.drop_table("web_studies")
