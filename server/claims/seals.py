"""Seals: the newest digest of a claim's history after each change, and of each packet's manifest, in the audit trail.

The chain of a claim does not show rows that are missing at its end, and a packet does not show that it was made anew.
The audit trail, a chain of its own that is longer and guarded, holds what was there.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, select

from dicom_node.spool import Spool
from server.auth.audit.record import AuditKind, parse, record_of
from server.auth.audit.trail import append
from server.auth.roles import Principal
from server.auth.tables import audit
from server.tables import claim_actions

_SEAL = re.compile(r"(?P<claim>clm-[0-9a-f]+) (?P<what>history|packet) (?P<number>[0-9]+) (?P<sha256>[0-9a-f]{64})")


class Sealed(StrEnum):
    """What a seal is of."""

    HISTORY = "history"
    PACKET = "packet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """One digest."""

    what: Sealed
    number: int
    """Of the row of the history, or of the evaluation that the packet was made of."""
    sha256: str


def seal(connection: Connection, one: Seal, claim_id: str, by: Principal) -> None:
    """Write a digest to the audit trail, as the last statement of a transaction: its other writers wait so long."""
    about = f"{claim_id} {one.what.value} {one.number} {one.sha256}"
    append(connection, record_of(AuditKind.CLAIM_SEALED, by, about=about))


def seals_of(connection: Connection, claim_id: str) -> Iterator[Seal]:
    """Every seal of a claim, the first first. Reads the whole trail."""
    kind = f'"kind":"{AuditKind.CLAIM_SEALED.value}"'
    query = select(audit.c.record).where(audit.c.record.contains(kind), audit.c.record.contains(f"{claim_id} "))
    for text in connection.execute(query.order_by(audit.c.number)).scalars():
        found = _SEAL.fullmatch(parse(text).object)
        if found is not None and found["claim"] == claim_id:
            yield Seal(what=Sealed(found["what"]), number=int(found["number"]), sha256=found["sha256"])


def seal_fault(connection: Connection, spool: Spool, claim_id: str, manifest: str) -> str | None:
    """One sentence about the first thing that is not what was sealed; None where all is.

    Args:
        connection: of the caller.
        spool: where packets are.
        claim_id: ours.
        manifest: path of the manifest of a packet below the data folder, with ``{number}`` for its evaluation.
    """
    query = select(claim_actions.c.number, claim_actions.c.sha256).where(claim_actions.c.claim_id == claim_id)
    rows = {row.number: row.sha256 for row in connection.execute(query)}
    packets: dict[int, str] = {}
    for one in seals_of(connection, claim_id):
        if one.what is Sealed.PACKET:
            packets[one.number] = one.sha256
        elif one.number not in rows:
            return f"Row {one.number} of the claim's history was cut off; the audit trail has its digest."
        elif rows[one.number] != one.sha256:
            return f"Row {one.number} of the claim's history is not the one whose digest the audit trail has."
    for number, sha256 in packets.items():
        path = spool.path(manifest.format(number=number))
        if not path.is_file():
            return f"The packet of evaluation {number} is gone; the audit trail has the digest of its manifest."
        if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
            return f"The packet of evaluation {number} is not the one whose digest the audit trail has."
    return None
