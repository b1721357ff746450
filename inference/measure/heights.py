"""Anterior, middle and posterior heights of bodies and discs (models.md 3.6).

Height is taken along the frame's axis at 15, 50 and 85 % of the depth: each the median over a band of columns and over
the slices of a band around the middle of the canal.

The bands: models.md asks for 10 mm. Across slices it is 10 mm (the central fifth of a 45 mm wide body: flat, and wide
enough for two or three slices 4 mm apart) for the frame and its tilt, and half of that for the heights, because hollow
endplates rise to the sides. Along the depth 10 mm would reach from 15 % past the front wall and take in
the rounded rim, so there it is 10 % of the depth (3 to 3.5 mm): about seven pixels, and centred on its place.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inference.errors import ReasonCode
from inference.geometry import FloatArray, MaskArray
from inference.measure.frames import Edges, robust_slope
from inference.measure.grid import SagittalGrid
from inference.measure.reading import Length, Unmeasured

PLACES = (0.15, 0.50, 0.85)
"""Anterior, middle, posterior: shares of the depth from the front (models.md 3.6)."""
COLUMN_BAND = 0.05
"""Half width of the band of columns, share of the depth."""
SLICE_BAND_MM = 5.0
"""Half width of the band of slices around the middle of the canal."""
HEIGHT_BAND_MM = 2.5
"""Half width of the band of slices that a height itself is taken from: half of the one that shows the tilt. A hollow
endplate rises to the sides, so that a wider band reads a biconcave body too high (tests: generated heights)."""
UNCERTAINTY_FLOOR_VOXELS = 0.3
"""No height is surer than this share of a voxel along the spine (models.md 3.6)."""
TILT_SPAN_MM = 6.0
"""Slices must span this much for a tilt across them to be measured."""


def central_slices(grid: SagittalGrid, centre_slice: float) -> NDArray[np.int64]:
    """Slices of the crop within the band around a place across slices; the nearest one where none is."""
    all_slices = np.arange(grid.shape[0])
    near = np.flatnonzero(np.abs(all_slices - centre_slice) * grid.spacing_mm[0] <= SLICE_BAND_MM)
    if near.size:
        return near.astype(np.int64)
    return np.array([int(np.clip(round(centre_slice), 0, grid.shape[0] - 1))])


def coronal_tilt(edges: Edges, grid: SagittalGrid) -> float:
    """Angle (radians) between the structure and the slices' normal, seen from the front; 0 where too few slices tell.

    A body that leans to the side is cut obliquely by a sagittal slice, which shows it higher by 1 / cos(angle).
    """
    z = edges.slices * grid.spacing_mm[0]
    if len(z) < 3 or z.max() - z.min() < TILT_SPAN_MM:  # noqa: PLR2004 - no line through two slices
        return 0.0
    inside = (edges.u[None, :] >= edges.share(0.2)[:, None]) & (edges.u[None, :] <= edges.share(0.8)[:, None])
    slopes = []
    for surface in (edges.top, edges.bottom):
        middle = np.array([_median(line[kept]) for line, kept in zip(surface, inside, strict=True)])
        good = np.isfinite(middle)
        if good.sum() < 3:  # noqa: PLR2004
            return 0.0
        slopes.append(robust_slope(z[good], middle[good]))
    shear = float(np.dot(grid.shear, edges.frame.axis))
    return float(np.arctan(np.mean(slopes) + shear))


def heights_of(edges: Edges, grid: SagittalGrid, tilt: float, centre_slice: float) -> tuple[Length | Unmeasured, ...]:
    """Anterior, middle and posterior height on the slices nearest to a place across slices."""
    aside = np.abs(edges.slices - centre_slice) * grid.spacing_mm[0]
    near = aside <= max(HEIGHT_BAND_MM, float(aside.min()))
    return tuple(_height(edges, grid, tilt, place, near) for place in PLACES)


def _height(edges: Edges, grid: SagittalGrid, tilt: float, place: float, near: MaskArray) -> Length | Unmeasured:
    """One height: median over columns and slices, with its spread."""
    centre = edges.share(place)
    reach = np.maximum(COLUMN_BAND * (edges.back - edges.front), grid.spacing_mm[2] / 2)
    band = (np.abs(edges.u[None, :] - centre[:, None]) <= reach[:, None]) & near[:, None]
    spans = np.where(band, edges.bottom - edges.top, np.nan)
    by_slice = np.array([_median(line) for line in spans])
    good = np.flatnonzero(np.isfinite(by_slice))
    if not good.size:
        return Unmeasured(
            reason=ReasonCode.UNCERTAIN, sentence=f"no edge was found at {place:.0%} of the depth on the central slices"
        )
    shown = float(np.median(by_slice[good]))
    values = spans[np.isfinite(spans)]
    spread = 1.4826 * float(np.median(np.abs(values - np.median(values)))) / np.sqrt(len(good))
    floor = UNCERTAINTY_FLOOR_VOXELS * _voxel_along(edges, grid)
    middle = int(good[np.argmin(np.abs(by_slice[good] - shown) + 1e-3 * np.abs(good - good.mean()))])
    at = (
        _median(np.where(band, edges.top, np.nan)[middle]) + _median(np.where(band, edges.bottom, np.nan)[middle])
    ) / 2
    z = float(edges.slices[middle] * grid.spacing_mm[0])
    height = shown * float(np.cos(tilt))
    ends = [edges.frame.point_mm(z, at + sign * height / 2, float(centre[middle])) for sign in (-1.0, 1.0)]
    return Length(
        mm=height,
        uncertainty_mm=float(np.hypot(floor, spread)),
        start_index=grid.source_index(ends[0]),
        end_index=grid.source_index(ends[1]),
    )


def _voxel_along(edges: Edges, grid: SagittalGrid) -> float:
    """Size of a voxel along the frame's axis."""
    return float(np.hypot(edges.frame.axis[0] * grid.spacing_mm[1], edges.frame.axis[1] * grid.spacing_mm[2]))


def _median(values: FloatArray) -> float:
    kept = values[np.isfinite(values)]
    return float(np.median(kept)) if kept.size else float("nan")
