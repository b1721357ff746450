"""Findings drawn over the images that they were read from, as PNG files for people without a DICOM viewer.

One picture of the mid-sagittal slice and one of each slice that carries the evidence of an abnormal finding or of a
measured foramen, which no other slice shows. No identity of the patient is on them: the pixels are the series' own, and
text comes from the findings only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.errors import SpineError
from inference.findings import (
    FIVE_QUESTIONS,
    Evidence,
    Finding,
    GeometryType,
    Present,
    StudyFindings,
)
from inference.findings.summary import describe_measurement, summarise
from inference.geometry import MaskArray, Volume
from inference.segmentation import Segment, Segmentation, Structure
from server.overlay_canvas import FOOTER, SliceCanvas
from server.overlay_words import (
    ABNORMAL,
    FAINT,
    INK,
    WARNING,
    Colour,
    colour_of,
    describe_site,
    is_angle,
    is_rejected,
    measured_by,
    said,
)

COLOURS: dict[Structure, Colour] = {
    Structure.VERTEBRA: (240, 200, 90),
    Structure.VERTEBRAL_BODY: (240, 200, 90),
    Structure.DISC: (90, 210, 120),
    Structure.SPINAL_CANAL: (90, 165, 255),
}
WINDOW_PERCENTILES = (0.5, 98.5)
"""Grey values between these are spread over black to white; fat beside a surface coil may saturate."""


class OverlayError(SpineError):
    """Volume and segmentation do not belong together."""


def render_overlays(
    volume: Volume, segmentation: Segmentation | None, findings: StudyFindings, out: Path
) -> tuple[Path, ...]:
    """Write the pictures of one series into a folder, which is made when it is not there.

    Args:
        volume: the series with all its stacks; they are drawn as they are stored.
        segmentation: outlines on the first one's grid, or None.
        findings: of the whole study; those with evidence on other series are left out.
        out: the folder.

    Returns:
        The files, in the order of the slices, stack after stack.

    Raises:
        OverlayError: the segmentation is of another series or grid.
    """
    if segmentation is not None:
        _check_pair(volume, segmentation)
    out.mkdir(parents=True, exist_ok=True)
    paths = list(_render_stack(volume, segmentation, findings, out, f"overlay-{volume.series_instance_uid}"))
    for number, stack in enumerate(volume.other_stacks, start=2):
        paths += _render_stack(stack, None, findings, out, f"overlay-{volume.series_instance_uid}-stack-{number}")
    return tuple(paths)


def _render_stack(
    volume: Volume, segmentation: Segmentation | None, findings: StudyFindings, out: Path, name: str
) -> Iterator[Path]:
    """Its middle slice, and every slice with something abnormal."""
    window = grey_range(volume)
    for index in sorted({midsagittal_slice(volume, segmentation), *slices_of(volume, _drawn(findings))}):
        canvas = draw_slice(volume, segmentation, findings, index, window)
        yield canvas.save(out / f"{name}-{index + 1:03d}.png", footer=_footer(findings))


def draw_slice(
    volume: Volume,
    segmentation: Segmentation | None,
    findings: StudyFindings,
    index: int,
    window: tuple[float, float],
) -> SliceCanvas:
    """One slice of a stack with what was found on it, and the study's answers beside it.

    Args:
        volume: the stack; its own voxels are drawn, as they are stored.
        segmentation: outlines on its grid, or None.
        findings: of the whole study.
        index: of the slice.
        window: the values that are shown black and white.
    """
    low, high = window
    abnormal = {f.site.level for f in present_findings(findings) if f.site.endplate is None}
    is_middle = index == midsagittal_slice(volume, segmentation)
    drawn = _drawn(findings)
    shown = [f for f in drawn if index in slices_of(volume, [f]) or (is_middle and not said(f).evidence)]
    grey = grey_levels(volume.voxels[index], low, high)
    canvas = SliceCanvas(grey, row_mm=volume.spacing_mm[1], column_mm=volume.spacing_mm[2])
    draw_structures(canvas, segmentation.segments if segmentation else (), index, abnormal)
    draw_findings(canvas, volume, index, shown)
    canvas.write(f"Slice {index + 1} of {volume.shape[0]}", size=20, gap=2)
    canvas.write(f"Window: {low:.4g} black to {high:.4g} white", FAINT, size=13, gap=8)
    _write_panel(canvas, findings, shown)
    return canvas


def present_findings(findings: StudyFindings) -> list[Finding]:
    """What is present, in document order."""
    return [finding for finding in findings.findings if isinstance(finding.assessment, Present)]


def _drawn(findings: StudyFindings) -> list[Finding]:
    """What is present, what a reviewer rejected of it, and what was measured at foramina."""
    abnormal = present_findings(findings)
    overruled = [f for f in findings.findings if is_rejected(f) and isinstance(said(f).assessment, Present)]
    measured = [f for f in findings.findings if f.site.region and f.evidence and f not in abnormal]
    return [*abnormal, *overruled, *measured]


def grey_range(volume: Volume) -> tuple[float, float]:
    """The values that are shown black and white."""
    low, high = np.percentile(volume.voxels, WINDOW_PERCENTILES)
    return float(low), float(high)


def midsagittal_slice(volume: Volume, segmentation: Segmentation | None) -> int:
    """The slice that shows most of the canal, the middle one where no canal is outlined."""
    for segment in segmentation.segments if segmentation else ():
        if segment.structure is Structure.SPINAL_CANAL and segment.mask.any():
            return int(np.argmax(segment.mask.sum(axis=(1, 2))))
    return volume.shape[0] // 2


def _footer(findings: StudyFindings) -> str:
    if findings.review is None:
        return FOOTER
    return f"AI - research use only - reviewed by {findings.review.reviewer.display_name}"


def _check_pair(volume: Volume, segmentation: Segmentation) -> None:
    if segmentation.series_instance_uid != volume.series_instance_uid:
        raise OverlayError(
            f"the segmentation must be of series {volume.series_instance_uid}, got {segmentation.series_instance_uid}"
        )
    for segment in segmentation.segments:
        if segment.mask.shape != volume.shape:
            raise OverlayError(f"segment {segment.label} must have the grid {volume.shape}, got {segment.mask.shape}")


def grey_levels(plane: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    """Values as grey levels: black up to low, white from high on."""
    return np.asarray(np.rint(np.clip((plane - low) / max(high - low, 1e-6), 0, 1) * 255), dtype=np.uint8)


def _slice_of(volume: Volume, evidence: Evidence) -> int | None:
    wanted = (evidence.source.sop_instance_uid, evidence.source.frame)
    sources = ((s.sop_instance_uid, s.frame) for s in volume.sources)
    return next((i for i, source in enumerate(sources) if source == wanted), None)


def slices_of(volume: Volume, findings: Iterable[Finding]) -> set[int]:
    """The slices of a stack that carry evidence of findings."""
    places = (_slice_of(volume, e) for f in findings for e in said(f).evidence)
    return {i for i in places if i is not None}


def draw_structures(
    canvas: SliceCanvas, segments: Sequence[Segment], index: int, abnormal: Collection[str | None]
) -> None:
    """Draw the outlines and level names of a slice; those of abnormal levels in their own colour."""
    for segment in segments:
        mask = segment.mask[index]
        colour = ABNORMAL if segment.level in abnormal and segment.level else COLOURS[segment.structure]
        whole = segment.structure is Structure.VERTEBRA
        canvas.outline(mask, colour, fill=0.05 if whole else 0.16, edge=0.55 if whole else 0.9)
    for segment in segments:
        front = front_of(segment.mask[index]) if segment.level else None
        if front is not None and _names(segment, segments):
            colour = ABNORMAL if segment.level in abnormal else INK
            size = 15 if segment.structure is Structure.DISC else 19
            canvas.label(front, segment.level or "", colour, size=size, anchor="rm")


def _names(segment: Segment, segments: Iterable[Segment]) -> bool:
    """Whether a segment carries its level's name: bodies do, else whole vertebrae; discs do not."""
    if segment.structure is Structure.VERTEBRAL_BODY:
        return True
    bodies = {s.level for s in segments if s.structure is Structure.VERTEBRAL_BODY}
    return segment.structure is Structure.VERTEBRA and segment.level not in bodies


