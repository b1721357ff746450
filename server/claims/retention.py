"""Deleting claims that were closed long ago, as the site's setting says; each deletion is a row of the audit trail.

Only closed claims: what is worked on is never deleted. Attachments that were sent have rules of their own.
"""

from __future__ import annotations

import time

from sqlalchemy import delete, select

from server.auth.audit.record import AuditKind, record_of
from server.auth.audit.trail import append
from server.auth.roles import NODE
from server.claims.rows import FOLDER, ClaimState, claim_row
from server.compose import Node
from server.database import reading
from server.events import event
from server.tables import claim_actions, claim_evaluations, claim_notices, claim_reports, claims, received_reports

DAY_S = 86_400.0
AT_ONCE = 100
_PARTS = (claim_notices, claim_evaluations, claim_reports, claim_actions)


def delete_old(node: Node, days: int) -> int:
    """Delete claims that were closed more than so many days ago; returns how many."""
    which = (claims.c.state == ClaimState.CLOSED, claims.c.state_since < time.time() - days * DAY_S)
    with reading(node.engine) as connection:
        old = connection.execute(select(claims.c.id).where(*which).limit(AT_ONCE)).scalars().all()
    for claim_id in old:
        with node.engine.begin() as connection:
            if claim_row(connection, claim_id, lock=True).state != ClaimState.CLOSED:
                continue  # opened again in between
            for table in _PARTS:
                connection.execute(delete(table).where(table.c.claim_id == claim_id))
            connection.execute(delete(claims).where(claims.c.id == claim_id))
            append(connection, record_of(AuditKind.CLAIM_DELETED, NODE, about=claim_id))
        node.spool.remove_folder(str(FOLDER / claim_id))  # after the rows: rows without files would be missed
        event("claim_deleted", claim=claim_id)
    return len(old)


def delete_old_reports(node: Node, days: int) -> int:
    """Forget reports of the feed that came more than so many days ago; what claims took of them stays theirs."""
    before = time.time() - days * DAY_S
    with reading(node.engine) as connection:
        query = select(received_reports.c.identity, received_reports.c.path)
        old = connection.execute(query.where(received_reports.c.received_at < before).limit(AT_ONCE)).all()
    for row in old:
        with node.engine.begin() as connection:
            connection.execute(delete(received_reports).where(received_reports.c.identity == row.identity))
        node.spool.remove(row.path)
    return len(old)
