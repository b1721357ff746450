"""Measurement groups under Imaging Measurements (126010): what a viewer draws.

Only what was found has groups, each in the shape that OHIF draws *and* turns into a measurement: a Cornerstone
tracking identifier, a tracking UID of its own, one 2-D shape, the first number inferred from that very shape, and a
Comment as label. A number that is drawn is computed from the emitted points, because OHIF computes it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import acos, copysign, degrees, hypot

import numpy as np
from highdicom.sr import (
    ContainerContentItem,
    ContentSequence,
    CoordinatesForMeasurement,
    GraphicTypeValues,
    ImageRegion,
    MeasurementsAndQualitativeEvaluations,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    SourceImageForRegion,
    TrackingIdentifier,
)
from highdicom.sr import Measurement as NumericMeasurement
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_node import codes
from dicom_node.equipment import arithmetic_algorithm, model_algorithm
from dicom_node.frames import pixel_spacing
from dicom_node.sr.items import comment, finding_site
from dicom_node.sr.words import label, measurement_label, place_words, short_words
from dicom_node.uids import measurement_tracking_uid
from inference.findings import Evidence, Finding, GeometryType, Measurement, Present, StudyFindings

CORNERSTONE = "Cornerstone3DTools@^0.1.0"
"""OHIF restores a group to an annotation tool by this prefix of its Tracking Identifier; text may follow."""
LINE_POINTS = 2
ANGLE_POINTS = 4
"""Two lines of two points each, as the viewer's tool for Cobb angles draws them."""


def measurement_groups(
    findings: StudyFindings, instances: Mapping[str, Dataset], software_version: str
) -> list[ContainerContentItem]:
    """The groups of every finding that is present, in document order; empty when nothing can be drawn.

    Args:
        findings: The document.
        instances: Source headers by SOP Instance UID.
        software_version: Version of the arithmetic.
    """
    groups = []
    for finding in findings.findings:
        if isinstance(finding.assessment, Present):
            groups += list(_GroupMaker(finding, findings, instances, software_version).groups())
    return groups


class _GroupMaker:
    """Makes the groups of one finding."""

    def __init__(
        self, finding: Finding, document: StudyFindings, instances: Mapping[str, Dataset], software_version: str
    ) -> None:
        self.finding = finding
        self.instances = instances
        self.arithmetic = arithmetic_algorithm(software_version)
        model = next((m for m in document.models if m.name == finding.model), None)
        parameters = [f"operating point: {finding.operating_point}"] if finding.operating_point else []
        self.algorithm = self.arithmetic if model is None else model_algorithm(model, parameters)

    def groups(self) -> Iterator[ContainerContentItem]:
        """An arrow at the finding, then one group per measurement that is drawn, then its outlines."""
        marks = [e for e in self.finding.evidence if e.measurement is None and e.geometry.type is GeometryType.POINT]
        if marks:
            yield self._arrow(marks[0])
        for evidence in self.finding.evidence:
            measurement = self.finding.measurement(evidence.measurement or "")
            if measurement is None:
                continue
            if evidence.geometry.type is GeometryType.POINT:  # may be on another series than the finding's own
                yield self._measured("ArrowAnnotate", evidence, measurement, measurement.value)
            elif len(evidence.geometry.points) in TOOLS:
                yield from self._drawn(evidence, measurement)
        for evidence in filter(_is_outline, self.finding.evidence):
            yield from self._outline(evidence)

    def _arrow(self, mark: Evidence) -> ContainerContentItem:
        """A point with the finding's own numbers, the first inferred from it; a bare point where it has none."""
        finding = self.finding
        tracking = _tracking("ArrowAnnotate", f"{place_words(finding)} {short_words(finding)}", finding.id)
        drawn = {e.measurement for e in finding.evidence}
        numbers = [m for m in finding.measurements if m.name not in drawn]
        evaluations = [QualitativeEvaluation(name=n, value=v) for n, v in map(codes.grade_codes, finding.grades)]
        if not numbers:
            return _labelled(self._bare_point(tracking, mark, evaluations), label(finding))
        shape = _coordinates(mark, GraphicTypeValues.POINT)
        measured = [self._number(m, m.value, shape if m is numbers[0] else None) for m in numbers]
        return _labelled(self._group(tracking, measured, evaluations), label(finding))

    def _drawn(self, lines: Evidence, measurement: Measurement) -> Iterator[ContainerContentItem]:
        """Lines with their length or angle; nothing without the pixel spacing that it is computed with."""
        spacing = pixel_spacing(self.instances[lines.source.sop_instance_uid], lines.source.frame)
        if spacing is None:
            return
        tool, size = TOOLS[len(lines.geometry.points)]
        value = copysign(size(lines.geometry.points, spacing), measurement.value)
        yield self._measured(tool, lines, measurement, value)

    def _measured(self, tool: str, evidence: Evidence, measurement: Measurement, value: float) -> ContainerContentItem:
        """One number with the shape that it is about, as a viewer's tool draws it."""
        finding = self.finding
        what = f"{place_words(finding)} {measurement.name.replace('_', ' ')}"
        tracking = _tracking(tool, what, measurement_tracking_uid(finding.id, measurement.name))
        number = self._number(
            measurement, value, _coordinates(evidence, GraphicTypeValues[evidence.geometry.type.name])
        )
        return _labelled(self._group(tracking, [number], []), measurement_label(finding, measurement))

    def _outline(self, outline: Evidence) -> Iterator[ContainerContentItem]:
        """A closed outline with the area inside it, in the plane of its image; nothing without a pixel spacing."""
        spacing = pixel_spacing(self.instances[outline.source.sop_instance_uid], outline.source.frame)
        if spacing is None:
            return
        what = f"{place_words(self.finding)} outline"
        tracking = _tracking("PlanarFreehandROI", what, measurement_tracking_uid(self.finding.id, "outline"))
        area = NumericMeasurement(
            name=codes.AREA,
            value=area_mm2(outline.geometry.points, spacing),
            unit=codes.unit_code("mm2"),
            algorithm_id=self.arithmetic,
            referenced_coordinates=[_coordinates(outline, GraphicTypeValues.POLYLINE)],
        )
        yield _labelled(self._group(tracking, [area], []), f"{what}, area in the plane of the slice")

    def _number(
        self, measurement: Measurement, value: float, shape: CoordinatesForMeasurement | None
    ) -> NumericMeasurement:
        return NumericMeasurement(
            name=codes.measurement_code(measurement.name),
            value=value,
            unit=codes.unit_code(measurement.unit),
            algorithm_id=self.arithmetic,
            referenced_coordinates=None if shape is None else [shape],
        )

    def _group(
        self,
        tracking: TrackingIdentifier,
        numbers: Sequence[NumericMeasurement],
        evaluations: Sequence[QualitativeEvaluation],
    ) -> ContentSequence:
        return MeasurementsAndQualitativeEvaluations(
            tracking_identifier=tracking,
            finding_type=codes.question_code(self.finding.question, self.finding.site),
            finding_sites=[finding_site(self.finding.site)],
            algorithm_id=self.algorithm,
            qualitative_evaluations=evaluations,
            measurements=numbers,
        )

    def _bare_point(
        self, tracking: TrackingIdentifier, mark: Evidence, evaluations: Sequence[QualitativeEvaluation]
    ) -> ContentSequence:
        return PlanarROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=tracking,
            referenced_region=ImageRegion(
                graphic_type=GraphicTypeValues.POINT, graphic_data=_points(mark), source_image=_image(mark)
            ),
            finding_type=codes.question_code(self.finding.question, self.finding.site),
            finding_sites=[finding_site(self.finding.site)],
            algorithm_id=self.algorithm,
            qualitative_evaluations=evaluations,
        )


