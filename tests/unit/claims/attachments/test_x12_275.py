from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from builders.claim_attachments import CLAIM, MADE_AT, PARTNER, PDF, attachment, of_patient, report
from builders.x12_275 import parse
from claims.attachment import Attachment, AttachmentRefusal
from claims.attachments.pwk import Transmission, pwk_segment
from claims.attachments.x12_275 import write_275
from claims.attachments.x12_elements import GUIDES, X210, X314, Guide
from claims.attachments.x12_reader import read_interchange
from claims.attachments.x12_writer import Envelope, plain, segment

BOTH = pytest.mark.parametrize("guide", [X314, X210], ids=lambda guide: guide.name)
SEPARATORS = set("*:^~")


def envelope(guide: Guide = X314, number: int = 7) -> Envelope:
    return Envelope(guide=guide, partner=PARTNER, control_number=number, made_at=MADE_AT)


def pdf_of(xml: bytes) -> bytes:
    return base64.b64decode(etree.fromstring(xml).findtext(".//{urn:hl7-org:v3}text"), validate=True)


@BOTH
def test_it_is_read_back_by_a_second_reader(guide: Guide) -> None:
    sent = attachment(documents=(report(), report(b"%PDF-second", title="Key images", loinc="18748-4")))

    read = parse(write_275(sent, envelope(guide)))

    assert (read.guide, read.isa[12], read.isa[16]) == (guide.name, guide.interchange_version, ":")
    assert read.heading["BGN"] == ["02", sent.control_number, "20260309", "1405"]
    assert read.heading["NM1*PR"] == ["PR", "2", "Example Health Plan", "", "", "", "", "PI", "12345"]
    assert read.heading["NM1*41"][2::6] == ["Example Spine Clinic", "ETIN001"]
    assert read.heading["NM1*1P"][7:] == ["XX", CLAIM.provider_npi]
    assert read.heading["NM1*QC"] == ["QC", "1", "O'Neil-Doe", "Jane", "", "", "", "MI", "MEMBER001"]
    assert read.heading[f"REF*{guide.claim_reference}"][1] == "CLAIM-42"
    assert read.heading["DTP*472"] == ["472", "D8", "20260305"]
    assert [detail["TRN"] for detail in read.details] == [["1", sent.control_number]] * 2
    assert read.details[0]["REF*FJ"] == ["FJ", "1"]
    assert read.details[0]["CAT"] == ["AE", "HL"]
    assert [pdf_of(xml) for xml in read.documents] == [PDF, b"%PDF-second"]


@BOTH
def test_trn02_is_the_pwk06_of_the_claim(guide: Guide) -> None:
    sent = attachment()

    assert pwk_segment(sent) == f"PWK*RR*EL***AC*{sent.control_number}~"
    assert parse(write_275(sent, envelope(guide))).details[0]["TRN"][1] == sent.control_number


@pytest.mark.parametrize(("loinc", "kind"), [("11504-8", "OB"), ("28570-0", "OB"), ("34117-2", "OZ")])
def test_the_report_type_of_the_pwk_follows_the_document(loinc: str, kind: str) -> None:
    sent = attachment(documents=(report(loinc=loinc),))

    assert pwk_segment(sent, Transmission.FAX).startswith(f"PWK*{kind}*FX***AC*")


@BOTH
def test_an_answer_repeats_the_payers_number_and_what_was_asked(guide: Guide) -> None:
    read = parse(write_275(attachment(solicited="PAYER-TRACE-5", line=None), envelope(guide)))

    assert read.heading["BGN"][0] == "11"
    assert read.details[0]["TRN"] == ["2", "PAYER-TRACE-5"]
    assert read.details[0]["STC"] == ["R4:18748-4::LOI", "20260309"]
    assert "REF*FJ" not in read.details[0]


def test_the_same_arguments_give_the_same_bytes_and_another_number_does_not() -> None:
    assert write_275(attachment(), envelope()) == write_275(attachment(), envelope())
    assert write_275(attachment(), envelope()) != write_275(attachment(), envelope(number=8))


