"""Claims as they come: the same claim in three formats, and everything that is refused by name."""

from __future__ import annotations

import json
from contextlib import suppress
from copy import deepcopy
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from claims.check import is_npi
from claims.claim import Claim, ClaimRefusal, ClaimUse
from claims.intake import read_claims
from inference.anatomy import Vertebra

X12 = (Path(__file__).parent / "data" / "claim-837p.txt").read_text()
OWN: dict[str, Any] = {
    "schema": "spine-claim/1",
    "id": "CLAIM1",
    "patient": {
        "medical_record_number": "MRN1",
        "member_id": "1EG4TE5MK73",
        "family_name": "DOE",
        "given_name": "JANE",
        "birth_date": "1950-01-31",
        "sex": "F",
    },
    "payer_id": "MEDICARE",
    "payer_name": "MEDICARE",
    "jurisdiction": "TX",
    "provider_npi": "1234567893",
    "service_date": "2026-03-01",
    "onset_date": "2026-02-01",
    "lines": [{"number": 1, "procedure": "22514", "units": 1, "diagnoses": ["M80.08XA"], "bodies": ["L1"]}],
}
FHIR: dict[str, Any] = {
    "resourceType": "Claim",
    "id": "c1",
    "identifier": [{"value": "CLAIM1"}],
    "contained": [
        {
            "resourceType": "Patient",
            "id": "p",
            "identifier": [
                {"type": {"coding": [{"code": "MR"}]}, "value": "MRN1"},
                {"type": {"coding": [{"code": "MB"}]}, "value": "1EG4TE5MK73"},
            ],
            "name": [{"family": "DOE", "given": ["JANE"]}],
            "birthDate": "1950-01-31",
            "gender": "female",
        }
    ],
    "status": "active",
    "type": {"coding": [{"code": "professional"}]},
    "use": "claim",
    "patient": {"reference": "#p"},
    "created": "2026-03-02",
    "insurer": {"identifier": {"value": "MEDICARE"}, "display": "MEDICARE"},
    "provider": {"identifier": {"system": "http://hl7.org/fhir/sid/us-npi", "value": "1234567893"}},
    "priority": {"coding": [{"code": "normal"}]},
    "supportingInfo": [{"sequence": 1, "category": {"coding": [{"code": "onset"}]}, "timingDate": "2026-02-01"}],
    "diagnosis": [{"sequence": 1, "diagnosisCodeableConcept": {"coding": [{"code": "M8008XA"}]}}],
    "insurance": [{"sequence": 1, "focal": True, "coverage": {"display": "Medicare"}}],
    "item": [
        {
            "sequence": 1,
            "diagnosisSequence": [1],
            "productOrService": {"coding": [{"system": "http://www.ama-assn.org/go/cpt", "code": "22514"}]},
            "servicedDate": "2026-03-01",
            "quantity": {"value": 1},
            "bodySite": {"coding": [{"system": "http://snomed.info/sct", "code": "66794005"}]},
        }
    ],
}


def only(data: str | dict[str, Any]) -> Claim:
    text = data if isinstance(data, str) else json.dumps(data)
    (claim,) = read_claims(text.encode()).claims
    return claim


def changed(values: dict[str, Any], *path: str | int, to: Any) -> dict[str, Any]:
    copy = deepcopy(values)
    place: Any = copy
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return copy


def test_one_claim_in_three_formats_is_one_claim():
    own = only(OWN)

    assert only(X12) == own
    assert only(changed(FHIR, "insurer", "display", to="MEDICARE")) == Claim(
        **{name: getattr(own, name) for name in own.__dataclass_fields__ if name != "jurisdiction"}
    )
    assert own.bodies == (Vertebra.L1,)


def test_a_scheduled_procedure_is_read_from_fhir():
    assert only(changed(FHIR, "use", to="preauthorization")).use is ClaimUse.PREAUTHORIZATION


def test_bodies_of_a_fhir_claim_by_text_and_several():
    item = changed(FHIR, "item", 0, "bodySite", to={"text": "L1 vertebra"})
    assert only(changed(item, "item", 0, "subSite", to=[{"text": "L3"}])).bodies == (Vertebra.L1, Vertebra.L3)


@pytest.mark.parametrize(
    ("note", "bodies"),
    [
        ("LEVELS T12, L1", (Vertebra.T12, Vertebra.L1)),
        ("KYPHOPLASTY L1 THROUGH L3", (Vertebra.L1, Vertebra.L2, Vertebra.L3)),
        ("L4-L5 DISC", ()),
        ("NO LEVEL", ()),
    ],
)
def test_bodies_of_an_837_are_read_from_the_line_note_where_it_leaves_no_doubt(note, bodies):
    text = X12.replace("NTE*ADD*LEVEL L1~", f"NTE*ADD*{note}~").replace("NTE*ADD*KYPHOPLASTY L1~", "NTE*ADD*X~")
    assert only(text).bodies == bodies


