"""Numbers that grow each time a piece of work is taken up, which versions may use the tables, who runs what."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

FENCED = ("runs", "delivery_chains", "claim_attachments")


def upgrade() -> None:
    """Add columns with defaults only: a worker of an earlier version, which does not name them, goes on."""
    for table in FENCED:
        op.add_column(table, sa.Column("fence", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("processes", sa.Column("version", sa.String(length=32), nullable=True))
    op.create_table("schema_epoch", sa.Column("epoch", sa.Integer(), nullable=False), sa.PrimaryKeyConstraint("epoch"))


def downgrade() -> None:
    """Forget them."""
    op.drop_table("schema_epoch")
    with op.batch_alter_table("processes") as batch:
        batch.drop_column("version")
    for table in FENCED:
        with op.batch_alter_table(table) as batch:
            batch.drop_column("fence")
