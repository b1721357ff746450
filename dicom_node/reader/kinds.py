"""The kinds of images in one series, and those that are read as its stack or stacks.

A series should hold one kind (PS3.3 A.1.2.3) and often does not: a scout in front of the slices, two echoes, the four
images of Dixon, three planes, several angles, repeated time points. The rules, in order:

1. Localizers are set aside when there is anything else.
2. Kinds that differ only in echo time (a multi-echo acquisition): the longest echo is read, the most T2-weighted.
3. Kinds that differ only in the Dixon image: in-phase is read (it looks like the same sequence without Dixon), else
   water.
4. Axial MR images that differ only in their orientation (a block of slices along each disc): all are read, as one
   stack for each block (reader.stacks).
5. Of a localizer in several planes the sagittal slices are read: nothing is measured on it, and they alone may name the
   levels of another series.
6. Anything else is refused as mixed, naming the kinds: a choice would be a guess.

What was set aside is said in the facts' notes; nothing is dropped silently.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dicom_node.reader.frames import Frame
from dicom_node.reader.stack import SAME_POSITION_MM
from dicom_node.reader.values import text
from inference.errors import ReasonCode, SeriesRefusal
from inference.geometry import Plane, plane_of
from inference.series.image_type import ImageKind

SAME_COSINE = 1e-3
"""Orientations whose cosines differ less are one (0.06 degrees: a quarter of a millimetre across 256 mm)."""
SAME_SPACING = 1e-3
"""Pixel spacings whose ratio differs less are one."""
SAME_TIME = 0.05
"""Times (TR, TE, TI) whose ratio differs less are one; scanners report them per slice with small deviations."""
HEAD_FOOT_AXIS = 2
"""Of LPS."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kind:
    """Frames that are alike in everything but their position."""

    frames: tuple[Frame, ...]

    @property
    def example(self) -> Frame:
        """The frame that stands for all."""
        return self.frames[0]

    @property
    def sentence(self) -> str:
        """A short description, like ``20 image frames sagittal 512x512 TR 3500 TE 100 ms``."""
        frame = self.example
        plane = plane_of(frame.orientation[:3], frame.orientation[3:]) if frame.orientation else "of unknown plane"
        physics = frame.physics
        times = (("TR", physics.repetition_time_ms), ("TE", physics.echo_time_ms), ("TI", physics.inversion_time_ms))
        said = "".join(f" {name} {value:g}" for name, value in times if value is not None)
        diffusion = "" if physics.diffusion_b is None else f" b {physics.diffusion_b:g}"
        agent = " with contrast agent" if frame.contrast_agent else ""
        return f"{len(self.frames)} {frame.kind} frame(s) {plane} {frame.rows}x{frame.columns}{said}{diffusion}{agent}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Selection:
    """The kinds that are read, and what was set aside for them."""

    read: tuple[Kind, ...]
    """One; several only of axial MR, alike in all but their orientation."""
    set_aside: tuple[Kind, ...]
    note: str | None


def kinds_of(frames: Sequence[Frame]) -> tuple[Kind, ...]:
    """The kinds in a series, the most frequent first."""
    groups: list[list[Frame]] = []
    for frame in frames:
        home = next((group for group in groups if _alike(group[0], frame)), None)
        if home is None:
            groups.append([frame])
        else:
            home.append(frame)
    return tuple(Kind(frames=tuple(group)) for group in sorted(groups, key=len, reverse=True))


def select(frames: Sequence[Frame]) -> Selection:
    """The kinds of a series that are read as its stacks, by the rules above.

    Raises:
        SeriesRefusal: E_MIXED, no rule picks one kind, or one kind holds several time points.
    """
    kinds = kinds_of(frames)
    others = tuple(kind for kind in kinds if kind.example.kind is not ImageKind.LOCALIZER)
    read = _read_of(others or kinds)
    for kind in read:
        _refuse_time_points(kind)
    set_aside = tuple(kind for kind in kinds if kind not in read)
    note = None
    if set_aside:
        note = f"of {len(kinds)} kinds of images the stack of {_listed(read)} is read; set aside: {_listed(set_aside)}"
    return Selection(read=read, set_aside=set_aside, note=note)


def is_mostly_axial(frame: Frame) -> bool:
    """Whether it is MR in a plane that lies nearer to axial than to any other, as slices along a disc do."""
    cosines = frame.orientation
    if cosines is None or text(frame.header.dataset, "Modality") != "MR":
        return False
    return int(np.argmax(np.abs(np.cross(cosines[:3], cosines[3:])))) == HEAD_FOOT_AXIS


