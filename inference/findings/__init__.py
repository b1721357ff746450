"""What is said about a spine: findings with three answers, and the document that carries them."""

from inference.findings.assessment import Absent, Assessment, NotAssessed, Present
from inference.findings.document import SeriesUse, StudyFindings
from inference.findings.finding import (
    ACUTE_APPEARING,
    CHRONIC_APPEARING,
    FIVE_QUESTIONS,
    Calibration,
    Evidence,
    Finding,
    FindingReview,
    Geometry,
    GeometryType,
    Grade,
    Measurement,
    Question,
)
from inference.findings.reviewed import DocumentReview, Reviewer, ReviewReason, ReviewStatus

__all__ = [
    "ACUTE_APPEARING",
    "CHRONIC_APPEARING",
    "FIVE_QUESTIONS",
    "Absent",
    "Assessment",
    "Calibration",
    "DocumentReview",
    "Evidence",
    "Finding",
    "FindingReview",
    "Geometry",
    "GeometryType",
    "Grade",
    "Measurement",
    "NotAssessed",
    "Present",
    "Question",
    "ReviewReason",
    "ReviewStatus",
    "Reviewer",
    "SeriesUse",
    "StudyFindings",
]
