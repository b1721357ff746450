"""One Comprehensive 3D SR (TID 1500) per study revision, and one per review of it.

Root: language, device observer, procedure reported, image library (the images that are referred to), imaging
measurements (only when something can be drawn: an empty container is not allowed, and a group without coordinates there
breaks OHIF), qualitative evaluations (always).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from highdicom.sr import Comprehensive3DSR, ContainerContentItem, ContentItem
from highdicom.sr.templates import DEFAULT_LANGUAGE, LanguageOfContentItemAndDescendants
from pydicom.dataset import Dataset

from dicom_node import code_table as table
from dicom_node.derived import ReportContext
from dicom_node.equipment import observers
from dicom_node.sr.groups import measurement_groups
from dicom_node.sr.items import container
from dicom_node.sr.library import image_library
from dicom_node.sr.procedure import imaged_procedures
from dicom_node.sr.skeleton import ReportPlace, begin_report, complete_report
from dicom_node.sr.statements import evaluations
from dicom_node.sr.verification import VERIFIED_SERIES_NUMBER, verified_context
from dicom_node.uids import ObjectRole
from inference.findings import FIVE_QUESTIONS, StudyFindings
from inference.findings.encode import encode

SERIES_NUMBER = 9001
"""Of the first revision; later ones follow in steps of derived.REVISION_STEP."""
EXCERPT_SERIES_NUMBER = 9701
"""Of every excerpt: each is in a series of its own."""


def encode_report(
    findings: StudyFindings, *, sources: Mapping[str, Sequence[Dataset]], context: ReportContext
) -> Dataset:
    """Encode the findings of one study revision; reviewed ones as a verified report.

    Args:
        findings: The document; each of the five questions has at least one finding.
        sources: Headers (no pixels needed) of the instances of every series of the study, by Series Instance UID.
        context: Who, when, and which revision. Of reviewed findings, ``predecessor`` is the SR of the findings as the
            AI gave them, and the time is that of the review.

    Raises:
        ValueError: findings, sources and context are not of one study, there is no source, or a question has no answer;
            or the findings are reviewed and there is no predecessor.
    """
    instances = _instances(findings, sources, context)
    role, number = _role(findings, context), _series_number(findings, context)
    place = ReportPlace(role=role, series_number=number, headers=list(instances.values()))
    content = _content(findings, instances, context)
    report = begin_report(Comprehensive3DSR, content, place=place, findings=findings, context=context)
    # Statements refer to no image. highdicom searches and copies the tree that it gets item by item, which takes longer
    # than to make it, so that they are added afterwards.
    report.ContentSequence.append(evaluations(findings, (context.excerpt, context.earlier_review)))
    described = context if findings.review is None else verified_context(context, findings.review)
    complete_report(report, place.headers, described)
    return report


def _role(findings: StudyFindings, context: ReportContext) -> tuple[str, ...]:
    """What the report is; one that is verified or an excerpt is told apart from others by what it says."""
    if context.excerpt is not None:
        return (ObjectRole.EXCERPT, hashlib.sha256(encode(findings)).hexdigest())
    if findings.review is None:
        return (ObjectRole.REPORT,)
    return (ObjectRole.VERIFIED_REPORT, hashlib.sha256(encode(findings)).hexdigest())


def _series_number(findings: StudyFindings, context: ReportContext) -> int:
    if findings.review is not None and context.predecessor is None:
        raise ValueError("a verified report needs the report that was reviewed as its predecessor, got none")
    if context.excerpt is not None:
        return EXCERPT_SERIES_NUMBER
    if findings.review is None:
        return context.series_number(SERIES_NUMBER)
    return VERIFIED_SERIES_NUMBER + findings.review.number - 1


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
    if silent and context.excerpt is None:
        raise ValueError(f"each of the five questions needs an answer, got none for {', '.join(silent)}")
    return instances


def _content(findings: StudyFindings, instances: Mapping[str, Dataset], context: ReportContext) -> ContainerContentItem:
    groups = measurement_groups(findings, instances, context.software_version)
    children: list[ContentItem] = [
        *LanguageOfContentItemAndDescendants(DEFAULT_LANGUAGE),
        *observers(context, None if findings.review is None else findings.review.reviewer),
        *imaged_procedures(findings, instances.values()),
        *image_library(findings, instances),
    ]
    if groups:
        children.append(container(table.DCM["126010"].code, groups))
    return container(table.DCM["126000"].code, children, template_id="1500")
