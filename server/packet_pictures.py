"""The key images of a claim's packet: for each billed body the slices that its finding rests on.

Drawn from the pixels that were read, never from the object: overlay planes and private elements have no way in. Only
the surroundings of the body are shown, so that corners, where scanners and workstations write, are cut away; an image
whose header or pixels show burned-in text is withheld.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from claims.packet import KeyImage, WithheldImage
from inference.anatomy import Vertebra
from inference.burned_text import burned_lines
from inference.findings import Finding, Present, SeriesUse
from inference.geometry import Volume
from inference.segmentation import Segment, Structure
from server.overlay import draw_findings, draw_structures, front_of, grey_levels, grey_range
from server.overlay_canvas import SCALE_BAR_MM, SliceCanvas
from server.overlay_words import ABNORMAL, INK, Colour

HEIGHT_MM, WIDTH_MM = 140.0, 110.0
"""What is shown around a body: two bodies above and below it, so that its level can be checked. Our own choice."""
NAME_SIZE, OTHER_SIZE = 26, 15
"""Of the body's own level name, and of the other bodies'."""
MARK_GAP_MM = 20.0
"""How far before a mark the level's name stands, where the body is not outlined: about half a body's depth."""
FOOTER_PLAIN = "Research use only"
BURNED_HEADER = "its header says that text is burned into the pixels"
BURNED_PIXELS = "letters seem to be written into its pixels"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShownSeries:
    """A series that findings rest on."""

    use: SeriesUse
    volume: Volume
    """With its other stacks."""
    segments: Mapping[str, Sequence[Segment]]
    """Outlines of one slice, masks of shape (1, row, column), by the SOP Instance UID and frame of their source."""
    has_burned_text: bool
    """What its headers say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What pictures are wanted of."""

    body: Vertebra
    finding: Finding
    study_instance_uid: str
    study_day: str
    footer: str
    """Of the picture with overlay."""


def source_key(sop_instance_uid: str, frame: int | None) -> str:
    """How a slice is looked up."""
    return f"{sop_instance_uid} {frame}"


def pictures_of(subject: Subject, series: Sequence[ShownSeries]) -> Iterator[KeyImage | WithheldImage]:
    """A key image, or why there is none, for each series that the finding has evidence on."""
    for shown in series:
        for stack in (shown.volume, *shown.volume.other_stacks):
            index = _best_slice(subject.finding, stack)
            if index is not None:
                yield _picture(subject, shown, stack, index)


def _best_slice(finding: Finding, stack: Volume) -> int | None:
    """The slice with the finding's mark, else the one with most of its evidence."""
    places = {(s.sop_instance_uid, s.frame): i for i, s in enumerate(stack.sources)}
    on_it = [(places.get((e.source.sop_instance_uid, e.source.frame)), e) for e in finding.evidence]
    marks = [index for index, evidence in on_it if index is not None and evidence.measurement is None]
    if marks:
        return marks[0]
    counts = Counter(index for index, _ in on_it if index is not None)
    return min(counts, key=lambda index: (-counts[index], index)) if counts else None


def _picture(subject: Subject, shown: ShownSeries, stack: Volume, index: int) -> KeyImage | WithheldImage:
    title = (
        f"{shown.use.modality} {shown.use.plane} {shown.use.contrast.upper()}, slice {index + 1} of {stack.shape[0]}"
    )
    rows, columns = _cut(subject.finding, stack, index)
    why = BURNED_HEADER if shown.has_burned_text else _burned(stack, index, rows, columns)
    if why is not None:
        return WithheldImage(
            body=subject.body, study_instance_uid=subject.study_instance_uid, sentence=f"{title}: {why}."
        )
    window = grey_range(shown.volume)
    drawing = _Drawing(
        subject=subject, shown=shown, stack=stack, index=index, rows=rows, columns=columns, window=window, title=title
    )
    return KeyImage(
        body=subject.body,
        study_instance_uid=subject.study_instance_uid,
        source=stack.sources[index],
        title=title,
        window=window,
        scale_bar_mm=SCALE_BAR_MM,
        plain=drawing.plain(),
        overlay=drawing.overlay(),
    )


