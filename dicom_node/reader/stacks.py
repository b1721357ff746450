"""The stacks of a series: one, but for axial MR, whose slices may lie in blocks, one along each disc.

Scanners write such a multi-angle examination as one series. Its blocks differ in their orientation, or, where two discs
lie at one angle, in a gap between them. The first stack stands for the series: an axial one with the most slices; of
several alike the one nearest to the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median_low

import numpy as np

from dicom_node.reader.frames import Frame
from dicom_node.reader.kinds import HEAD_FOOT_AXIS, Kind, is_mostly_axial
from dicom_node.reader.stack import SAME_POSITION_MM, Stack, stack_frames
from inference.geometry import Plane, plane_of

GAP_STEPS = 2.5
"""A step of more typical steps than this lies between two blocks. One missing slice makes two steps, which stays a
refusal; blocks of 4 to 5 slices at neighbouring lumbar discs (35 mm apart) leave four. Our own choice."""


def stacks_of(kinds: Sequence[Kind]) -> tuple[Stack, ...]:
    """The stacks of the kinds of frames that are read, the first one first.

    Raises:
        SeriesRefusal: frames of one place and angle are no stack (reader.stack).
    """
    stacks = [stack_frames(block) for kind in kinds for block in _blocks(kind)]
    return tuple(sorted(stacks, key=_rank))


def _rank(stack: Stack) -> tuple[bool, int, float, str]:
    first = stack.frames[0]
    cosines, position = first.orientation or (), first.position_mm or (0.0, 0.0, 0.0)
    is_oblique = plane_of(cosines[:3], cosines[3:]) is Plane.OBLIQUE
    return is_oblique, -len(stack.frames), -position[HEAD_FOOT_AXIS], first.header.sop_instance_uid


def _blocks(kind: Kind) -> list[list[Frame]]:
    """The frames of one angle, cut where the steps between them have a gap."""
    frames = list(kind.frames)
    if not is_mostly_axial(kind.example) or any(frame.position_mm is None for frame in frames):
        return [frames]
    cosines = kind.example.orientation or ()
    normal = np.cross(cosines[:3], cosines[3:])
    place = {id(frame): float(np.dot(frame.position_mm or (), normal)) for frame in frames}
    ordered = sorted(frames, key=lambda frame: place[id(frame)])
    steps = [place[id(after)] - place[id(before)] for before, after in pairwise(ordered)]
    typical = median_low([step for step in steps if step > SAME_POSITION_MM] or [0.0])
    cuts = [number for number, step in enumerate(steps, start=1) if step > GAP_STEPS * max(typical, SAME_POSITION_MM)]
    return [ordered[start:end] for start, end in pairwise([0, *cuts, len(ordered)])]
