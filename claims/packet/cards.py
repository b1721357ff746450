"""A card for each billed body: what a coder looks for, in the same place for every body."""

from __future__ import annotations

from reportlab.lib.colors import black
from reportlab.platypus import Flowable, KeepTogether, Spacer, Table, TableStyle

from claims.evidence import BodyEvidence
from claims.packet.contents import PacketContents, StudyPart
from claims.packet.layout import FACT, LEVEL, MARK, RULE, SHADE, SMALL, TEXT, WIDTH, paragraph
from claims.packet.typeface import BODY
from claims.packet.words import (
    VERDICTS,
    QuotedSentence,
    day,
    height_loss,
    oedema,
    quoted,
    review_line,
    signature,
)
from inference.findings import Finding

LEVEL_WIDTH = 52.0
COLUMNS = (104.0, 104.0, 82.0)
"""Of height loss, oedema and study; the report's sentence has the rest."""
SENTENCES = 2
"""On the first page; all of them stand on the page of the body."""


def card(contents: PacketContents, body: BodyEvidence) -> Flowable:
    """One body: level, verdict, height loss, oedema, study and the report's words."""
    verdict = VERDICTS[body.verdict]
    head = [paragraph(verdict.words, FACT, bold=True), paragraph(body.sentence, TEXT)]
    told = contents.fractures(body.body)
    facts = _facts(told[0] if told else None, contents)
    said = _said(quoted(contents.reports, body.body))
    widths = (*COLUMNS, WIDTH - LEVEL_WIDTH - sum(COLUMNS))
    level = [paragraph(body.body.name, LEVEL, bold=True), paragraph(verdict.mark, MARK)]
    table = Table([[level, head, "", "", ""], ["", *facts, said]], colWidths=(LEVEL_WIDTH, *widths))
    table.setStyle(
        TableStyle(
            [
                ("FONTNAME", (0, 0), (-1, -1), BODY),
                ("SPAN", (0, 0), (0, -1)),
                ("SPAN", (1, 0), (-1, 0)),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("BACKGROUND", (0, 0), (-1, 0), SHADE),
                ("BACKGROUND", (0, 0), (0, -1), SHADE),
                ("BOX", (0, 0), (-1, -1), 1.2, black),
                ("INNERGRID", (1, 1), (-1, -1), 0.4, RULE),
                ("LINEAFTER", (0, 0), (0, -1), 0.8, black),
                ("LEFTPADDING", (0, 0), (-1, -1), 4),
                ("RIGHTPADDING", (0, 0), (-1, -1), 4),
                ("TOPPADDING", (0, 0), (-1, -1), 3),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 4),
            ]
        )
    )
    return KeepTogether([table, Spacer(0, 5)])


def _facts(told: tuple[StudyPart, Finding] | None, contents: PacketContents) -> list[list[Flowable]]:
    if told is None:
        dates = ", ".join(day(study.study_date) for study in contents.studies) or "no study"
        return [
            _fact("Height loss (AI)", "no finding"),
            _fact("Marrow oedema (AI)", "no finding"),
            _fact("Study", dates),
        ]
    study, finding = told
    loss, loss_method = height_loss(finding)
    marrow, marrow_method = oedema(finding)
    return [
        _fact("Height loss (AI)", loss, loss_method),
        _fact("Marrow oedema (AI)", marrow, marrow_method),
        _fact("Study", day(study.study_date), study.description, review_line(study.findings, finding)),
    ]


def _fact(name: str, value: str, *notes: str) -> list[Flowable]:
    return [
        paragraph(name, SMALL, bold=True),
        paragraph(value, FACT, bold=True),
        *(paragraph(note, SMALL) for note in notes),
    ]


def _said(sentences: list[QuotedSentence]) -> list[Flowable]:
    made: list[Flowable] = [paragraph("Radiology report", SMALL, bold=True)]
    if not sentences:
        return [*made, paragraph("no sentence about this body", FACT, bold=True)]
    for sentence in sentences[:SENTENCES]:
        made += quotation(sentence)
    if len(sentences) > SENTENCES:
        made.append(paragraph(f"and {len(sentences) - SENTENCES} more, on the page of this body", SMALL))
    return made


def quotation(sentence: QuotedSentence) -> list[Flowable]:
    """A sentence of a report, with what was read in it and who stands by it."""
    reversed_by = " Reversed by an addendum." if sentence.is_superseded else ""
    return [
        paragraph(f"“{sentence.text}”", TEXT, bold=not sentence.is_superseded),
        paragraph(f"{sentence.section.capitalize()}: {sentence.reading}.{reversed_by}", SMALL),
        paragraph(f"Report of {day(sentence.report.study_date)}, {signature(sentence.report)}", SMALL),
    ]
