"""Every answer as a coded statement, in the Qualitative Evaluations container at the root (TID 1500 rows 12-14).

There, items without coordinates break no viewer, and it makes a report complete that has nothing to draw: TID 1500 asks
for at least one of its three containers. One CODE item per finding: question = answer, with site, tracking UID,
algorithm, grades and numbers below it. Silence never reads as normal: absent and not assessed are said.

A number that could not be had is a CODE item: the measurement = its CID 42 qualifier. A NUM item without value would be
the standard's own form (PS3.3 C.18.1), but highdicom 0.28 cannot read a report that holds one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from highdicom.sr import ContainerContentItem, ContentItem, NumContentItem

from dicom_node import code_table as table
from dicom_node import codes
from dicom_node.equipment import arithmetic_algorithm, model_name
from dicom_node.sr.items import (
    CONTAINS,
    HAS_PROPERTIES,
    code_item,
    comment,
    container,
    finding_site,
    grade_item,
    nested,
    number,
    text_item,
    tracking_item,
    uncertainty_items,
)
from dicom_node.sr.words import statement
from inference.anatomy import Numbering
from inference.errors import ReasonCode
from inference.findings import (
    Calibration,
    Finding,
    FindingReview,
    Measurement,
    NotAssessed,
    ReviewStatus,
    StudyFindings,
)


def evaluations(findings: StudyFindings, remarks: Iterable[str | None] = ()) -> ContainerContentItem:
    """The container: research use, remarks on the report, level numbering, limits, every finding in order."""
    items: list[ContentItem] = [comment(findings.notice), *(comment(remark) for remark in remarks if remark)]
    items += [_numbering(findings.numbering), *_limits(findings)]
    items += [_statement(finding, findings) for finding in findings.findings]
    return container(table.OTHERS["C0034375"].code, items)


def _numbering(numbering: Numbering) -> ContentItem:
    """Whether the levels can be trusted: a wrong level is the worst error that this software can make."""
    item = code_item(table.OWN_EVALUATIONS["NUMBERING"].code, codes.numbering_code(numbering), CONTAINS)
    return nested(item, [comment(f"{numbering.method.replace('_', ' ')}: {numbering.note}", HAS_PROPERTIES)])


def _limits(findings: StudyFindings) -> Iterator[ContentItem]:
    """The warnings about series, read or left; the numbering says its own."""
    warnings = [warning for series in findings.series for warning in series.warnings]
    yield from (comment(sentence) for code, sentence in warnings if code is not ReasonCode.NUMBERING)


def _statement(finding: Finding, findings: StudyFindings) -> ContentItem:
    item = code_item(
        codes.question_code(finding.question, finding.site), codes.answer_code(finding.assessment), CONTAINS
    )
    return nested(item, _properties(finding, findings))


def _properties(finding: Finding, findings: StudyFindings) -> Iterator[ContentItem]:
    yield tracking_item(finding.id)
    yield finding_site(finding.site)
    model = next((m for m in findings.models if m.name == finding.model), None)
    if model is not None:
        yield from model_name(model)
    yield comment(statement(finding), HAS_PROPERTIES)
    if isinstance(finding.assessment, NotAssessed):
        why = table.OWN_EVALUATIONS["NOT_ASSESSED_WHY"].code
        yield code_item(why, codes.reason_code(finding.assessment.reason), HAS_PROPERTIES)
    if finding.operating_point is not None:
        yield text_item(table.OWN_EVALUATIONS["OPERATING_POINT"].code, finding.operating_point, HAS_PROPERTIES)
    if finding.review is not None:
        yield from _review(finding.review)
    yield from (grade_item(grade, HAS_PROPERTIES) for grade in finding.grades)
    yield from _numbers(finding, findings)


def _review(review: FindingReview) -> Iterator[ContentItem]:
    """What a person made of it, and the coded reason."""
    yield code_item(*codes.review_codes(review.status), HAS_PROPERTIES)
    if review.reason is not None:
        why = table.OWN_REVIEW["REVIEW_WHY"].code
        yield code_item(why, table.OWN_REVIEW[review.reason].code, HAS_PROPERTIES)


def _numbers(finding: Finding, findings: StudyFindings) -> Iterator[ContentItem]:
    """What was measured, what could not be, and the probability."""
    yield from (_measured(m, findings.software_version) for m in finding.measurements)
    is_rejected = finding.review is not None and finding.review.status is ReviewStatus.REJECTED
    name = None if is_rejected else codes.main_measurement(finding.question, finding.site)
    if name and isinstance(finding.assessment, NotAssessed) and finding.measurement(name) is None:
        yield code_item(codes.measurement_code(name), codes.QUALIFIERS[finding.assessment.reason], HAS_PROPERTIES)
    if finding.probability is not None:
        calibrated = finding.calibration is Calibration.REAL
        concept = table.DCM["122157"] if calibrated else table.OWN_MEASUREMENTS["SCORE"]
        yield number(concept.code, finding.probability, "1", HAS_PROPERTIES)


def _measured(measurement: Measurement, software_version: str) -> NumContentItem:
    """A number with its uncertainty, its method in words, and our arithmetic as its algorithm."""
    item = number(codes.measurement_code(measurement.name), measurement.value, measurement.unit, HAS_PROPERTIES)
    method = text_item(table.OWN_EVALUATIONS["METHOD"].code, measurement.method, HAS_PROPERTIES)
    nested(item, [*arithmetic_algorithm(software_version), *uncertainty_items(measurement), method])
    return item
