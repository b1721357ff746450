"""From a claim and its material to the evidence."""

from __future__ import annotations

from collections.abc import Sequence

from claims.check import check_claim
from claims.claim import Claim
from claims.criteria import CriteriaTable
from claims.engine.ai import with_findings
from claims.engine.concordance import facts_of
from claims.engine.criteria import answer_criteria
from claims.engine.material import gather
from claims.engine.verdict import judge
from claims.engine.view import view_of
from claims.evidence import BodyEvidence, ClaimEvidence, Prompt, Verdict
from claims.report import ReadReport, Topic
from claims.study import Study
from inference.findings import StudyFindings


def evaluate(
    claim: Claim,
    table: CriteriaTable,
    *,
    studies: Sequence[Study] = (),
    findings: Sequence[StudyFindings] = (),
    reports: Sequence[ReadReport] = (),
) -> ClaimEvidence:
    """The evidence for a claim.

    Args:
        claim: What is billed.
        table: The criteria that it goes by; see Catalogue.table_for.
        studies: The patient's studies that are at hand, of any day and kind.
        findings: Of those studies, as the AI gave them or reviewed.
        reports: Read reports, signed or not.

    Raises:
        ClaimRefusal: the claim is not sound, something is given twice, or a study or report is not surely the
            patient's.
    """
    check_claim(claim)
    material = gather(claim, table, studies, findings, reports)
    bodies = claim.bodies or (None,)
    answered = answer_criteria(material, bodies)
    prompts: list[Prompt] = []
    judged: list[BodyEvidence] = []
    verdicts: list[Verdict] = []
    for body in bodies:
        view = view_of(material, body, answered.unmet(table.verdict.needs, body))
        outcome = with_findings(judge(view), view)
        prompts += outcome.prompts
        verdicts.append(outcome.verdict)
        if body is not None:
            judged.append(
                BodyEvidence(body=body, verdict=outcome.verdict, sentence=outcome.sentence, pointers=outcome.pointers)
            )
    if not claim.bodies and not any(prompt.code == "name_bodies" for prompt in prompts):
        sentence = "The claim names no vertebral body: take it from the procedure note."
        prompts.append(Prompt(code="name_bodies", sentence=sentence))
    if claim.jurisdiction is None and table.documents:
        sentence = "The claim names no state or contractor, so it is open which of the policy's documents holds."
        prompts.append(Prompt(code="name_jurisdiction", sentence=sentence))
    facts = facts_of(claim, judged)
    prompts += [
        Prompt(code="check_concordance", sentence=f"Codes, levels or units do not agree: {fact.sentence}")
        for fact in facts
        if fact.agrees is False
    ]
    order = list(Verdict)
    return ClaimEvidence(
        claim_id=claim.id,
        policy=table.id,
        policy_version=table.version,
        verdict=min(verdicts, key=order.index),
        bodies=tuple(judged),
        criteria=answered.answers,
        concordance=facts,
        prompts=tuple(dict.fromkeys([*prompts, *answered.prompts])),
        is_of_fracture=table.verdict.finding is Topic.FRACTURE,
        policy_documents=tuple(document.id for document in table.documents_of(claim.jurisdiction)),
    )
