"""A claim for the patient of a written series, a report of it, and the watch that judges claims again."""

from __future__ import annotations

from typing import Any

from builders.dicom import derived_uid

BODIES = ["L1"]
SIGNED_TEXT = """MRI LUMBAR SPINE WITHOUT CONTRAST
FINDINGS: Acute compression fracture of L1 with 31% height loss and marrow edema on STIR. No retropulsion.
IMPRESSION: Acute L1 compression fracture.
Electronically signed by Ann Reader, MD
"""


def record_number(study: str) -> str:
    """Patient ID of a written series (builders.dicom)."""
    return f"TEST-{derived_uid('patient', study)[-8:]}"


def patient_json(study: str) -> dict[str, str]:
    """Who a written series is of."""
    return {
        "medical_record_number": record_number(study),
        "family_name": "Invented",
        "given_name": "Patient",
        "birth_date": "1960-01-01",
    }


def claim_json(study: str, *, number: str = "A-1001", bodies: list[str] | None = None, **more: Any) -> dict[str, Any]:
    """Kyphoplasty of a lumbar body some weeks after images of 2026-05-10."""
    line = {
        "number": 1,
        "procedure": "22514",
        "units": 1,
        "diagnoses": ["M80.08XA"],
        "bodies": BODIES if bodies is None else bodies,
    }
    return {
        "schema": "spine-claim/1",
        "id": number,
        "patient": patient_json(study),
        "payer_id": "PAYER",
        "policy": "medicare-pva",
        "service_date": "2026-06-01",
        "onset_date": "2026-05-01",
        "lines": [line],
    } | more


def report_json(study: str, study_instance_uid: str, text: str = SIGNED_TEXT, **more: Any) -> dict[str, Any]:
    """The signed report of a written series."""
    facts = {
        "id": "R-1",
        "signed": "signed",
        "signed_by": "Ann Reader",
        "study_date": "2026-05-10",
        "modality": "MR",
        "study_instance_uid": study_instance_uid,
        "patient": patient_json(study),
    }
    return {"text": text, "facts": facts | more}
