"""Straight lines along the walls and endplates of a body, on the slices around the canal's middle.

A body's corner is where two of its lines meet, so that neither a rounded rim nor an osteophyte moves it. The line of a
hollow endplate or a waisted wall lies up to 1.5 mm inside the rim; it does so in every body, and what is measured here
are differences between bodies and angles between lines.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from inference.geometry import FloatArray
from inference.measure.frames import ENDPLATE_SPAN, STEP_MM, Edges, robust_line
from inference.measure.grid import SagittalGrid
from inference.measure.heights import HEIGHT_BAND_MM, UNCERTAINTY_FLOOR_VOXELS

WALL_SPAN = (0.15, 0.85)
"""Shares of the height over which a wall line is fitted: without the corners, whose radius is 2 to 3 mm."""
BULGE_SPAN = (0.05, 0.95)
"""Shares of the height over which the farthest bulge is looked for: a fragment often stands at the upper corner."""
BULGE_SMOOTHING_MM = 1.0
"""Sigma along the wall: a bulge of the wall, not of one row of pixels."""
INDEPENDENT_MM = 3.0
"""Points of an edge nearer to each other than this share their error; our own judgement, checked by the spread of the
errors over their stated uncertainty on generated spines (python -m training.measure_walls)."""
NEAR_ENDPLATE = (0.1, 0.3)
"""Shares of the height, from an endplate, over which the body's depth at this endplate is taken: below its rounded rim,
and apart from a fragment that stands out farther away."""
SHORTEST_MM = 4.0
"""A shorter edge has no direction of its own."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Line:
    """A straight line in the slice plane, fitted to an edge."""

    point: FloatArray
    """(y, x) of a place near its middle, millimetres of the crop."""
    direction: FloatArray
    """Unit (y, x): of an endplate towards the back, of a wall towards the feet."""
    uncertainty_mm: float
    """Of its place, at right angles to it."""
    uncertainty_rad: float
    """Of its direction."""

    @property
    def angle_deg(self) -> float:
        """Angle of an endplate, 0 where it is level, positive where its back lies lower than its front."""
        return float(np.degrees(np.arctan2(self.direction[0], self.direction[1])))

    def meets(self, other: Line) -> FloatArray:
        """The (y, x) point where two lines meet."""
        return intersection(self.point, self.direction, other.point, other.direction)

    def uncertainty_at(self, point: FloatArray) -> float:
        """One standard deviation (mm) of the line at right angles to it, at a place along it."""
        return float(np.hypot(self.uncertainty_mm, self.uncertainty_rad * ((point - self.point) @ self.direction)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Walls:
    """The four lines of one body."""

    z_mm: float
    """Place of the slice that they are drawn on."""
    superior: Line
    inferior: Line
    anterior: Line
    posterior: Line
    back_edge: FloatArray
    """(n, 2): (y, x) points of the posterior wall itself, head to foot."""
    bulge_mm: float
    """How far the posterior wall's middle stands behind the line between its ends; 0 where it is flat or waisted, as a
    whole body's is."""
    tilt_deg: float
    """How far the posterior wall's line lies off the body's axis, at right angles to the mean of its endplates."""

    def ends(self, endplate: Line) -> tuple[FloatArray, FloatArray]:
        """Where an endplate's line meets the anterior and the posterior wall."""
        return endplate.meets(self.anterior), endplate.meets(self.posterior)

    def hind_corner(self, *, superior: bool) -> FloatArray:
        """The (y, x) place of the posterior wall that stands farthest back in its upper or its lower quarter."""
        quarter = max(len(self.back_edge) // 4, 1)
        part = self.back_edge[:quarter] if superior else self.back_edge[-quarter:]
        back = np.array([-self.posterior.direction[1], self.posterior.direction[0]])
        return np.asarray(part[int(((part - self.posterior.point) @ back).argmax())])


def intersection(
    point: FloatArray, direction: FloatArray, other: FloatArray, other_direction: FloatArray
) -> FloatArray:
    """The (y, x) point where two lines meet, each given by a point and a direction."""
    across = np.array([-other_direction[1], other_direction[0]])
    return np.asarray(point + ((other - point) @ across) / (direction @ across) * direction)


def walls_of(edges: Edges, grid: SagittalGrid, canal_slice: float) -> Walls | None:
    """The lines of one body on the slices nearest to the canal's middle; None where an edge is too short for one.

    Args:
        edges: of the body.
        grid: the canonical crop.
        canal_slice: middle of the canal across slices at the body.
    """
    aside = np.abs(edges.slices - canal_slice) * grid.spacing_mm[0]
    near = aside <= max(HEIGHT_BAND_MM, float(aside.min()))
    z_mm = edges.slices * grid.spacing_mm[0]
    drawn = float(z_mm[int(aside.argmin())])
    shift = (z_mm - drawn)[:, None]  # of a slice against the drawn one, where slices do not lie squarely behind
    down, back = (float(np.dot(grid.shear, axis)) for axis in (edges.frame.axis, edges.frame.across))
    u, v = edges.u[None, :] + shift * back, edges.v[None, :] + shift * down
    whole = _between(edges.u, edges.share(ENDPLATE_SPAN[0]), edges.share(ENDPLATE_SPAN[1]))
    top, bottom = (_middle(surface, whole) for surface in (edges.top, edges.bottom))
    upper, lower = (_endplate(edges, *ends) & near[:, None] for ends in ((top, bottom), (bottom, top)))
    along = _between(edges.v, *_shares(top, bottom, WALL_SPAN)) & near[:, None]
    lines = [
        _fit(places, np.where(part, edge + move, np.nan), edges, grid, is_wall=is_wall)
        for places, edge, move, part, is_wall in (
            (u, edges.top, shift * down, upper, False),
            (u, edges.bottom, shift * down, lower, False),
            (v, edges.front_wall, shift * back, along, True),
            (v, edges.back_wall, shift * back, along, True),
        )
    ]
    superior, inferior, anterior, posterior = lines
    if superior is None or inferior is None or anterior is None or posterior is None:
        return None
    # The wall line is at least SHORTEST_MM long, so that the edge below has ten points and more.
    wide = _between(edges.v, *_shares(top, bottom, BULGE_SPAN)) & near[:, None]
    wall = edges.back_wall + shift * back
    straight = _edge_points(np.where(along, wall, np.nan), edges)
    return Walls(
        z_mm=drawn,
        superior=superior,
        inferior=inferior,
        anterior=anterior,
        posterior=posterior,
        back_edge=_edge_points(np.where(wide, wall, np.nan), edges),
        bulge_mm=_bulge(straight, edges.frame.across),
        tilt_deg=float(np.degrees(np.arccos(np.clip(posterior.direction @ edges.frame.axis, -1.0, 1.0)))),
    )


def _between(places: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """(slice, place): True where a place lies between two limits of its slice."""
    return np.asarray((places[None, :] >= low[:, None]) & (places[None, :] <= high[:, None]))


def _endplate(edges: Edges, near: FloatArray, far: FloatArray) -> FloatArray:
    """(slice, u): True under the flat part of an endplate, given the two surfaces' medians, its own first."""
    low, high = (near + share * (far - near) for share in NEAR_ENDPLATE)
    rows = _between(edges.v, np.minimum(low, high), np.maximum(low, high))
    front, back = _middle(edges.front_wall, rows), _middle(edges.back_wall, rows)
    return _between(edges.u, *_shares(front, back, ENDPLATE_SPAN))


def _middle(surface: FloatArray, part: FloatArray) -> FloatArray:
    """(slice,): median of a surface over a part of it, NaN where it has none."""
    out = np.full(len(surface), np.nan)
    for index, kept in enumerate(part & np.isfinite(surface)):
        if kept.any():
            out[index] = np.median(surface[index][kept])
    return out


def _shares(top: FloatArray, bottom: FloatArray, span: tuple[float, float]) -> tuple[FloatArray, FloatArray]:
    return top + span[0] * (bottom - top), top + span[1] * (bottom - top)


def _fit(places: FloatArray, edge: FloatArray, edges: Edges, grid: SagittalGrid, *, is_wall: bool) -> Line | None:
    """The robust line through an edge given over places along it, both (slice, place); NaN where it does not count."""
    good = np.isfinite(edge)
    along, across = np.broadcast_to(places, edge.shape)[good], edge[good]
    if not len(along) or float(np.ptp(along)) < SHORTEST_MM:
        return None
    slope, middle, offset = robust_line(along, across)
    axis, back = edges.frame.axis, edges.frame.across
    first, second = (axis, back) if is_wall else (back, axis)
    direction = (first + slope * second) / np.hypot(1.0, slope)
    voxel = float(np.hypot(second[0] * grid.spacing_mm[1], second[1] * grid.spacing_mm[2]))
    floor = UNCERTAINTY_FLOOR_VOXELS * voxel
    residual = across - offset - slope * (along - middle)
    spread = float(np.hypot(floor, 1.4826 * np.median(np.abs(residual))))
    length = float(np.ptp(along))
    count = max(len(along) * STEP_MM / INDEPENDENT_MM, 1.0)
    return Line(
        point=edges.frame.centre_mm[1:] + middle * first + offset * second,
        direction=direction,
        uncertainty_mm=max(floor, spread / count**0.5),
        uncertainty_rad=spread * (12.0 / count) ** 0.5 / length,
    )


def _bulge(wall: FloatArray, across: FloatArray) -> float:
    """How far an edge (n, 2) stands behind the line between its ends; 0 where it does not."""
    chord = wall[0] + np.linspace(0.0, 1.0, len(wall))[:, None] * (wall[-1] - wall[0])
    return max(float(((wall - chord) @ across).max()), 0.0)


def _edge_points(wall: FloatArray, edges: Edges) -> FloatArray:
    """(n, 2): (y, x) along the posterior wall, the mean over slices, smoothed; empty where there is none."""
    seen = np.isfinite(wall)
    kept = np.flatnonzero(seen.any(axis=0))
    u = np.where(seen, wall, 0.0).sum(axis=0)[kept] / seen.sum(axis=0)[kept]
    if len(u):
        u = ndimage.gaussian_filter1d(u, BULGE_SMOOTHING_MM / STEP_MM, mode="nearest")
    frame = edges.frame
    return np.asarray(frame.centre_mm[1:] + edges.v[kept][:, None] * frame.axis + u[:, None] * frame.across)
