"""The page of the summary: US Letter, its frame, header and footer, and the paragraph styles.

Every page says whose claim it is, from which studies, that it is for research use, and how many pages there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from reportlab.lib.colors import Color, black
from reportlab.lib.enums import TA_CENTER
from reportlab.lib.pagesizes import letter
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Flowable, Frame, PageTemplate, Paragraph

from claims.packet.typeface import BODY, markup, register

PAGE_WIDTH, PAGE_HEIGHT = letter
MARGIN = 12 * mm
HEADER, FOOTER = 14 * mm, 11 * mm
WIDTH = PAGE_WIDTH - 2 * MARGIN
HEIGHT = PAGE_HEIGHT - 2 * MARGIN - HEADER - FOOTER
"""Of what is between header and footer, in points."""
PLACE_WIDTH = 62.0
"""Of the page number, in points."""
HEADER_SIZES = (9.0, 8.0, 7.0, 6.0, 5.0, 4.0)
"""A name of 64 characters in each of its groups still fits, if small; nothing is cut off."""
RULE = Color(0.45, 0.45, 0.45)
SHADE = Color(0.93, 0.93, 0.93)
QUIET = Color(0.25, 0.25, 0.25)
"""Small print; still 10:1 on white."""

_BASE: dict[str, Any] = {"fontName": BODY, "splitLongWords": True, "textColor": black}
TEXT = ParagraphStyle("text", **_BASE, fontSize=9, leading=11.5)
FACT = ParagraphStyle("fact", **_BASE, fontSize=11, leading=13.5)
LEVEL = ParagraphStyle("level", **_BASE, fontSize=22, leading=26, alignment=TA_CENTER)
MARK = ParagraphStyle("mark", **_BASE, fontSize=16, leading=18, alignment=TA_CENTER)
HEADING = ParagraphStyle("heading", **_BASE, fontSize=11.5, leading=14, spaceBefore=9, spaceAfter=3, keepWithNext=1)
TITLE = ParagraphStyle("title", **_BASE, fontSize=13, leading=17)
SMALL = ParagraphStyle("small", **{**_BASE, "textColor": QUIET}, fontSize=7.5, leading=9.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageWords:
    """What stands on every page."""

    claim: str
    patient: str
    studies: str
    notice: str


def paragraph(text: str, style: ParagraphStyle = TEXT, *, bold: bool = False) -> Paragraph:
    """A paragraph of plain text, whatever characters it has."""
    return Paragraph(markup(text, bold=bold), style)


def build(story: Callable[[], Sequence[Flowable]], words: PageWords) -> bytes:
    """Draw the story; a first time to count the pages, a second time to say of how many each is one."""
    register()
    pages = _draw(story(), words, None)[1]
    return _draw(story(), words, pages)[0]


def _draw(story: Sequence[Flowable], words: PageWords, pages: int | None) -> tuple[bytes, int]:
    out = BytesIO()
    document = BaseDocTemplate(out, pagesize=letter, invariant=1, initialFontName=BODY, pageCompression=1)
    frame = Frame(MARGIN, MARGIN + FOOTER, WIDTH, HEIGHT, leftPadding=0, rightPadding=0, topPadding=0, bottomPadding=0)

    def furnish(canvas: Canvas, template: BaseDocTemplate) -> None:
        _furnish(canvas, words, f"Page {template.page} of {pages}")

    document.addPageTemplates(PageTemplate(id="page", frames=[frame], onPage=furnish))
    document.build(list(story))
    return out.getvalue(), int(document.page)


def _furnish(canvas: Canvas, words: PageWords, place: str) -> None:
    top = PAGE_HEIGHT - MARGIN
    for text in _fitting(words):
        top -= _place(canvas, text, top, WIDTH - PLACE_WIDTH)
    _place(canvas, paragraph(place), PAGE_HEIGHT - MARGIN, PLACE_WIDTH, x=PAGE_WIDTH - MARGIN - PLACE_WIDTH)
    canvas.setStrokeColor(RULE)
    canvas.setLineWidth(0.6)
    for y in (PAGE_HEIGHT - MARGIN - HEADER + 6, MARGIN + FOOTER - 6):
        canvas.line(MARGIN, y, PAGE_WIDTH - MARGIN, y)
    _place(canvas, paragraph(words.notice, bold=True), MARGIN + FOOTER - 8, WIDTH)


def _fitting(words: PageWords) -> list[Paragraph]:
    """Claim, patient and studies, in the largest letters of which they fit into the header."""
    made: list[Paragraph] = []
    for size in HEADER_SIZES:
        style = ParagraphStyle("header", parent=TEXT, fontSize=size, leading=size * 1.25)
        claim = paragraph(f"Claim {words.claim} · Patient: {words.patient}", style, bold=True)
        made = [claim, paragraph(f"Studies: {words.studies}", style)]
        if sum(text.wrap(WIDTH - PLACE_WIDTH, PAGE_HEIGHT)[1] for text in made) <= HEADER - 8:
            break
    return made


def _place(canvas: Canvas, text: Paragraph, top: float, width: float, *, x: float = MARGIN) -> float:
    """Draw a paragraph under a height; returns the height that it takes."""
    _, height = text.wrap(width, PAGE_HEIGHT)
    text.drawOn(canvas, x, top - height)
    return float(height)