def front_of(mask: MaskArray) -> tuple[float, float] | None:
    """An image point just before a structure (row, column), at its mean row; None where it is not on the slice."""
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return None
    return float(np.percentile(columns, 1)) - 4.0, float(rows.mean()) + 0.5


def draw_findings(canvas: SliceCanvas, volume: Volume, index: int, findings: Iterable[Finding]) -> None:
    """Draw the marks and measured lines that findings have on a slice."""
    for finding in findings:
        for evidence in said(finding).evidence:
            if _slice_of(volume, evidence) == index:
                _draw_evidence(canvas, finding, evidence)


def _draw_evidence(canvas: SliceCanvas, finding: Finding, evidence: Evidence) -> None:
    points, colour, is_dashed = evidence.geometry.points, colour_of(finding, evidence), is_rejected(finding)
    measured = measured_by(finding, evidence)
    if is_angle(finding, evidence) and measured is not None:
        for line in (points[:2], points[2:]):
            canvas.line(line, colour, is_dashed=is_dashed)
        canvas.label(points[1], f"{measured.value:.0f}°", colour, size=14, anchor="lm")
        return
    canvas.line(points, colour, is_dashed=is_dashed)
    if measured is not None and measured.unit == "mm" and evidence.geometry.type is GeometryType.POLYLINE:
        top = min(points, key=lambda p: p[1])
        canvas.label(top, f"{measured.value:.1f}", colour, size=14, anchor="mb")


def _write_panel(canvas: SliceCanvas, findings: StudyFindings, shown: list[Finding]) -> None:
    """The study and its warnings first, so that many findings cannot push them out; what has no room is counted."""
    canvas.write("Study", INK, size=17)
    for question in FIVE_QUESTIONS:
        canvas.write(summarise(question, findings), INK, size=14)
    if findings.numbering.ambiguous:
        canvas.write(f"Level numbering uncertain: {findings.numbering.note}", WARNING, size=14)
    if any(m.training_data for m in findings.models):
        canvas.write("; ".join(f"{m.name} {m.version}" for m in findings.models), FAINT, size=13, gap=10)
    groups = [list(group) for _, group in groupby(sorted(shown, key=lambda f: f.site.order), lambda f: f.site.order)]
    for number, group in enumerate(groups):
        line, numbers = describe_site(group), "; ".join(filter(None, map(_measured, group)))
        if not canvas.has_room(f"{line} {numbers}", size=15, below=60):
            left = sum(len(other) for other in groups[number:])
            canvas.write(f"... and {left} more in findings.json", WARNING, size=15)
            return
        is_abnormal = any(isinstance(finding.assessment, Present) for finding in group)
        canvas.write(line, ABNORMAL if is_abnormal else INK, size=15)
        if numbers:
            canvas.write(numbers, INK, size=13, gap=6)


def _measured(finding: Finding) -> str:
    return "; ".join(map(describe_measurement, finding.measurements))
