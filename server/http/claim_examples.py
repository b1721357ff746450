"""Examples of what is posted about claims, as the OpenAPI document shows them; a test posts each of them."""

from __future__ import annotations

from pydantic import JsonValue

_PATIENT: dict[str, JsonValue] = {"medical_record_number": "MRN-1", "birth_date": "1950-01-31"}
CLAIM: dict[str, JsonValue] = {
    "schema": "spine-claim/1",
    "id": "CLAIM-1",
    "patient": _PATIENT | {"family_name": "Doe", "given_name": "Jane", "member_id": "MEMBER-1"},
    "payer_id": "MEDICARE",
    "policy": "medicare-pva",
    "service_date": "2026-03-01",
    "onset_date": "2026-02-01",
    "lines": [{"number": 1, "procedure": "22514", "units": 1, "diagnoses": ["M80.08XA"], "bodies": ["L1"]}],
}
REPORT: dict[str, JsonValue] = {
    "text": "FINDINGS: Acute compression fracture of L1 with marrow edema on STIR.\n"
    "IMPRESSION: Acute L1 compression fracture.",
    "facts": {
        "id": "R-1",
        "signed": "signed",
        "signed_by": "Ann Reader",
        "study_date": "2026-02-10",
        "modality": "MR",
        "patient": _PATIENT,
    },
}
DECISION: dict[str, JsonValue] = {"action": "noted", "reason": "The chart was asked for by phone."}
