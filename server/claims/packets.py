"""The packet of a kept claim: made of its newest evaluation, once, and kept beside the claim's reports.

Its time is that of the evaluation, so that a packet that is made again, after a kill or on another day, has the same
bytes. Each packet names the manifest of the claim's packet before it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row

from claims.claim import ClaimRefusal
from claims.evidence import ClaimEvidence
from claims.packet import MANIFEST_NAME
from server.auth.roles import NODE
from server.claims.evaluation import evaluate_claim, judge, tables_of
from server.claims.material import Found, find_material
from server.claims.received import read_ahead
from server.claims.rows import FOLDER, ClaimState, claim_row, newest_evaluation
from server.claims.seals import Seal, Sealed, seal
from server.compose import Node
from server.database import reading

SEALED_NAME = "sealed"
"""Beside a manifest whose digest the audit trail has; no part of the packet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPacket:
    """A packet on disk."""

    number: int
    """Of the evaluation that it was made of."""
    folder: str
    """Relative to the data folder."""
    manifest: bytes

    @property
    def names(self) -> list[str]:
        """Names of its files."""
        return [str(file["name"]) for file in json.loads(self.manifest)["files"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A claim with everything that its newest evaluation was made of."""

    row: Row[Any]
    number: int
    evaluated_at: float
    found: Found
    evidence: ClaimEvidence


def ready(connection: Connection, node: Node, claim_id: str) -> Ready:
    """The claim's newest evaluation with its material.

    Raises:
        NotThere: no such claim.
        ClaimRefusal: it cannot be judged.
    """
    row = claim_row(connection, claim_id)
    newest = newest_evaluation(connection, claim_id)
    found = find_material(connection, node.spool, row)
    evidence = evidence_of(node, newest, found)
    assert newest is not None  # noqa: S101 - or there is no evidence
    return Ready(row=row, number=newest.number, evaluated_at=newest.evaluated_at, found=found, evidence=evidence)


def evidence_of(node: Node, newest: Row[Any] | None, found: Found) -> ClaimEvidence:
    """The evidence of a claim's material, where its newest evaluation is one.

    Raises:
        ClaimRefusal: it cannot be judged.
    """
    if newest is None or newest.refusal is not None:
        raise ClaimRefusal(newest.refusal if newest and newest.refusal else "The claim was not judged yet.")
    return judge(found, tables_of(node))


def bring_up_to_date(node: Node, claim_id: str) -> None:
    """Judge an open claim on what there is now, so that what is made of its newest evaluation is of the same material.

    Raises:
        NotThere: no such claim.
    """
    with reading(node.engine) as connection:
        number = claim_row(connection, claim_id).medical_record_number
    read_ahead(node, number)
    with node.engine.begin() as connection:
        row = claim_row(connection, claim_id, lock=True)
        if row.state == ClaimState.OPEN:
            evaluate_claim(connection, node, row)


def manifest_path(claim_id: str) -> str:
    """Of the manifests of a claim's packets, below the data folder; ``{number}`` stands for the evaluation."""
    return f"{packet_folder(claim_id, '{number}')}/{MANIFEST_NAME}"


def kept_packet(node: Node, claim_id: str) -> KeptPacket | None:
    """The packet of the newest evaluation, where it was made; it is served only with its seal in the audit trail."""
    with reading(node.engine) as connection:
        claim_row(connection, claim_id)
        newest = newest_evaluation(connection, claim_id)
    number = 0 if newest is None else newest.number
    folder = packet_folder(claim_id, number)
    path = node.spool.path(f"{folder}/{MANIFEST_NAME}")
    if not path.is_file():
        return None
    packet = KeptPacket(number=number, folder=folder, manifest=path.read_bytes())
    _seal(node, claim_id, packet)
    return packet


def _seal(node: Node, claim_id: str, packet: KeptPacket) -> None:
    """Have the audit trail hold the manifest's digest; again after a kill in between, never for good without."""
    mark = f"{packet.folder}/{SEALED_NAME}"
    if node.spool.path(mark).is_file():
        return
    sha256 = hashlib.sha256(packet.manifest).hexdigest()
    with node.engine.begin() as connection:
        seal(connection, Seal(what=Sealed.PACKET, number=packet.number, sha256=sha256), claim_id, NODE)
    node.spool.write_result(mark, sha256.encode())


def packet_folder(claim_id: str, number: int | str) -> str:
    """Of the packet of one evaluation, below the data folder."""
    return str(FOLDER / claim_id / f"packet-{number}")