def _read_of(candidates: tuple[Kind, ...]) -> tuple[Kind, ...]:
    if len(candidates) == 1:
        return candidates
    if _differ_only(candidates, _without_echo):
        return (max(candidates, key=lambda kind: kind.example.physics.echo_time_ms or 0.0),)
    if _differ_only(candidates, _without_dixon):
        by_kind = {kind.example.kind: kind for kind in candidates}
        for wanted in (ImageKind.DIXON_IN_PHASE, ImageKind.DIXON_WATER):
            if wanted in by_kind:
                return (by_kind[wanted],)
    if all(is_mostly_axial(kind.example) for kind in candidates) and _differ_only(candidates, _without_orientation):
        return candidates
    sagittal = tuple(kind for kind in candidates if _is_sagittal(kind))
    if len(sagittal) == 1 and all(kind.example.kind is ImageKind.LOCALIZER for kind in candidates):
        return sagittal
    raise SeriesRefusal(
        f"the series mixes {len(candidates)} kinds of images that are not one stack: {_listed(candidates)}",
        code=ReasonCode.MIXED,
    )


def _is_sagittal(kind: Kind) -> bool:
    cosines = kind.example.orientation
    return cosines is not None and plane_of(cosines[:3], cosines[3:]) is Plane.SAGITTAL


def _listed(kinds: Sequence[Kind], most: int = 4) -> str:
    rest = f"; and {len(kinds) - most} more" if len(kinds) > most else ""
    return "; ".join(kind.sentence for kind in kinds[:most]) + rest


def _differ_only(kinds: Sequence[Kind], without: Callable[[Frame], Frame]) -> bool:
    first = without(kinds[0].example)
    return all(_alike(first, without(kind.example)) for kind in kinds[1:])


def _without_echo(frame: Frame) -> Frame:
    return replace(frame, physics=replace(frame.physics, echo_time_ms=None))


def _without_orientation(frame: Frame) -> Frame:
    return replace(frame, orientation=None)


DIXON_KINDS = frozenset(
    {ImageKind.DIXON_WATER, ImageKind.DIXON_FAT, ImageKind.DIXON_IN_PHASE, ImageKind.DIXON_OPPOSED_PHASE}
)


def _without_dixon(frame: Frame) -> Frame:
    """The frame without what tells Dixon images apart: kind, and the echo times of in- and opposed-phase."""
    return _without_echo(replace(frame, kind=ImageKind.IMAGE)) if frame.kind in DIXON_KINDS else frame


def _refuse_time_points(kind: Kind) -> None:
    """Refuse a dynamic series: several time points at the same positions."""
    points = {frame.temporal_position for frame in kind.frames}
    if len(points) < 2:  # noqa: PLR2004 - one time point
        return
    places = Counter(
        tuple(round(value / SAME_POSITION_MM) for value in frame.position_mm)
        for frame in kind.frames
        if frame.position_mm
    )
    if places and max(places.values()) > 1:
        raise SeriesRefusal(
            f"the series holds {len(points)} time points at the same positions ({len(kind.frames)} frames, "
            f"{len(places)} positions), which are not one stack",
            code=ReasonCode.MIXED,
        )


def _alike(one: Frame, other: Frame) -> bool:
    same = (
        (one.rows, one.columns, one.kind, one.contrast_agent, one.physics.diffusion_b)
        == (other.rows, other.columns, other.kind, other.contrast_agent, other.physics.diffusion_b)
    )  # fmt: skip
    return same and _same_geometry(one, other) and _same_times(one, other)


def _same_geometry(one: Frame, other: Frame) -> bool:
    """Missing geometry is no kind of its own: the stack refuses it by name."""
    pairs = (
        (one.orientation, other.orientation, SAME_COSINE),
        (one.pixel_spacing_mm, other.pixel_spacing_mm, SAME_SPACING * (one.pixel_spacing_mm or (1.0,))[0]),
    )
    for mine, theirs, tolerance in pairs:
        if mine and theirs and max(abs(np.subtract(mine, theirs))) > tolerance:
            return False
    return True


def _same_times(one: Frame, other: Frame) -> bool:
    mine, theirs = one.physics, other.physics
    return all(
        _same_time(a, b)
        for a, b in (
            (mine.repetition_time_ms, theirs.repetition_time_ms),
            (mine.echo_time_ms, theirs.echo_time_ms),
            (mine.inversion_time_ms, theirs.inversion_time_ms),
        )
    )


def _same_time(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= SAME_TIME * max(abs(one), abs(other))
