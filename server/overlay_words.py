"""What is said of a finding beside an image, and in which colour: for pictures, the overlay API and the worklist."""

from __future__ import annotations

from collections.abc import Sequence

from inference.anatomy import Region
from inference.findings import Absent, Evidence, Finding, Grade, Measurement, NotAssessed, Present, ReviewStatus
from inference.findings.summary import CALIBRATIONS, FORAMINAL, GRADE_WORDS, NAMES

Colour = tuple[int, int, int]

INK: Colour = (235, 235, 235)
FAINT: Colour = (150, 155, 165)
WARNING: Colour = (255, 205, 90)
ABNORMAL: Colour = (255, 90, 80)
REJECTED: Colour = (150, 155, 165)
"""Of what a reviewer rejected; it is dashed too, so that nobody needs to see the colour."""
SCALES: dict[str, str] = {**GRADE_WORDS, "genant_shape": "shape", "acuity": ""}


def is_rejected(finding: Finding) -> bool:
    """Whether a reviewer rejected it."""
    return finding.review is not None and finding.review.status is ReviewStatus.REJECTED


def said(finding: Finding) -> Finding:
    """What is drawn of a finding: itself, or what the AI had said where a reviewer rejected that."""
    original = finding.review.original if finding.review else None
    return original if original is not None and is_rejected(finding) else finding


def describe(finding: Finding) -> str:
    """One line for a finding: ``L1: compression fracture, Genant 2, shape crush (probability 0.93, ...)``.

    Where a reviewer changed, added or rejected it, by whom: a rejected one is described as the AI had said it.
    """
    return f"{describe_answer(said(finding))}{_whose(finding)}"


def _whose(finding: Finding) -> str:
    review = finding.review
    if review is None or review.status is ReviewStatus.ACCEPTED:
        return ""
    return f" ({review.status.value} by {review.reviewer})"


def describe_answer(finding: Finding) -> str:
    """As ``describe``, without what a reviewer made of it."""
    line = f"{_place(finding)}: {_what(finding)}"
    if isinstance(finding.assessment, NotAssessed):
        line += " (measured, not judged)" if finding.measurements else " (not assessed)"
    if finding.probability is not None:
        line += f" (probability {finding.probability:.2f}, {CALIBRATIONS[finding.calibration]})"
    return line


def describe_site(findings: Sequence[Finding]) -> str:
    """One line for all abnormal findings of a site; several are listed with their probability alone."""
    if len(findings) == 1:
        return describe(findings[0])
    probabilities = ("" if f.probability is None else f" ({f.probability:.2f})" for f in findings)
    words = (f"{_what(said(f))}{p}{_whose(f)}" for f, p in zip(findings, probabilities, strict=True))
    return f"{_place(findings[0])}: {'; '.join(words)}"


def colour_of(finding: Finding, evidence: Evidence) -> Colour:
    """In which colour a piece of evidence is drawn: measurements alike, the mark of what is present in its own."""
    if is_rejected(finding):
        return REJECTED
    if evidence.measurement is not None:
        return WARNING
    return ABNORMAL if isinstance(finding.assessment, Present) else INK


def is_angle(finding: Finding, evidence: Evidence) -> bool:
    """Whether the points are two lines of two points each, with an angle between them."""
    measured = measured_by(finding, evidence)
    return measured is not None and measured.unit == "deg"


def measured_by(finding: Finding, evidence: Evidence) -> Measurement | None:
    """The measurement that a piece of evidence is of; of a rejected finding, the AI's."""
    return said(finding).measurement(evidence.measurement) if evidence.measurement else None


def _place(finding: Finding) -> str:
    return " ".join(filter(None, (finding.site.level or "study", finding.site.endplate, finding.site.side)))


def _what(finding: Finding) -> str:
    name = f"{name_of(finding)} absent" if isinstance(finding.assessment, Absent) else name_of(finding)
    return ", ".join([name, *map(_grade, finding.grades)])


def _grade(grade: Grade) -> str:
    words = f"{SCALES.get(grade.scale, grade.scale)} {grade.value}".strip()
    return words if grade.calibration is None else f"{words} ({CALIBRATIONS[grade.calibration]})"


def name_of(finding: Finding) -> str:
    """What a finding is about, in a few words."""
    return FORAMINAL if finding.site.region is Region.FORAMEN else NAMES[finding.question]
