"""Codes, identifiers, quantities and references as FHIR writes them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, TypeAlias

from pydicom.sr.coding import Code

from dicom_node.code_table import PRIVATE_SCHEME
from inference.provenance import deterministic_uid

Json: TypeAlias = dict[str, Any]

SYSTEMS: Mapping[str, str] = {
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "SCT": "http://snomed.info/sct",
    "LN": "http://loinc.org",
    "UCUM": "http://unitsofmeasure.org",
    PRIVATE_SCHEME: f"urn:oid:{deterministic_uid('coding scheme', PRIVATE_SCHEME)}",
}
"""By coding scheme designator: the FHIR terminology registry's URI; our private scheme has a derived OID."""
DICOM_UID = "urn:dicom:uid"
"""System of identifiers that are DICOM UIDs; their values begin with urn:oid: (FHIR R4 ImagingStudy, 5.3.1)."""
IDENTIFIER_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"
LATERALITY = Code("272741003", "SCT", "Laterality")
"""PS3.16 TID 300 and others."""
TOPOGRAPHICAL_MODIFIER = Code("106233006", "SCT", "Topographical modifier")
"""PS3.16 TID 300 and others."""
IMAGING_STUDY_REPORT = Code("18748-4", "LN", "Diagnostic imaging study")
"""The LOINC document type that HL7 attachments use for radiology."""
SECURITY_LABELS: tuple[Json, ...] = (
    {
        "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
        "code": "AIAST",
        "display": "Artificial Intelligence asserted",
    },
    {
        "system": "http://terminology.hl7.org/CodeSystem/v3-ActReason",
        "code": "HRESCH",
        "display": "healthcare research",
    },
)
"""On everything that is asserted: made by AI, for research (HL7 AI transparency; v3 purpose of use)."""
PERSONS_LABELS: tuple[Json, ...] = (
    {
        "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
        "code": "CLINAST",
        "display": "clinician asserted",
    },
    SECURITY_LABELS[1],
)
"""On what a reviewer added (HL7 v3 SecurityIntegrityObservationValue)."""
AI_CONFIDENCE = "http://hl7.org/fhir/uv/aitransparency/StructureDefinition/AIconfidence"
"""Extension of HL7's AI Transparency on FHIR (R4, 1.0.0): how sure AI is of the element, here in words."""


def coding(code: Code) -> Json:
    """One Coding; KeyError for a scheme without a URI."""
    return {"system": SYSTEMS[code.scheme_designator], "code": code.value, "display": code.meaning}


def concept(*codes: Code, text: str | None = None) -> Json:
    """One CodeableConcept; without a text, the first code's meaning."""
    return {"coding": [coding(code) for code in codes], "text": codes[0].meaning if text is None else text}


def quantity(value: float, unit: str) -> Json:
    """A number with its UCUM unit."""
    return {"value": value, "unit": unit, "system": SYSTEMS["UCUM"], "code": unit}


def uid_identifier(uid: str, kind: Code | None = None) -> Json:
    """A DICOM UID as an identifier."""
    identifier: Json = {"system": DICOM_UID, "value": f"urn:oid:{uid}"}
    return identifier if kind is None else {"type": concept(kind)} | identifier


def typed_identifier(kind: str, value: str) -> Json:
    """An identifier of an HL7 type (table 0203), like ``ACSN`` or ``MR``."""
    return {"type": {"coding": [{"system": IDENTIFIER_TYPES, "code": kind}]}, "value": value}


def resource_id(*parts: str) -> str:
    """The id of a resource, a UUID that follows from stable parts."""
    return str(uuid.UUID(int=int(deterministic_uid("fhir", *parts).removeprefix("2.25."))))


def reference(resource: Json) -> Json:
    """A reference to a resource of the same bundle."""
    return {"reference": f"urn:uuid:{resource['id']}", "type": resource["resourceType"]}
