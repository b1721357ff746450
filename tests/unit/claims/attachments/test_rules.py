from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.claim_attachments import CLAIM, attachment, of_patient, report
from claims.attachment import Attachment, AttachmentRefusal
from claims.attachments.rules import check_attachment, control_number, is_loinc
from claims.check import is_npi

BIG = b"%PDF-" + bytes(300 << 20)


def of_claim(**changes: Any) -> Attachment:
    return attachment(claim=replace(CLAIM, **changes))


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (attachment(control_number="has space"), "1 to 50 of the characters A-Z, 0-9 and '-'"),
        (attachment(control_number="A" * 51), "1 to 50 of the characters"),
        (of_claim(provider_npi="1234567890"), "provider NPI is missing or its check digit is wrong"),
        (of_claim(provider_npi=""), "provider NPI is missing"),
        (attachment(author_npi="1"), "NPI of the report's author"),
        (attachment(line=2), "The claim has no service line 2."),
        (of_claim(id=" "), "The claim number is missing"),
        (of_patient(member_id=None), "member identifier is missing"),
        (of_patient(family_name="A\x00B"), "family name has a control or invisible character"),
        (attachment(author=""), "author of the report is missing"),
        (attachment(documents=()), "at least one document, the signed report; it has none"),
        (attachment(documents=(report(b""),)), "its bytes are not"),
        (attachment(documents=(report(b"PK\x03\x04"),)), "Document 1 is called application/pdf and its bytes are not"),
        (attachment(documents=(report(media_type="text/html"),)), "Document 1 is 'text/html'; an attachment takes"),
        (attachment(documents=(report(loinc="24968-8"),)), "LOINC code '24968-8', whose form or check digit is wrong"),
        (attachment(documents=(report(title="A\tB"),)), "title of a document has a control or invisible"),
    ],
)
def test_each_fault_is_refused_in_a_sentence(made: Attachment, sentence: str) -> None:
    with pytest.raises(AttachmentRefusal) as refused:
        check_attachment(made)
    assert sentence in str(refused.value)


def test_a_pdf_of_300_mib_is_refused_with_both_numbers() -> None:
    with pytest.raises(AttachmentRefusal, match=r"300 MiB together; an attachment takes 64 MiB: attach the report"):
        check_attachment(attachment(documents=(report(BIG),)))
    check_attachment(attachment(documents=(report(BIG),)), largest_mib=301)


def test_no_refusal_repeats_what_is_a_patients() -> None:
    with pytest.raises(AttachmentRefusal) as refused:
        check_attachment(of_patient(family_name="SECRET\x07"))
    assert "SECRET" not in str(refused.value)


def test_a_whole_attachment_passes() -> None:
    check_attachment(attachment())


@settings(deadline=None)
@given(claim_id=st.text(), ordinal=st.integers(1, 99))
def test_control_numbers_are_opaque_stable_and_differ(claim_id: str, ordinal: int) -> None:
    made = control_number(claim_id, ordinal)

    check_attachment(attachment(control_number=made))
    assert made == control_number(claim_id, ordinal) != control_number(claim_id, ordinal + 1)


@pytest.mark.parametrize(("loinc", "known"), [("18748-4", True), ("24968-0", True), ("24968-8", False), ("x", False)])
def test_the_check_digit_of_loinc(loinc: str, known: bool) -> None:  # noqa: FBT001
    assert is_loinc(loinc) is known


@pytest.mark.parametrize(("npi", "known"), [("1234567893", True), ("1234567894", False), ("123456789", False)])
def test_the_check_digit_of_an_npi(npi: str, known: bool) -> None:  # noqa: FBT001
    assert is_npi(npi) is known
