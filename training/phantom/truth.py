"""The exact answers of a phantom, from its formulas and never from its voxels.

Heights and losses are those of the *labelled* body: from marrow edge to marrow edge, without the dark endplates,
which is what SPIDER's
readers outlined and what a network trained on them finds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.measure.reading import FractureShape
from training.phantom.alignment import SlipTruth, WallTruth, slip_truth, wall_truth
from training.phantom.body import HEIGHT_DEPTHS, BodyShape
from training.phantom.canal import Sac
from training.phantom.column import Bone, Column, Gap, Segment, back_of, up_of
from training.phantom.foramen import ForamenTruth, foramen_truth
from training.phantom.grid import Grid, turn
from training.phantom.morphometry import ENDPLATE_MM

FloatArray = NDArray[np.float64]
DISC_DEPTHS = (0.15, 0.5, 0.85)
SEARCH_MM = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class VertebraTruth:
    """One vertebra."""

    level: str
    instance: int
    """Its number in `Phantom.instances`."""
    anterior_mm: float
    """Height at 15 % of the body's depth from the front, in the middle plane, along the body's own axis."""
    middle_mm: float
    posterior_mm: float
    whole_mm: tuple[float, float, float]
    """The three heights of the same body without its fracture."""
    loss: float
    """Largest of the three losses against `whole_mm`; 0 for a whole body."""
    shape: FractureShape | None
    depth_mm: float
    centre_lps_mm: tuple[float, float, float]
    lean_deg: float
    """Forward lean of the body's axis."""
    complete: bool
    """The whole body lies inside the field of view."""
    walls: WallTruth | None
    """None for the first and the last vertebra."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscTruth:
    """One disc and the canal behind it."""

    level: str
    anterior_mm: float
    middle_mm: float
    posterior_mm: float
    degeneration: float
    canal_ap_mm: float
    """Smallest antero-posterior diameter of the dural sac within 4 mm of the disc's middle."""
    canal_ends_lps_mm: tuple[tuple[float, float, float], tuple[float, float, float]]
    """Front and back end of that diameter."""
    slip_mm: float
    """Anterior slip of the vertebra above."""
    slip: SlipTruth | None
    """Corner against wall; None on the sacrum."""
    foramen: ForamenTruth | None
    """None on the sacrum, which has no arch here."""
    centre_lps_mm: tuple[float, float, float]
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SpineTruth:
    """Everything that is known about a phantom, head to foot."""

    vertebrae: tuple[VertebraTruth, ...]
    discs: tuple[DiscTruth, ...]
    lordosis_deg: float
    """From the superior endplate of L1 to that of S1."""

    def vertebra(self, level: str) -> VertebraTruth:
        """The vertebra of that level; KeyError if it is not drawn."""
        return {v.level: v for v in self.vertebrae}[level]

    def disc(self, level: str) -> DiscTruth:
        """The disc of that level; KeyError if it is not drawn."""
        return {d.level: d for d in self.discs}[level]


def state_truth(
    column: Column, sac: Sac, grid: Grid, *, slips: Mapping[str, float], turn_deg: float, instances: Mapping[str, int]
) -> SpineTruth:
    """The answers of every level whose middle lies inside the field of view."""
    vertebrae = []
    for place, bone in enumerate(column.bones):
        if _inside(grid, bone.centre, margin_mm=0):
            walls = _walls(column, place, sac)
            vertebrae.append(_vertebra(bone, grid, turn_deg, instances[bone.name], walls))
    lower: Bone | Segment = column.sacrum[0]
    discs = []
    for bone, gap in zip(column.bones, column.gaps, strict=True):
        if _inside(grid, gap.centre, margin_mm=0):
            discs.append(_disc(gap, bone, lower, sac, grid=grid, turn_deg=turn_deg, slip_mm=slips.get(gap.name, 0.0)))
        lower = bone
    return SpineTruth(
        vertebrae=tuple(reversed(vertebrae)), discs=tuple(reversed(discs)), lordosis_deg=_lordosis(column)
    )


def _lordosis(column: Column) -> float:
    first = next((b for b in column.bones if b.name == "L1"), column.bones[-1])
    sacral = column.sacrum[0].phi - column.sacrum[0].shape.rim_angle_rad / 2
    return float(np.degrees(sacral - (first.phi - first.shape.rim_angle_rad / 2)))