def length_mm(points: Sequence[tuple[float, float]], spacing_mm: tuple[float, float]) -> float:
    """Length of a two-point line, to 0.01 mm: (column, row) points, spacing (between rows, between columns)."""
    (column0, row0), (column1, row1) = points
    return round(hypot((column1 - column0) * spacing_mm[1], (row1 - row0) * spacing_mm[0]), 2)


def angle_deg(points: Sequence[tuple[float, float]], spacing_mm: tuple[float, float]) -> float:
    """Angle between two lines of two (column, row) points each, to 0.1 degree, 0 to 180."""
    one, other = (np.subtract(points[last], points[last - 1]) * (spacing_mm[1], spacing_mm[0]) for last in (1, 3))
    cosine = float(one @ other) / (hypot(*one.tolist()) * hypot(*other.tolist()))
    return round(degrees(acos(min(max(cosine, -1.0), 1.0))), 1)


def area_mm2(points: Sequence[tuple[float, float]], spacing_mm: tuple[float, float]) -> float:
    """Area inside a closed outline, to 0.1 mm2: (column, row) points, spacing (between rows, between columns)."""
    columns, rows = np.asarray(points, dtype=np.float64).T
    twice = float(np.sum(columns[:-1] * rows[1:] - columns[1:] * rows[:-1]))
    return round(abs(twice) / 2 * spacing_mm[0] * spacing_mm[1], 1)


def is_closed(points: Sequence[tuple[float, float]]) -> bool:
    """Whether points go around something: the last is the first."""
    return len(points) > LINE_POINTS + 1 and tuple(points[0]) == tuple(points[-1])


def _is_outline(evidence: Evidence) -> bool:
    is_drawn = evidence.geometry.type is GeometryType.POLYLINE and evidence.measurement is None
    return is_drawn and is_closed(evidence.geometry.points)


def _tracking(tool: str, what: str, uid: str) -> TrackingIdentifier:
    return TrackingIdentifier(identifier=f"{CORNERSTONE}:{tool}:{what}", uid=uid)


def _labelled(group: ContentSequence, text: str) -> ContainerContentItem:
    item = group[0]
    assert isinstance(item, ContainerContentItem)  # noqa: S101 - TID 1410 and 1501 are one container each
    item.ContentSequence.append(comment(text))
    return item


def _points(evidence: Evidence) -> NDArray[np.float64]:
    return np.asarray(evidence.geometry.points, dtype=np.float64)


def _image(evidence: Evidence) -> SourceImageForRegion:
    source = evidence.source
    frames = None if source.frame is None else [source.frame]
    return SourceImageForRegion(source.sop_class_uid, source.sop_instance_uid, frames)


def _coordinates(evidence: Evidence, graphic_type: GraphicTypeValues) -> CoordinatesForMeasurement:
    return CoordinatesForMeasurement(
        graphic_type=graphic_type, graphic_data=_points(evidence), source_image=_image(evidence)
    )


TOOLS: Mapping[int, tuple[str, Callable[[Sequence[tuple[float, float]], tuple[float, float]], float]]] = {
    LINE_POINTS: ("Length", length_mm),
    ANGLE_POINTS: ("CobbAngle", angle_deg),
}
"""By the number of points: the viewer's tool, and how the number follows from points and pixel spacing."""
