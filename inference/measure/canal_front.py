"""How far a body's posterior corner stands before the front of the canal below the disc under it.

A body that has slipped forwards leaves the canal, which follows the bone below it. This needs no outline of that bone,
so that it tells something of L5 on the sacrum too. It is no measured slip: fat lies between bone and canal, most at S1,
and on real images the same reading at L3-L4 and L4-L5 is off the measured slip by 6 to 8 % of the endplate (one robust
standard deviation, ``python -m training.measure_slip``).
"""

from __future__ import annotations

import numpy as np

from inference.geometry import FloatArray, MaskArray
from inference.measure.grid import SagittalGrid
from inference.measure.separators import Separator
from inference.measure.walls import Walls

STRETCH_MM = (2.0, 10.0)
"""The canal's front is taken this far below the disc's middle, behind the upper end of the bone below. Chosen by hand
on SPIDER mid-sagittal slices; others that begin at 0 to 5 mm told a spondylolisthesis of L5 as well (decision 14)."""
STEP_MM = 0.5
"""From one place of the front to the next; about the pixels of clinical series."""
LEAST_SHARE = 0.6
"""Of the stretch that must show the canal; our own judgement."""


def canal_gap(upper: Walls, separator: Separator, canal: MaskArray, grid: SagittalGrid) -> float | None:
    """Distance along the disc from the upper body's posterior-inferior corner to the canal's front below the disc.

    Args:
        upper: lines of the body above the disc.
        separator: the disc's plane.
        canal: (slice, row, column) of the crop, islands left out.
        grid: the canonical crop.

    Returns:
        In percent of the body's inferior endplate, positive where the corner lies in front; a ratio along one
        direction, which no error of the pixel spacing changes. None where the canal is not outlined there.
    """
    down = separator.normal[1:] / np.linalg.norm(separator.normal[1:])
    back = np.array([-down[1], down[0]])
    plane = canal[int(np.clip(round(upper.z_mm / grid.spacing_mm[0]), 0, len(canal) - 1))]
    places = np.argwhere(plane) * np.asarray(grid.spacing_mm[1:])
    front = _front((places - separator.centre_mm[1:]) @ down, places @ back, max(STEP_MM, max(grid.spacing_mm[1:]) / 2))
    if front is None:
        return None
    first, corner = upper.ends(upper.inferior)
    return 100.0 * (front - float(corner @ back)) / float(np.linalg.norm(corner - first))


def _front(below: FloatArray, behind: FloatArray, reach_mm: float) -> float | None:
    """Median over the stretch of the foremost voxel at each depth; None where too little of it shows the canal.

    Args:
        below: (voxel,) distance below the disc's middle.
        behind: (voxel,) place along the disc, towards the back.
        reach_mm: a voxel counts at depths this near to its own.
    """
    depths = np.arange(STRETCH_MM[0], STRETCH_MM[1] + STEP_MM / 2, STEP_MM)
    near = np.abs(below[None, :] - depths[:, None]) <= reach_mm
    front = np.where(near, behind[None, :], np.inf).min(axis=1, initial=np.inf)
    seen = np.isfinite(front)
    return float(np.median(front[seen])) if seen.mean() >= LEAST_SHARE else None