def test_the_control_number_fills_nine_digits_and_starts_again_after_them() -> None:
    assert parse(write_275(attachment(), envelope(number=10**9 + 3))).isa[13] == "000000003"


def test_production_is_said_only_where_the_partner_is_in_production() -> None:
    live = replace(envelope(), partner=replace(PARTNER, is_production=True))

    assert [parse(write_275(attachment(), made)).isa[15] for made in (envelope(), live)] == ["T", "P"]


@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=300).map(lambda tail: b"%PDF-" + tail), guide=st.sampled_from(list(GUIDES.values())))
def test_any_bytes_come_back_as_they_were(content: bytes, guide: Guide) -> None:
    raw = write_275(attachment(documents=(report(content),)), envelope(guide))

    assert pdf_of(parse(raw).documents[0]) == content
    assert read_interchange(raw).transactions[0].guide == guide.name


@settings(max_examples=200, deadline=None)
@given(name=st.text(max_size=70))
def test_any_name_is_written_in_x12s_letters_or_refused(name: str) -> None:
    """Never a segment that a reader would split elsewhere, never a letter that was dropped in silence."""
    letters = plain(name)
    if not (1 <= len(letters) <= 60 and letters.isascii() and letters.isprintable() and not SEPARATORS & set(letters)):
        with pytest.raises(AttachmentRefusal, match="NM103"):
            write_275(of_patient(family_name=name), envelope())
        return
    raw = write_275(of_patient(family_name=name), envelope())
    written = parse(raw).heading["NM1*QC"][2]
    assert written == letters


@pytest.mark.parametrize(
    ("name", "written"), [("Müller", "Muller"), ("Łukasz", "Lukasz"), ("d’Æth", "d'AEth"), (" Straße ", "Strasse")]
)
def test_letters_lose_their_marks(name: str, written: str) -> None:
    assert parse(write_275(of_patient(given_name=name), envelope())).heading["NM1*QC"][3] == written


def _with(**changes: object) -> Callable[[], bytes]:
    return lambda: write_275(attachment(claim=replace(CLAIM, **changes)), envelope())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_with(id="C" * 51), "REF02 .reference. takes 1 to 50 characters, got 51"),
        (_with(payer_name="A*B"), "NM103 .last or organization name. has a separator of X12"),
        (_with(payer_name="宮本"), "NM103 .* outside its character set"),
        (_with(id="line\nbreak"), "REF02 .* outside its character set"),
        (_with(payer_id="7"), "NM109 .identification. takes 2 to 80 characters, got 1"),
        (_with(id=""), "REF02 .reference. is missing"),
    ],
)
def test_what_x12_cannot_carry_is_refused_by_its_element_and_not_by_its_value(
    make: Callable[[], bytes], words: str
) -> None:
    with pytest.raises(AttachmentRefusal, match=words) as refused:
        make()
    assert "A*B" not in str(refused.value)


def test_a_sender_that_does_not_fit_the_isa_is_refused() -> None:
    long = replace(envelope(), partner=replace(PARTNER, sender_id="S" * 16))

    with pytest.raises(AttachmentRefusal, match=r"ISA06 .* got 16"):
        write_275(attachment(), long)


def test_trailing_empty_elements_are_left_out() -> None:
    assert segment("NM1", "QC", "1", "DOE", "", "", "", "", "MI", "77") == b"NM1*QC*1*DOE*****MI*77~"
    assert segment("STC", ("R4", "18748-4", "", "LOI")) == b"STC*R4:18748-4::LOI~"


def test_a_person_can_read_it(golden: Callable[[str, str], None]) -> None:
    """The golden file shows one segment a line, the document cut after its head."""

    def shown(sent: Attachment, guide: Guide) -> str:
        raw = write_275(sent, envelope(guide))
        lines = [line[:100] for line in raw.decode("utf-8", "replace").replace("~", "~\n").splitlines()]
        return "\n".join(lines)

    small = attachment(documents=(report(b"%PDF-1.4 small"),))
    golden("claim_275.txt", f"{shown(small, X314)}\n\n{shown(replace(small, solicited='ASK-1'), X210)}\n")
