"""Headers that WADO-RS answers from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, and empty the search index: both are filled again from the files, each read once."""
    op.create_table(
        "web_headers",
        sa.Column("sop_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("pixels_at", sa.BigInteger(), nullable=True),
        sa.Column("frame_bytes", sa.BigInteger(), nullable=True),
        sa.Column("frame_count", sa.Integer(), nullable=True),
        sa.Column("document", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("sop_instance_uid"),
    )
    for table in ("web_instances", "web_series", "web_studies"):
        op.execute(sa.delete(sa.table(table)))


def downgrade() -> None:
    """Drop it; nothing is lost that the files do not hold."""
    op.drop_table("web_headers")
