"""What comes from a payer: requests (277), acknowledgements (TA1, 999, 277CA, OperationOutcome), and garbage."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claims.attachment import AttachmentRefusal
from claims.attachments.acknowledgement import NOTHING, Answer, read_acknowledgement
from claims.attachments.x12_277 import AskedItem, read_requests
from claims.attachments.x12_reader import read_interchange

ISA = "ISA*00*          *00*          *ZZ*PAYER01        *ZZ*SPINECLINIC    *260310*0900*^*00602*000000031*0*T*:~"
REQUEST = (
    "BHT*0085*48*REQ-9*20260310*0900*RQ~HL*1**20*1~NM1*PR*2*EXAMPLE HEALTH PLAN*****PI*12345~"
    "PER*IC*DEPARTMENT*TE*5550100~HL*2*1*21*1~NM1*41*2*EXAMPLE CLINIC*****46*ETIN001~HL*3*2*19*1~"
    "NM1*1P*2*EXAMPLE RADIOLOGY*****XX*1234567893~HL*4*3*PT*0~NM1*QC*1*DOE*JANE****MI*MEMBER001~"
    "TRN*1*ASK-1~STC*R4:18748-4::LOI*20260310********R4:11504-8::LOI~REF*EJ*CLAIM-42~REF*1K*PAYER-77~"
    "DTP*472*RD8*20260305-20260305~DTP*106*D8*20260409~SVC*HC:22514*5000****1~STC*R4:28570-0::LOI*20260310~"
    "REF*FJ*1~DTP*472*D8*20260306~"
    "HL*5*3*PT*0~NM1*QC*1*ROE*RICHARD****MI*MEMBER002~TRN*1*ASK-2~STC*R4:34117-2::LOI*20260310~REF*EJ*CLAIM-43~"
)


def wrapped(identifier: str, body: str, guide: str, *, group: str = "HN") -> bytes:
    count = body.count("~") + 2
    return (
        f"{ISA}GS*{group}*PAYER01*SPINECLINIC*20260310*0900*31*X*{guide}~ST*{identifier}*0031*{guide}~{body}"
        f"SE*{count}*0031~GE*1*31~IEA*1*000000031~"
    ).encode()


RFAI = wrapped("277", REQUEST, "006020X313")


def test_a_request_says_what_is_asked_of_which_claim() -> None:
    first, second = read_requests(RFAI)

    assert (first.trace, first.claim_id, first.payer_claim_id) == ("ASK-1", "CLAIM-42", "PAYER-77")
    assert (first.payer_id, first.payer_name, first.provider_npi) == ("12345", "EXAMPLE HEALTH PLAN", "1234567893")
    assert (first.member_id, first.family_name, first.given_name) == ("MEMBER001", "DOE", "JANE")
    assert (first.service_date, first.due_date) == (date(2026, 3, 5), date(2026, 4, 9))
    assert first.items == (
        AskedItem(category="R4", loinc="18748-4"),
        AskedItem(category="R4", loinc="11504-8"),
        AskedItem(category="R4", loinc="28570-0", line="1"),
    )
    assert (second.trace, second.member_id, second.items[0].loinc) == ("ASK-2", "MEMBER002", "34117-2")
    assert second.due_date is None


def test_line_breaks_after_segments_and_other_separators_are_read() -> None:
    text = RFAI.decode()
    assert read_requests(text.replace("~", "~\r\n").encode()) == read_requests(RFAI)
    other = text.replace("*", "|").replace(":", ">").replace("~", "!")
    assert read_requests(other.encode()) == read_requests(RFAI)


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"", "no X12 interchange"),
        (b"%PDF-1.4" * 20, "no X12 interchange"),
        (RFAI[:-30], "cut off|does not end"),
        (RFAI[:400], "cut off|does not end"),
        (RFAI.replace(b"SE*27", b"SE*26"), "there are 27"),
        (RFAI.replace(b"GE*1*31", b"GE*2*31"), "GE says '2' transaction sets; its group has 1"),
        (RFAI.replace(b"IEA*1*", b"IEA*2*"), "IEA01 says '2' groups"),
        (RFAI.replace(b"IEA*1*000000031", b"IEA*1*000000032"), "IEA of its ISA"),
        (RFAI.replace(b"ST*277*0031", b"ST*277*0032"), "of '0032'"),
        (RFAI.replace(b"TRN*1*ASK-1", b"TRN*1"), "lacks its trace number"),
        (RFAI.replace(b"NM1*QC*1*ROE", b"NM1*ZZ*1*ROE"), "lacks its trace number .TRN02., payer, provider or patient"),
        (RFAI.replace(b"20260409", b"2026-4-9"), "no date of the form YYYYMMDD"),
        (wrapped("277", "BHT*0085*08~", "005010X214"), "no 277 request for additional information"),
        (RFAI.replace(b"REF*EJ*CLAIM-43", b"BIN*99*CLAIM-43"), "BIN says 99 octets"),
        (RFAI.replace(b"REF*EJ*CLAIM-43", b"BIN*x*CLAIM-43"), "BIN counts its data with 'x'"),
    ],
)
def test_a_broken_request_is_refused_in_a_sentence(raw: bytes, sentence: str) -> None:
    with pytest.raises(AttachmentRefusal, match=sentence):
        read_requests(raw)


@settings(deadline=None)
@given(raw=st.binary(max_size=400) | st.binary(max_size=200).map(lambda tail: RFAI[:300] + tail))
def test_garbage_is_refused_and_never_a_traceback(raw: bytes) -> None:
    with pytest.raises(AttachmentRefusal):
        read_requests(raw)


@settings(deadline=None)
@given(cut=st.integers(0, len(RFAI) - 2), byte=st.integers(0, 255))
def test_one_wrong_byte_is_read_or_refused(cut: int, byte: int) -> None:
    with suppress(AttachmentRefusal):
        assert read_requests(RFAI[:cut] + bytes([byte]) + RFAI[cut + 1 :])


def ta1(code: str, note: str) -> bytes:
    return f"{ISA}TA1*000000007*260310*0900*{code}*{note}~IEA*0*000000031~".encode()


def functional(verdict: str) -> bytes:
    return wrapped("999", f"AK1*PI*7*006020X314~AK2*275*0007~IK5*{verdict}~AK9*{verdict}*1*1*1~", "005010X231A1")


def claim(code: str) -> bytes:
    return wrapped("277", f"BHT*0085*08*1*20260310~HL*1**20*1~TRN*2*ACN-1~STC*{code}:20*20260310~", "005010X214")


def outcome(severity: str, code: str = "processing") -> bytes:
    found = {"resourceType": "OperationOutcome", "issue": [{"severity": severity, "code": code}]}
    return json.dumps(found).encode()


@pytest.mark.parametrize(
    ("raw", "kind", "answer", "about"),
    [
        (ta1("A", "000"), "TA1", Answer.WAITING, "000000007"),
        (ta1("R", "006"), "TA1", Answer.REFUSED, "000000007"),
        (ta1("R", "025"), "TA1", Answer.WAITING, "000000007"),
        (functional("A"), "999", Answer.ACCEPTED, "7"),
        (functional("E"), "999", Answer.ACCEPTED, "7"),
        (functional("R"), "999", Answer.REFUSED, "0007"),
        (functional("Z"), "999", Answer.WAITING, "7"),
        (claim("A1"), "277CA", Answer.ACCEPTED, "ACN-1"),
        (claim("A0"), "277CA", Answer.WAITING, "ACN-1"),
        (claim("A7"), "277CA", Answer.REFUSED, "ACN-1"),
    ],
)
def test_an_acknowledgement_is_one_verdict_about_named_numbers(
    raw: bytes, kind: str, answer: Answer, about: str
) -> None:
    read = read_acknowledgement(raw)

    assert (read.kind, read.answer) == (kind, answer)
    assert about in read.references


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        (outcome("information"), Answer.ACCEPTED),
        (outcome("warning"), Answer.ACCEPTED),
        (outcome("error"), Answer.REFUSED),
        (outcome("fatal"), Answer.REFUSED),
        (outcome("error", "duplicate"), Answer.ACCEPTED),
        (b'{"resourceType": "Parameters", "parameter": [{"resource": ' + outcome("error") + b"}]}", Answer.REFUSED),
        (b"", Answer.WAITING),
        (b"{broken", Answer.WAITING),
        (b"[]", Answer.WAITING),
        (b'{"resourceType": "OperationOutcome", "issue": [7]}', Answer.WAITING),
        (b"<html>thank you</html>", Answer.WAITING),
    ],
)
def test_an_outcome_is_one_verdict_too(raw: bytes, answer: Answer) -> None:
    assert read_acknowledgement(raw).answer is answer


def test_what_a_payer_wrote_in_words_is_not_repeated() -> None:
    raw = outcome("error", "DOE^JANE unknown")

    assert "DOE" not in read_acknowledgement(raw).code
    assert read_acknowledgement(b"hello") is NOTHING


def test_a_999_has_its_segments() -> None:
    transaction = read_interchange(functional("A")).transactions[0]

    assert [segment.identifier for segment in transaction.segments] == ["AK1", "AK2", "IK5", "AK9"]
    assert transaction.segments[0][9] == ""
