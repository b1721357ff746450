"""The evidence summary: a PDF/A that a person at the payer reads, a few minutes at most, on screen or on paper.

First a card for each billed body, then criteria and sources, then a page with pictures for each body. It documents;
the signed radiology report is what supports the claim, and the summary says so.
"""

from __future__ import annotations

from collections.abc import Iterator

from reportlab.platypus import Flowable, Spacer

from claims.claim import ClaimUse, ServiceLine
from claims.packet.archival import DocumentFacts, archival
from claims.packet.body_page import body_pages
from claims.packet.cards import card
from claims.packet.contents import PacketContents
from claims.packet.layout import SMALL, TEXT, TITLE, PageWords, build, paragraph
from claims.packet.sections import sections
from claims.packet.typeface import missing
from claims.packet.words import VERDICTS, day, patient_line
from inference.provenance import SOFTWARE_NAME

TITLE_TEXT = "Imaging evidence summary"
SUPPLEMENTARY = (
    "Supplementary to the signed radiology report, which alone documents the fracture; values marked AI are measured "
    "by software, and nothing here says whether a claim is payable."
)
USES = {ClaimUse.CLAIM: "Claim", ClaimUse.PREAUTHORIZATION: "Prior authorisation"}


def render_summary(contents: PacketContents) -> bytes:
    """The summary as PDF/A-1b; equal contents give equal bytes."""
    claim = contents.claim
    dates = ", ".join(day(study.study_date) for study in contents.studies)
    words = PageWords(
        claim=claim.id, patient=patient_line(claim.patient), studies=dates or "none", notice=contents.notice
    )
    facts = DocumentFacts(
        title=TITLE_TEXT,
        creator=f"{SOFTWARE_NAME} {contents.software_version}",
        subject=contents.notice,
        created=contents.created,
    )
    return archival(build(lambda: list(_story(contents, words)), words), facts)


def _story(contents: PacketContents, words: PageWords) -> Iterator[Flowable]:
    claim, verdict = contents.claim, VERDICTS[contents.evidence.verdict]
    worst = ", ".join(b.body.name for b in contents.evidence.bodies if b.verdict is contents.evidence.verdict)
    yield paragraph(f"{TITLE_TEXT}: {verdict.mark} {verdict.words} ({worst})", TITLE, bold=True)
    codes = "; ".join(map(_line, claim.lines))
    payer = " ".join(filter(None, (claim.payer_name, claim.payer_id)))
    yield paragraph(f"{USES[claim.use]}, service date {claim.service_date.isoformat()}, payer {payer}. {codes}.", TEXT)
    yield paragraph(SUPPLEMENTARY, SMALL)
    yield from _unwritten(contents, words)
    yield Spacer(0, 5)
    for body in contents.evidence.bodies:
        yield card(contents, body)
    yield from sections(contents)
    for body in contents.evidence.bodies:
        yield from body_pages(contents, body)


def _line(line: ServiceLine) -> str:
    bodies = ", ".join(body.name for body in line.bodies) or "no body named"
    return f"Line {line.number}: {line.procedure} × {line.units} at {bodies}, {', '.join(line.diagnoses)}"


def _unwritten(contents: PacketContents, words: PageWords) -> Iterator[Flowable]:
    """Says which characters are written as their code points."""
    texts = [words.claim, words.patient, contents.claim.payer_name]
    texts += [study.patient_name for study in contents.studies]
    texts += [read.report.text for read in contents.reports] + [
        read.report.signed_by or "" for read in contents.reports
    ]
    count = len({letter for text in texts for letter in missing(text)})
    if count:
        yield paragraph(
            f"{count} characters have no letter in the embedded fonts, or need right-to-left or joined writing; "
            "they are written as code points like [U+05D0].",
            SMALL,
            bold=True,
        )
