"""The dural sac on one axial image: its area, its outline and its two diameters, from a probability image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from inference.geometry import FloatArray, MaskArray

HALF = 0.5
"""The outline lies where the probability is one half."""
REACH_MM = 10.0
"""The sac has a part this near to the expected place: half the width of a canal (25 mm, models.md 2.3) and some."""
EDGE_PIXELS = 3
"""The area counts the probabilities this far around the outlined part: the soft edge, and nothing beyond it."""
SMALLEST_MM2 = 8.0
"""A smaller part is no sac: the tightest stenoses in models.md 2.4 have 30 mm2."""
RAYS = 48
"""Points of an outline, evenly by angle around its centre."""
_STEP = 0.25


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SacShape:
    """One sac on a square image of even pixels."""

    area_mm2: float
    """Sum of the probabilities times the area of a pixel: partial volume counts in part."""
    outline: FloatArray
    """(RAYS, 2): (row, column) in pixels, around the centre."""


def outline_sac(probability: FloatArray, step_mm: float) -> SacShape | None:
    """The sac nearest to the middle of the image; None where there is none near it.

    Args:
        probability: (row, column), 0 to 1.
        step_mm: from pixel to pixel, in both directions.
    """
    parts, count = ndimage.label(probability >= HALF)
    if not count:
        return None
    rows, columns = np.indices(probability.shape)
    middle_row, middle_column = ((n - 1) / 2 for n in probability.shape)
    distance = np.hypot(rows - middle_row, columns - middle_column) * step_mm
    numbers = np.arange(1, count + 1)
    nearest = np.asarray(ndimage.minimum(distance, parts, numbers))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:] * step_mm**2
    able = (nearest <= REACH_MM) & (sizes >= SMALLEST_MM2)
    if not able.any():
        return None
    sac: MaskArray = np.asarray(parts == numbers[int(np.where(able, sizes, 0).argmax())])
    others = (parts > 0) & ~sac
    near = ndimage.binary_dilation(sac, iterations=EDGE_PIXELS) & ~others
    own = np.where(near, probability, 0.0)
    return SacShape(area_mm2=float(own.sum()) * step_mm**2, outline=_outline(own))


def _outline(own: FloatArray) -> FloatArray:
    """The farthest crossing of one half along each ray from the centre."""
    centre = np.array(ndimage.center_of_mass(own))
    angle = np.arange(RAYS) * 2 * np.pi / RAYS
    direction = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    reach = np.arange(0.0, float(np.hypot(*own.shape)) / 2, _STEP)
    places = centre[None, :, None] + direction[:, :, None] * reach
    seen = ndimage.map_coordinates(own, [places[:, 0], places[:, 1]], order=1, mode="constant")
    inside = seen >= HALF
    last = inside.shape[1] - 1 - inside[:, ::-1].argmax(axis=1)
    last = np.where(inside.any(axis=1), np.minimum(last, inside.shape[1] - 2), 0)
    line = np.arange(RAYS)
    fall = np.maximum(seen[line, last] - seen[line, last + 1], 1e-6)
    share = np.clip((seen[line, last] - HALF) / fall, 0.0, 1.0)
    return np.asarray(centre + direction * (reach[last] + share * _STEP)[:, None])


def extent(points: FloatArray, direction: FloatArray) -> tuple[float, int, int]:
    """How far points reach along a direction, and which two of them are the ends (first, last)."""
    place = points @ direction
    first, last = int(place.argmin()), int(place.argmax())
    return float(place[last] - place[first]), first, last
