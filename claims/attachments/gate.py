"""Whether an attachment may be sent: a signed report, and a physician who accepted the finding; else what is missing.

It asks no more: whether the evidence supports the claim is for the people who send it. What the AI saw alone, not
reviewed or rejected, never opens this gate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from claims.attachment import AttachmentRefusal
from claims.evidence import ClaimEvidence, Prompt
from claims.report import ReadReport, SignedState
from inference.anatomy import Vertebra
from inference.findings import Finding, Present, Question, ReviewStatus, StudyFindings

STANDING = frozenset({ReviewStatus.ACCEPTED, ReviewStatus.CORRECTED, ReviewStatus.ADDED})
"""What a finding became in a review that a physician answers for."""


def missing(
    evidence: ClaimEvidence, reports: Sequence[ReadReport], findings: Sequence[StudyFindings]
) -> tuple[Prompt, ...]:
    """What is still to be done before the attachment may be sent, each as one sentence; nothing: it may be sent.

    Args:
        evidence: of the claim.
        reports: every report that was read for it.
        findings: of its studies, after their newest review where there is one.
    """
    return (*_of_reports(reports, findings), *_of_bodies(evidence, findings))


def require_open(evidence: ClaimEvidence, reports: Sequence[ReadReport], findings: Sequence[StudyFindings]) -> None:
    """Refuse while anything is missing.

    Raises:
        AttachmentRefusal: says everything that is missing.
    """
    prompts = missing(evidence, reports, findings)
    if prompts:
        raise AttachmentRefusal(f"The attachment is not sent yet. {' '.join(prompt.sentence for prompt in prompts)}")


def _of_reports(reports: Sequence[ReadReport], findings: Sequence[StudyFindings]) -> Iterator[Prompt]:
    if not reports:
        yield Prompt(
            code="attach_signed_report", sentence="There is no radiology report: attach the signed report of the study."
        )
        return
    signed = [read.report for read in reports if read.report.signed is SignedState.SIGNED]
    if not signed:
        yield Prompt(
            code="sign_report",
            sentence="No report is signed, or none says so: attach the report after a radiologist signed it.",
        )
        return
    studies = {document.study_instance_uid for document in findings}
    named = {report.study_instance_uid for report in signed}
    if None not in named and studies and not named & studies:
        yield Prompt(
            code="report_of_another_study",
            sentence="The signed report is of another study than the findings: attach the report of the study that "
            "was reviewed.",
        )


def _of_bodies(evidence: ClaimEvidence, findings: Sequence[StudyFindings]) -> Iterator[Prompt]:
    if not evidence.is_of_fracture:
        yield Prompt(
            code="send_otherwise",
            sentence="Attachments are made here for vertebral augmentation only: send the report and the images of "
            "this claim in another way.",
        )
        return
    if not evidence.bodies:
        yield Prompt(
            code="name_bodies",
            sentence="The claim names no vertebral body: enter the treated bodies from the procedure note.",
        )
    for body in (item.body for item in evidence.bodies):
        found = [finding for document in findings for finding in document.findings if _is_of(finding, body)]
        if not any(_stands(finding) for finding in found):
            code, sentence = _why(body, found)
            yield Prompt(code=code, sentence=sentence, body=body)


def _is_of(finding: Finding, body: Vertebra) -> bool:
    return finding.question is Question.COMPRESSION_FRACTURE and finding.site.level == body.name


def _stands(finding: Finding) -> bool:
    """Whether a physician says that the fracture is there."""
    return isinstance(finding.assessment, Present) and finding.review is not None and finding.review.status in STANDING


def _why(body: Vertebra, found: Sequence[Finding]) -> tuple[str, str]:
    if not found:
        return (
            "review_finding",
            f"No study has a finding of a compression fracture at {body.name}: a radiologist has to review the study.",
        )
    if any(finding.review is None for finding in found):
        return (
            "review_finding",
            f"The finding at {body.name} was not reviewed: a radiologist has to accept it in the review.",
        )
    if any(finding.review and finding.review.status is ReviewStatus.REJECTED for finding in found):
        return (
            "finding_rejected",
            f"The radiologist rejected the fracture at {body.name} in the review: the attachment cannot claim it.",
        )
    return (
        "finding_absent",
        f"After the review no fracture is called at {body.name}: the attachment cannot claim it.",
    )
