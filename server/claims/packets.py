"""The packet of a kept claim: made of its newest evaluation, once, and kept beside the claim's reports.

Its time is that of the evaluation, so that a packet that is made again, after a kill or on another day, has the same
bytes. Each packet names the manifest of the claim's packet before it.
"""

from __future__ import annotations

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
from server.claims.desk import FOLDER
from server.claims.evaluation import evaluate_claim, judge, tables_of
from server.claims.material import Found, find_material
from server.claims.rows import ClaimState, claim_row, newest_evaluation
from server.compose import Node
from server.database import reading
from server.expired import images_are_gone
from server.operations import NotThere
from server.packet import MANIFEST_NAME, PacketRequest, make_packet
from server.packet_study import StudyFiles
from server.review_objects import verified_name
from server.review_rows import newest_review
from server.runs import finished_run
from server.study_kernel import results_folder


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
    if newest is None or newest.refusal is not None:
        raise ClaimRefusal(newest.refusal if newest and newest.refusal else "The claim was not judged yet.")
    found = find_material(connection, node.spool, row)
    evidence = judge(found, tables_of(node))
    return Ready(row=row, number=newest.number, evaluated_at=newest.evaluated_at, found=found, evidence=evidence)


def bring_up_to_date(node: Node, claim_id: str) -> None:
    """Judge an open claim on what there is now, so that what is made of its newest evaluation is of the same material.

    Raises:
        NotThere: no such claim.
    """
    with node.engine.begin() as connection:
        row = claim_row(connection, claim_id, lock=True)
        if row.state == ClaimState.OPEN:
            evaluate_claim(connection, node, row)


def packet_of(node: Node, claim_id: str) -> KeptPacket:
    """The packet of the newest evaluation, made now where it is not there yet.

    Raises:
        NotThere: no such claim.
        Refusal: the claim cannot be judged, or what there is does not make a packet.
    """
    bring_up_to_date(node, claim_id)
    with reading(node.engine) as connection:
        claim = ready(connection, node, claim_id)
        studies = _studies(connection, node.spool, claim, node)
    folder = _folder(claim_id, claim.number)
    kept = node.spool.path(f"{folder}/{MANIFEST_NAME}")
    if kept.is_file():
        return KeptPacket(number=claim.number, folder=folder, manifest=kept.read_bytes())
    earlier = _earlier(node.spool, claim_id, claim.number)
    created = datetime.fromtimestamp(claim.evaluated_at, UTC).replace(microsecond=0)
    request = PacketRequest(
        claim=claim.found.claim,
        evidence=claim.evidence,
        reports=claim.found.reports,
        studies=studies,
        created=created,
        number=len(earlier) + 1,
        previous_manifest=earlier[-1] if earlier else None,
        ae_title=node.settings.ae_title,
    )
    made = make_packet(request, lambda name, data: node.spool.write_result(f"{folder}/{name}", data))
    return KeptPacket(number=claim.number, folder=folder, manifest=made.manifest)


def packet_file(node: Node, claim_id: str, name: str) -> bytes:
    """One file of the packet, or its manifest.

    Raises:
        NotThere: no such claim, or the packet has no file of that name.
    """
    packet = packet_of(node, claim_id)
    if name == MANIFEST_NAME:
        return packet.manifest
    if name not in packet.names:
        raise NotThere(f"The packet of claim {claim_id} has no file {name!r}.")
    return node.spool.path(f"{packet.folder}/{name}").read_bytes()


def _folder(claim_id: str, number: int) -> str:
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
