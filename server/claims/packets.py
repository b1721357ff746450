"""The packet of a kept claim: made of its newest evaluation, once, and kept beside the claim's reports.

Its time is that of the evaluation, so that a packet that is made again, after a kill or on another day, has the same
bytes. Each packet names the manifest of the claim's packet before it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row

from claims.claim import ClaimRefusal
from claims.engine.material import gather
from claims.evidence import ClaimEvidence
from dicom_node.results import results_of
from dicom_node.spool import Spool
from dicom_node.store import instances_of
from dicom_node.uids import ObjectRole
from server.auth.roles import NODE
from server.claims.evaluation import evaluate_claim, judge, tables_of
from server.claims.material import Found, find_material
from server.claims.received import read_ahead
from server.claims.rows import FOLDER, ClaimState, claim_row, newest_evaluation
from server.claims.seals import Seal, Sealed, seal
from server.compose import Node
from server.database import reading
from server.expired import images_are_gone
from server.packet import MANIFEST_NAME, PacketRequest, make_packet
from server.packet_study import StudyFiles
from server.review_objects import verified_name
from server.review_rows import newest_review
from server.runs import finished_run
from server.study_kernel import results_folder

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
    return f"{_folder(claim_id, '{number}')}/{MANIFEST_NAME}"


def kept_packet(node: Node, claim_id: str) -> KeptPacket | None:
    """The packet of the newest evaluation, where it was made; it is served only with its seal in the audit trail."""
    with reading(node.engine) as connection:
        claim_row(connection, claim_id)
        newest = newest_evaluation(connection, claim_id)
    number = 0 if newest is None else newest.number
    folder = _folder(claim_id, number)
    path = node.spool.path(f"{folder}/{MANIFEST_NAME}")
    if not path.is_file():
        return None
    packet = KeptPacket(number=number, folder=folder, manifest=path.read_bytes())
    _seal(node, claim_id, packet)
    return packet


def make_kept_packet(node: Node, claim_id: str) -> None:
    """Make the packet of the newest evaluation; its manifest is written last, so that one without is not there.

    Raises:
        NotThere: no such claim.
        Refusal: the claim cannot be judged, or what there is does not make a packet.
    """
    with reading(node.engine) as connection:
        claim = ready(connection, node, claim_id)
        studies = _studies(connection, node.spool, claim, node)
    folder = _folder(claim_id, claim.number)
    earlier = _earlier(node.spool, claim_id, claim.number)
    request = PacketRequest(
        claim=claim.found.claim,
        evidence=claim.evidence,
        reports=claim.found.reports,
        studies=studies,
        created=datetime.fromtimestamp(claim.evaluated_at, UTC).replace(microsecond=0),
        number=len(earlier) + 1,
        previous_manifest=earlier[-1] if earlier else None,
        ae_title=node.settings.ae_title,
    )
    make_packet(request, lambda name, data: node.spool.write_result(f"{folder}/{name}", data))


def _seal(node: Node, claim_id: str, packet: KeptPacket) -> None:
    """Have the audit trail hold the manifest's digest; again after a kill in between, never for good without."""
    mark = f"{packet.folder}/{SEALED_NAME}"
    if node.spool.path(mark).is_file():
        return
    sha256 = hashlib.sha256(packet.manifest).hexdigest()
    with node.engine.begin() as connection:
        seal(connection, Seal(what=Sealed.PACKET, number=packet.number, sha256=sha256), claim_id, NODE)
    node.spool.write_result(mark, sha256.encode())


def _folder(claim_id: str, number: int | str) -> str:
    return str(FOLDER / claim_id / f"packet-{number}")


def _earlier(spool: Spool, claim_id: str, number: int) -> list[bytes]:
    """Manifests of the packets of earlier evaluations, the first first; not every evaluation had one."""
    paths = (spool.path(f"{_folder(claim_id, earlier)}/{MANIFEST_NAME}") for earlier in range(1, number))
    return [path.read_bytes() for path in paths if path.is_file()]


def _studies(connection: Connection, spool: Spool, claim: Ready, node: Node) -> tuple[StudyFiles, ...]:
    """Files of the studies that count for the claim and were read."""
    found = claim.found
    table = tables_of(node).table_for(found.claim)
    counted = gather(found.claim, table, found.studies, found.findings, found.reports).findings
    files = [_files(connection, spool, document.study_instance_uid) for document in counted]
    return tuple(file for file in files if file is not None)


def _files(connection: Connection, spool: Spool, study: str) -> StudyFiles | None:
    run = finished_run(connection, study)
    if run is None:
        return None
    review = newest_review(connection, study, revision=run.revision)
    made = results_of(connection, study, run.revision)
    report = next((record.path for record in made if record.role == ObjectRole.REPORT), None)
    if report is None:
        return None
    sources = instances_of(connection, study, run.revision)
    if not sources:
        raise images_are_gone(study)
    if review is not None:
        verified = f"{results_folder(study, run.revision)}/{verified_name(review.number)}"
        report = verified if any(record.path == verified for record in made) else report
    return StudyFiles(
        findings=spool.path(run.findings_path if review is None else review.findings_path),
        sources=tuple(spool.path(instance.path) for instance in sources),
        segmentations=tuple(spool.path(r.path) for r in made if r.role == ObjectRole.SEGMENTATION),
        report=spool.path(report),
        revision=run.revision,
    )
