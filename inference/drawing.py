"""What follows from a shape that is drawn on an image: length, angle, area. Points are (column, row).

The same arithmetic gives the number in a report and checks it, because a viewer computes it again from the points.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import acos, degrees, hypot

import numpy as np

LINE_POINTS = 2
ANGLE_POINTS = 4
"""Two lines of two points each, as the viewer's tool for Cobb angles draws them."""


def length_mm(points: Sequence[tuple[float, float]], spacing_mm: tuple[float, float]) -> float:
    """Length of a two-point line, to 0.01 mm: (column, row) points, spacing (between rows, between columns)."""
    (column0, row0), (column1, row1) = points
    return round(hypot((column1 - column0) * spacing_mm[1], (row1 - row0) * spacing_mm[0]), 2)


def angle_deg(points: Sequence[tuple[float, float]], spacing_mm: tuple[float, float]) -> float:
    """Angle between two lines of two (column, row) points each, to 0.1 degree, 0 to 180."""
    one, other = (np.subtract(points[last], points[last - 1]) * (spacing_mm[1], spacing_mm[0]) for last in (1, 3))
    cosine = float(one @ other) / (hypot(*one.tolist()) * hypot(*other.tolist()))
    return round(degrees(acos(min(max(cosine, -1.0), 1.0))), 1)


def area_mm2(points: Sequence[tuple[float, float]], spacing_mm: tuple[float, float]) -> float:
    """Area inside a closed outline, to 0.1 mm2: (column, row) points, spacing (between rows, between columns)."""
    columns, rows = np.asarray(points, dtype=np.float64).T
    twice = float(np.sum(columns[:-1] * rows[1:] - columns[1:] * rows[:-1]))
    return round(abs(twice) / 2 * spacing_mm[0] * spacing_mm[1], 1)


def is_closed(points: Sequence[tuple[float, float]]) -> bool:
    """Whether points go around something: the last is the first."""
    return len(points) > LINE_POINTS + 1 and tuple(points[0]) == tuple(points[-1])
