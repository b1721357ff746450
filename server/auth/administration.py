"""What is changed on the command line: by a user of the operating system, who is named in the audit trail."""

from __future__ import annotations

import getpass

from sqlalchemy import Connection

from server.auth.audit import trail
from server.auth.audit.record import AuditKind, record_of
from server.auth.roles import Method, Principal


def record_change(connection: Connection, kind: AuditKind, about: str) -> None:
    """Record it in the transaction that makes it.

    Args:
        connection: in that transaction.
        kind: of the change.
        about: who or what was changed, and how, without a secret.
    """
    trail.append(connection, record_of(kind, operator(), about=about))


def operator() -> Principal:
    """The user of the operating system who runs the command."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        name = "unknown"
    return Principal(subject=f"os:{name}", display_name=name, role=None, permissions=frozenset(), method=Method.COMMAND)
