"""What another viewer draws over the images of a study: the document of schema ``spine-overlay/1``.

Every image that carries something, with the marks of the findings and the outlines of the structures on it: as image
points ``(column, row)``, (0, 0) the upper left corner of the first pixel, and in LPS millimetres where the image says
where it lies; where it does not, the image says why. Findings, numbering and what was not assessed stand beside them:
silence never reads as normal. Colours are red, green, blue. The same input gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from inference.contour import Polygon
from inference.errors import ReasonCode
from inference.findings import Evidence, Finding, NotAssessed, Present, StudyFindings
from inference.findings.encode import to_json
from inference.findings.summary import describe_measurement
from inference.geometry import FrameReference
from inference.plane import ImagePlane
from inference.segmentation import Structure
from server.overlay_words import (
    ABNORMAL,
    INK,
    Colour,
    colour_of,
    describe,
    is_angle,
    is_rejected,
    measured_by,
    name_of,
    said,
)

SCHEMA = "spine-overlay/1"
PIXEL_DIGITS = 2
"""As findings.json rounds image points."""
LPS_DIGITS = 3
"""0.001 mm, a tenth of the smallest step of an image point on pixels of 0.1 mm and more."""
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """One structure on one image."""

    label: str
    structure: Structure
    level: str | None
    tracking_uid: str
    colour: Colour
    polygons: tuple[Polygon, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlayImage:
    """One image, or one frame of it, on which something can be drawn."""

    source: FrameReference
    series_instance_uid: str
    frame_of_reference_uid: str | None
    size: tuple[int, int] | None
    """(rows, columns); None where the header cannot be read."""
    plane: ImagePlane | None
    no_plane: tuple[ReasonCode, str] | None
    """Why there is no plane; None where there is one."""
    outlines: tuple[Outline, ...] = ()


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the document."""
    loaded: dict[str, Any] = json.loads(resources.files(__package__).joinpath("overlay.schema.json").read_text("utf-8"))
    return loaded


def encode_overlay(document: StudyFindings, revision: int, images: Iterable[OverlayImage]) -> bytes:
    """The overlay as compact JSON: sorted keys, UTF-8, one newline at the end.

    Args:
        document: The findings; those with evidence on none of the images are listed where they have no evidence at all.
        revision: Of the study, from 1.
        images: In the order in which they are written.
    """
    values = overlay_json(document, revision, images)
    text = json.dumps(values, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return f"{text}\n".encode()


def overlay_json(document: StudyFindings, revision: int, images: Iterable[OverlayImage]) -> dict[str, Any]:
    """The overlay as JSON values."""
    shown = tuple(images)
    sources = {image.source for image in shown}
    drawn = [f for f in document.findings if not said(f).evidence or any(e.source in sources for e in said(f).evidence)]
    whole = to_json(document)
    as_json = {values["id"]: values for values in whole["findings"]}
    values = {
        "schema": SCHEMA,
        "study_instance_uid": document.study_instance_uid,
        "revision": revision,
        "numbering": whole["numbering"],
        "findings": [_finding(f, as_json[f.id]) for f in drawn],
        "not_assessed": [_not_assessed(f, as_json[f.id]) for f in document.findings if _is_not_assessed(f)],
        "images": [_image(image, document.findings) for image in shown],
        "models": whole["models"],
        "software": whole["software"],
        "notice": whole["notice"],
    }
    return values | ({"review": whole["review"]} if "review" in whole else {})


def _finding(finding: Finding, values: dict[str, Any]) -> dict[str, Any]:
    """As in findings.json without the evidence, which is on the images, and with what a viewer writes beside it."""
    kept = {key: value for key, value in values.items() if key != "evidence"}
    colour = ABNORMAL if isinstance(finding.assessment, Present) else INK
    return kept | {"name": name_of(finding), "label": describe(finding), "colour": list(colour)}


def _is_not_assessed(finding: Finding) -> bool:
    return isinstance(finding.assessment, NotAssessed)


def _not_assessed(finding: Finding, values: dict[str, Any]) -> dict[str, Any]:
    kept = ("question", "site", "reason", "reason_sentence")
    return {"finding": finding.id, "name": name_of(finding)} | {key: values[key] for key in kept}


def _image(image: OverlayImage, findings: Iterable[Finding]) -> dict[str, Any]:
    on_it = [(f, e) for f in findings for e in said(f).evidence if e.source == image.source]
    return {
        "series_instance_uid": image.series_instance_uid,
        "sop_class_uid": image.source.sop_class_uid,
        "sop_instance_uid": image.source.sop_instance_uid,
        "frame": image.source.frame,
        "rows": None if image.size is None else image.size[0],
        "columns": None if image.size is None else image.size[1],
        "frame_of_reference_uid": image.frame_of_reference_uid,
        "plane": None if image.plane is None else _plane(image.plane),
        "no_plane": None if image.no_plane is None else _reason(image.no_plane),
        "marks": [_mark(image.plane, finding, evidence) for finding, evidence in on_it],
        "structures": [_structure(image.plane, outline) for outline in image.outlines],
    }


def _plane(plane: ImagePlane) -> dict[str, list[float]]:
    return {
        "position_lps_mm": list(plane.position_mm),
        "row_direction": list(plane.row_direction),
        "column_direction": list(plane.column_direction),
        "spacing_mm": list(plane.spacing_mm),
    }


def _reason(reason: tuple[ReasonCode, str]) -> dict[str, str]:
    return {"code": reason[0].value, "sentence": reason[1]}


def _mark(plane: ImagePlane | None, finding: Finding, evidence: Evidence) -> dict[str, Any]:
    measured = measured_by(finding, evidence)
    values = {
        "finding": finding.id,
        "question": finding.question.value,
        "measurement": evidence.measurement,
        "type": "TWO_LINES" if is_angle(finding, evidence) else evidence.geometry.type.value,
        "text": describe(finding) if measured is None else describe_measurement(measured),
        "colour": list(colour_of(finding, evidence)),
        **_points(plane, evidence.geometry.points),
    }
    review = finding.review
    return values if review is None else values | {"review": review.status.value, "is_dashed": is_rejected(finding)}


def _structure(plane: ImagePlane | None, outline: Outline) -> dict[str, Any]:
    return {
        "label": outline.label,
        "structure": outline.structure.value,
        "level": outline.level,
        "tracking_uid": outline.tracking_uid,
        "colour": list(outline.colour),
        "polygons": [_points(plane, polygon) for polygon in outline.polygons],
    }


def _points(plane: ImagePlane | None, points: Points) -> dict[str, Any]:
    """Image points, and the same in the patient where the plane is known."""
    in_patient = None if plane is None else (plane.to_lps_mm(points).round(LPS_DIGITS) + 0.0).tolist()
    return {
        "points": [[round(x, PIXEL_DIGITS), round(y, PIXEL_DIGITS)] for x, y in points],
        "points_lps_mm": in_patient,
    }
