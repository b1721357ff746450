"""A submission that the gate lets through: one body, a signed report, and a radiologist who accepted the finding."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from builders.claim_attachments import attachment
from builders.findings import refused_findings
from claims.evidence import BodyEvidence, ClaimEvidence, Verdict
from claims.report import ReadReport, Report, SignedState
from inference.anatomy import Site, Vertebra
from inference.findings import Finding, FindingReview, Present, Question, ReviewStatus
from server.attachments import Submission
from server.auth.roles import LOOPBACK

STUDY = "1.2.826.0.1.3680043.8.498.1"
EVIDENCE = ClaimEvidence(
    claim_id="CLAIM-42",
    policy="p",
    policy_version="1",
    verdict=Verdict.SUPPORTS,
    bodies=(BodyEvidence(body=Vertebra.L1, verdict=Verdict.SUPPORTS, sentence=""),),
    criteria=(),
    concordance=(),
    prompts=(),
)
SIGNED = ReadReport(
    report=Report(id="R", text="", sha256="", format="pdf", signed=SignedState.SIGNED, study_instance_uid=STUDY),
    statements=(),
)
ACCEPTED = Finding(
    id="2.25.1",
    question=Question.COMPRESSION_FRACTURE,
    site=Site(level="L1"),
    assessment=Present(),
    review=FindingReview(status=ReviewStatus.ACCEPTED, reviewer="Jane Doe"),
)


def submission(**changes: Any) -> Submission:
    """To the destination ``acme``; any field may be given anew."""
    given: dict[str, Any] = {
        "attachment": attachment(),
        "destination": "acme",
        "evidence": EVIDENCE,
        "reports": [SIGNED],
        "findings": [replace(refused_findings(STUDY), findings=(ACCEPTED,))],
        "by": LOOPBACK,
    }
    return Submission(**(given | changes))
