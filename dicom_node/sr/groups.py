"""Measurement groups under Imaging Measurements (126010): what a viewer draws.

Only what was found has groups, each in the shape that OHIF draws *and* turns into a measurement: a Cornerstone
tracking identifier, a tracking UID of its own, one 2-D shape, the first number inferred from that very shape, and a
Comment as label. A number that is drawn is computed from the emitted points, because OHIF computes it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import copysign

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
from inference.drawing import ANGLE_POINTS, LINE_POINTS, angle_deg, area_mm2, is_closed, length_mm
from inference.findings import Evidence, Finding, GeometryType, Measurement, Present, ReviewStatus, StudyFindings

CORNERSTONE = "Cornerstone3DTools@^0.1.0"
"""OHIF restores a group to an annotation tool by this prefix of its Tracking Identifier; text may follow."""


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
        self.by_a_person = finding.review is not None and finding.review.status is ReviewStatus.ADDED

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
        coded = [codes.grade_codes(grade) for grade in finding.grades]
        evaluations = [QualitativeEvaluation(name=name, value=value) for name, value in coded] + self._review()
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
        whose = self._review() if self.by_a_person else []
        yield _labelled(self._group(tracking, [area], whose), f"{what}, area in the plane of the slice")

    def _review(self) -> list[QualitativeEvaluation]:
        """What a person made of the finding: what no algorithm gave says so in every group."""
        if self.finding.review is None:
            return []
        name, value = codes.review_codes(self.finding.review.status)
        return [QualitativeEvaluation(name=name, value=value)]

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
            algorithm_id=None if self.by_a_person else self.algorithm,
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
            algorithm_id=None if self.by_a_person else self.algorithm,
            qualitative_evaluations=evaluations,
        )


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
