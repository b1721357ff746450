"""A rejection note: a key object selection that tells an archive to hide objects (IHE IOCM).

Its title is the coded reason (CID 7011). It names nothing but objects of this node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pydicom.dataset import Dataset

from dicom_node import code_table as table
from dicom_node.derived import ReportContext, plain
from dicom_node.equipment import person_observer
from dicom_node.key_objects import Selection, encode_selection
from dicom_node.uids import ObjectRole
from inference.findings import DocumentReview
from inference.provenance import REVIEWED_RESEARCH_USE

REJECTION_SERIES_NUMBER = 9901
"""Of the note after the first review; later ones follow."""
TITLES = {"quality": table.DCM["113001"], "patient_safety": table.DCM["113037"]}
"""By the setting ``rejection_note``."""


def encode_rejection(
    rejected: Sequence[Dataset], *, why: str, review: DocumentReview, source: Dataset, context: ReportContext
) -> Dataset:
    """A note that rejects objects of this node.

    Args:
        rejected: The SR and SEG of one revision, at least one.
        why: A key of TITLES.
        review: In which review they were rejected.
        source: A source instance, whose patient and study are copied.
        context: Who and which revision; the time is that of the review.
    """
    objects = sorted(str(d.SOPInstanceUID) for d in rejected)
    selection = Selection(
        title=TITLES[why],
        description=f"Every finding of these objects was rejected by {review.reviewer.display_name}.",
        objects=tuple(rejected),
        role=ObjectRole.REJECTION_NOTE,
        key=(why, context.study_instance_uid, str(review.number), *objects),
        series_number=REJECTION_SERIES_NUMBER + review.number - 1,
        series_description=f"Rejection note: {plain(TITLES[why].meaning).lower()}",
        notice=REVIEWED_RESEARCH_USE,
    )
    at_review = replace(context, created=review.reviewed_at)
    return encode_selection(selection, source=source, context=at_review, person=person_observer(review.reviewer))
