from __future__ import annotations

import json
from dataclasses import replace

import pytest
from fhir.resources.R4B.parameters import Parameters

from builders.claim_attachments import CLAIM, MADE_AT, NPI, PARTNER, PDF, attachment, report
from claims.attachment import Attachment
from claims.attachments.cdex import write_cdex
from claims.claim import ClaimUse


def parameters(made: Attachment) -> Parameters:
    return Parameters.model_validate_json(write_cdex(made, PARTNER, made_at=MADE_AT))


def by_name(made: Attachment) -> dict[str, list[object]]:
    found: dict[str, list[object]] = {}
    for parameter in parameters(made).parameter:
        found.setdefault(parameter.name, []).append(parameter)
    return found


def test_the_parameters_are_those_of_the_operation() -> None:
    """Names and cardinalities of CDex 2.1.0 ``$submit-attachment``."""
    found = by_name(attachment(documents=(report(), report(b"%PDF-2"))))

    assert {name: len(values) for name, values in found.items()} == {
        "TrackingId": 1,
        "AttachTo": 1,
        "PayerId": 1,
        "ProviderId": 1,
        "MemberId": 1,
        "ServiceDate": 1,
        "Attachment": 2,
        "Final": 1,
    }


def test_it_says_what_the_275_says() -> None:
    made = attachment()
    found = {name: values[0] for name, values in by_name(made).items()}

    assert (found["TrackingId"].valueIdentifier.system, found["TrackingId"].valueIdentifier.value) == (
        "urn:oid:2.999.1",
        made.control_number,
    )
    assert found["AttachTo"].valueCode == "claim"
    assert found["PayerId"].valueIdentifier.value == "12345"
    assert found["ProviderId"].valueIdentifier.value == NPI
    assert found["MemberId"].valueIdentifier.value == "MEMBER001"
    assert found["ServiceDate"].valueDateTime.isoformat() == "2026-03-05"
    assert found["Final"].valueBoolean is True
    line, code, content = found["Attachment"].part
    assert (line.name, line.valueString) == ("LineItem", "1")
    assert (code.name, code.valueCodeableConcept.coding[0].code) == ("Code", "18748-4")
    assert content.resource.content[0].attachment.data == PDF, "fhir.resources has decoded it"


def test_an_answer_carries_the_payers_number_in_the_payers_system() -> None:
    tracking = by_name(attachment(solicited="ASK-1"))["TrackingId"][0].valueIdentifier

    assert (tracking.system, tracking.value) == ("urn:oid:2.999.3", "ASK-1")


@pytest.mark.parametrize("use", [ClaimUse.PREAUTHORIZATION, ClaimUse.CLAIM])
def test_only_a_claim_has_a_day_of_service(use: ClaimUse) -> None:
    found = by_name(attachment(claim=replace(CLAIM, use=use), line=None))

    assert found["AttachTo"][0].valueCode == use.value
    assert ("ServiceDate" in found) is (use is ClaimUse.CLAIM)
    assert [part.name for part in found["Attachment"][0].part] == ["Code", "Content"]


def test_the_same_arguments_give_the_same_bytes() -> None:
    raw = write_cdex(attachment(), PARTNER, made_at=MADE_AT)

    assert raw == write_cdex(attachment(), PARTNER, made_at=MADE_AT)
    assert json.loads(raw)["resourceType"] == "Parameters"
