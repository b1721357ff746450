"""Procedure Reported: the *imaged* procedure, never the algorithm (IHE AIR 6.5.3.1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from highdicom.sr import CodeContentItem, RelationshipTypeValues
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom_node import code_table as table
from dicom_node.sr.items import code_item
from inference.findings import StudyFindings

LUMBAR, THORACIC, CERVICAL = "lumbar", "thoracic", "cervical"

_BODY_PARTS: dict[str, str] = {"LSPINE": LUMBAR, "LSSPINE": LUMBAR, "TSPINE": THORACIC, "CSPINE": CERVICAL}
"""Defined terms of Body Part Examined (PS3.16 Annex L)."""
REGION_BODY_PART: dict[str | None, str] = {LUMBAR: "LSPINE", THORACIC: "TSPINE", CERVICAL: "CSPINE", None: "SPINE"}
_LETTER_REGION: dict[str, str] = {"L": LUMBAR, "S": LUMBAR, "T": THORACIC, "C": CERVICAL}

_MR, _CT = table.LN_STANDARD["25056-3"].code, table.LN_STANDARD["25045-6"].code
_XR = table.LN_STANDARD["43468-8"].code
_FAMILY: dict[str, tuple[Code, dict[str, str]]] = {
    "MR": (_MR, {LUMBAR: "24968-0", THORACIC: "24980-5", CERVICAL: "24935-9"}),
    "CT": (_CT, {LUMBAR: "24963-1", THORACIC: "24978-9"}),
    **dict.fromkeys(("CR", "DX", "RF", "XA"), (_XR, {LUMBAR: "24972-2", THORACIC: "24983-9"})),
}
"""Modality to (LOINC of an unspecified body region, CID 100; LOINC per region)."""


def imaged_procedures(findings: StudyFindings, headers: Iterable[Dataset]) -> list[CodeContentItem]:
    """Procedure Reported items: one per modality of the study that has a code; never empty."""
    sources = list(headers)
    region = region_of((f.site.level for f in findings.findings), sources)
    modalities = (str(header.get("Modality", "")) for header in sources)
    name = table.DCM["121058"].code
    return [code_item(name, value, RelationshipTypeValues.HAS_CONCEPT_MOD) for value in _codes(modalities, region)]


def region_of(levels: Iterable[str | None], headers: Iterable[Dataset]) -> str | None:
    """The part of the spine that most of the named levels belong to; else what Body Part Examined says; else None."""
    named = Counter(_LETTER_REGION[level[0]] for level in levels if level)
    if not named:
        parts = (str(header.get("BodyPartExamined", "")).strip().upper() for header in headers)
        named = Counter(_BODY_PARTS[part] for part in parts if part in _BODY_PARTS)
    return max(sorted(named), key=lambda region: named[region]) if named else None


def _codes(modalities: Iterable[str], region: str | None) -> list[Code]:
    """LOINC codes, one per modality family; (363679005, SCT, Imaging procedure) where no modality has one."""
    found: list[Code] = []
    for modality in sorted(set(modalities)):
        if modality in _FAMILY:
            general, by_region = _FAMILY[modality]
            value = by_region.get(region or "")
            code = table.LN_PROCEDURES[value].code if value else general
            if code not in found:
                found.append(code)
    return found or [table.SCT["363679005"].code]
