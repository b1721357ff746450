"""How the report says things to a person: one English phrase per question, answer, grade and measurement."""

from __future__ import annotations

from inference.anatomy import Region
from inference.findings import (
    Absent,
    Assessment,
    Calibration,
    Finding,
    FindingReview,
    Grade,
    Measurement,
    NotAssessed,
    Present,
    Question,
    ReviewStatus,
)
from inference.findings.summary import FORAMINAL, GRADE_WORDS, NAMES

SHORT_WORDS: dict[Question, str] = {**NAMES, Question.STENOSIS: "spinal stenosis"}
"""For labels that are drawn on the image; stenosis is of the canal, a foramen or a recess there."""
QUESTION_WORDS: dict[Question, str] = {**SHORT_WORDS, Question.COMPRESSION_FRACTURE: "vertebral compression fracture"}

REVIEW_WORDS: dict[ReviewStatus, str] = {
    ReviewStatus.ACCEPTED: "Accepted by {reviewer}.",
    ReviewStatus.CORRECTED: "Corrected by {reviewer}.",
    ReviewStatus.REJECTED: "",
    ReviewStatus.ADDED: "Added by {reviewer}; the AI did not give it.",
}
"""A rejected finding says so itself: it is not assessed any more, and why."""


def answer_words(assessment: Assessment) -> str:
    """``present``, ``absent`` or ``not assessed``."""
    match assessment:
        case Present():
            return "present"
        case Absent():
            return "absent"
        case NotAssessed():
            return "not assessed"


def statement(finding: Finding) -> str:
    """The whole answer in one or two sentences."""
    place = f"{place_words(finding)}: " if finding.site.level else ""
    text = f"{place}{question_words(finding)}: {answer_words(finding.assessment)}."
    if isinstance(finding.assessment, NotAssessed):
        text += f" {finding.assessment.sentence}"
    if finding.note:
        text += f" {finding.note}"
    return text if finding.review is None else f"{text} {review_words(finding, finding.review)}"


def review_words(finding: Finding, review: FindingReview) -> str:
    """What a person made of a finding, with what the AI had said."""
    words = REVIEW_WORDS[review.status].format(reviewer=review.reviewer)
    parts = [words] if words else []
    if review.original is not None:
        said = _answer_with_grades(review.original)
        place = "" if review.original.site == finding.site else f"{place_words(review.original)}: "
        parts.append(f"The AI said: {place}{said}.")
    if review.note:
        parts.append(f'Note: "{review.note}"')
    return " ".join(parts)


def _answer_with_grades(finding: Finding) -> str:
    grades = [_grade_words(grade) for grade in finding.grades]
    return ", ".join([answer_words(finding.assessment), *grades])


def label(finding: Finding) -> str:
    """What is drawn beside the arrow: level, finding, grades and the main number."""
    parts = [short_words(finding), *(_grade_words(g) for g in finding.grades)]
    if (loss := finding.measurement("height_loss")) is not None:
        parts.append(f"height loss {loss.value:g} %")
    if (slip := finding.measurement("slip_percent")) is not None:
        parts.append(f"slip {slip.value:g} %")
    if (area := finding.measurement("dural_sac_area")) is not None:
        parts.append(f"dural sac {area.value:g} mm2")
    return f"{place_words(finding)}: {', '.join(parts)}{_label_review(finding)}"


def _label_review(finding: Finding) -> str:
    """Whose the finding is, where it is not as the AI gave it."""
    if finding.review is None or finding.review.status is ReviewStatus.ACCEPTED:
        return ""
    return f" ({finding.review.status.value} by {finding.review.reviewer})"


def question_words(finding: Finding) -> str:
    """What a finding is about, in a sentence."""
    return FORAMINAL if finding.site.region is Region.FORAMEN else QUESTION_WORDS[finding.question]


def short_words(finding: Finding) -> str:
    """What a finding is about, on an image."""
    return FORAMINAL if finding.site.region is Region.FORAMEN else SHORT_WORDS[finding.question]


def measurement_label(finding: Finding, measurement: Measurement) -> str:
    """What is listed beside a drawn length: level, name, value and uncertainty."""
    text = f"{place_words(finding)} {measurement.name.replace('_', ' ')}, {measurement.value:g}"
    if measurement.uncertainty is not None:
        text += f" +/- {measurement.uncertainty:g}"
    return f"{text} {measurement.unit}"


def place_words(finding: Finding) -> str:
    """``L1``, ``L4-L5 left``, ``L1 superior``; ``spine`` for the study as a whole."""
    site = finding.site
    words = [site.level or "spine", *(w.value for w in (site.endplate, site.side) if w is not None)]
    return " ".join(words)


def _grade_words(grade: Grade) -> str:
    words = f"{GRADE_WORDS[grade.scale]} {grade.value}" if grade.scale in GRADE_WORDS else grade.value
    return f"{words} (not calibrated)" if grade.calibration is Calibration.NONE else words
