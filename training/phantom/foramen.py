"""The exact answers about neural foramina, from the formulas of pedicles, articular processes and discs.

In the plane through the middle of the lower pedicle, beside which the foramen lies in every slice that shows it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.phantom.body import Field
from training.phantom.column import Bone, Gap
from training.phantom.posterior import posterior_solids, smooth_union

FloatArray = NDArray[np.float64]
STEP_MM = 0.02
REACH_MM = 25.0
"""Farther than any foramen is wide or half as high."""
CLEAR_MM = 4.0
"""So far behind the disc's rim there is neither body nor facet."""
HALF_DISC_MM = 2.0
"""The width is the smallest this near to the disc's middle (inference.measure.foramen_cut)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForamenTruth:
    """One foramen; both sides are alike."""

    height_mm: float
    """Between the pedicles, just behind the bodies, where it is largest."""
    width_mm: float
    """From disc or body to the articular process behind, the smallest within HALF_DISC_MM of the disc's middle.
    0 where the pedicles leave no room there, as beside a crushed body."""


def foramen_truth(upper: Bone, lower: Bone, gap: Gap) -> ForamenTruth:
    """The foramen at the disc between two vertebrae."""
    side = lower.table.canal_width_mm / 2 + lower.table.pedicle_width_mm / 2
    back = np.array([0.0, np.cos(gap.phi), np.sin(gap.phi)])
    up = np.array([0.0, -np.sin(gap.phi), np.cos(gap.phi)])
    rim = gap.centre + np.array([side, 0.0, 0.0]) + back * _rim_mm(gap, side)
    steps = np.arange(0.0, REACH_MM, STEP_MM)[:, None]
    behind = rim + back * 2.0  # just behind the bodies, whose walls are waisted
    height = _first(behind + steps * up, upper) + _first(behind - steps * up, lower)
    widths = [
        _width(rim + back * CLEAR_MM + lift * up, back * steps, upper, lower)
        for lift in np.linspace(-HALF_DISC_MM, HALF_DISC_MM, 9)
    ]
    return ForamenTruth(height_mm=height, width_mm=min((w for w in widths if w > 0), default=0.0))


def _width(start: FloatArray, steps: FloatArray, upper: Bone, lower: Bone) -> float:
    """Across a point between disc and facet, 0 where it lies in bone (above or below the foramen)."""
    behind = min(_first(start + steps, bone) for bone in (upper, lower))
    front = min(_first_body(start - steps, bone) for bone in (upper, lower))
    return min(front, CLEAR_MM) + behind if behind > 0 else 0.0


def _rim_mm(gap: Gap, side: float) -> float:
    """Half the disc's depth beside its middle: a superellipse, as it is painted (training.phantom.skeleton)."""
    aside = min(abs(side) / gap.half_width_mm, 1.0)
    return float((1 - aside**2.5) ** 0.4 * gap.depth_mm / 2)


def _first(points: FloatArray, bone: Bone) -> float:
    """Distance along points (n, 3) to the first one within the arch of a bone, REACH_MM where there is none."""
    u, v, w = _local(points, bone)
    outside: Field = np.full(len(points), 9.0, dtype=np.float32)
    for solid in posterior_solids(bone):
        outside = smooth_union(outside, solid.outside_mm(u, v, w))
    return _first_inside(outside)


def _first_body(points: FloatArray, bone: Bone) -> float:
    """The same for the body of a bone."""
    return _first_inside(bone.shape.outside_mm(*_local(points, bone)))


def _local(points: FloatArray, bone: Bone) -> tuple[Field, Field, Field]:
    offset = points - bone.centre
    places = (offset[:, 0], offset @ bone.back, offset @ bone.up)
    u, v, w = (np.asarray(place, dtype=np.float32) for place in places)
    return u, v, w


def _first_inside(outside: Field) -> float:
    inside = np.flatnonzero(outside < 0)
    return float(inside[0] * STEP_MM) if len(inside) else REACH_MM
