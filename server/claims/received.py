"""Reports that came in by themselves, as objects of the PACS or messages of a report feed, put to their claims.

A report is put to a claim where it is of a study that counts for it (by Study Instance UID, or by accession number) and
of its patient by two identifiers; what does not count for the claim is left alone. What this node made is never one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, select

from claims.claim import ClaimRefusal
from claims.criteria import Catalogue
from claims.engine.material import gather
from claims.matching import check_patient
from claims.report import Report, ReportRefusal
from dicom_node.tables import instances
from server.auth.roles import NODE
from server.claims.documents import from_text
from server.claims.history import Action, record_action
from server.claims.material import Found
from server.claims.object_report import REPORT_CLASSES, ReadObject, read_object
from server.claims.patients import accession_of, studies_of
from server.claims.rows import MOST_REPORTS, NewReport, insert_report, reports_of
from server.compose import Node
from server.database import reading
from server.tables import received_reports

FROM_PACS, FROM_FEED = "dicom", "hl7v2"
"""How the source of a report begins."""
LeftOut = tuple[str, str]
"""Study Instance UID, and why its report is not taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """A report that may be one of the claim's."""

    source: str
    study_instance_uid: str
    report: Report
    data: bytes
    withdraws: bool
    received_at: float


def add_received(
    connection: Connection, node: Node, row: Row[Any], found: Found, tables: Catalogue
) -> tuple[int, list[LeftOut]]:
    """Add what came for a claim whose row the caller holds; how many were added, and what was left out."""
    number = found.claim.patient.medical_record_number
    counted = _counted(found, tables) if number else frozenset()
    if not number or not counted:
        return 0, []
    known = reports_of(connection, row.id)
    sources, digests = {report.source for report in known}, {report.sha256 for report in known}
    left: list[LeftOut] = []
    added = 0
    candidates = [*_objects(connection, node, counted, sources, left), *_messages(connection, node, number, counted)]
    for candidate in sorted(candidates, key=lambda one: one.received_at):
        if candidate.source in sources or candidate.report.sha256 in digests:
            continue
        fault = _fault(found, candidate, len(known) + added)
        if fault is not None:
            left.append((candidate.study_instance_uid, fault))
            continue
        _add(connection, node, row, candidate, ordinal=len(known) + added + 1)
        digests.add(candidate.report.sha256)
        added += 1
    return added, left


def read_ahead(node: Node, medical_record_number: str | None) -> None:
    """Read the reports of a patient before a transaction needs them: a PDF takes seconds, and others would wait."""
    if not medical_record_number:
        return
    with reading(node.engine) as connection:
        rows = list(_rows(connection, list(studies_of(connection, medical_record_number))))
    for row in rows:
        _read(node.spool.path(row.path), row.sop_class_uid)


def _counted(found: Found, tables: Catalogue) -> frozenset[str]:
    """Study Instance UIDs of the studies that count for the claim; none where it cannot be judged."""
    try:
        material = gather(found.claim, tables.table_for(found.claim), found.studies, (), ())
    except ClaimRefusal:
        return frozenset()
    return frozenset(study.uid for study in material.studies)


def _rows(connection: Connection, studies: Collection[str]) -> Iterator[Row[Any]]:
    query = select(instances).where(
        instances.c.study_instance_uid.in_(studies),
        instances.c.sop_class_uid.in_(REPORT_CLASSES),
        instances.c.ours.is_(False),
        ~instances.c.waits_for_upload,
    )
    yield from connection.execute(query.order_by(instances.c.received_at, instances.c.sop_instance_uid))


def _objects(
    connection: Connection, node: Node, studies: Collection[str], known: Collection[str], left: list[LeftOut]
) -> Iterator[_Candidate]:
    for row in _rows(connection, studies):
        source = f"{FROM_PACS} {row.sop_instance_uid}"
        if source in known:
            continue
        read = _read(node.spool.path(row.path), row.sop_class_uid)
        if read is None:
            continue
        if isinstance(read, str):
            left.append((row.study_instance_uid, f"A report of the PACS is not taken: {read}."))
            continue
        yield _Candidate(
            source=source,
            study_instance_uid=row.study_instance_uid,
            report=read.report,
            data=read.data,
            withdraws=False,
            received_at=row.received_at,
        )


@lru_cache(maxsize=64)
def _read(path: Path, sop_class_uid: str) -> ReadObject | str | None:
    """The report of a received file, which never changes; a sentence where it cannot be read, None where it is none."""
    try:
        return read_object(path.read_bytes(), sop_class_uid)
    except ReportRefusal as refusal:
        return str(refusal)


def _messages(connection: Connection, node: Node, number: str, counted: Collection[str]) -> Iterator[_Candidate]:
    rows = connection.execute(select(received_reports).where(received_reports.c.medical_record_number == number)).all()
    accessions = _accessions(connection, number, counted) if rows else {}
    for row in rows:
        report = from_text(Report, row.report)
        study = report.study_instance_uid if report.study_instance_uid in counted else accessions.get(report.id)
        if study is not None:
            yield _Candidate(
                source=f"{FROM_FEED} {row.identity}",
                study_instance_uid=study,
                report=replace(report, study_instance_uid=study),
                data=node.spool.path(row.path).read_bytes(),
                withdraws=row.withdraws,
                received_at=row.received_at,
            )


def _accessions(connection: Connection, number: str, counted: Collection[str]) -> Mapping[str, str]:
    """Accession number to study, where it is that of one study only."""
    found: dict[str, list[str]] = {}
    for uid, attributes in studies_of(connection, number).items():
        if uid in counted and (accession := accession_of(attributes)):
            found.setdefault(accession, []).append(uid)
    return {accession: uids[0] for accession, uids in found.items() if len(uids) == 1}


def _fault(found: Found, candidate: _Candidate, have: int) -> str | None:
    if have >= MOST_REPORTS:
        return f"A claim has at most {MOST_REPORTS} reports; another one came and is not taken."
    try:
        check_patient(found.claim.patient, candidate.report.patient_identifiers, "a report that came by itself")
    except ClaimRefusal as refusal:
        return str(refusal)
    return None


def _add(connection: Connection, node: Node, row: Row[Any], candidate: _Candidate, *, ordinal: int) -> None:
    new = NewReport(
        report=candidate.report,
        data=candidate.data,
        by=NODE.subject,
        source=candidate.source,
        withdraws=candidate.withdraws,
    )
    insert_report(connection, node.spool, row.id, ordinal, new)
    how = "It came from the PACS." if candidate.source.startswith(FROM_PACS) else "It came by the report feed."
    reason = how if not candidate.withdraws else "The report feed withdraws this report."
    record_action(connection, row.id, Action.REPORT_ADDED, NODE, about=candidate.report.sha256, reason=reason)
