"""Evidence as JSON, schema ``spine-claim-evidence/1``: canonical bytes, without identity of the patient."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from claims.evidence import ClaimEvidence, Pointer
from inference.anatomy import Vertebra

SCHEMA = "spine-claim-evidence/1"
NOTICE = (
    "Made by software from the documents that it names, for a person to judge: nothing here says approved, covered or "
    "denied. For research use only; not for use in diagnostic procedures."
)


def encode_evidence(evidence: ClaimEvidence) -> bytes:
    """Sorted keys, UTF-8, two-space indent, one newline at the end; the same evidence gives the same bytes."""
    return (json.dumps(to_json(evidence), ensure_ascii=False, indent=2, sort_keys=True) + "\n").encode()


def to_json(evidence: ClaimEvidence) -> dict[str, Any]:
    """The evidence as JSON values; lists in the order of the evidence."""
    return {
        "schema": SCHEMA,
        "notice": NOTICE,
        "claim_id": evidence.claim_id,
        "policy": evidence.policy,
        "policy_version": evidence.policy_version,
        "policy_documents": list(evidence.policy_documents),
        "verdict": evidence.verdict.value,
        "bodies": [
            {
                "body": one.body.name,
                "verdict": one.verdict.value,
                "sentence": one.sentence,
                "pointers": _pointers(one.pointers),
            }
            for one in evidence.bodies
        ],
        "criteria": [
            {
                "criterion": one.criterion,
                "title": one.title,
                "answered_by": [source.value for source in one.answered_by],
                "state": one.state.value,
                "sentence": one.sentence,
                "body": _body(one.body),
                "pointers": _pointers(one.pointers),
            }
            for one in evidence.criteria
        ],
        "concordance": [
            {"code": one.code, "sentence": one.sentence, "agrees": one.agrees} for one in evidence.concordance
        ],
        "prompts": [{"code": one.code, "sentence": one.sentence, "body": _body(one.body)} for one in evidence.prompts],
    }


def _body(body: Vertebra | None) -> str | None:
    return None if body is None else body.name


def _pointers(pointers: Sequence[Pointer]) -> list[dict[str, str]]:
    return [{"kind": one.kind.value, "reference": one.reference, "text": one.text} for one in pointers]
