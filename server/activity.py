"""Start and stop of a process, in the audit trail."""

from __future__ import annotations

from sqlalchemy import Engine

from server.auth.audit.record import AuditKind, record_of
from server.auth.audit.trail import append
from server.auth.roles import NODE
from server.processes import Role


def record_activity(engine: Engine, kind: AuditKind, role: Role) -> None:
    """Record that a process of this node began or ended its work."""
    with engine.begin() as connection:
        append(connection, record_of(kind, NODE, about=role.value))
