from __future__ import annotations

from dataclasses import replace

import pytest

from builders.findings import refused_findings
from claims.attachment import AttachmentRefusal
from claims.attachments.gate import missing, require_open
from claims.evidence import BodyEvidence, ClaimEvidence, Verdict
from claims.report import ReadReport, Report, SignedState
from inference.anatomy import Site, Vertebra
from inference.errors import ReasonCode
from inference.findings import (
    Absent,
    Assessment,
    Finding,
    FindingReview,
    NotAssessed,
    Present,
    Question,
    ReviewStatus,
    StudyFindings,
)

STUDY = "1.2.3"
REJECTED = NotAssessed(reason=ReasonCode.REJECTED, sentence="The reviewer rejected it.")


def evidence(*bodies: Vertebra) -> ClaimEvidence:
    return ClaimEvidence(
        claim_id="CLAIM-42",
        policy="p",
        policy_version="1",
        verdict=Verdict.SUPPORTS,
        bodies=tuple(BodyEvidence(body=body, verdict=Verdict.SUPPORTS, sentence="") for body in bodies),
        criteria=(),
        concordance=(),
        prompts=(),
    )


def report(signed: SignedState = SignedState.SIGNED, study: str | None = STUDY) -> ReadReport:
    made = Report(id="R", text="", sha256="", format="text", signed=signed, study_instance_uid=study)
    return ReadReport(report=made, statements=())


def finding(
    level: str = "L1", status: ReviewStatus | None = ReviewStatus.ACCEPTED, assessment: Assessment | None = None
) -> Finding:
    review = None if status is None else FindingReview(status=status, reviewer="Jane Doe")
    return Finding(
        id="2.25.1",
        question=Question.COMPRESSION_FRACTURE,
        site=Site(level=level),
        assessment=assessment or Present(),
        review=review,
    )


def study(*findings: Finding, uid: str = STUDY) -> StudyFindings:
    return replace(refused_findings(uid), findings=findings)


def codes(*arguments: object) -> list[tuple[str, str | None]]:
    return [(p.code, p.body.name if p.body else None) for p in missing(*arguments)]  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [ReviewStatus.ACCEPTED, ReviewStatus.CORRECTED, ReviewStatus.ADDED])
def test_a_signed_report_and_a_reviewed_fracture_open_it(status: ReviewStatus) -> None:
    assert missing(evidence(Vertebra.L1), [report()], [study(finding(status=status))]) == ()
    require_open(evidence(Vertebra.L1), [report()], [study(finding(status=status))])


@pytest.mark.parametrize(
    ("reports", "code"),
    [
        ([], "attach_signed_report"),
        ([report(SignedState.UNSIGNED)], "sign_report"),
        ([report(SignedState.UNKNOWN)], "sign_report"),
        ([report(study="9.9.9")], "report_of_another_study"),
    ],
)
def test_without_a_signed_report_it_is_closed(reports: list[ReadReport], code: str) -> None:
    assert codes(evidence(Vertebra.L1), reports, [study(finding())]) == [(code, None)]


def test_a_report_that_does_not_say_its_study_is_taken_at_its_word() -> None:
    assert codes(evidence(Vertebra.L1), [report(study=None)], [study(finding())]) == []


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ((), "review_finding"),
        ((finding("L2"),), "review_finding"),
        ((finding(status=None),), "review_finding"),
        (
            (finding(status=ReviewStatus.REJECTED, assessment=REJECTED),),
            "finding_rejected",
        ),
        ((finding(assessment=Absent()),), "finding_absent"),
    ],
)
def test_what_the_ai_saw_alone_never_opens_it(findings: tuple[Finding, ...], code: str) -> None:
    assert codes(evidence(Vertebra.L1), [report()], [study(*findings)]) == [(code, "L1")]


def test_another_finding_of_the_body_does_not_count() -> None:
    other = replace(finding(), question=Question.HARDWARE_LOOSENING)

    assert codes(evidence(Vertebra.L1), [report()], [study(other)]) == [("review_finding", "L1")]


def test_each_body_is_asked_for_and_one_study_of_several_is_enough() -> None:
    found = [study(finding("L1", None)), study(finding("L1"), finding("T12"), uid="1.2.4")]

    assert codes(evidence(Vertebra.L1, Vertebra.T12), [report()], found) == []
    assert codes(evidence(Vertebra.L1, Vertebra.L3), [report()], found) == [("review_finding", "L3")]


def test_the_block_says_everything_that_is_missing() -> None:
    with pytest.raises(AttachmentRefusal) as refused:
        require_open(evidence(Vertebra.L1, Vertebra.L2), [], [study(finding("L2", None))])

    assert str(refused.value) == (
        "The attachment is not sent yet. There is no radiology report: attach the signed report of the study. "
        "No study has a finding of a compression fracture at L1: a radiologist has to review the study. "
        "The finding at L2 was not reviewed: a radiologist has to accept it in the review."
    )


def test_a_claim_without_bodies_is_asked_for_them() -> None:
    assert codes(evidence(), [report()], [study(finding())]) == [("name_bodies", None)]


def test_a_claim_that_is_about_no_fracture_is_told_so_and_not_asked_for_one() -> None:
    prompts = missing(replace(evidence(Vertebra.L4), is_of_fracture=False), [], [])
    assert [prompt.code for prompt in prompts] == ["attach_signed_report", "send_otherwise"]
