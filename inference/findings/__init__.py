"""What is said about a spine: findings with three answers, and the document that carries them."""

from inference.findings.assessment import Absent, Assessment, NotAssessed, Present
from inference.findings.document import SeriesUse, StudyFindings
from inference.findings.finding import (
    FIVE_QUESTIONS,
    Calibration,
    Evidence,
    Finding,
    Geometry,
    GeometryType,
    Grade,
    Measurement,
    Question,
)

__all__ = [
    "FIVE_QUESTIONS",
    "Absent",
    "Assessment",
    "Calibration",
    "Evidence",
    "Finding",
    "Geometry",
    "GeometryType",
    "Grade",
    "Measurement",
    "NotAssessed",
    "Present",
    "Question",
    "SeriesUse",
    "StudyFindings",
]
