"""What slips, angles and posterior walls mean: measurements for findings, each with the lines that it is taken from.

A slip is a measurement here, and gets its Meyerding grade; whether there is a spondylolisthesis is for a detector to
say. Kyphosis, retropulsion and canal compromise belong to the fracture of their vertebra.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from inference.anatomy import Site
from inference.errors import ReasonCode
from inference.findings import Evidence, Finding, Geometry, GeometryType, Grade, Measurement, NotAssessed, Question
from inference.measure.alignment import LEAST_SLIP_MM
from inference.measure.reading import (
    Angle,
    CanalCompromise,
    Length,
    Slip,
    SlipReading,
    SpineReading,
    Unmeasured,
    WallReading,
)
from inference.subject import Subject, image_point

SLIP_METHOD = (
    "posterior-inferior corner of the upper body against the posterior wall line of the lower one, along its superior "
    "endplate; positive is anterior"
)
SLIP_PERCENT_METHOD = "slip over the depth of the lower body's superior endplate"
WEDGE_METHOD = "angle between the body's own endplates; positive is kyphosis"
KYPHOSIS_METHOD = (
    "Cobb angle between the superior endplate of the vertebra above and the inferior endplate of the one below; "
    "positive is kyphosis"
)
RETROPULSION_METHOD = (
    "farthest place of the posterior wall behind the line between the neighbours' posterior corners; "
    "negative is in front"
)
BODY_CANAL_METHOD = "smallest mid-sagittal distance between the canal's walls behind the body"
COMPROMISE_METHOD = "1 - canal diameter behind the body / mean of those behind the middles of its neighbours"
MEYERDING_STEP = 25.0
"""Percent of the endplate's depth per grade (Meyerding 1932): I to 25, II to 50, III to 75, IV to 100, V beyond."""
HIGHEST_MEYERDING = 5
SURE = 2.0
"""A slip counts from this many standard deviations (models.md 3.6)."""

Measured = Iterator[tuple[Measurement, tuple[Evidence, ...]]]


def slip_findings(reading: SpineReading, subject: Subject) -> tuple[Finding, ...]:
    """The slip at every disc, measured and not judged."""
    return tuple(slip_finding(slip, subject) for slip in reading.slips)


def meyerding(slip: Slip) -> int | None:
    """Meyerding's grade of a slip, 0 for none.

    None where no grade fits: the slip goes backwards by as much as would count forwards, or its length is unknown.
    """
    if not isinstance(slip.offset, Length):
        return None
    if abs(slip.offset.mm) <= max(LEAST_SLIP_MM, SURE * slip.offset.uncertainty_mm):
        return 0
    if slip.offset.mm < 0:
        return None
    return min(int(np.ceil(slip.percent / MEYERDING_STEP)), HIGHEST_MEYERDING)


def slip_finding(reading: SlipReading, subject: Subject) -> Finding:
    """The slip at one disc, with its grade and its line."""
    level = reading.level.name
    measured = list(_slip_measurements(reading.slip, subject))
    grade = meyerding(reading.slip) if isinstance(reading.slip, Slip) else None
    return Finding(
        id=subject.track(Question.SPONDYLOLISTHESIS, level),
        question=Question.SPONDYLOLISTHESIS,
        site=Site(level=level),
        assessment=_unanswered(reading.slip),
        grades=() if grade is None else (Grade(scale="meyerding", value=str(grade)),),
        measurements=tuple(m for m, _ in measured),
        evidence=tuple(e for _, lines in measured for e in lines),
        model=subject.model.name,
    )


def _unanswered(slip: Slip | Unmeasured) -> NotAssessed:
    if isinstance(slip, Unmeasured):
        return NotAssessed(reason=slip.reason, sentence=slip.sentence)
    return NotAssessed(
        reason=ReasonCode.NO_MODEL,
        sentence="No detector that tells a spondylolisthesis could be used; the slip is given alone.",
    )


def _slip_measurements(slip: Slip | Unmeasured, subject: Subject) -> Measured:
    if isinstance(slip, Unmeasured):
        return
    if isinstance(slip.offset, Length):
        measurement, line = subject.line("slip", slip.offset, SLIP_METHOD)
        yield measurement, (line,)
    yield _percent("slip_percent", slip.percent, slip.percent_uncertainty, SLIP_PERCENT_METHOD), ()


def wall_measurements(wall: WallReading | None, subject: Subject, *, is_fractured: bool) -> Measured:
    """Angles of a vertebra, and where it is fractured what its posterior wall does to the canal; nothing for None."""
    if wall is None:
        return
    angles = (("body_wedge_angle", wall.wedge, WEDGE_METHOD), ("local_kyphosis", wall.kyphosis, KYPHOSIS_METHOD))
    for name, angle, method in angles:
        if isinstance(angle, Angle):
            yield _angle(name, angle, method, subject)
    if not is_fractured:
        return
    if isinstance(wall.retropulsion, Length):
        measurement, line = subject.line("retropulsion", wall.retropulsion, RETROPULSION_METHOD)
        yield measurement, (line,)
    if isinstance(wall.canal, CanalCompromise):
        canal = wall.canal
        if isinstance(canal.diameter, Length):
            measurement, line = subject.line("canal_ap_diameter", canal.diameter, BODY_CANAL_METHOD)
            yield measurement, (line,)
        yield _percent("canal_compromise", 100 * canal.fraction, 100 * canal.uncertainty, COMPROMISE_METHOD), ()


def _percent(name: str, value: float, uncertainty: float, method: str) -> Measurement:
    return Measurement(name=name, value=round(value, 1), unit="%", uncertainty=round(uncertainty, 1), method=method)


def _angle(name: str, angle: Angle, method: str, subject: Subject) -> tuple[Measurement, tuple[Evidence, ...]]:
    """An angle and its two lines as one polyline of four points; the value is computed from the rounded points."""
    points = tuple(image_point(p) for p in (*angle.upper, *angle.lower))
    _, row_mm, column_mm = subject.volume.spacing_mm
    upper, lower = (np.subtract(points[last], points[first]) * (column_mm, row_mm) for first, last in ((0, 1), (2, 3)))
    between = float(np.degrees(np.arccos(np.clip(_cosine(upper, lower), -1.0, 1.0))))
    measurement = Measurement(
        name=name,
        value=round(float(np.copysign(between, angle.degrees)), 1),
        unit="deg",
        uncertainty=round(angle.uncertainty_deg, 1),
        method=method,
    )
    geometry = Geometry(type=GeometryType.POLYLINE, points=points)
    source = subject.volume.sources[round(angle.upper[0][0])]
    return measurement, (Evidence(source=source, geometry=geometry, measurement=name),)


def _cosine(first: np.ndarray, second: np.ndarray) -> float:
    return float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))
