"""Reports of every format, read from bytes."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path

import pytest

from builders.reports import (
    ORU_LINES,
    TEXT,
    diagnostic_report,
    oru,
    pdf,
    presented,
    structured_report,
)
from claims.reading import load_report, pdf_child, read_report
from claims.reading import pdf as pdf_adapter
from claims.report import Acuity, Polarity, Report, ReportRefusal, SignedState, Topic
from inference.anatomy import Vertebra

ALL = {
    "text": TEXT.encode(),
    "pdf": pdf(),
    "hl7v2": oru(*ORU_LINES),
    "fhir": diagnostic_report(),
    "dicom-sr": structured_report(),
}


@pytest.mark.parametrize("name", ALL)
def test_the_same_report_in_every_format_says_the_same(name: str) -> None:
    report = load_report(ALL[name])
    found = {
        (s.level, s.topic, s.polarity, s.acuity)
        for s in read_report(report).statements
        if s.level is Vertebra.L1 and s.topic in (Topic.FRACTURE, Topic.EDEMA)
    }
    assert found == {
        (Vertebra.L1, Topic.FRACTURE, Polarity.AFFIRMED, Acuity.ACUTE),
        (Vertebra.L1, Topic.EDEMA, Polarity.AFFIRMED, Acuity.UNSTATED),
    }
    assert (report.format, report.signed, report.modality) == (name, SignedState.SIGNED, "MR")
    assert report.study_date == date(2026, 3, 14)
    assert report.signed_at is not None
    assert report.signed_at.replace(tzinfo=None) == datetime(2026, 3, 14, 16, 12)  # noqa: DTZ001 - as written
    assert "Whitfield" in (report.signed_by or "").title()


@pytest.mark.parametrize("name", ["hl7v2", "fhir", "dicom-sr"])
def test_a_format_with_numbers_gives_the_report_its_number_and_its_patient(name: str) -> None:
    report = load_report(ALL[name])
    assert report.id == "ACC123"
    assert dict(report.patient_identifiers)["medical_record_number"] == "MR0042"


def test_a_given_number_stands() -> None:
    assert {load_report(data, report_id="MINE").id for data in ALL.values()} == {"MINE"}


def refused(data: bytes, report_format: str | None = None) -> str:
    with pytest.raises(ReportRefusal) as refusal:
        load_report(data, report_format=report_format)
    return refusal.value.sentence


# Text


def text(data: bytes | str) -> Report:
    return load_report(data if isinstance(data, bytes) else data.encode(), report_format="text")


def test_charsets() -> None:
    for charset in ("utf-8", "utf-8-sig", "windows-1252", "utf-16"):
        assert text("Ödem L1".encode(charset)).text == "Ödem L1"


def test_html_is_read_without_its_tags() -> None:
    style = "<html><head><style>b {}</style></head>"
    html = style + "<p>Acute fracture of <b>L3</b>.</p><script>L1</script><p>Edema &lt; L3.</p>"
    assert text(html).text.split("\n") == ["", "Acute fracture of L3.", "", "Edema < L3.", ""]


def test_what_is_no_text_is_refused() -> None:
    assert "control characters" in refused(bytes(range(32)) * 40, "text")
    assert "RTF" in refused(b"{\\rtf1 L1}")
    assert "at most" in refused(b"L1 " * 1_000_000, "text")
    assert "has no text" in refused(b"  ")
    assert "comes as one of" in refused(b"L1", "docx")


# PDF


def test_a_scanned_pdf_is_refused() -> None:
    assert "no text layer" in refused(pdf(()))


def test_an_encrypted_pdf_is_refused() -> None:
    assert "encrypted" in refused(pdf(password=str(len(TEXT))))


def test_a_pdf_that_anyone_may_open_is_read() -> None:
    assert "Acute L1 compression fracture" in load_report(pdf(password="")).text


def test_a_large_pdf_is_refused_before_it_is_opened() -> None:
    assert refused(b"%PDF-1.7\n" + bytes(300_000_000)).endswith("this one has 300000009")


def test_a_long_pdf_is_refused() -> None:
    assert "at most 100 pages, this one has 101" in refused(pdf(("L1",), pages=101))


def test_a_broken_pdf_is_refused() -> None:
    assert "broken" in refused(pdf()[:300])
    assert "broken" in refused(b"%PDF-1.7\n%%EOF")
    assert "does not begin with %PDF-" in refused(b"L1 fracture", "pdf")


def test_a_pdf_that_takes_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_adapter, "MAX_SECONDS", 0.001)
    assert "not read within" in refused(pdf())


def test_a_pdf_that_keeps_the_processor_busy_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    child = tmp_path / "pdf_child.py"
    source = Path(pdf_child.__file__).read_text().replace("MAX_SECONDS = 20", "MAX_SECONDS = 1")
    child.write_text(source.replace("reader = PdfReader", "while True: pass\n        reader = PdfReader"))
    monkeypatch.setattr(pdf_adapter, "CHILD", child)
    assert "takes too long" in refused(pdf())


def test_a_pdf_is_opened_in_a_process_with_little_memory() -> None:
    code = "import claims.reading.pdf_child as c; c.read = lambda d: bytes(3 * 10**9); c.main()"
    done = subprocess.run([sys.executable, "-c", code], input=b"", capture_output=True, check=False)
    assert b"MemoryError" in done.stderr


# HL7 v2


@pytest.mark.parametrize(
    ("status", "result", "expected"),
    [
        ("F", "F", SignedState.SIGNED),
        ("C", "C", SignedState.SIGNED),
        ("P", "P", SignedState.UNSIGNED),
        ("F", "P", SignedState.UNSIGNED),
        ("P", "F", SignedState.UNSIGNED),
        ("R", "R", SignedState.UNSIGNED),
        ("F", "A", SignedState.UNKNOWN),
        ("F", "", SignedState.SIGNED),
        ("", "", SignedState.UNKNOWN),
    ],
)
def test_result_status_of_hl7(status: str, result: str, expected: SignedState) -> None:
    assert load_report(oru(*ORU_LINES, status=status, result=result)).signed is expected


def test_lines_escapes_and_headings_of_hl7() -> None:
    report = load_report(oru("FT|RAD&GDT^X|Edema\\.br\\at L1 \\T\\ L2\\H\\.", "TX|RAD&IMP^X|Fracture~of L1."))
    assert report.text == "\nFINDINGS:\nEdema\nat L1 & L2.\n\nIMPRESSION:\nFracture\nof L1."


def test_a_pdf_within_hl7() -> None:
    value = presented(pdf(), "application/pdf")["data"]
    report = load_report(oru(f"ED|PDF^Report|^application^pdf^Base64^{value}"))
    assert "Acute L1 compression fracture" in report.text


def test_a_charset_of_hl7() -> None:
    assert "Ödem" in load_report(oru("TX|R|Ödem in L1", charset="8859/1")).text
    assert "MSH-18" in refused(oru("TX|R|x").replace(b"UNICODE UTF-8", b"GB 18030-2000"))
    assert "not in the charset" in refused(oru("TX|R|L1 \u00d6").replace("\u00d6".encode(), b"\xd6"))


def test_what_is_no_report_in_hl7() -> None:
    assert "ORU message" in refused(oru("TX|R|x").replace(b"ORU^R01^ORU_R01", b"ADT^A01"))
    assert "does not begin with MSH" in refused(b"PID|1", "hl7v2")
    assert "one report at a time" in refused(oru("TX|R|x") * 2)
    assert "cancels" in refused(oru("TX|R|x", result="X"))
    assert "has no text" in refused(oru("TX|R|x", status="D"))
    assert "says Base64" in refused(oru("ED|R|^application^pdf^Base64^abc"))


# FHIR


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("final", SignedState.SIGNED),
        ("amended", SignedState.SIGNED),
        ("preliminary", SignedState.UNSIGNED),
        ("unknown", SignedState.UNKNOWN),
    ],
)
def test_status_of_fhir(status: str, expected: SignedState) -> None:
    assert load_report(diagnostic_report(status=status)).signed is expected


def test_forms_of_fhir() -> None:
    html = presented(b"<p>Fracture of L1.</p>", "text/html")
    latin = presented("Ödem L1.".encode("latin-1"), "text/plain; charset=iso-8859-1")
    document = presented(pdf(), "application/pdf")
    assert "Fracture of L1." in load_report(diagnostic_report(presentedForm=[html])).text
    assert load_report(diagnostic_report(presentedForm=[latin])).text == "Ödem L1."
    assert "Acute L1 compression fracture" in load_report(diagnostic_report(presentedForm=[document])).text
    conclusion = load_report(diagnostic_report(presentedForm=None, conclusion="Fracture of L1."))
    assert conclusion.text == "Fracture of L1."


def test_a_report_in_a_bundle() -> None:
    inner = diagnostic_report().decode()
    bundle = f'{{"resourceType": "Bundle", "type": "collection", "entry": [{{"resource": {inner}}}]}}'
    assert load_report(bundle.encode()).id == "ACC123"
    assert "has 0" in refused(b'{"resourceType": "Bundle", "type": "collection"}')


def test_what_is_no_report_in_fhir() -> None:
    assert "entered-in-error" in refused(diagnostic_report(status="entered-in-error"))
    assert "not valid FHIR R4" in refused(diagnostic_report(issued="yesterday"))
    link = {"contentType": "text/plain", "url": "http://example.org/report"}
    assert "nothing is fetched" in refused(diagnostic_report(presentedForm=[link]))
    assert "text, HTML or PDF" in refused(diagnostic_report(presentedForm=[presented(b"x", "image/png")]))
    assert "has no text" in refused(diagnostic_report(presentedForm=None))
    assert "not JSON" in refused(b"{", "fhir")
    assert "has 0" in refused(b'{"resourceType": "Patient"}')


# DICOM SR


def test_an_unverified_sr_is_unsigned() -> None:
    assert load_report(structured_report(verified=False)).signed is SignedState.UNSIGNED


def test_sections_of_an_sr_are_headings() -> None:
    assert load_report(structured_report()).text.split("\n")[0] == "FINDINGS:"


def test_a_measurement_report_is_no_radiologists_report() -> None:
    assert "measurement report" in refused(structured_report(root=("126000", "Imaging Measurement Report")))


def test_what_is_no_sr_is_refused() -> None:
    assert "no readable DICOM" in refused(b"L1", "dicom-sr")
    assert "Basic Text" in refused(structured_report().replace(b"88.11\0", b"88.59\0"))


def test_what_a_refusal_says_holds_no_patient() -> None:
    cancelled, wrong = diagnostic_report(status="cancelled"), diagnostic_report(issued="yesterday")
    for data in (oru("TX|R|x", status="D"), cancelled, wrong):
        assert not any(word in refused(data) for word in ("WHITE", "MARY", "MR0042"))


@pytest.mark.filterwarnings("ignore:Invalid value:UserWarning", "ignore::UserWarning:pydicom")
def test_a_damaged_sr_is_read_or_refused() -> None:
    whole = structured_report()
    generator = random.Random(1)  # noqa: S311 - damage, no secret
    for _ in range(300):
        data = bytearray(whole[: generator.randrange(132, len(whole))])
        for _ in range(generator.randrange(6)):
            data[generator.randrange(128, len(data))] = generator.randrange(256)
        with contextlib.suppress(ReportRefusal):
            load_report(bytes(data), report_format="dicom-sr")
