"""How bodies stand to each other: slip at every disc, kyphosis, retropulsion and canal compromise at every body.

Slip (models.md 3.6): the offset of the upper body's posterior-inferior corner against the lower body's posterior wall
line, along the lower body's superior endplate, in millimetres and as a share of that endplate's depth (Meyerding 1932).
The sacrum is not outlined, so that there is no slip of the lowest body on it; where the canal runs below the disc is
read there as at every disc (`inference.measure.canal_front`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from inference.anatomy import Vertebra
from inference.errors import ReasonCode
from inference.geometry import FloatArray, MaskArray
from inference.measure.canal import HALF_LEVEL_MM, canal_diameter
from inference.measure.canal_front import canal_gap
from inference.measure.canal_line import CanalLine
from inference.measure.fracture import height_losses
from inference.measure.grid import SagittalGrid
from inference.measure.levels import Levels
from inference.measure.reading import (
    Angle,
    CanalCompromise,
    HeightLoss,
    Heights,
    Length,
    Point,
    Slip,
    SlipReading,
    Unmeasured,
    WallReading,
)
from inference.measure.separators import Separator
from inference.measure.vertebrae import MeasuredBody
from inference.measure.walls import Line, Walls, intersection, walls_of

LEAST_SLIP_MM = 3.0
"""A smaller slip is not called one (models.md 3.6: more than 3 mm and more than two standard deviations)."""
LARGEST_BULGE_MM = 0.5
"""A posterior wall of a fractured body that stands further behind the line between its ends bulges by a fragment: our
own judgement. On generated spines a whole wall does not at all, and a fragment of 2.7 mm does by 0.9."""
LARGEST_TILT_DEG = 8.0
"""A posterior wall of a fractured body that lies further off the body's axis is turned by a fragment: our own
judgement. On generated spines the line of a whole wall lies within 1.5 degrees of it, and a fragment of 2.7 mm turns it
by 10. Whole bodies of real spines are not that square, L5 least of all, so that they are not held to it."""
LEAST_ENDPLATE, LARGEST_TURN_DEG = 0.75, 15.0
"""A body whose endplate at a disc is less than this share as deep as its other one, and whose posterior wall is turned
further than this off its axis, lacks the corner there that a slip is measured from. Our own judgement: the endplates of
L5 are 35.7 and 35.3 mm deep (standard deviation 3.6, models.md 2.3)."""
NO_SACRUM = Unmeasured(
    reason=ReasonCode.NO_MODEL, sentence="the sacrum is not outlined, so that a slip on it cannot be measured"
)
NO_NEIGHBOUR = Unmeasured(
    reason=ReasonCode.TRUNCATION,
    sentence="it is measured against the vertebrae above and below: they are not both seen",
)
NO_LINE = Unmeasured(reason=ReasonCode.UNCERTAIN, sentence="walls and endplates of the body are too short for lines")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Canal:
    """The canal of one crop, to measure its diameter behind a body."""

    probability: FloatArray
    line: CanalLine
    grid: SagittalGrid

    def behind(self, body: MeasuredBody, half_level_mm: float) -> Length | Unmeasured:
        """Smallest diameter around the middle of a body."""
        if body.edges is None:
            return NO_LINE
        centre = body.centre_mm
        plane = Separator(
            arc_mm=self.line.arc_at(centre[1], centre[2]),
            centre_mm=centre,
            normal=np.array([0.0, *body.edges.frame.axis]),
            disc=None,
        )
        return canal_diameter(self.probability, self.line, plane, self.grid, half_level_mm=half_level_mm)


def measure_slips(
    levels: Levels,
    separators: tuple[Separator, ...],
    measured: Mapping[int, MeasuredBody],
    walls: Mapping[int, Walls | Unmeasured],
    grid: SagittalGrid,
    *,
    canal: MaskArray,
) -> tuple[SlipReading, ...]:
    """The slip at every named disc, head to foot.

    Args:
        levels: names of segments and discs.
        separators: separator i lies between segments i + 1 and i + 2.
        measured: by segment.
        walls: by segment.
        grid: the canonical crop.
        canal: its outline on the crop.
    """
    losses = height_losses(levels.vertebrae, measured)
    straight = {number: _straight(body, losses[number]) for number, body in walls.items()}
    readings = []
    for upper, separator in enumerate(separators, start=1):
        if separator.disc not in levels.discs:
            continue
        disc = levels.discs[separator.disc]
        loose = None
        slip: Slip | Unmeasured = NO_SACRUM
        if disc.below is not Vertebra.S1:
            slip, loose = (_slip(lines.get(upper), lines.get(upper + 1), grid) for lines in (straight, walls))
        above = walls.get(upper)  # no slip by itself: a slipped L5 is a wedge, often taken for a fractured one
        gap = canal_gap(above, separator, canal, grid) if isinstance(above, Walls) else None
        loose_percent = loose.percent if isinstance(slip, Unmeasured) and isinstance(loose, Slip) else None
        readings.append(SlipReading(level=disc, slip=slip, canal_gap_percent=gap, loose_percent=loose_percent))
    return tuple(readings)


def lines_of_bodies(measured: Mapping[int, MeasuredBody], grid: SagittalGrid) -> dict[int, Walls | Unmeasured]:
    """The lines of every body whose heights could be had, or why not."""
    lines: dict[int, Walls | Unmeasured] = {}
    for number, body in measured.items():
        if isinstance(body.heights, Unmeasured):
            lines[number] = body.heights
        else:
            lines[number] = (body.edges and walls_of(body.edges, grid, body.canal_slice)) or NO_LINE
    return lines


def _without_corner(walls: Walls, endplate: Line, other: Line) -> Unmeasured | None:
    """Why the posterior corner at one endplate of a body cannot be told; None where it can."""
    depth, usual = (float(np.linalg.norm(back - front)) for front, back in map(walls.ends, (endplate, other)))
    if depth >= LEAST_ENDPLATE * usual or walls.tilt_deg <= LARGEST_TURN_DEG:
        return None
    return Unmeasured(
        reason=ReasonCode.UNCERTAIN,
        sentence=f"a corner of the body is not outlined: one endplate is {depth / usual:.0%} as deep as the other, and "
        f"the posterior wall lies {walls.tilt_deg:.0f} degrees off the body's axis",
    )


def _straight(walls: Walls | Unmeasured, loss: HeightLoss | Unmeasured) -> Walls | Unmeasured:
    """The lines of a body, but for those of a fractured one whose posterior wall is turned or bulges."""
    is_fractured = isinstance(loss, HeightLoss) and loss.genant > 0
    if isinstance(walls, Unmeasured) or not is_fractured:
        return walls
    if walls.tilt_deg <= LARGEST_TILT_DEG and walls.bulge_mm <= LARGEST_BULGE_MM:
        return walls
    return Unmeasured(
        reason=ReasonCode.UNCERTAIN,
        sentence=f"the posterior wall of a fractured body is no straight line to measure from: it lies "
        f"{walls.tilt_deg:.0f} degrees off the body's axis and bulges by {walls.bulge_mm:.1f} mm",
    )


def _slip(upper: Walls | Unmeasured | None, lower: Walls | Unmeasured | None, grid: SagittalGrid) -> Slip | Unmeasured:
    if isinstance(upper, Unmeasured):
        return upper
    if isinstance(lower, Unmeasured):
        return lower
    if upper is None or lower is None:
        return Unmeasured(reason=ReasonCode.TRUNCATION, sentence="the body above or below the disc was not found")
    cut = _without_corner(upper, upper.inferior, upper.superior) or _without_corner(
        lower, lower.superior, lower.inferior
    )
    if cut is not None:
        return cut
    along = lower.superior.direction
    corner = upper.inferior.meets(upper.posterior)
    wall = intersection(corner, along, lower.posterior.point, lower.posterior.direction)
    offset = float((wall - corner) @ along)
    front, back = lower.ends(lower.superior)
    depth = float((back - front) @ along)
    places = ((upper, corner), (lower, wall))
    uncertainty = float(np.linalg.norm([u for w, at in places for u in (w.posterior.uncertainty_at(at), w.bulge_mm)]))
    return Slip(
        offset=Length(
            mm=offset,
            uncertainty_mm=uncertainty,
            start_index=_index(grid, lower.z_mm, corner),
            end_index=_index(grid, lower.z_mm, wall),
        ),
        percent=100.0 * offset / depth,
        percent_uncertainty=100.0 * uncertainty / depth,
    )


def measure_walls(
    levels: Levels, measured: Mapping[int, MeasuredBody], walls: Mapping[int, Walls | Unmeasured], canal: Canal
) -> tuple[WallReading, ...]:
    """Angles, retropulsion and canal compromise of every vertebra, head to foot.

    Args:
        levels: names of the segments.
        measured: by segment.
        walls: by segment.
        canal: of the same crop.
    """
    return tuple(_wall_reading(level, number, measured, walls, canal) for number, level in levels.vertebrae.items())


def _wall_reading(
    level: Vertebra,
    number: int,
    measured: Mapping[int, MeasuredBody],
    walls: Mapping[int, Walls | Unmeasured],
    canal: Canal,
) -> WallReading:
    own = walls[number]
    if isinstance(own, Unmeasured):
        return WallReading(level=level, wedge=own, kyphosis=own, retropulsion=own, canal=own)
    z_mm, grid = own.z_mm, canal.grid
    wedge = _angle(own, own.superior, own, own.inferior, z_mm=z_mm, grid=grid)
    above, below = walls.get(number - 1), walls.get(number + 1)
    if not isinstance(above, Walls) or not isinstance(below, Walls):
        return WallReading(
            level=level, wedge=wedge, kyphosis=NO_NEIGHBOUR, retropulsion=NO_NEIGHBOUR, canal=NO_NEIGHBOUR
        )
    return WallReading(
        level=level,
        wedge=wedge,
        kyphosis=_angle(above, above.superior, below, below.inferior, z_mm=z_mm, grid=grid),
        retropulsion=_retropulsion(own, above, below, grid),
        canal=_compromise(canal, measured[number], (measured[number - 1], measured[number + 1])),
    )


def _angle(upper: Walls, top: Line, lower: Walls, bottom: Line, *, z_mm: float, grid: SagittalGrid) -> Angle:
    front_top, back_top = (_index(grid, z_mm, end) for end in upper.ends(top))
    front_bottom, back_bottom = (_index(grid, z_mm, end) for end in lower.ends(bottom))
    return Angle(
        degrees=bottom.angle_deg - top.angle_deg,
        uncertainty_deg=float(np.degrees(np.hypot(top.uncertainty_rad, bottom.uncertainty_rad))),
        upper=(front_top, back_top),
        lower=(front_bottom, back_bottom),
    )


def _retropulsion(own: Walls, above: Walls, below: Walls, grid: SagittalGrid) -> Length:
    """Farthest place of the wall behind the line from corner to corner of the neighbours.

    The corners are those of the edge itself: what is looked for is the farthest place of an edge too.
    """
    first, last = above.hind_corner(superior=False), below.hind_corner(superior=True)
    length = float(np.linalg.norm(last - first))
    down = (last - first) / length
    back = np.array([-down[1], down[0]])
    behind = (own.back_edge - first) @ back
    at = int(behind.argmax())
    place = own.back_edge[at]
    share = float(np.clip(((place - first) @ down) / length, 0.0, 1.0))
    corners = ((1 - share) * above.posterior.uncertainty_at(first), share * below.posterior.uncertainty_at(last))
    foot = place - behind[at] * back
    return Length(
        mm=float(behind[at]),
        uncertainty_mm=float(np.hypot(own.posterior.uncertainty_mm, np.hypot(*corners))),
        start_index=_index(grid, own.z_mm, foot),
        end_index=_index(grid, own.z_mm, place),
    )


def _compromise(
    canal: Canal, body: MeasuredBody, neighbours: tuple[MeasuredBody, MeasuredBody]
) -> CanalCompromise | Unmeasured:
    """1 - the diameter behind the body / the mean of those behind the middles of its neighbours."""
    if isinstance(body.heights, Unmeasured):
        return body.heights
    own = canal.behind(body, _half_height(body.heights))
    usual = [canal.behind(neighbour, HALF_LEVEL_MM) for neighbour in neighbours]
    for diameter in (own, *usual):
        if isinstance(diameter, Unmeasured):
            return diameter
    lengths = [d for d in usual if isinstance(d, Length)]
    assert isinstance(own, Length)  # noqa: S101 - every other case has returned
    mean = float(np.mean([d.mm for d in lengths]))
    mean_uncertainty = float(np.linalg.norm([d.uncertainty_mm for d in lengths])) / 2
    ratio = own.mm / mean
    return CanalCompromise(
        fraction=1.0 - ratio,
        uncertainty=float(np.hypot(own.uncertainty_mm, ratio * mean_uncertainty)) / mean,
        diameter=own,
    )


def _half_height(heights: Heights) -> float:
    """Of the wall that the canal lies behind; as much as at the neighbours at least."""
    return max(heights.posterior.mm / 2, HALF_LEVEL_MM)


def _index(grid: SagittalGrid, z_mm: float, point: FloatArray) -> Point:
    return grid.source_index(np.array([z_mm, *point]))
