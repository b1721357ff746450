"""How the packet of a kept claim is made, in the process that makes packets: it draws pictures and writes PDF."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection

from claims.engine.material import gather
from claims.packet import MANIFEST_NAME
from dicom_node.results import results_of
from dicom_node.spool import Spool
from dicom_node.store import instances_of
from dicom_node.uids import ObjectRole
from server.claims.evaluation import tables_of
from server.claims.packets import Ready, packet_folder, ready
from server.compose import Node
from server.database import reading
from server.expired import images_are_gone
from server.packet import PacketRequest, make_packet
from server.packet_study import StudyFiles
from server.review_objects import verified_name
from server.review_rows import newest_review
from server.runs import finished_run, results_folder


def make_kept_packet(node: Node, claim_id: str) -> None:
    """Make the packet of the newest evaluation; its manifest is written last, so that one without is not there.

    Raises:
        NotThere: no such claim.
        Refusal: the claim cannot be judged, or what there is does not make a packet.
    """
    with reading(node.engine) as connection:
        claim = ready(connection, node, claim_id)
        studies = _studies(connection, node.spool, claim, node)
    folder = packet_folder(claim_id, claim.number)
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


def _earlier(spool: Spool, claim_id: str, number: int) -> list[bytes]:
    """Manifests of the packets of earlier evaluations, the first first; not every evaluation had one."""
    paths = (spool.path(f"{packet_folder(claim_id, earlier)}/{MANIFEST_NAME}") for earlier in range(1, number))
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
