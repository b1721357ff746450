"""Workitems (UPS-RS): one for each run that there is, and those that others make."""

from __future__ import annotations

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_STATES = {"queued": "SCHEDULED", "running": "IN PROGRESS", "done": "COMPLETED"}
_CODES = {"refused": "110522", "failed": "110501"}


def upgrade() -> None:
    """Make the table, and a workitem for each run."""
    table = op.create_table(
        "workitems",
        sa.Column("workitem_uid", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("transaction_uid", sa.String(length=64), nullable=True),
        sa.Column("is_for_us", sa.Boolean(), nullable=False),
        sa.Column("is_ready", sa.Boolean(), nullable=False),
        sa.Column("study_instance_uid", sa.String(length=64), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=True),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("changed_at", sa.Float(), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=True),
        sa.Column("finished_at", sa.Float(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("discontinuation", sa.String(length=16), nullable=True),
        sa.PrimaryKeyConstraint("workitem_uid"),
    )
    op.create_index("ix_workitems_run", "workitems", ["study_instance_uid", "revision"])
    op.create_index("ix_workitems_created", "workitems", ["created_at", "workitem_uid"])
    runs = op.get_bind().execute(sa.text("SELECT * FROM runs")).mappings().all()
    op.bulk_insert(table, [_of_run(run) for run in runs])


def _of_run(run: sa.RowMapping) -> dict[str, object]:
    is_claimed = run["state"] != "queued"
    return {
        "workitem_uid": _uid(),
        "state": _STATES.get(run["state"], "CANCELED"),
        "transaction_uid": _uid() if is_claimed else None,
        "is_for_us": True,
        "is_ready": True,
        "study_instance_uid": run["study_instance_uid"],
        "revision": run["revision"],
        "document": "{}",
        "created_at": run["queued_at"],
        "changed_at": run["finished_at"] or run["started_at"] or run["queued_at"],
        "started_at": run["started_at"],
        "finished_at": run["finished_at"],
        "reason": run["reason"] if run["state"] in _CODES else None,
        "discontinuation": _CODES.get(run["state"]),
    }


def _uid() -> str:
    return f"2.25.{uuid.uuid4().int}"


def downgrade() -> None:
    """Forget every workitem."""
    op.drop_table("workitems")
