"""Graphic annotations of what is present: marks, drawn measurements, and text beside them (PS3.3 C.10.5).

Points in PIXEL units are the image points of findings.json: (0, 0) is the upper left corner of the first pixel. What
reaches beyond the image is drawn up to its edge. Every image carries the research notice, and the numbering warning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import highdicom as hd
import numpy as np
from highdicom.color import CIELabColor
from highdicom.pr import AnnotationUnitsValues, GraphicAnnotation, GraphicLayer, GraphicObject, TextObject
from pydicom.dataset import Dataset

from dicom_node.derived import plain
from dicom_node.sr.words import label
from dicom_node.uids import measurement_tracking_uid
from inference.findings import Evidence, Finding, GeometryType, Measurement, Present, StudyFindings
from inference.geometry import FloatArray, FrameReference
from inference.provenance import RESEARCH_USE

FINDINGS = GraphicLayer(
    layer_name="FINDINGS", order=1, description="AI findings", display_color=CIELabColor.from_rgb(255, 90, 80)
)
MEASUREMENTS = GraphicLayer(
    layer_name="MEASUREMENTS", order=2, description="AI measurements", display_color=CIELabColor.from_rgb(255, 205, 90)
)
NOTICES = GraphicLayer(
    layer_name="NOTICES", order=3, description="Research use", display_color=CIELabColor.from_rgb(235, 235, 235)
)
LAYERS = (FINDINGS, MEASUREMENTS, NOTICES)
"""In the colours of the overlay pictures."""
NOTICE_BOX = (0.01, 0.9, 0.99, 0.99)
"""Left, top, right and bottom of the notice, as parts of the displayed area."""
TOGETHER = 0.04
"""Marks closer than this part of the image's height share one text; neighbouring discs are about 0.1 apart."""
LONG_TEXT = 64
"""VR LO."""
Marked: TypeAlias = tuple[Finding, Evidence]
Content: TypeAlias = tuple[list[GraphicObject], list[TextObject]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """What is drawn on one image."""

    source: FrameReference
    marked: tuple[Marked, ...]


def drawings_of(findings: StudyFindings, instances: Iterable[str]) -> tuple[Drawing, ...]:
    """What is present on the images of a series, given by SOP Instance UID, in their order and that of the frames."""
    order = {uid: number for number, uid in enumerate(instances)}
    found: dict[FrameReference, list[Marked]] = {}
    for finding in findings.findings:
        for evidence in finding.evidence if isinstance(finding.assessment, Present) else ():
            if evidence.source.sop_instance_uid in order:
                found.setdefault(evidence.source, []).append((finding, evidence))
    ordered = sorted(found, key=lambda source: (order[source.sop_instance_uid], source.frame or 0))
    return tuple(Drawing(source=source, marked=tuple(found[source])) for source in ordered)


def annotations_of(
    drawings: Sequence[Drawing], findings: StudyFindings, images: Mapping[str, Dataset]
) -> list[GraphicAnnotation]:
    """One annotation per image and layer that has something on it."""
    made = []
    for drawing in drawings:
        image = images[drawing.source.sop_instance_uid]
        size = np.array([float(image.Columns), float(image.Rows)])
        layers = ((FINDINGS, _marks(drawing, size)), (MEASUREMENTS, _measured(drawing, size)))
        drawn = [(layer, content) for layer, content in layers if content[1]]
        drawn.append((NOTICES, ([], [_notice(findings)])))
        made += [_annotation(image, drawing.source, layer, *content) for layer, content in drawn]
    return made


def _marks(drawing: Drawing, size: FloatArray) -> Content:
    """The marks of the findings themselves, with the words of each finding once, at its first mark.

    What is marked at almost the same place has one text of several lines: texts over each other cannot be read.
    """
    graphics: list[GraphicObject] = []
    texts: list[tuple[FloatArray, list[str]]] = []
    named: set[str] = set()
    for finding, evidence in drawing.marked:
        if evidence.measurement is not None:
            continue
        graphics += _graphics(evidence, size, finding.id, label(finding))
        if finding.id not in named:
            named.add(finding.id)
            anchor = _within(evidence.geometry.points, size)[0]
            near = [lines for place, lines in texts if np.abs(place - anchor).max() <= TOGETHER * size[1]]
            if near:
                near[0].append(label(finding))
            else:
                texts.append((anchor, [label(finding)]))
    return graphics, [_text("\r\n".join(map(plain, lines)), anchor, is_visible=True) for anchor, lines in texts]


def _measured(drawing: Drawing, size: FloatArray) -> Content:
    """What was measured, with the number at its uppermost point."""
    graphics: list[GraphicObject] = []
    texts: list[TextObject] = []
    for finding, evidence in drawing.marked:
        measurement = finding.measurement(evidence.measurement or "")
        if measurement is not None:
            uid = measurement_tracking_uid(finding.id, measurement.name)
            graphics += _graphics(evidence, size, uid, measurement.name, is_angle=measurement.unit == "deg")
            texts.append(_value(evidence, measurement, size))
    return graphics, texts


def _annotation(
    image: Dataset,
    source: FrameReference,
    layer: GraphicLayer,
    graphics: Sequence[GraphicObject],
    texts: Sequence[TextObject],
) -> GraphicAnnotation:
    return GraphicAnnotation(
        referenced_images=[image],
        graphic_layer=layer,
        referenced_frame_number=source.frame,
        graphic_objects=list(graphics) or None,
        text_objects=list(texts),
    )


def _graphics(
    evidence: Evidence, size: FloatArray, tracking_uid: str, name: str, *, is_angle: bool = False
) -> Iterator[GraphicObject]:
    """The shapes of a piece of evidence: a point, a line or an outline; two lines for an angle."""
    points = _within(evidence.geometry.points, size)
    kind = hd.pr.GraphicTypeValues[evidence.geometry.type.value]
    for part in (points[:2], points[2:]) if is_angle else (points,):
        yield GraphicObject(
            graphic_type=kind,
            graphic_data=part,
            units=AnnotationUnitsValues.PIXEL,
            tracking_id=plain(name)[:LONG_TEXT],
            tracking_uid=tracking_uid,
        )


def _value(evidence: Evidence, measurement: Measurement, size: FloatArray) -> TextObject:
    """The number at the uppermost point of what was measured."""
    points = _within(evidence.geometry.points, size)
    unit = "" if measurement.unit == "1" else f" {measurement.unit}"
    is_point = evidence.geometry.type is GeometryType.POINT
    return _text(plain(f"{measurement.value:.4g}{unit}"), points[np.argmin(points[:, 1])], is_visible=is_point)


def _text(words: str, anchor: FloatArray, *, is_visible: bool) -> TextObject:
    return TextObject(
        text_value=words,
        units=AnnotationUnitsValues.PIXEL,
        anchor_point=(float(anchor[0]), float(anchor[1])),
        anchor_point_visible=is_visible,
    )


def _notice(findings: StudyFindings) -> TextObject:
    numbering = f" Level numbering uncertain: {findings.numbering.note}" if findings.numbering.ambiguous else ""
    return TextObject(
        text_value=plain(RESEARCH_USE + numbering), units=AnnotationUnitsValues.DISPLAY, bounding_box=NOTICE_BOX
    )


def _within(points: Sequence[tuple[float, float]], size: FloatArray) -> FloatArray:
    return np.clip(np.asarray(points, dtype=np.float64), 0.0, size)
