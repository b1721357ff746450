"""From a review to its DICOM objects: the verified SR, and a rejection note where everything was rejected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, dcmread

from dicom_node.derived import ReportContext
from dicom_node.reader import index_study
from dicom_node.rejection import encode_rejection
from dicom_node.sr import encode_report
from dicom_node.uids import ObjectRole, server_device_uid
from inference.findings import DocumentReview, NotAssessed, ReviewStatus, StudyFindings
from inference.findings.encode import decode
from server import __version__
from server.study_run import MadeObject, headers_of, keep

NO_NOTE = "none"
"""Value of the setting ``rejection_note`` of a site whose archive is not told what was rejected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewInput:
    """Files that the objects of one review are made from."""

    findings: Path
    """The reviewed findings."""
    sources: tuple[Path, ...]
    """The instances of the revision that was reviewed."""
    report: Path
    """The SR of the findings as the AI gave them."""
    companions: tuple[Path, ...]
    """SEG and presentation states of the same revision."""
    earlier_verified: Path | None
    """The verified SR of the review that this one supersedes."""
    folder: str
    """Where the objects are kept, relative to the spool's root."""


def verified_name(number: int) -> str:
    """File name of the verified SR of a review."""
    return f"verified-{number}.dcm"


def make_objects(
    request: ReviewInput,
    write: Callable[[str, bytes], None],
    *,
    ae_title: str,
    config_digest: str,
    rejection_note: str,
) -> tuple[MadeObject, ...]:
    """Write the objects of a review; the same review gives the same bytes.

    Raises:
        Refusal: no file is an instance, or they are of several studies.
    """
    findings = decode(request.findings.read_bytes())
    review = _review(findings)
    sources = headers_of(index_study(request.sources).series)
    predecessor = dcmread(request.report)
    context = ReportContext(
        study_instance_uid=findings.study_instance_uid,
        revision=review.revision,
        software_version=__version__,
        created=review.reviewed_at,
        server_uid=server_device_uid(ae_title),
        device_name=ae_title,
        predecessor=predecessor,
        config_digest=config_digest,
        earlier_verified=None if request.earlier_verified is None else dcmread(request.earlier_verified),
    )
    report = encode_report(findings, sources=sources, context=context)
    made = [keep(report, ObjectRole.VERIFIED_REPORT, verified_name(review.number), write)]
    if rejection_note != NO_NOTE and is_rejected(findings):
        rejected = [predecessor, *(dcmread(path, stop_before_pixels=True) for path in request.companions)]
        source = _first(sources)
        note = encode_rejection(rejected, why=rejection_note, review=review, source=source, context=context)
        made.append(keep(note, ObjectRole.REJECTION_NOTE, f"rejection-{review.number}.dcm", write))
    return tuple(made)


def is_rejected(findings: StudyFindings) -> bool:
    """Whether the AI answered something, and nothing that it answered stands."""
    answered = [
        finding
        for finding in findings.findings
        if finding.review is not None
        and finding.review.status is not ReviewStatus.ADDED
        and not isinstance((finding.review.original or finding).assessment, NotAssessed)
    ]
    return bool(answered) and all(f.review and f.review.status is ReviewStatus.REJECTED for f in answered)


def _review(findings: StudyFindings) -> DocumentReview:
    if findings.review is None:
        raise ValueError("a verified report is made of reviewed findings, got findings as the AI gave them")
    return findings.review


def _first(sources: dict[str, list[Dataset]]) -> Dataset:
    """The instance that the report copies patient and study from."""
    headers = (header for series in sources.values() for header in series)
    return min(headers, key=lambda header: str(header.SOPInstanceUID))
