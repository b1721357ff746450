"""The exact answers about posterior walls: slip, angles, retropulsion and canal, from the formulas of the bodies.

Corners are those of the rims, where the planes of the endplates' rims meet the posterior wall.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.phantom.canal import Sac
from training.phantom.column import Bone, back_of, up_of

FloatArray = NDArray[np.float64]
NEIGHBOUR_REACH_MM = 7.0
"""The canal behind a neighbour is looked at this far up and down from the middle of its body."""
_STEPS = 401


@dataclass(frozen=True, slots=True, kw_only=True)
class SlipTruth:
    """The vertebra above a disc against the one below it."""

    offset_mm: float
    """Of the upper body's posterior-inferior corner before the lower body's posterior wall, along the lower body's
    superior rim; positive is anterior. Not `PhantomParameters.slip_mm`, which moves the middles."""
    percent: float
    """The offset over the depth of the lower body's superior rim."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WallTruth:
    """One vertebra between its neighbours."""

    wedge_deg: float
    """Between the planes of its own rims; positive is kyphotic."""
    kyphosis_deg: float
    """Between the superior rim of the vertebra above and the inferior rim of the one below."""
    retropulsion_mm: float
    """Farthest place of the posterior wall behind the line between the neighbours' posterior corners; may be < 0."""
    canal_compromise: float
    """1 - the smallest diameter of the canal behind the body / the mean of those behind the neighbours' middles."""


def slip_truth(upper: Bone, lower: Bone) -> SlipTruth:
    """The slip of one vertebra on the next."""
    along = back_of(_rim(lower, superior=True))
    corner, wall = _corner(upper, superior=False), _corner(lower, superior=True)
    across = np.cross(lower.up, (1.0, 0.0, 0.0))
    offset = float(((wall - corner) @ across) / (along @ across))
    depth = lower.shape.depth_mm / float(np.cos(_rim(lower, superior=True) - lower.phi))
    return SlipTruth(offset_mm=offset, percent=100 * offset / depth)


def wall_truth(bone: Bone, above: Bone, below: Bone, sac: Sac) -> WallTruth:
    """Angles, retropulsion and canal of one vertebra."""
    usual = np.mean([_canal(neighbour, sac, NEIGHBOUR_REACH_MM) for neighbour in (above, below)])
    reach = max(bone.shape.rim_height_mm(1.0) / 2, NEIGHBOUR_REACH_MM)
    kyphosis = _rim(above, superior=True) - _rim(below, superior=False)
    return WallTruth(
        wedge_deg=-float(np.degrees(bone.shape.rim_angle_rad)),
        kyphosis_deg=float(np.degrees(kyphosis)),
        retropulsion_mm=_retropulsion(bone, above, below),
        canal_compromise=1 - _canal(bone, sac, reach) / float(usual),
    )


def _rim(bone: Bone, *, superior: bool) -> float:
    """Forward lean (radians) of the plane of one rim."""
    return bone.phi + (-1 if superior else 1) * bone.shape.rim_angle_rad / 2


def _corner(bone: Bone, *, superior: bool) -> FloatArray:
    w = bone.shape.top(1.0, 1.0) if superior else bone.shape.bottom(1.0, 1.0)
    return np.asarray(bone.centre + bone.back * bone.shape.depth_mm / 2 + bone.up * float(w))


def _wall(bone: Bone) -> FloatArray:
    """(n, 3): points of the posterior wall in the middle plane."""
    w = np.linspace(float(bone.shape.bottom(1.0, 1.0)), float(bone.shape.top(1.0, 1.0)), _STEPS, dtype=np.float32)
    back = bone.shape.back_mm(w).astype(np.float64)
    return np.asarray(bone.centre + np.outer(back, bone.back) + np.outer(w, bone.up))


def _retropulsion(bone: Bone, above: Bone, below: Bone) -> float:
    first, last = _corner(above, superior=False), _corner(below, superior=True)
    up = (first - last) / np.linalg.norm(first - last)
    back = np.cross(up, (1.0, 0.0, 0.0))
    back = back if back @ bone.back > 0 else -back
    return float(((_wall(bone) - last) @ back).max())


def _canal(bone: Bone, sac: Sac, reach_mm: float) -> float:
    """Smallest diameter within a reach of a body's middle: the sac, less what of the body stands in it."""
    offset = (sac.points - bone.centre) @ up_of(bone.phi)
    near = np.flatnonzero((np.abs(offset) <= reach_mm) & (np.abs((sac.points - bone.centre) @ bone.back) < 60.0))  # noqa: PLR2004 - mm: not where the curve turns away
    wall = _wall(bone)
    widths = []
    for place in near:
        radius = sac.radius_ap_mm[place]
        beside = (wall - sac.points[place]) @ np.cross((1.0, 0.0, 0.0), sac.backs[place])
        bone_back = float((wall[int(np.abs(beside).argmin())] - sac.points[place]) @ sac.backs[place])
        widths.append(radius - max(-radius, bone_back if np.abs(beside).min() < 0.5 else -radius))  # noqa: PLR2004 - mm
    return float(min(widths))
