"""Heights of every vertebral body, or why they could not be had."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inference.anatomy import Vertebra
from inference.errors import ReasonCode
from inference.geometry import FloatArray, MaskArray
from inference.measure.bodies import Bodies
from inference.measure.canal_line import CanalLine
from inference.measure.discs import touches_edge
from inference.measure.frames import Edges, Frame, edges_in_frame, frame_around, own_probability
from inference.measure.grid import Box, SagittalGrid
from inference.measure.heights import central_slices, coronal_tilt, heights_of
from inference.measure.morphometry import BODY_NORMS
from inference.measure.reading import Heights, Unmeasured
from inference.measure.separators import direction_between

LARGEST_TILT_DEG = 20.0
"""A body that leans further to the side is not measured on sagittal slices without reformatting (models.md 3.6)."""
LARGEST_VOXEL_MM = 3.0
"""Coarser voxels along the spine do not carry a height (models.md 3.6)."""
LARGEST_TURN_DEG = 30.0
"""The endplates of a body are this close to a right angle to the line between its discs, or to the mean of their
normals, which a body that has slipped far keeps; half a severe wedge is 15."""
SHALLOWEST = 0.65
"""Least depth against the other bodies of the same spine: 3.9 standard deviations of 9 % (models.md 2.3)."""
OFF_STACK_MM = 9.0
"""The middle of the canal may lie this far outside the stack: a fifth of a body's width (45 mm)."""
LEAST_CANAL = 0.3
"""Share of the body's rows that must show the canal on some slice: without it the slices lie beside the middle."""
OPEN_MARGIN_MM = 4.0
"""A body without a disc beyond it must end this far from the image's edge; a disc is about that high there."""
_MARGIN_MM = 3.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeasuredBody:
    """What one body's edges gave."""

    centre_mm: FloatArray
    """(z, y, x)."""
    touches_edge: bool
    heights: Heights | Unmeasured
    depth_mm: float
    """NaN where unmeasured."""
    edges: Edges | None = None
    """None where they were not looked for or not found."""
    canal_slice: float = 0.0
    """Middle of the canal across slices at the body's height: the slice of the crop, between slices too."""


def measure_body(
    probability: FloatArray, bodies: Bodies, number: int, *, line: CanalLine, grid: SagittalGrid, padding: MaskArray
) -> MeasuredBody:
    """Heights of one segment's body.

    Args:
        probability: of the vertebra class on the crop.
        bodies: the segments.
        number: which segment.
        line: the canal's course.
        grid: the canonical crop.
        padding: (slice, row, column) of the crop: True where the image holds no signal, only filling.
    """
    mask = bodies.body == number
    rows = np.flatnonzero(mask.any(axis=(0, 2)))
    whole_centre = _centre_index(mask, bodies.boxes[number])
    canal_slice = float(line.slice_index[round(float(whole_centre[1]))])
    slices = central_slices(grid, canal_slice)
    slices = slices[mask[slices].any(axis=(1, 2))]
    cut = touches_edge(mask, grid) or _meets_padding(mask, bodies, number, grid, padding)
    centre = whole_centre * grid.spacing_mm
    if slices.size:
        centre = np.argwhere(mask[slices]).mean(axis=0) * grid.spacing_mm
        centre[0] = slices.mean() * grid.spacing_mm[0]
    beside_canal = float(line.present[rows[0] : rows[-1] + 1].mean()) < LEAST_CANAL
    refusal = _refusal(grid, canal_slice, slices, cut=cut, beside_canal=beside_canal)
    if refusal is not None:
        return MeasuredBody(centre_mm=centre, touches_edge=cut, heights=refusal, depth_mm=float("nan"))
    own = own_probability(probability[slices], mask[slices])
    frame = _frame(mask[slices], centre, bodies, number, line=line, grid=grid)
    edges = edges_in_frame(own, slices, frame, grid.spacing_mm[1:])
    if edges is None:
        none = Unmeasured(reason=ReasonCode.UNCERTAIN, sentence="the body's probability stays below one half")
        return MeasuredBody(centre_mm=centre, touches_edge=cut, heights=none, depth_mm=float("nan"))
    tilt = coronal_tilt(edges, grid)
    turned = min(_angle_deg(edges.frame.axis, axis) for axis in (frame.axis, *_mean_normal(bodies, number)))
    heights = (
        _turned(turned) or _tilted(float(np.degrees(tilt))) or _heights(heights_of(edges, grid, tilt, canal_slice))
    )
    return MeasuredBody(
        centre_mm=centre,
        touches_edge=cut,
        heights=heights,
        depth_mm=edges.depth_mm,
        edges=edges,
        canal_slice=canal_slice,
    )


def _centre_index(mask: MaskArray, box: Box) -> FloatArray:
    return np.asarray(np.argwhere(mask[box]).mean(axis=0) + [side.start for side in box])


def _heights(found: tuple[object, ...]) -> Heights | Unmeasured:
    """The three heights, or the reason of the first that is missing."""
    for height in found:
        if isinstance(height, Unmeasured):
            return height
    anterior, middle, posterior = found
    return Heights(anterior=anterior, middle=middle, posterior=posterior)  # type: ignore[arg-type]


