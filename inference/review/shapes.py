"""A reviewer's shapes as evidence: each on an image of the study, of a kind that the finding can have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import copysign, isfinite

from inference.drawing import ANGLE_POINTS, LINE_POINTS, angle_deg, is_closed, length_mm
from inference.findings import Evidence, Finding, Geometry, GeometryType, Measurement
from inference.review.images import ImageFrame, Images
from inference.review.refusal import ReviewFault, ReviewRefusal
from inference.review.review import Shape

DRAWN_ANEW = "drawn by the reviewer"
_DRAWN = {LINE_POINTS: length_mm, ANGLE_POINTS: angle_deg}


def marks(shapes: Iterable[Shape], images: Images) -> tuple[Evidence, ...]:
    """Marks and outlines of a finding that has no measurements."""
    return tuple(_mark(shape, _frame(shape, images)) for shape in shapes)


def redrawn(finding: Finding, shapes: tuple[Shape, ...], images: Images) -> Finding:
    """The finding with its shapes drawn anew.

    A mark replaces the marks, an outline the outlines. A line replaces that of its measurement, whose value follows
    from the new points; numbers that are not drawn followed from the old lines or outlines and are left out.
    """
    evidence, measurements, leaves_out = list(finding.evidence), list(finding.measurements), False
    for shape in shapes:
        frame = _frame(shape, images)
        if shape.measurement is None:
            new = _mark(shape, frame)
        else:
            old = finding.measurement(shape.measurement)
            new, value = _line(shape, frame, finding, old)
            measurements = [value if m.name == value.name else m for m in measurements]
        like = [e for e in evidence if e.measurement == new.measurement and e.geometry.type is new.geometry.type]
        leaves_out = leaves_out or (bool(like) and new.geometry.type is GeometryType.POLYLINE)
        evidence = [e for e in evidence if e not in like]
        evidence.append(new)
    if leaves_out:
        drawn = {e.measurement for e in evidence}
        measurements = [m for m in measurements if m.name in drawn]
    return replace(finding, evidence=tuple(evidence), measurements=tuple(measurements))


def _frame(shape: Shape, images: Images) -> ImageFrame:
    frame = images.frame(shape.sop_instance_uid, shape.frame)
    if frame is None:
        which = "" if shape.frame is None else f", frame {shape.frame},"
        raise _refused(f"A shape is on an image of the study, but {shape.sop_instance_uid}{which} is none.")
    for column, row in shape.geometry.points:
        inside = isfinite(column) and isfinite(row) and 0 <= column <= frame.columns and 0 <= row <= frame.rows
        if not inside:
            raise _refused(
                f"Points are inside the image of {frame.columns} columns and {frame.rows} rows, got ({column}, {row})."
            )
    return frame


def _mark(shape: Shape, frame: ImageFrame) -> Evidence:
    points, kind = shape.geometry.points, shape.geometry.type
    if shape.measurement is not None:
        raise _refused(f"A finding without measurements has no line for {shape.measurement!r}.")
    if kind is GeometryType.POINT and len(points) != 1:
        raise _refused(f"A mark is one point, got {len(points)}.")
    if kind is GeometryType.POLYLINE and not is_closed(points):
        raise _refused("An outline is closed: its last point is its first, and it has four points or more.")
    return Evidence(source=frame.source, geometry=_rounded(shape.geometry))


def _line(shape: Shape, frame: ImageFrame, finding: Finding, old: Measurement | None) -> tuple[Evidence, Measurement]:
    points = shape.geometry.points
    drawn_before = {e.measurement: len(e.geometry.points) for e in finding.evidence if e.measurement is not None}
    if old is None or old.name not in drawn_before:
        lines = ", ".join(sorted(drawn_before)) or "none"
        raise _refused(f"The finding has no line for {shape.measurement!r}; it has {lines}.")
    if len(points) not in _DRAWN or len(points) != drawn_before[old.name]:
        raise _refused(f"The line of {old.name} has {drawn_before[old.name]} points, got {len(points)}.")
    if len(set(points)) < len(points):
        raise _refused(f"The line of {old.name} has two points in one place.")
    if frame.spacing_mm is None:
        raise _refused(f"{old.name} cannot be measured on {shape.sop_instance_uid}: it states no pixel spacing.")
    geometry = _rounded(shape.geometry)
    size = _DRAWN[len(points)](geometry.points, frame.spacing_mm)
    value = replace(old, value=copysign(size, old.value), uncertainty=None, method=DRAWN_ANEW)
    return Evidence(source=frame.source, geometry=geometry, measurement=old.name), value


def _rounded(geometry: Geometry) -> Geometry:
    return replace(geometry, points=tuple((round(column, 2), round(row, 2)) for column, row in geometry.points))


def _refused(sentence: str) -> ReviewRefusal:
    return ReviewRefusal(sentence, fault=ReviewFault.GEOMETRY)
