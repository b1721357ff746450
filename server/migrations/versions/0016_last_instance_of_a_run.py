"""When the last instance of a run's revision came: the metrics tell how long an SR took from there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; older runs do not know it."""
    op.add_column("runs", sa.Column("last_received_at", sa.Float(), nullable=True))


def downgrade() -> None:
    """Forget it."""
    op.drop_column("runs", "last_received_at")
