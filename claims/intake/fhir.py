"""A FHIR R4 Claim, checked with fhir.resources (R4B, which has the same Claim).

Patient, provider and insurer are taken from contained resources or from the identifiers of the references; a reference
to another server is not followed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from fhir.resources.R4B.claim import Claim as FhirClaim
from pydantic import ValidationError
from pydicom.sr.codedict import codes

from claims.claim import Claim, ClaimRefusal, ClaimUse, Patient, ServiceLine
from claims.intake.bodies import bodies_in
from claims.intake.icd import with_dot
from inference.anatomy import REGULAR_VERTEBRAE, Vertebra

CPT = "http://www.ama-assn.org/go/cpt"
NPI = "http://hl7.org/fhir/sid/us-npi"
IDENTIFIER_TYPES: Mapping[str, str] = {"MR": "medical_record_number", "MB": "member_id"}
"""HL7 v2 table 0203."""
SEXES: Mapping[str, str] = {"female": "F", "male": "M", "other": "O"}
VERTEBRAE: Mapping[str, Vertebra] = {
    getattr(codes.SCT, f"{body.name}Vertebra").value: body for body in REGULAR_VERTEBRAE if body is not Vertebra.S1
}
"""By SNOMED CT code of PS3.16 CID 7603, which has none for S1."""
USES: Mapping[str, ClaimUse] = {"claim": ClaimUse.CLAIM, "preauthorization": ClaimUse.PREAUTHORIZATION}


def read_fhir(values: Mapping[str, Any]) -> Claim:
    """The claim; ClaimRefusal names what FHIR's definition or we miss, without a value."""
    try:
        FhirClaim.model_validate(values)
    except ValidationError as error:
        faults = [".".join(map(str, fault["loc"])) for fault in error.errors(include_input=False, include_url=False)]
        raise ClaimRefusal(f"The FHIR Claim is not valid R4 at {', '.join(dict.fromkeys(faults))}.") from None
    if values["use"] not in USES:
        raise ClaimRefusal(f"A claim's use is {' or '.join(USES)}, got {values['use']}.")
    items = values.get("item", [])
    return Claim(
        id=_number(values),
        use=USES[values["use"]],
        patient=_patient(values),
        payer_id=_identifier(_resource(values, values.get("insurer", {})), None),
        payer_name=str(values.get("insurer", {}).get("display", "")),
        provider_npi=_identifier(_resource(values, values["provider"]), NPI),
        service_date=_service_date(values),
        onset_date=_onset(values),
        lines=tuple(_line(item, values) for item in items),
    )


def _number(values: Mapping[str, Any]) -> str:
    identifiers = [str(i["value"]) for i in values.get("identifier", []) if i.get("value")]
    return identifiers[0] if identifiers else str(values.get("id", ""))


def _resource(values: Mapping[str, Any], reference: Mapping[str, Any]) -> Mapping[str, Any]:
    """The contained resource of a reference, with the reference's own identifier and name."""
    target = str(reference.get("reference", ""))
    found: Mapping[str, Any] = next((r for r in values.get("contained", []) if target == f"#{r.get('id')}"), {})
    own = [reference["identifier"]] if "identifier" in reference else []
    return {**found, "identifier": [*found.get("identifier", []), *own]}


def _identifier(resource: Mapping[str, Any], system: str | None) -> str:
    fits = [i for i in resource.get("identifier", []) if i.get("value") and system in (None, i.get("system"))]
    return str(fits[0]["value"]) if fits else ""


def _patient(values: Mapping[str, Any]) -> Patient:
    resource = _resource(values, values["patient"])
    name: Mapping[str, Any] = next(iter(resource.get("name", [])), {})
    numbers = dict.fromkeys(IDENTIFIER_TYPES.values(), "")
    for identifier in resource["identifier"]:
        for coding in identifier.get("type", {}).get("coding", []):
            if kind := IDENTIFIER_TYPES.get(coding.get("code", "")):
                numbers[kind] = str(identifier.get("value", ""))
    return Patient(
        medical_record_number=numbers["medical_record_number"] or None,
        member_id=numbers["member_id"] or None,
        family_name=str(name.get("family", "")),
        given_name=" ".join(name.get("given", [])),
        birth_date=_day(resource.get("birthDate")),
        sex=SEXES.get(str(resource.get("gender", ""))),
    )


def _service_date(values: Mapping[str, Any]) -> date:
    days = [day for item in values.get("item", []) if (day := _item_day(item))]
    period = _day(values.get("billablePeriod", {}).get("start"))
    if not days and period is None:
        raise ClaimRefusal("The FHIR Claim has no date of service: item.servicedDate or billablePeriod.start.")
    return min(days) if days else period or date.min


def _item_day(item: Mapping[str, Any]) -> date | None:
    return _day(item.get("servicedDate") or item.get("servicedPeriod", {}).get("start"))


def _onset(values: Mapping[str, Any]) -> date | None:
    """SupportingInfo of the category ``onset`` (claim information category codes), or the accident's date."""
    for info in values.get("supportingInfo", []):
        if "onset" in _codes(info.get("category", {})):
            return _day(info.get("timingDate") or info.get("timingPeriod", {}).get("start"))
    return _day(values.get("accident", {}).get("date"))


def _line(item: Mapping[str, Any], values: Mapping[str, Any]) -> ServiceLine:
    number = int(item["sequence"])
    codes = [c["code"] for c in item["productOrService"].get("coding", []) if c.get("system") in (CPT, None)]
    if not codes:
        raise ClaimRefusal(f"Item {number} has no CPT code ({CPT}).")
    units = item.get("quantity", {}).get("value", 1)
    if units != int(units):
        raise ClaimRefusal(f"Units of item {number} are a whole number, got {units}.")
    diagnoses = {d["sequence"]: d.get("diagnosisCodeableConcept", {}) for d in values.get("diagnosis", [])}
    wanted = [diagnoses.get(n, {}) for n in item.get("diagnosisSequence", [])]
    return ServiceLine(
        number=number,
        procedure=str(codes[0]),
        units=int(units),
        diagnoses=tuple(with_dot(code) for concept in wanted for code in _codes(concept)[:1]),
        bodies=_bodies([item.get("bodySite", {}), *item.get("subSite", [])]),
        modifiers=tuple(code for concept in item.get("modifier", []) for code in _codes(concept)[:1]),
    )


def _bodies(sites: Sequence[Mapping[str, Any]]) -> tuple[Vertebra, ...]:
    """By PS3.16's code of the vertebra (CID 7603), or by the site's text."""
    found = {body for site in sites for body in _site(site)}
    return tuple(sorted(found, key=lambda body: body.value))


def _site(site: Mapping[str, Any]) -> Iterator[Vertebra]:
    known = [VERTEBRAE[code] for code in _codes(site) if code in VERTEBRAE]
    if known:
        yield known[0]
    else:
        yield from bodies_in(str(site.get("text", "")))


def _codes(concept: Mapping[str, Any]) -> list[str]:
    return [str(coding["code"]) for coding in concept.get("coding", []) if coding.get("code")]


def _day(text: object) -> date | None:
    """A date of day precision; a coarser one is none."""
    try:
        return date.fromisoformat(str(text)[:10])
    except ValueError:
        return None
