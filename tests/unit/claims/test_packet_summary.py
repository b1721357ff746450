"""The evidence summary: what a coder finds on its pages, PDF/A-1b, and the same bytes each time."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import date
from io import BytesIO
from pathlib import Path

import pikepdf
import pypdfium2
import pytest

from builders import packets as b
from builders.peers import JARS
from claims.claim import Patient
from claims.evidence import Verdict
from claims.packet import PacketContents, PacketRefusal, WithheldImage, necessary_findings
from claims.packet.summary import render_summary
from claims.packet.words import VERDICTS
from claims.report import Acuity, Polarity, Section, SignedState, Topic
from inference.anatomy import Vertebra
from inference.findings import Question

FIVE = ("T11", "T12", "L1", "L2", "L3")


def pages(pdf: bytes) -> list[str]:
    """The text layer of each page, line ends as spaces."""
    document = pypdfium2.PdfDocument(pdf)
    return [" ".join(page.get_textpage().get_text_range().split()) for page in document]


def five_bodies() -> PacketContents:
    """One body of each verdict, not reviewed, long names, an addendum that reverses, a withheld image, two reports."""
    verdicts = (Verdict.SUPPORTS, Verdict.PARTIAL, Verdict.REPORT_MISSING, Verdict.NO_EVIDENCE, Verdict.CONTRADICTS)
    told = [(body, verdict, f"Sentence of {body}.") for body, verdict in zip(FIVE, verdicts, strict=True)]
    patient = replace(
        b.PATIENT,
        family_name="Wolfeschlegelsteinhausenbergerdorff-Featherstonehaugh-Cholmondeley",
        given_name="Hubert Blaine Maria Magdalena Wilhelmina Konstanze",
    )
    addendum = b.statement(
        "Addendum: the deformity of L3 is old.", "L3", acuity=Acuity.CHRONIC, section=Section.ADDENDUM, start=900
    )
    first = b.read_report(
        *b.spoken("T11", start=0),
        b.statement("Compression fracture of T12.", "T12", start=200),
        b.statement("Fracture of L3.", "L3", start=300, superseded=True),
        addendum,
        b.statement("Metastasis cannot be excluded at T11.", "T11", Topic.OTHER_CAUSE, Polarity.UNCERTAIN, start=400),
        b.statement("T11 was augmented before.", "T11", Topic.AUGMENTED, start=500),
    )
    second = b.read_report(b.statement("Draft: L1 is low.", "L1", start=10), signed=SignedState.UNSIGNED)
    return b.contents(
        claim=b.claim(FIVE, patient=patient),
        evidence=b.evidence(told),
        reports=(first, replace(second, report=replace(second.report, id="ACC-2"))),
        studies=(
            b.study_part([b.fracture(body, reviewed=False) for body in ("T11", "T12", "L1", "L3")], reviewed=False),
        ),
        images=tuple(b.key_image(body) for body in ("T11", "T12", "L1")),
        withheld=(
            WithheldImage(
                body=Vertebra.L3,
                study_instance_uid=b.study_uid(),
                sentence="MR sagittal T2, slice 8 of 15: letters seem to be written into its pixels.",
            ),
        ),
    )


def test_the_first_page_says_what_a_coder_looks_for():
    first = pages(render_summary(b.contents()))[0]
    for words in (
        "L1 ✔ Signed report names fracture and acuity sign",
        "32.4 ± 3.1 %",
        "largest shortfall of the three heights",
        "acute-appearing",
        "2026-03-14",
        "“Acute compression fracture of L1",
        "Impression: fracture named (acute); marrow oedema named",
        "signed by Dr. Ralf Reader, 2026-03-14 17:42",
        "AI finding accepted by Rita Reader, 2026-03-15 09:05 UTC",
        "From the chart",
        "? not determinable",
        "Enter the date of onset or injury from the chart.",
    ):
        assert words in first, words


def test_every_page_says_whose_what_and_how_many():
    made = pages(render_summary(five_bodies()))
    assert len(made) >= 6
    for number, page in enumerate(made, start=1):
        assert "Claim CLM-2026-000123" in page
        assert "Wolfeschlegelsteinhausenbergerdorff" in page
        assert "born 1948-05-17" in page
        assert "Studies: 2026-03-14" in page
        assert f"Page {number} of {len(made)}" in page
        assert "Not reviewed by a physician. For research use only; not for use in diagnostic procedures." in page


def test_models_are_named_with_their_digests():
    text = " ".join(pages(render_summary(b.contents()))).replace(" ", "")
    assert "mr_sagittal_segmentation" in text
    assert b.MODEL.sha256 in text


def test_each_verdict_has_its_own_mark_and_words():
    assert len({marked.mark for marked in VERDICTS.values()}) == len(Verdict)
    text = " ".join(pages(render_summary(five_bodies())))
    for marked in VERDICTS.values():
        assert f"{marked.mark} {marked.words}" in text
    for word in ("approved", "covered", "denied"):
        assert word not in text.lower()


def test_an_addendum_stands_before_what_it_reversed_and_a_draft_is_no_signed_report():
    text = " ".join(pages(render_summary(five_bodies())))
    assert text.index("Addendum: the deformity of L3 is old.") < text.index("Fracture of L3.")
    assert "Reversed by an addendum." in text
    assert "NOT SIGNED" in text
    assert "AI finding not reviewed by a physician" in text


def test_a_body_without_picture_says_why():
    text = " ".join(pages(render_summary(five_bodies())))
    assert "Key image withheld: MR sagittal T2, slice 8 of 15: letters seem to be written into its pixels." in text
    assert "No key image: no study of this packet shows this body." in text


def test_a_claim_with_nothing_says_so():
    empty = b.contents(
        evidence=b.evidence([("L1", Verdict.NO_EVIDENCE, "No study and no report.")]), reports=(), studies=(), images=()
    )
    text = " ".join(pages(render_summary(empty)))
    assert "no sentence about this body" in text
    assert "Assembled by software for research use only" in text


def test_equal_contents_give_equal_bytes_and_the_time_is_an_input():
    one = render_summary(b.contents())
    assert render_summary(b.contents()) == one
    later = render_summary(b.contents(created=b.CREATED.replace(hour=16)))
    assert later != one
    assert b"D:20260402153000" in one


def test_a_character_without_a_glyph_is_said():
    named = b.contents(studies=(b.study_part([b.fracture("L1")], name="Yamada^Tarou=山田^太郎=やまだ^たろう"),))
    text = " ".join(pages(render_summary(named)))
    assert "Yamada Tarou = 山田 太郎 = やまだ たろう" in text
    assert "code points" not in text
    unwritten = b.contents(claim=b.claim(patient=replace(b.PATIENT, family_name="כהן")))
    text = " ".join(pages(render_summary(unwritten)))
    assert "3 characters have no letter in the embedded fonts" in text
    assert "[U+05DB][U+05D4][U+05DF]" in text


@pytest.mark.parametrize("make", [b.contents, five_bodies])
def test_the_structure_of_pdf_a(make):
    with pikepdf.open(BytesIO(render_summary(make()))) as pdf:
        assert pdf.pdf_version == "1.4"
        assert not pdf.is_encrypted
        assert str(pdf.Root.OutputIntents[0].S) == "/GTS_PDFA1"
        metadata = pdf.Root.Metadata
        assert "/Filter" not in metadata
        assert b"<pdfaid:part>1</pdfaid:part><pdfaid:conformance>B" in metadata.read_bytes()
        assert not {"/Names", "/OpenAction", "/AA", "/AcroForm"} & set(pdf.Root.keys())
        fonts = [o for o in pdf.objects if isinstance(o, pikepdf.Dictionary) and o.get("/Type") == "/Font"]
        assert fonts
        assert all("/FontFile2" in font.FontDescriptor and "/ToUnicode" in font for font in fonts)
        assert not [o for o in pdf.objects if isinstance(o, pikepdf.Dictionary) and o.get("/S") == "/JavaScript"]
        for words in ("Example", "4711", "CLM", "1948"):
            assert words not in str(pdf.docinfo)
            assert words.encode() not in metadata.read_bytes()


@pytest.mark.peer("pdfbox")
@pytest.mark.parametrize("make", [b.contents, five_bodies])
def test_apache_pdfbox_finds_it_valid_pdf_a_1b(tmp_path: Path, make):
    path = tmp_path / "summary.pdf"
    path.write_bytes(render_summary(make()))
    classes = ":".join(map(str, JARS))
    command = ["java", "-cp", classes, "org.apache.pdfbox.preflight.Validator_A1b", str(path)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "is a valid PDF/A-1b file" in told.stdout, told.stdout + told.stderr


def test_only_billed_bodies_and_named_studies_get_in():
    with pytest.raises(PacketRefusal, match="billed bodies only, got L4"):
        b.contents(images=(b.key_image("L4"),))
    with pytest.raises(PacketRefusal, match="billed bodies only, got L2"):
        b.contents(studies=(b.study_part([b.fracture("L1"), b.fracture("L2")]),))
    with pytest.raises(PacketRefusal, match="its own studies only"):
        b.contents(images=(b.key_image("L1", key="other"),))
    with pytest.raises(PacketRefusal, match="another claim"):
        b.contents(evidence=b.evidence([("L1", Verdict.SUPPORTS, "x")], claim_id="CLM-9"))


def test_the_necessary_findings_are_the_fractures_of_the_billed_bodies():
    whole = b.study_part([b.fracture("L1"), b.fracture("L2"), replace(b.fracture("L1"), question=Question.MODIC)])
    kept = necessary_findings(whole.findings, (Vertebra.L1,))
    assert [(f.site.level, f.question) for f in kept.findings] == [("L1", Question.COMPRESSION_FRACTURE)]
    assert kept.models == (b.MODEL,)
    assert kept.numbering == whole.findings.numbering


def test_the_newest_study_is_shown_first():
    old = b.study_part([b.fracture("L1", loss=11.0)], key="old", study_date=date(2025, 1, 2))
    text = pages(render_summary(b.contents(studies=(old, b.study_part([b.fracture("L1")])))))[0]
    assert "32.4 ± 3.1 %" in text
    assert "11 ±" not in text


def test_a_patient_without_anything_has_a_line():
    text = pages(render_summary(b.contents(claim=b.claim(patient=Patient()))))[0]
    assert "Patient: name not given" in text
