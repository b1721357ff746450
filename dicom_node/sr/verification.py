"""What makes a report a verified one (PS3.3 C.17.2): who answers for it, since when, and how a PACS shows it.

A verified report is in a series of its own: viewers show the newest instance of a series alone, and the one that was
reviewed must stay in reach (ohif.md 4). The report that was reviewed is never edited.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydicom.dataset import Dataset

from dicom_node.derived import LONG_TEXT, ReportContext, plain
from dicom_node.equipment import person_name
from inference.findings import DocumentReview

VERIFIED_SERIES_NUMBER = 9501
"""Of the first review of a study; later ones follow. Unverified reports begin at 9001 and take ten a revision."""


def verification_flags(review: DocumentReview | None) -> dict[str, Any]:
    """Arguments of highdicom's SR: unverified and preliminary, or verified by a person and final."""
    if review is None:
        return {"is_final": False, "is_verified": False}
    return {
        "is_final": True,
        "is_verified": True,
        "verifying_observer_name": person_name(review.reviewer.name),
        "verifying_organization": plain(review.reviewer.organisation)[:LONG_TEXT],
    }


def verified_context(context: ReportContext, review: DocumentReview) -> ReportContext:
    """The context with the time of the review, and a series description that says who verified."""
    which = "Spine" if review.number == 1 else f"Spine review {review.number}"
    description = f"{which}: verified by {review.reviewer.display_name}"
    return replace(context, created=review.reviewed_at, description=context.description or description)


def fix_verification_time(report: Dataset) -> None:
    """Say when it was verified, which is the time of its content, instead of when it was encoded."""
    moment = f"{report.ContentDate}{report.ContentTime}{report.TimezoneOffsetFromUTC}"
    for observer in report.get("VerifyingObserverSequence", ()):
        observer.VerificationDateTime = moment
