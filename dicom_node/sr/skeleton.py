"""What every report of ours has in common, whatever its template: identity, equipment, verification, predecessors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from highdicom.sr import Comprehensive3DSR, EnhancedSR
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node import codes
from dicom_node.derived import ReportContext, finish, stand_in
from dicom_node.equipment import contributing_equipment, fix_times, general_equipment
from dicom_node.sr.verification import fix_verification_time, verification_flags
from inference.findings import StudyFindings

Report = TypeVar("Report", Comprehensive3DSR, EnhancedSR)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPlace:
    """Where a report stands among the objects of its study."""

    role: tuple[str, ...]
    """What it is; its UIDs follow from it."""
    series_number: int
    headers: Sequence[Dataset]
    """Of the instances that it was made from, in the order in which they are listed as evidence."""


def begin_report(
    kind: type[Report], content: Dataset, *, place: ReportPlace, findings: StudyFindings, context: ReportContext
) -> Report:
    """A report of one SOP Class around its content tree; equal arguments give equal bytes once it is completed."""
    origin = context.origin((str(header.SOPInstanceUID) for header in place.headers), findings.models)
    return kind(
        evidence=[stand_in(header) for header in place.headers],
        content=content,
        series_instance_uid=origin.uid(*place.role, "series"),
        series_number=place.series_number,
        sop_instance_uid=origin.uid(*place.role),
        instance_number=1,
        **general_equipment(context),
        is_complete=True,
        **verification_flags(findings.review),
        previous_versions=[p for p in (context.predecessor, context.earlier_verified) if p is not None] or None,
        contributing_equipment=contributing_equipment(findings.models, context, findings.notice),
        coding_schemes=[codes.coding_scheme()],
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )


def complete_report(report: Dataset, headers: Sequence[Dataset], context: ReportContext) -> None:
    """Copy patient and study from the instance with the first UID, and set description and times."""
    finish(report, min(headers, key=lambda header: str(header.SOPInstanceUID)), context)
    fix_verification_time(report)
    fix_times(report)
