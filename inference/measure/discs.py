"""Disc heights: the same edges in the same kind of frame as the bodies."""

from __future__ import annotations

import numpy as np

from inference.errors import ReasonCode
from inference.geometry import FloatArray, MaskArray
from inference.measure.frames import Frame, edges_in_frame, own_probability
from inference.measure.grid import SagittalGrid
from inference.measure.heights import central_slices, coronal_tilt, heights_of
from inference.measure.reading import Length, Unmeasured
from inference.measure.separators import Separator

HALF_LENGTH_MM = 14.0
"""Half of the largest plausible disc height, with room for a wedge of 20 degrees over 20 mm."""
EDGE_MM = 1.0
"""Nearer to the image's edge than this, a structure counts as cut: one to two pixels."""
HALF_DEPTH_MM = 32.0
"""Half of the largest plausible disc depth (45 mm), with room for a centre that is off the middle."""


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
    centre = voxels.mean(axis=0) * grid.spacing_mm
    axis = separator.normal[1:] / np.linalg.norm(separator.normal[1:])
    frame = Frame(centre_mm=centre, axis=axis, half_length_mm=HALF_LENGTH_MM, half_depth_mm=HALF_DEPTH_MM)
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
