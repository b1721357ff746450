"""A rejection note: a key object selection that tells an archive to hide objects (IHE IOCM).

Its title is the coded reason (CID 7011). It names nothing but objects of this node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset

from dicom_node import code_table as table
from dicom_node.derived import ReportContext, finish, plain, stand_in
from dicom_node.equipment import contributing_equipment, fix_times, person_observer
from dicom_node.uids import ObjectRole
from inference.findings import DocumentReview
from inference.provenance import MANUFACTURER, REVIEWED_RESEARCH_USE, SOFTWARE_NAME, deterministic_uid

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
    parts = (context.study_instance_uid, str(review.number), *sorted(str(d.SOPInstanceUID) for d in rejected))
    content = KeyObjectSelection(
        document_title=CodedConcept.from_code(TITLES[why].code),
        referenced_objects=rejected,
        observer_person_context=person_observer(review.reviewer),
        description=plain(f"Every finding of these objects was rejected by {review.reviewer.display_name}."),
    )
    note = KeyObjectSelectionDocument(
        evidence=[stand_in(dataset) for dataset in rejected],
        content=content,
        series_instance_uid=deterministic_uid(ObjectRole.REJECTION_NOTE, "series", why, *parts),
        series_number=REJECTION_SERIES_NUMBER + review.number - 1,
        sop_instance_uid=deterministic_uid(ObjectRole.REJECTION_NOTE, why, *parts),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=SOFTWARE_NAME,
        software_versions=plain(context.software_version),
        device_serial_number=plain(context.device_name),
        contributing_equipment=contributing_equipment((), context, REVIEWED_RESEARCH_USE),
    )
    description = f"Rejection note: {plain(TITLES[why].meaning).lower()}"
    finish(note, source, replace(context, created=review.reviewed_at, description=description))
    fix_times(note)
    return note
