"""Disc heights: the same edges in the same kind of frame as the bodies."""

from __future__ import annotations

import numpy as np

from inference.errors import ReasonCode
from inference.geometry import FloatArray, MaskArray
from inference.measure.frames import edges_in_frame, frame_around, own_probability
from inference.measure.grid import SagittalGrid
from inference.measure.heights import central_slices, coronal_tilt, heights_of
from inference.measure.reading import Length, Unmeasured
from inference.measure.separators import Separator

MARGIN_MM = (7.0, 4.0)
"""Along and across the axis: room for a turn by 20 degrees, over half the depth of a disc and over half its height."""
EDGE_MM = 1.0
"""Nearer to the image's edge than this, a structure counts as cut: one to two pixels."""


def disc_heights(
    probability: FloatArray, mask: MaskArray, separator: Separator, grid: SagittalGrid, centre_slice: float
) -> tuple[Length | Unmeasured, Length | Unmeasured, Length | Unmeasured]:
    """Anterior, middle and posterior height of one disc.

    Args:
        probability: of the disc class on the crop.
        mask: this disc on the crop.
        separator: its plane.
        grid: the canonical crop.
        centre_slice: middle of the canal across slices at this level.
    """
    if touches_edge(mask, grid):
        cut = Unmeasured(reason=ReasonCode.TRUNCATION, sentence="the disc touches the edge of the field of view")
        return cut, cut, cut
    slices = central_slices(grid, centre_slice)
    own = own_probability(probability[slices], mask[slices])
    voxels = np.argwhere(mask[slices])
    if not len(voxels):
        none = Unmeasured(
            reason=ReasonCode.TRUNCATION, sentence="the disc is not on the slices around the canal's middle"
        )
        return none, none, none
    places_mm = voxels * np.asarray(grid.spacing_mm)
    centre = places_mm.mean(axis=0)
    axis = separator.normal[1:] / np.linalg.norm(separator.normal[1:])
    frame = frame_around(places_mm, centre, axis, margin_mm=MARGIN_MM)
    edges = edges_in_frame(own, slices, frame, grid.spacing_mm[1:])
    if edges is None:
        none = Unmeasured(reason=ReasonCode.UNCERTAIN, sentence="the disc's probability stays below one half")
        return none, none, none
    front, middle, back = heights_of(edges, grid, coronal_tilt(edges, grid), centre_slice)
    return front, middle, back


def touches_edge(mask: MaskArray, grid: SagittalGrid) -> bool:
    """True where a structure on the crop lies within 1 mm of an edge of the slices, so that it may go on beyond."""
    for axis in (1, 2):
        found = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        before = (found[0] + grid.offset[axis]) * grid.spacing_mm[axis]
        after = (grid.full_shape[axis] - 1 - grid.offset[axis] - found[-1]) * grid.spacing_mm[axis]
        if min(before, after) < EDGE_MM:
            return True
    return False