def _inside(grid: Grid, centre: FloatArray, *, margin_mm: float) -> bool:
    rows = grid.z[-1] + margin_mm <= centre[2] <= grid.z[0] - margin_mm
    return bool(rows and grid.y[0] + margin_mm <= centre[1] <= grid.y[-1] - margin_mm)


def _turned(centre: FloatArray, turn_deg: float) -> tuple[float, float, float]:
    x, y, z = (turn(turn_deg)[:3, :3] @ centre).tolist()
    return x, y, z


def _walls(column: Column, place: int, sac: Sac) -> WallTruth | None:
    if not 0 < place < len(column.bones) - 1:
        return None
    return wall_truth(column.bones[place], column.bones[place + 1], column.bones[place - 1], sac)


def _vertebra(bone: Bone, grid: Grid, turn_deg: float, instance: int, walls: WallTruth | None) -> VertebraTruth:
    shape = bone.shape
    heights = [shape.height_mm(t) for t in HEIGHT_DEPTHS]
    whole = [shape.whole_height_mm(t) for t in HEIGHT_DEPTHS]
    loss = max(1 - h / w for h, w in zip(heights, whole, strict=True)) if shape.fracture else 0.0
    return VertebraTruth(
        level=bone.name,
        instance=instance,
        anterior_mm=heights[0],
        middle_mm=heights[1],
        posterior_mm=heights[2],
        whole_mm=(whole[0], whole[1], whole[2]),
        loss=loss,
        shape=shape.fracture.shape if shape.fracture else None,
        depth_mm=shape.depth_mm,
        centre_lps_mm=_turned(bone.centre, turn_deg),
        lean_deg=float(np.degrees(bone.phi)),
        complete=all(_inside(grid, corner, margin_mm=0.5) for corner in _corners(bone)),
        walls=walls,
    )


def _corners(bone: Bone) -> list[FloatArray]:
    shape = bone.shape
    ends = ((0.0, -0.5), (1.0, 0.5))
    return [
        bone.centre + bone.back * side * shape.depth_mm + bone.up * float(edge(depth, 1.0))
        for depth, side in ends
        for edge in (shape.top, shape.bottom)
    ]


def _disc(
    gap: Gap, upper: Bone, lower: Bone | Segment, sac: Sac, *, grid: Grid, turn_deg: float, slip_mm: float
) -> DiscTruth:
    heights = [_disc_height(gap, upper, lower, t) for t in DISC_DEPTHS]
    front, back = sac.narrowest(gap.centre)
    return DiscTruth(
        level=gap.name,
        anterior_mm=heights[0],
        middle_mm=heights[1],
        posterior_mm=heights[2],
        degeneration=gap.degeneration,
        canal_ap_mm=float(np.linalg.norm(back - front)),
        canal_ends_lps_mm=(_turned(front, turn_deg), _turned(back, turn_deg)),
        slip_mm=slip_mm,
        slip=slip_truth(upper, lower) if isinstance(lower, Bone) else None,
        foramen=foramen_truth(upper, lower, gap) if isinstance(lower, Bone) else None,
        centre_lps_mm=_turned(gap.centre, turn_deg),
        complete=_inside(grid, gap.centre, margin_mm=gap.depth_mm / 2),
    )


def _disc_height(gap: Gap, upper: Bone, lower: Bone | Segment, depth: float) -> float:
    """Along the disc's own axis at a depth, from the one label's edge to the other's."""
    steps = np.linspace(-SEARCH_MM, SEARCH_MM, 8001)
    foot = gap.centre + back_of(gap.phi) * (depth - 0.5) * gap.depth_mm
    line = foot + steps[:, None] * up_of(gap.phi)
    above = _signed(line, upper.centre, upper.phi, upper.shape, upward=False)
    below = _signed(line, lower.centre, lower.phi, lower.shape, upward=True)
    inside = (above > ENDPLATE_MM) & (below > ENDPLATE_MM)
    return float(inside.sum() * (steps[1] - steps[0]))


def _signed(line: FloatArray, centre: FloatArray, phi: float, shape: BodyShape, *, upward: bool) -> FloatArray:
    """How far points lie beyond one endplate of a body, along the body's axis."""
    v, w = (line - centre) @ back_of(phi), (line - centre) @ up_of(phi)
    depth = np.clip(v / shape.depth_mm + 0.5, 0, 1).astype(np.float32)
    radius = np.abs(2 * v / shape.depth_mm).astype(np.float32)
    surface = shape.top(depth, radius) if upward else shape.bottom(depth, radius)
    return np.asarray(w - surface if upward else surface - w, dtype=np.float64)