def test_a_patient_who_is_not_the_subscriber():
    dependent = "HL*3*2*23*0~\nPAT*19~\nNM1*QC*1*DOE*JOHN~\nN3*2 OAK ST~\nN4*DALLAS*TX*75201~\nDMG*D8*20100101*M~\nCLM*"
    text = X12.replace("HL*2*1*22*0", "HL*2*1*22*1").replace("SBR*P*18*", "SBR*P**").replace("CLM*", dependent)

    patient = only(text.replace("SE*27", "SE*33")).patient

    assert (patient.given_name, patient.birth_date, patient.member_id) == ("JOHN", date(2010, 1, 1), "1EG4TE5MK73")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("SE*27", "SE*20", "The 837 is malformed: envelope, SE count of 20"),
        ("IEA*1*000000001~", "", "the interchange has no end (IEA)"),
        ("HI*ABK:M8008XA~\n", "", 'Mandatory segment "Health Care Diagnosis Code" (HI) missing'),
        ("DTP*472*D8*20260301", "DTP*472*D8*20261301", "element DTP03 is not valid (code 8)"),
        ("LX*1~", "ZZZ*1~", "Segment ZZZ*1 not found"),
        ("*00501*", "*00601*", "cannot be read as 005010X222A1"),
        ("GS*HC", "GS*HP", "cannot be read as 005010X222A1"),
        ("005010X222A1", "005010X223A2", "A professional claim is 005010X222A1, got '005010X223A2'"),
        ("HC:22514", "HC:99213", "Procedure 99213 is not one that is known here"),
        ("1234567893", "1234567890", "The provider's NPI is not one"),
        ("*UN*1*", "*UN*1.5*", "whole number"),
    ],
)
def test_a_malformed_837_is_refused_by_name_and_without_the_patient(old, new, says):
    assert old in X12
    with pytest.raises(ClaimRefusal) as refused:
        read_claims(X12.replace(old, new).encode())
    assert says in refused.value.sentence
    assert "DOE" not in refused.value.sentence
    assert "MRN1" not in refused.value.sentence


def test_a_claim_that_is_in_the_file_twice():
    start, end = X12.index("CLM*"), X12.index("SE*")
    with pytest.raises(ClaimRefusal, match="Each claim of a file has a number of its own, got 1 of them twice"):
        read_claims(X12.replace("SE*27", "SE*36").replace(X12[start:end], X12[start:end] * 2).encode())


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "neither"),
        (b"<html>", "neither"),
        (b"[]", "one object"),
        (b"{}", "schema: Field required"),
        (b"\xff\xfe\x00", "neither"),
        (b"ISA*00", "cannot be read as 005010X222A1"),
        (b'{"resourceType": "Patient"}', "A FHIR claim is the resource Claim, got Patient"),
        (b'{"resourceType": "Claim"}', "not valid R4 at"),
        (b"[" * 100_000, "neither"),
        (json.dumps(changed(OWN, "lines", to=[])).encode(), "bills at least one procedure"),
        (json.dumps(changed(OWN, "lines", 0, "bodies", to=["L9"])).encode(), "lines.0.bodies.0: a vertebra like"),
        (json.dumps(changed(OWN, "lines", 0, "bodies", to=["L1", "L1"])).encode(), "names a body twice"),
        (json.dumps(changed(OWN, "lines", 0, "units", to=0)).encode(), "Units of line 1 must lie in [1, 99], got 0"),
        (json.dumps(changed(OWN, "lines", 0, "procedure", to="00000")).encode(), "Procedure 00000 is not one"),
        (json.dumps(changed(OWN, "lines", to=OWN["lines"] * 2)).encode(), "a number of its own, got 1, 1"),
        (json.dumps(changed(OWN, "service_date", to="soon")).encode(), "service_date: Input should be a valid date"),
        (json.dumps(changed(OWN, "colour", to="red")).encode(), "colour: Extra inputs are not permitted"),
        (json.dumps(changed(FHIR, "use", to="predetermination")).encode(), "use is claim or preauthorization"),
        (json.dumps(changed(FHIR, "item", 0, "quantity", to={"value": 1.5})).encode(), "whole number"),
        (json.dumps(changed(FHIR, "item", 0, "servicedDate", to="2026")).encode(), "no date of service"),
    ],
)
def test_everything_else_is_refused_by_name(data, says):
    with pytest.raises(ClaimRefusal) as refused:
        read_claims(data)
    assert says in refused.value.sentence
    assert "JANE" not in refused.value.sentence


def spoiled(at: int, what: str) -> bytes:
    return (X12[:at] + what + X12[at + 1 :]).encode()


@settings(max_examples=12, deadline=None)
@example(X12.replace("GS*HC", "GX*HC").encode())
@example(X12[:106].encode() + b"IEA*1*000000001~")
@given(st.binary(max_size=300) | st.builds(spoiled, st.integers(0, 900), st.text(max_size=3)))
def test_garbage_is_read_or_refused(data):
    with suppress(ClaimRefusal):
        assert read_claims(data).claims


def test_national_provider_identifiers():
    assert is_npi("1234567893")
    assert not any(map(is_npi, ("1234567890", "12345678", "123456789a", "")))
