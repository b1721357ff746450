"""What measured foramina mean: sizes and fat of each, never a grade.

A small foramen is not a narrowed one: how a root is pressed is what grades of foraminal stenosis tell (Lee, AJR
2010;194:1095), and twelve readers agree on it only moderately (models.md 1.5). So every one is measured, not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from inference.anatomy import Region, Site
from inference.errors import ReasonCode
from inference.findings import Evidence, Finding, Geometry, GeometryType, Measurement, NotAssessed, Question
from inference.measure.foramen_fat import FatShare, Place
from inference.measure.foramina import NO_PEDICLES
from inference.measure.reading import Foramen, ForamenReading, SpineReading, Unmeasured
from inference.stenosis import LOWEST, LUMBAR
from inference.subject import Subject, image_point

HEIGHT_METHOD = "largest distance between the pedicles on the parasagittal slice in their middle"
WIDTH_METHOD = "smallest distance from disc or body to the bone behind it at the disc, on the same slice"
AREA_METHOD = "area between pedicles, bodies, disc and facet on the same slice, ligaments not taken off"
FAT_METHOD = (
    "part of that area brighter than halfway between the darkest and the brightest tenth of all measured foramina, "
    "signal over that of the neighbouring marrow, on {series} without fat suppression; not compared with readers"
)
MEASURED_ONLY = "No installed detector grades foraminal narrowing; the foramen is measured, not judged."


def foramen_findings(
    reading: SpineReading, subject: Subject, fat: Mapping[Place, FatShare], series: str
) -> tuple[Finding, ...]:
    """The foramina of the lumbar discs above L5-S1, by level and side; none at all where no slice shows their pedicles.

    Args:
        reading: what was measured.
        subject: whose it is.
        fat: how much of each is fat; empty for a series that does not show it.
        series: contrast of the series that fat was told on, in words.
    """
    lumbar = [found for found in reading.foramina if found.level in LUMBAR and found.level != LOWEST]
    if all(found.foramen == NO_PEDICLES for found in lumbar):
        return ()
    return tuple(_finding(found, subject, fat.get((found.level, found.side)), series) for found in lumbar)


def _finding(found: ForamenReading, subject: Subject, fat: FatShare | None, series: str) -> Finding:
    measured = list(_measurements(found.foramen, fat, series, subject))
    return Finding(
        id=subject.track(Question.STENOSIS, f"{found.level.name} {found.side} {Region.FORAMEN}"),
        question=Question.STENOSIS,
        site=Site(level=found.level.name, side=found.side, region=Region.FORAMEN),
        assessment=_unanswered(found.foramen),
        measurements=tuple(measurement for measurement, _ in measured),
        evidence=tuple(evidence for _, evidence in measured if evidence is not None),
        model=subject.model.name,
    )


def _unanswered(foramen: Foramen | Unmeasured) -> NotAssessed:
    if isinstance(foramen, Unmeasured):
        return NotAssessed(reason=foramen.reason, sentence=foramen.sentence)
    return NotAssessed(reason=ReasonCode.NO_MODEL, sentence=MEASURED_ONLY)


def _measurements(
    foramen: Foramen | Unmeasured, fat: FatShare | None, series: str, subject: Subject
) -> Iterator[tuple[Measurement, Evidence | None]]:
    if isinstance(foramen, Unmeasured):
        return
    yield subject.line("foraminal_height", foramen.height, HEIGHT_METHOD)
    yield subject.line("foraminal_width", foramen.width, WIDTH_METHOD)
    yield _area(foramen, subject)
    if fat is not None:
        measurement = Measurement(
            name="foraminal_fat_fraction",
            value=round(100 * fat.share, 1),
            unit="%",
            uncertainty=round(100 * fat.uncertainty, 1),
            method=FAT_METHOD.format(series=series),
        )
        yield measurement, None


def _area(foramen: Foramen, subject: Subject) -> tuple[Measurement, Evidence]:
    """The area inside the outline, computed from the points that are given, and the outline."""
    points = tuple(image_point(point) for point in (*foramen.outline_index, foramen.outline_index[0]))
    columns, rows = np.asarray(points).T
    _, row_mm, column_mm = subject.volume.spacing_mm
    pixels = abs(float(np.sum(columns[:-1] * rows[1:] - columns[1:] * rows[:-1]))) / 2
    measurement = Measurement(
        name="foraminal_area",
        value=round(pixels * row_mm * column_mm, 1),
        unit="mm2",
        uncertainty=round(foramen.area_uncertainty_mm2, 1),
        method=AREA_METHOD,
    )
    source = subject.volume.sources[round(foramen.outline_index[0][0])]
    return measurement, Evidence(source=source, geometry=Geometry(type=GeometryType.POLYLINE, points=points))
