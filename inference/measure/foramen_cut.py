"""One neural foramen on one slice: the space between two pedicles, with disc and bodies in front and the facet behind.

In its frame v runs from the middle of the upper pedicle to that of the lower one and u at a right angle to it, towards
the back. Row by row along v the space ends where bone or disc begin. Dark endplates and facet joints, which are not
outlined, are no openings of it. Nor are ligaments outlined: what is measured is the space within bone and disc, not
what they leave to the root.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.geometry import FloatArray, MaskArray
from inference.measure.frames import HALF, STEP_MM
from inference.measure.grid import runs_of

REACH_MM = (20.0, 14.0)
"""How far in front of and behind the line between the pedicles a wall is looked for: the bodies' back curves forwards
beside the canal, and the joint lies close behind."""
FARTHEST_MM = 4.0
"""The space lies on the line between the pedicles or this near to it, where a disc bulges across the line."""
SLIT_MM = 2.4
"""A slit up to this wide is closed: the dark endplate between a body and its disc, on SPIDER's label maps."""
JOINT_MM = 4.0
"""A niche of a wall up to this high is closed: a facet joint with its cartilage and dark cortex."""
NOTCH_SHARE = 1 / 3
"""Where a row is parted, a part smaller than this share of the largest is a notch and not the way on."""
OPENING_MM = 8.0
"""A missing piece of a wall up to this high is bridged, as capsule and flavum do between pars and articular process."""
LEAST_HEIGHT_MM = 4.0
"""A lower space has neither a height nor a width of its own."""
SMOOTHING_MM = 1.0
"""Sigma of the walls for height and width: of the foramen, not of one row of pixels."""
HALF_DISC_MM = 2.0
"""The width is the smallest this near to the disc's plane: less than half of a disc's height at its back, because the
lower pedicle may begin at the endplate."""
_RADIUS = round(SLIT_MM / 2 / STEP_MM)
_DISK: MaskArray = np.hypot(*np.mgrid[-_RADIUS : _RADIUS + 1, -_RADIUS : _RADIUS + 1]) <= _RADIUS

Run: TypeAlias = tuple[float, float]
"""u of the front and the back end of free space in a row, infinite where no wall is seen."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ForamenFrame:
    """Where a foramen is looked for on a slice; (y, x) in millimetres of the crop."""

    upper: FloatArray
    """Middle of the upper pedicle."""
    lower: FloatArray

    @property
    def axis(self) -> FloatArray:
        """Unit (y, x) from the upper to the lower pedicle."""
        return np.asarray((self.lower - self.upper) / np.linalg.norm(self.lower - self.upper))

    def point(self, v: FloatArray | float, u: FloatArray | float) -> FloatArray:
        """(..., 2): the (y, x) of places in the frame; v is 0 at the upper pedicle."""
        across = np.array([-self.axis[1], self.axis[0]])
        return np.asarray(self.upper + np.multiply.outer(v, self.axis) + np.multiply.outer(u, across))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ForamenCut:
    """The space on the slice; lines are pairs of (v, u)."""

    height: tuple[tuple[float, float], tuple[float, float]]
    width: tuple[tuple[float, float], tuple[float, float]] | None
    """None where the space does not reach the disc's plane."""
    outline: FloatArray
    """(n, 2): (v, u) around it, the first point not repeated."""


def cut_foramen(
    bone: NDArray[np.float32],
    disc: NDArray[np.float32],
    spacing_mm: tuple[float, float],
    frame: ForamenFrame,
    disc_v: float,
) -> ForamenCut | None:
    """The space between two pedicles; None where it is not closed, or hardly there.

    Args:
        bone: probability of vertebrae on the slice, (row, column).
        disc: the same of discs.
        spacing_mm: (row, column).
        frame: where to look.
        disc_v: v of the disc's plane.
    """
    v = np.arange(0.0, float(np.linalg.norm(frame.lower - frame.upper)) + STEP_MM, STEP_MM)
    u = np.arange(-REACH_MM[0], REACH_MM[1] + STEP_MM, STEP_MM)
    across = np.array([-frame.axis[1], frame.axis[0]])
    points = frame.upper + v[:, None, None] * frame.axis + u[None, :, None] * across
    place = np.moveaxis(points / np.asarray(spacing_mm), -1, 0)
    seen, seen_disc = (ndimage.map_coordinates(p, place, order=1, mode="constant") for p in (bone + disc, disc))
    seen = ndimage.grey_closing(seen, footprint=_DISK)
    seen[_before_disc(seen_disc, u)] = 1.0
    rows = _space(seen, u)
    if rows is None:
        return None
    first, front, back = rows
    if not np.isfinite(front).all() or not np.isfinite(back).all() or len(front) * STEP_MM < LEAST_HEIGHT_MM:
        return None
    inside = v[first : first + len(front)]
    walls = [ndimage.gaussian_filter1d(wall, SMOOTHING_MM / STEP_MM, mode="nearest") for wall in (front, back)]
    return ForamenCut(
        height=_height(inside, front, back, u),
        width=_width(inside, walls[0], walls[1], disc_v),
        outline=_outline(inside, front, back),
    )


def _before_disc(disc: FloatArray, u: FloatArray) -> MaskArray:
    """(v, u): what has disc behind it in its row, like the notch between a body's edge and a disc that bulges."""
    near = (disc >= HALF) & (u <= FARTHEST_MM)
    return np.asarray(np.cumsum(near[:, ::-1], axis=1)[:, ::-1] > near)