def _cut(finding: Finding, stack: Volume, index: int) -> tuple[slice, slice]:
    """Rows and columns around the evidence on a slice; at an edge of the image less, never shifted off the body."""
    source = stack.sources[index]
    points = [point for e in finding.evidence if e.source == source for point in e.geometry.points]
    column, row = np.mean(points, axis=0)
    _, row_mm, column_mm = stack.spacing_mm
    _, row_count, column_count = stack.shape
    return (_span(row, HEIGHT_MM / row_mm, row_count), _span(column, WIDTH_MM / column_mm, column_count))


def _span(middle: float, size: float, count: int) -> slice:
    return slice(max(0, round(middle - size / 2)), min(count, round(middle + size / 2)))


def _burned(stack: Volume, index: int, rows: slice, columns: slice) -> str | None:
    return BURNED_PIXELS if burned_lines(stack.voxels[:, rows, columns], index) else None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Drawing:
    subject: Subject
    shown: ShownSeries
    stack: Volume
    index: int
    rows: slice
    columns: slice
    window: tuple[float, float]
    title: str

    def plain(self) -> bytes:
        """Level, scale bar and words beside the body, nothing over it."""
        canvas = self._canvas()
        self._name(canvas, INK)
        return canvas.png(FOOTER_PLAIN)

    def overlay(self) -> bytes:
        """The same with the body's outline, the names of the other bodies, and the finding's marks and lines."""
        canvas = self._canvas()
        name, is_present = self.subject.body.name, isinstance(self.subject.finding.assessment, Present)
        own = [segment for segment in self._segments() if segment.level == name]
        draw_structures(canvas, own, 0, {name} if is_present else ())
        for segment in self._segments():
            front = front_of(segment.mask[0])
            if segment not in own and front is not None:
                canvas.label(front, segment.level or "", INK, size=OTHER_SIZE, anchor="rm")
        draw_findings(canvas, self.stack, self.index, [self.subject.finding])
        if not own:
            self._name(canvas, ABNORMAL if is_present else INK)
        return canvas.png(self.subject.footer)

    def _canvas(self) -> SliceCanvas:
        part = self.stack.voxels[self.index, self.rows, self.columns]
        _, row_mm, column_mm = self.stack.spacing_mm
        canvas = SliceCanvas(
            grey_levels(part, *self.window),
            row_mm=row_mm,
            column_mm=column_mm,
            origin=(self.rows.start, self.columns.start),
            panel_px=0,
        )
        low, high = self.window
        words = f"window {low:.5g} black to {high:.5g} white"
        canvas.caption([f"{self.subject.body.name}, study of {self.subject.study_day}", self.title, words])
        return canvas

    def _segments(self) -> list[Segment]:
        """Outlines of the vertebral bodies on the slice, of whole vertebrae where there are no bodies."""
        source = self.stack.sources[self.index]
        found = self.shown.segments.get(source_key(source.sop_instance_uid, source.frame), ())
        bodies = [segment for segment in found if segment.structure is Structure.VERTEBRAL_BODY]
        return bodies or [segment for segment in found if segment.structure is Structure.VERTEBRA]

    def _name(self, canvas: SliceCanvas, colour: Colour) -> None:
        """The level beside the body: before its outline, or before the mark where there is no outline."""
        own = [segment for segment in self._segments() if segment.level == self.subject.body.name]
        front = front_of(own[0].mask[0]) if own else None
        canvas.label(front or self._before_mark(), self.subject.body.name, colour, size=NAME_SIZE, anchor="rm")

    def _before_mark(self) -> tuple[float, float]:
        source = self.stack.sources[self.index]
        points = [point for e in self.subject.finding.evidence if e.source == source for point in e.geometry.points]
        return min(x for x, _ in points) - MARK_GAP_MM / self.stack.spacing_mm[2], float(
            np.mean([y for _, y in points])
        )
