"""Where the Bundle of a study revision comes from: findings.json, one header, and the rows of its instances."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from sqlalchemy import Connection

from dicom_node.results import results_of
from dicom_node.store import instances_of
from dicom_node.uids import ObjectRole
from inference.errors import StorageFailure
from inference.findings import StudyFindings
from inference.findings.encode import decode
from server import __version__
from server.compose import Node
from server.fhir.bundle import FhirStudy, encode_bundle
from server.fhir.study import SeriesCount
from server.operations import NotThere, require_finished_run
from server.shown import shown_findings

HEADER_KEYWORDS = [
    "SpecificCharacterSet",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyDescription",
    "AccessionNumber",
    "TimezoneOffsetFromUTC",
    "PatientID",
    "IssuerOfPatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleSource:
    """The Bundle of one revision, before anything of it is read."""

    node: Node
    revision: int
    findings_path: str
    header_path: str
    counts: tuple[tuple[str, int], ...]
    """(Series Instance UID, number of instances)."""
    report_uid: str
    issued: datetime
    is_reviewed: bool
    digest: str
    """Of everything that the bytes follow from."""

    def encode(self) -> bytes:
        """Read and encode it.

        Raises:
            StorageFailure: the instance whose identifiers are taken cannot be read.
        """
        spool = self.node.spool
        findings = decode(spool.path(self.findings_path).read_bytes())
        try:
            header = dcmread(spool.path(self.header_path), stop_before_pixels=True, specific_tags=list(HEADER_KEYWORDS))
        except (OSError, InvalidDicomError) as error:
            raise StorageFailure("The instance that the study's identifiers are taken from cannot be read.") from error
        return encode_bundle(
            FhirStudy(
                findings=findings,
                header=header,
                series=_series(findings, self.counts),
                report_uid=self.report_uid,
                issued=self.issued,
                is_reviewed=self.is_reviewed,
                ae_title=self.node.settings.ae_title,
            )
        )


def bundle_source(
    connection: Connection, node: Node, study_instance_uid: str, revision: int | None, *, reviewed: bool = False
) -> BundleSource:
    """What the Bundle of the newest revision, or of one that is named, is made of.

    The reviewed report keeps the identifiers of the preliminary one: it is the same report, become final.

    Raises:
        NotThere: the study has no findings (of that revision), or reviewed ones are asked for and there are none.
    """
    run = require_finished_run(connection, study_instance_uid, revision)
    shown = shown_findings(connection, study_instance_uid, run, reviewed=reviewed)
    issued_at = run.content_at if shown.reviewed_at is None else shown.reviewed_at
    rows = instances_of(connection, study_instance_uid, run.revision)
    made = results_of(connection, study_instance_uid, run.revision)
    reports = [record for record in made if record.role == ObjectRole.REPORT]
    if not reports:
        raise NotThere(f"Study {study_instance_uid} has no report of revision {run.revision}.")
    # The report has the images' patient and study attributes, byte for byte: it stands in for images that expired.
    first = min(rows, key=lambda row: row.sop_instance_uid) if rows else reports[0]
    parts = ["fhir", __version__, node.settings.ae_title, shown.sha256, str(issued_at)]
    parts += [reports[0].sop_instance_uid, first.sha256, *(row.sop_instance_uid for row in rows)]
    return BundleSource(
        node=node,
        revision=run.revision,
        findings_path=shown.path,
        header_path=first.path,
        counts=tuple(sorted(Counter(row.series_instance_uid for row in rows).items())),
        report_uid=reports[0].sop_instance_uid,
        issued=datetime.fromtimestamp(issued_at, UTC),
        is_reviewed=reviewed,
        digest=hashlib.sha256("|".join(parts).encode()).hexdigest(),
    )


def _series(findings: StudyFindings, counts: tuple[tuple[str, int], ...]) -> tuple[SeriesCount, ...]:
    """Every series that was received; its modality as findings.json has it, OT (other) where it is not listed there."""
    modalities = {series.uid: series.modality for series in findings.series}
    return tuple(SeriesCount(uid=uid, modality=modalities.get(uid, "OT"), instances=count) for uid, count in counts)