def _space(seen: FloatArray, u: FloatArray) -> tuple[int, FloatArray, FloatArray] | None:
    """First row of the space, and by row the u of its front and back wall; None where there is no space.

    From the widest row of the middle third up and down as long as the rows overlap. Where bone parts a row, the space
    goes on in front of it: behind the tip of an articular process lies the joint. A wall that is still missing
    after bridging is infinite.
    """
    rows = [_runs(row, u) for row in seen]
    third = len(rows) // 3
    middle = [(n, run) for n in range(third, len(rows) - third) for run in rows[n] if _away(run) <= FARTHEST_MM]
    if not middle:
        return None
    seed, start = max(middle, key=lambda found: _bounded(found[1]))
    up = _followed(rows[seed - 1 :: -1] if seed else [], start)
    down = _followed(rows[seed + 1 :], start)
    kept = np.array([*up[::-1], start, *down], dtype=np.float64)
    size = 2 * round(JOINT_MM / STEP_MM / 2) + 1
    front = ndimage.grey_closing(_bridged(kept[:, 0]), size=size, mode="nearest")
    back = ndimage.grey_opening(_bridged(kept[:, 1]), size=size, mode="nearest")
    return seed - len(up), front, back


def _bridged(wall: FloatArray) -> FloatArray:
    """The wall with straight lines over missing pieces of up to OPENING_MM between two ends."""
    gaps, count = ndimage.label(np.isinf(wall))
    out, known = wall.copy(), np.flatnonzero(np.isfinite(wall))
    for number in range(1, count + 1):
        rows = np.flatnonzero(gaps == number)
        between = len(known) > 0 and known[0] < rows[0] and rows[-1] < known[-1]
        if between and len(rows) * STEP_MM <= OPENING_MM:
            out[rows] = np.interp(rows, known, wall[known])
    return out


def _followed(rows: Sequence[Sequence[Run]], start: Run) -> list[Run]:
    """The foremost run of each row that overlaps the one before it, notches left out, until there is none."""
    found: list[Run] = []
    for runs in rows:
        last = found[-1] if found else start
        overlaps = [_overlap(run, last) for run in runs]
        largest = max(overlaps, default=0.0)
        if largest <= 0:
            break
        found.append(next(run for run, part in zip(runs, overlaps, strict=True) if part >= NOTCH_SHARE * largest))
    return found


def _overlap(one: Run, other: Run) -> float:
    """Length that two runs share, negative where they are apart; a run without a wall ends at REACH_MM."""
    low, high = max(one[0], other[0], -REACH_MM[0]), min(one[1], other[1], REACH_MM[1])
    return high - low


def _runs(row: FloatArray, u: FloatArray) -> list[Run]:
    """The free runs of a row, front to back."""
    firsts, lasts = runs_of(row < HALF)
    return [
        (
            -np.inf if first == 0 else float(u[first]) - STEP_MM * _fall(row[first], row[first - 1]),
            np.inf if last == len(u) - 1 else float(u[last]) + STEP_MM * _fall(row[last], row[last + 1]),
        )
        for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True)
    ]


def _away(run: Run) -> float:
    """How far a run is from u = 0."""
    return max(run[0], -run[1], 0.0)


def _fall(free: float, solid: float) -> float:
    """Where between a free and a solid sample the probability is one half, 0 to 1."""
    return float((HALF - free) / max(solid - free, 1e-6))


def _bounded(run: Run) -> float:
    """Width of a run with two walls, else less than any."""
    return run[1] - run[0] if np.isfinite(run).all() else -1.0


def _height(
    v: FloatArray, front: FloatArray, back: FloatArray, u: FloatArray
) -> tuple[tuple[float, float], tuple[float, float]]:
    """The longest line along v, as the mean over lines within SMOOTHING_MM of it."""
    inside: MaskArray = np.asarray((u[None, :] > front[:, None]) & (u[None, :] < back[:, None]))
    used = np.flatnonzero(inside.any(axis=0))
    top = v[inside[:, used].argmax(axis=0)] - STEP_MM / 2
    bottom = v[len(v) - 1 - inside[::-1, used].argmax(axis=0)] + STEP_MM / 2
    top, bottom = (ndimage.gaussian_filter1d(end, SMOOTHING_MM / STEP_MM, mode="nearest") for end in (top, bottom))
    at = int((bottom - top).argmax())
    place = float(u[used[at]])
    return (float(top[at]), place), (float(bottom[at]), place)


def _width(
    v: FloatArray, front: FloatArray, back: FloatArray, disc_v: float
) -> tuple[tuple[float, float], tuple[float, float]] | None:
    near = np.flatnonzero(np.abs(v - disc_v) <= HALF_DISC_MM)
    if not len(near):
        return None
    at = int(near[(back - front)[near].argmin()])
    return (float(v[at]), float(front[at])), (float(v[at]), float(back[at]))


def _outline(v: FloatArray, front: FloatArray, back: FloatArray) -> FloatArray:
    """Down the front and up the back wall, a point about every millimetre."""
    step = max(1, round(1.0 / STEP_MM))
    kept = np.unique(np.append(np.arange(0, len(v), step), len(v) - 1))
    down, up = np.stack([v[kept], front[kept]], axis=1), np.stack([v[kept], back[kept]], axis=1)
    return np.concatenate([down, up[::-1]])
