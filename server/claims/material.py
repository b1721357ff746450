"""What a claim is judged on: its patient's studies on this node, what was found on them, and its reports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, select

from claims.claim import Claim, ClaimRefusal
from claims.matching import check_patient
from claims.reading import read_report
from claims.report import ReadReport, Report
from claims.study import Study
from dicom_node.expiry import expirations_of
from dicom_node.spool import Spool
from dicom_node.tables import web_series
from inference.anatomy import REGULAR_VERTEBRAE, Disc, Vertebra, parse_level
from inference.findings import StudyFindings
from inference.findings.encode import decode
from inference.series.role import SeriesRole
from server.claims.documents import digest, from_text
from server.claims.patients import identifiers_of, studies_of, study_day
from server.claims.rows import reports_of, standing
from server.claims.views import MODALITIES as VIEWED
from server.claims.views import views_of
from server.review_rows import newest_review
from server.runs import finished_run

FAT_SUPPRESSED = frozenset({SeriesRole.MR_SAGITTAL_STIR, SeriesRole.MR_SAGITTAL_T2_FS})
MODALITIES = ("MR", "CT", "NM", "PT", "XA", "RF", "DX", "CR")
"""Modalities that can be evidence; a study with several counts as the first of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Everything of one claim."""

    claim: Claim
    studies: tuple[Study, ...]
    findings: tuple[StudyFindings, ...]
    reports: tuple[ReadReport, ...]
    left_out: tuple[tuple[str, str], ...]
    """Study Instance UID and sentence of each study that has the record number and is not surely the patient's."""
    sha256: str
    """Of all of it."""


def claim_of(row: Row[Any]) -> Claim:
    """The claim of its row."""
    return from_text(Claim, row.claim)


def find_material(connection: Connection, spool: Spool, row: Row[Any]) -> Found:
    """The material of a claim as it is now."""
    claim = claim_of(row)
    own = [from_text(Study, text) for text in json.loads(row.studies)]
    studies: dict[str, Study] = {study.uid: study for study in own}
    findings: dict[str, StudyFindings] = {}
    left_out: list[tuple[str, str]] = []
    digests = [row.claim, row.studies]
    for uid, attributes in _held(connection, claim).items():
        document, sha256 = _document(connection, spool, uid)
        study = _study(connection, uid, attributes, document)
        try:
            check_patient(claim.patient, study.patient_identifiers, f"the {study.modality} study of {study.date}")
        except ClaimRefusal as refusal:
            left_out.append((uid, str(refusal)))
            digests += [uid, str(refusal)]
            continue
        if study.date == claim.service_date and study.modality in VIEWED:
            study = replace(study, views=views_of(connection, uid))
        studies[uid] = _with_views(studies.get(uid), study)
        digests += [uid, repr(study), sha256]
        if document is not None:
            findings[uid] = document
    reports = tuple(_report(report.report) for report in standing(reports_of(connection, row.id)))
    digests += [read.report.sha256 + repr(read.report.signed) for read in reports]
    return Found(
        claim=claim,
        studies=tuple(studies.values()),
        findings=tuple(findings.values()),
        reports=reports,
        left_out=tuple(left_out),
        sha256=digest(*digests),
    )


def _with_views(stated: Study | None, held: Study) -> Study:
    """The study as the claim file describes it, with the views of its images where the file names none."""
    if stated is None:
        return held
    return stated if stated.views else replace(stated, views=held.views)


def _held(connection: Connection, claim: Claim) -> Mapping[str, Mapping[str, Any]]:
    number = claim.patient.medical_record_number
    return studies_of(connection, number) if number else {}


def _document(connection: Connection, spool: Spool, uid: str) -> tuple[StudyFindings | None, str]:
    """The newest findings, after their review where there is one, and their digest."""
    run = finished_run(connection, uid)
    if run is None or run.findings_path is None:
        return None, ""
    review = newest_review(connection, uid, revision=run.revision)
    path, sha256 = (
        (run.findings_path, run.findings_sha256) if review is None else (review.findings_path, review.findings_sha256)
    )
    return _decoded(spool.path(path), sha256), str(sha256)


@lru_cache(maxsize=32)
def _decoded(path: Path, sha256: str) -> StudyFindings:  # noqa: ARG001 - part of what is remembered
    """A document of findings, which is never changed."""
    return decode(path.read_bytes())


def _study(connection: Connection, uid: str, attributes: Mapping[str, Any], document: StudyFindings | None) -> Study:
    day = study_day(attributes)
    modalities = _modalities(connection, uid) | {series.modality for series in (document.series if document else ())}
    return Study(
        uid=uid,
        date=_date(day),
        modality=next((m for m in MODALITIES if m in modalities), "OT"),
        patient_identifiers=identifiers_of(attributes),
        levels=() if document is None else levels_of(document),
        has_fat_suppressed=None if document is None else _has_fat_suppressed(document),
    )


def _modalities(connection: Connection, uid: str) -> set[str]:
    """Of what is held, and of images that have expired."""
    held = select(web_series.c.modality).where(web_series.c.study_instance_uid == uid)
    gone = {word for row in expirations_of(connection, uid) for word in row.modalities.split(",")}
    return gone | set(connection.execute(held).scalars())


def _date(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        return None


def levels_of(document: StudyFindings) -> tuple[Vertebra, ...]:
    """Vertebrae that findings name, from the head down, with what lies between the first and the last."""
    named: list[Vertebra] = []
    for finding in document.findings:
        if finding.site.level is not None:
            level = parse_level(finding.site.level)
            named += [level.above, level.below] if isinstance(level, Disc) else [level]
    if not named:
        return ()
    first, last = min(v.value for v in named), max(v.value for v in named)
    return tuple(v for v in REGULAR_VERTEBRAE if first <= v.value <= last)


def _has_fat_suppressed(document: StudyFindings) -> bool:
    return any(series.role in FAT_SUPPRESSED for series in document.series)


@lru_cache(maxsize=128)
def _report(report: str) -> ReadReport:
    """A report as its row holds it, and what it says: the same text says the same."""
    return read_report(from_text(Report, report))
