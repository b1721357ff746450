"""One finding: a question, a site, an answer, and the evidence for it.

Units are UCUM codes (``mm``, ``mm2``, ``%``, ``deg``, ``1``). Points are ``(column, row)``, see inference.geometry.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from inference.anatomy import Site
from inference.findings.assessment import Assessment
from inference.findings.reviewed import ReviewReason, ReviewStatus
from inference.geometry import FrameReference


class Question(StrEnum):
    """What a study is asked. The first five are always answered."""

    COMPRESSION_FRACTURE = "compression_fracture"
    MODIC = "modic"
    STENOSIS = "stenosis"
    NEEDLE_PLACEMENT = "needle_placement"
    HARDWARE_LOOSENING = "hardware_loosening"
    DISC_DEGENERATION = "disc_degeneration"
    SPONDYLOLISTHESIS = "spondylolisthesis"
    DISC_NARROWING = "disc_narrowing"
    DISC_BULGING = "disc_bulging"
    DISC_HERNIATION = "disc_herniation"
    ENDPLATE_CHANGE = "endplate_change"
    """Irregular, eroded or sclerotic, or with Schmorl's nodes; without a type."""


FIVE_QUESTIONS: tuple[Question, ...] = tuple(Question)[:5]


class Calibration(StrEnum):
    """What a probability was calibrated on."""

    REAL = "real"
    """On held-out real patients."""
    SYNTHETIC = "synthetic"
    """On generated cases only."""
    NONE = "none"
    """Not calibrated: a model score or an error propagation, not a frequency."""


class GeometryType(StrEnum):
    """PS3.3 C.18.6.1.2 graphic types that we use."""

    POINT = "POINT"
    POLYLINE = "POLYLINE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """A shape on one frame."""

    type: GeometryType
    points: tuple[tuple[float, float], ...]
    """(column, row), rounded to 0.01 pixel so that the same input gives the same bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Where on the images a finding, or one of its measurements, can be seen."""

    source: FrameReference
    geometry: Geometry
    measurement: str | None = None
    """The name of the measurement that this shape is of; None where it marks the finding itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A number with its unit, uncertainty and method."""

    name: str
    """``anterior_height``, ``height_loss``, ``canal_ap_diameter`` ..."""
    value: float
    unit: str
    """UCUM code."""
    uncertainty: float | None
    """One standard deviation, same unit; None where it is not known."""
    method: str


ACUTE_APPEARING, CHRONIC_APPEARING = "acute-appearing", "chronic-appearing"
"""Grades of a fracture on the scale ``acuity``: by its marrow on images, so no more than an appearance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """A grade on a named scale."""

    scale: str
    """``genant``, ``genant_shape`` ..."""
    value: str
    calibration: Calibration | None = None
    """Of the grade itself, where it is another one than that of the finding's probability."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The answer to one question at one site."""

    id: str
    """Tracking UID: the same in findings.json, the SR group and the SEG segment."""
    question: Question
    site: Site
    assessment: Assessment
    grades: tuple[Grade, ...] = ()
    probability: float | None = None
    calibration: Calibration = Calibration.NONE
    operating_point: str | None = None
    """In words and numbers, like ``height_loss >= 0.25 and z <= -3``."""
    measurements: tuple[Measurement, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    model: str | None = None
    """Name of the model in the document's ``models``; None where no model took part."""
    note: str | None = None
    """One sentence for the reader, when the rest does not say it."""
    review: FindingReview | None = None
    """What a person made of it; None where nobody has looked."""

    def measurement(self, name: str) -> Measurement | None:
        """The measurement of that name, None if there is none."""
        return next((m for m in self.measurements if m.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingReview:
    """What a person made of one finding."""

    status: ReviewStatus
    reviewer: str
    """Display name."""
    reason: ReviewReason | None = None
    """None where it was accepted."""
    note: str | None = None
    """The reviewer's own words."""
    changed: tuple[str, ...] = ()
    """Of a corrected finding: ``level``, ``assessment``, ``grades``, ``evidence``."""
    original: Finding | None = None
    """The finding as the AI gave it, where it was corrected or rejected."""
