"""How far the audit trail was sent, and what a process says of its certificates."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table and the columns; there is nothing to carry over."""
    op.create_table(
        "audit_shipments",
        sa.Column("repository", sa.String(length=255), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("holder", sa.String(length=255), nullable=False),
        sa.Column("held_until", sa.Float(precision=53), nullable=False),
        sa.Column("fault", sa.Text(), nullable=True),
        sa.Column("changed_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("repository"),
    )
    op.add_column("processes", sa.Column("warning", sa.Text(), nullable=True))
    op.add_column("processes", sa.Column("expiries", sa.Text(), nullable=False, server_default="{}"))


def downgrade() -> None:
    """Forget both."""
    op.drop_column("processes", "expiries")
    op.drop_column("processes", "warning")
    op.drop_table("audit_shipments")
