"""One Comprehensive 3D SR (TID 1500) per study revision.

Root: language, device observer, procedure reported, image library (the images that are referred to), imaging
measurements (only when something can be drawn: an empty container is not allowed, and a group without coordinates there
breaks OHIF), qualitative evaluations (always).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from highdicom.sr import Comprehensive3DSR, ContainerContentItem, ContentItem
from highdicom.sr.templates import DEFAULT_LANGUAGE, LanguageOfContentItemAndDescendants
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node import code_table as table
from dicom_node import codes
from dicom_node.derived import ReportContext, finish, plain, stand_in
from dicom_node.equipment import contributing_equipment, device_observer, fix_times
from dicom_node.sr.groups import measurement_groups
from dicom_node.sr.items import container
from dicom_node.sr.library import image_library
from dicom_node.sr.procedure import imaged_procedures
from dicom_node.sr.statements import evaluations
from dicom_node.uids import ObjectRole, Origin
from inference.findings import FIVE_QUESTIONS, StudyFindings
from inference.provenance import MANUFACTURER, SOFTWARE_NAME

SERIES_NUMBER = 9001
"""Of the first revision; later ones follow in steps of REVISION_STEP, so that no two objects share a number."""
REVISION_STEP = 10


def encode_report(
    findings: StudyFindings, *, sources: Mapping[str, Sequence[Dataset]], context: ReportContext
) -> Dataset:
    """Encode the findings of one study revision.

    Args:
        findings: The document; each of the five questions has at least one finding.
        sources: Headers (no pixels needed) of the instances of every series of the study, by Series Instance UID.
        context: Who, when, and which revision.

    Raises:
        ValueError: findings, sources and context are not of one study, there is no source, or a question has no answer.
    """
    instances = _instances(findings, sources, context)
    first = min(instances.values(), key=lambda header: str(header.SOPInstanceUID))
    origin = Origin(
        study_instance_uid=context.study_instance_uid,
        revision=context.revision,
        inputs=tuple(instances),
        software_version=context.software_version,
        models=findings.models,
        config_digest=context.config_digest,
    )
    report = Comprehensive3DSR(
        evidence=[stand_in(header) for header in instances.values()],
        content=_content(findings, instances, context),
        series_instance_uid=origin.uid(ObjectRole.REPORT, "series"),
        series_number=SERIES_NUMBER + REVISION_STEP * (context.revision - 1),
        sop_instance_uid=origin.uid(ObjectRole.REPORT),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=SOFTWARE_NAME,
        software_versions=plain(context.software_version),
        device_serial_number=plain(context.device_name),
        is_complete=True,
        is_final=False,
        is_verified=False,
        previous_versions=None if context.predecessor is None else [context.predecessor],
        contributing_equipment=contributing_equipment(findings.models, context),
        coding_schemes=[codes.coding_scheme()],
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    # Statements refer to no image. highdicom searches and copies the tree that it gets item by item, which takes longer
    # than to make it, so that they are added afterwards.
    report.ContentSequence.append(evaluations(findings))
    finish(report, first, context)
    fix_times(report)
    return report


def _instances(
    findings: StudyFindings, sources: Mapping[str, Sequence[Dataset]], context: ReportContext
) -> dict[str, Dataset]:
    """Source headers by SOP Instance UID, in the order of series UID, then as given."""
    instances = {str(h.SOPInstanceUID): h for series in sorted(sources) for h in sources[series]}
    if not instances:
        raise ValueError("a report needs at least one source instance, got none")
    studies = {findings.study_instance_uid, context.study_instance_uid}
    studies |= {str(h.StudyInstanceUID) for h in instances.values()}
    if len(studies) > 1:
        raise ValueError(f"findings, sources and context must be of one study, got {', '.join(sorted(studies))}")
    silent = [q.value for q in FIVE_QUESTIONS if not findings.of(q)]
    if silent:
        raise ValueError(f"each of the five questions needs an answer, got none for {', '.join(silent)}")
    return instances


def _content(findings: StudyFindings, instances: Mapping[str, Dataset], context: ReportContext) -> ContainerContentItem:
    groups = measurement_groups(findings, instances, context.software_version)
    children: list[ContentItem] = [
        *LanguageOfContentItemAndDescendants(DEFAULT_LANGUAGE),
        *device_observer(context),
        *imaged_procedures(findings, instances.values()),
        *image_library(findings, instances),
    ]
    if groups:
        children.append(container(table.DCM["126010"].code, groups))
    return container(table.DCM["126000"].code, children, template_id="1500")