def _refusal(
    grid: SagittalGrid, canal_slice: float, slices: NDArray[np.int64], *, cut: bool, beside_canal: bool
) -> Unmeasured | None:
    """Why a body cannot be measured before its edges are looked for."""
    along = grid.spacing_mm[1]
    if along > LARGEST_VOXEL_MM:
        return Unmeasured(
            reason=ReasonCode.SPACING,
            sentence=f"voxels are {along:.1f} mm along the spine, at most {LARGEST_VOXEL_MM:.0f} mm carry a height",
        )
    if cut:
        return Unmeasured(reason=ReasonCode.TRUNCATION, sentence="the body touches the edge of the field of view")
    outside = max(-canal_slice, canal_slice - (grid.shape[0] - 1)) * grid.spacing_mm[0]
    if outside > OFF_STACK_MM or not slices.size or beside_canal:
        return Unmeasured(
            reason=ReasonCode.TRUNCATION, sentence="the middle of the body lies outside the stack of slices"
        )
    return None


def _mean_normal(bodies: Bodies, number: int) -> tuple[FloatArray, ...]:
    """The mean direction across the discs above and below a body; none where it lacks one of them."""
    planes = bodies.separators[max(number - 2, 0) : number]
    if number == 1 or number > len(bodies.separators):
        return ()
    normal = planes[0].normal[1:] + planes[1].normal[1:]
    return (np.asarray(normal / np.linalg.norm(normal)),)


def _angle_deg(one: FloatArray, other: FloatArray) -> float:
    return float(np.degrees(np.arccos(np.clip(one @ other, -1.0, 1.0))))


def _turned(angle_deg: float) -> Unmeasured | None:
    if angle_deg <= LARGEST_TURN_DEG:
        return None
    return Unmeasured(
        reason=ReasonCode.UNCERTAIN,
        sentence=f"the endplates lie {angle_deg:.0f} degrees off the spine's direction: no outline of a whole body",
    )


def closed_bodies(measured: dict[int, MeasuredBody], bodies: Bodies) -> dict[int, MeasuredBody]:
    """The same, without the heights of a lowest body that has no disc under it.

    The sacrum is not a class of its own: a piece of it that was outlined looks like a crushed lowest body.
    """
    lowest = max(measured)
    if lowest < bodies.count and bodies.separators[lowest - 1].disc is not None:
        return measured
    body = measured[lowest]
    if isinstance(body.heights, Unmeasured):
        return measured
    reason = Unmeasured(
        reason=ReasonCode.UNCERTAIN,
        sentence="no disc was found under the lowest body, so that it may be a piece of the sacrum",
    )
    return measured | {lowest: replace(body, heights=reason)}


def whole_bodies(measured: dict[int, MeasuredBody], levels: dict[int, Vertebra]) -> dict[int, MeasuredBody]:
    """The same, without the heights of bodies of which the central slices hold only a part.

    A part shows itself by its depth: a fracture lowers a body but does not make it shallow.
    """
    shares = {
        n: b.depth_mm / BODY_NORMS[levels[n]].depth_mm for n, b in measured.items() if isinstance(b.heights, Heights)
    }
    usual = float(np.median(list(shares.values()))) if shares else float("nan")
    checked = dict(measured)
    for number, share in shares.items():
        if share < SHALLOWEST * usual:
            reason = Unmeasured(
                reason=ReasonCode.TRUNCATION,
                sentence=f"only {share / usual:.0%} of the body's expected depth is on the slices around its middle",
            )
            checked[number] = replace(measured[number], heights=reason)
    return checked


def _tilted(tilt_deg: float) -> Unmeasured | None:
    if abs(tilt_deg) <= LARGEST_TILT_DEG:
        return None
    return Unmeasured(
        reason=ReasonCode.ORIENTATION,
        sentence=f"the body leans {abs(tilt_deg):.0f} degrees out of the slice, "
        f"at most {LARGEST_TILT_DEG:.0f} can be corrected",
    )


def _frame(
    mask: MaskArray, centre: FloatArray, bodies: Bodies, number: int, *, line: CanalLine, grid: SagittalGrid
) -> Frame:
    """The first frame: axis between the discs above and below, or along their normals, or along the canal."""
    planes = bodies.separators[max(number - 2, 0) : number]
    if number > 1 and number <= len(bodies.separators):
        axis = direction_between(planes[0], planes[1])[1:]
    elif planes:
        axis = planes[0].normal[1:]
    else:
        axis = line.tangent(line.arc_at(centre[1], centre[2]))
    axis = axis / np.linalg.norm(axis)
    voxels_mm = np.argwhere(mask) * np.asarray(grid.spacing_mm)
    return frame_around(voxels_mm, centre, axis, margin_mm=(_MARGIN_MM, _MARGIN_MM))


def _meets_padding(mask: MaskArray, bodies: Bodies, number: int, grid: SagittalGrid, padding: MaskArray) -> bool:
    """True where the first or last body, with no disc beyond it, ends at the image's filling or close to its edge."""
    rows = np.flatnonzero(mask.any(axis=(0, 2)))
    reach = max(1, round(OPEN_MARGIN_MM / grid.spacing_mm[1]))
    last_row = grid.full_shape[1] - 1 - grid.offset[1]
    if number == 1:
        shifted = np.roll(mask, -reach, axis=1)
        shifted[:, -reach:] = False
        if rows[0] - reach < -grid.offset[1] or _mostly(padding, shifted & ~mask):
            return True
    if number == bodies.count:
        shifted = np.roll(mask, reach, axis=1)
        shifted[:, :reach] = False
        return bool(rows[-1] + reach > last_row) or _mostly(padding, shifted & ~mask)
    return False


def _mostly(padding: MaskArray, where: MaskArray) -> bool:
    return bool(where.any()) and float(padding[where].mean()) > 0.3  # noqa: PLR2004 - a third of the surface
