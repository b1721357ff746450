"""The page of one body: its key images without and with overlay, every measurement, and all that the reports say."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

from PIL import Image as Picture
from reportlab.platypus import Flowable, Image, KeepTogether, PageBreak, Spacer, Table, TableStyle

from claims.evidence import BodyEvidence
from claims.packet.cards import quotation
from claims.packet.contents import KeyImage, PacketContents, StudyPart
from claims.packet.layout import HEADING, SMALL, TEXT, TITLE, WIDTH, paragraph
from claims.packet.sections import table
from claims.packet.typeface import BODY
from claims.packet.words import VERDICTS, answer, day, quoted, review_line
from inference.findings import Finding, Measurement

PICTURE_WIDTH, PICTURE_HEIGHT = WIDTH / 2 - 6, 300.0
"""Largest size of a picture, in points."""


def body_pages(contents: PacketContents, body: BodyEvidence) -> Iterator[Flowable]:
    """A page, or more, for one body."""
    verdict = VERDICTS[body.verdict]
    yield PageBreak()
    yield paragraph(f"{body.body.name}   {verdict.mark} {verdict.words}", TITLE, bold=True)
    yield paragraph(body.sentence, TEXT)
    yield from _pictures(contents, body)
    yield from _findings(contents, body)
    sentences = quoted(contents.reports, body.body)
    yield paragraph("What the reports say of this body", HEADING, bold=True)
    if not sentences:
        yield paragraph("No sentence of the reports is about this body.", TEXT)
    for sentence in sentences:
        yield KeepTogether([*quotation(sentence), Spacer(0, 4)])


def _pictures(contents: PacketContents, body: BodyEvidence) -> Iterator[Flowable]:
    shown = [image for image in contents.images if image.body is body.body]
    withheld = [image for image in contents.withheld if image.body is body.body]
    yield Spacer(0, 4)
    for image in shown:
        yield _pair(image, contents)
    for left_out in withheld:
        yield paragraph(f"Key image withheld: {left_out.sentence}", TEXT, bold=True)
    if not shown and not withheld:
        yield paragraph("No key image: no study of this packet shows this body.", TEXT, bold=True)


def _pair(image: KeyImage, contents: PacketContents) -> Flowable:
    study = next(part for part in contents.studies if part.study_instance_uid == image.study_instance_uid)
    low, high = image.window
    words = (
        f"{image.body.name} on {image.title}, study of {day(study.study_date)}. Left as it is, right with outlines and "
        f"measurements by AI. Window: {low:.5g} black to {high:.5g} white. Scale bar: {image.scale_bar_mm:g} mm."
    )
    pair = Table([[_drawn(image.plain), _drawn(image.overlay)]], colWidths=[WIDTH / 2] * 2)
    pair.setStyle(
        TableStyle(
            [
                ("FONTNAME", (0, 0), (-1, -1), BODY),
                ("LEFTPADDING", (0, 0), (-1, -1), 0),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ]
        )
    )
    source = f"Instance {image.source.sop_instance_uid}" + (
        f", frame {image.source.frame}" if image.source.frame else ""
    )
    return KeepTogether([pair, paragraph(words, TEXT), paragraph(source, SMALL), Spacer(0, 4)])


def _drawn(png: bytes) -> Image:
    with Picture.open(BytesIO(png)) as picture:
        width, height = picture.size
    scale = min(PICTURE_WIDTH / width, PICTURE_HEIGHT / height)
    return Image(BytesIO(png), width=width * scale, height=height * scale, hAlign="LEFT")


def _findings(contents: PacketContents, body: BodyEvidence) -> Iterator[Flowable]:
    for study, finding in contents.fractures(body.body):
        yield paragraph(f"Compression fracture as measured by AI, study of {day(study.study_date)}", HEADING, bold=True)
        yield paragraph(_told(study, finding), TEXT)
        rows = [
            [m.name.replace("_", " "), f"{m.value:.4g} {m.unit if m.unit != '1' else ''}".strip(), _spread(m), m.method]
            for m in finding.measurements
        ]
        if rows:
            heads = ["Measurement", "Value", "One standard deviation", "Method"]
            yield table([heads, *rows], (0.22, 0.12, 0.16, 0.5), has_head=True)


def _spread(measured: Measurement) -> str:
    return "not known" if measured.uncertainty is None else f"± {measured.uncertainty:.2g}"


def _told(study: StudyPart, finding: Finding) -> str:
    grades = ", ".join(f"{grade.scale.replace('_', ' ')} {grade.value}" for grade in finding.grades)
    parts = (
        f"{answer(finding).capitalize()}.",
        f"Grades: {grades}." if grades else "",
        f"Operating point: {finding.operating_point}." if finding.operating_point else "",
        finding.note or "",
        f"{review_line(study.findings, finding)}.",
    )
    return " ".join(part for part in parts if part)
