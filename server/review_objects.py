"""From a review to its DICOM objects: the verified SR, and a rejection note where everything was rejected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom import Dataset, dcmread

from dicom_node.derived import ReportContext
from dicom_node.reader import index_study
from dicom_node.rejection import encode_rejection
from dicom_node.sr import encode_report, encode_text_report
from dicom_node.uids import ObjectRole, server_device_uid
from inference.findings import DocumentReview, NotAssessed, ReviewStatus, StudyFindings
from inference.findings.encode import decode
from server import __version__
from server.made_objects import MadeObject, headers_of, keep, read_object

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
    """Everything else that was made of the same revision."""
    text: Path | None
    """The report in words of the findings as the AI gave them, where there is one."""
    earlier_verified: Path | None
    """The verified SR of the review that this one supersedes."""
    earlier_text: Path | None
    """The verified report in words of that review."""
    folder: str
    """Where the objects are kept, relative to the spool's root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewSettings:
    """What a site has chosen about the objects of reviews."""

    ae_title: str
    config_digest: str
    rejection_note: str
    text_report: bool
    """Whether to make a report in words."""


def verified_name(number: int) -> str:
    """File name of the verified SR of a review."""
    return f"verified-{number}.dcm"


def verified_text_name(number: int) -> str:
    """File name of the verified report in words of a review."""
    return f"verified-{number}-text.dcm"


def make_objects(
    request: ReviewInput, write: Callable[[str, bytes], None], settings: ReviewSettings
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
        server_uid=server_device_uid(settings.ae_title),
        device_name=settings.ae_title,
        predecessor=predecessor,
        config_digest=settings.config_digest,
        earlier_verified=read_object(request.earlier_verified),
    )
    report = encode_report(findings, sources=sources, context=context)
    made = [keep(report, ObjectRole.VERIFIED_REPORT, verified_name(review.number), write)]
    if settings.text_report:
        earlier = read_object(request.earlier_text)
        text_context = replace(context, predecessor=read_object(request.text), earlier_verified=earlier)
        text = encode_text_report(findings, sources=sources, context=text_context)
        made.append(keep(text, ObjectRole.VERIFIED_TEXT, verified_text_name(review.number), write))
    if settings.rejection_note != NO_NOTE and is_rejected(findings):
        rejected = [predecessor, *(dcmread(path, stop_before_pixels=True) for path in request.companions)]
        source = _first(sources)
        note = encode_rejection(rejected, why=settings.rejection_note, review=review, source=source, context=context)
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
