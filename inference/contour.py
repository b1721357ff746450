"""Outlines of a mask as polygons that run along the edges of its pixels.

Points are ``(column, row)`` image points with (0, 0) at the upper left corner of the first pixel, so every corner is a
pair of whole numbers, and filling the polygons by the even-odd rule gives the mask back, pixel for pixel. An outer
outline goes clockwise as the image is seen (rows down), the outline of a hole the other way. Pixels that touch at a
corner only belong to different polygons.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from inference.geometry import MaskArray

Corner: TypeAlias = tuple[int, int]
Polygon: TypeAlias = tuple[Corner, ...]
"""Corners in order; the last is joined to the first, and no three on a line follow each other."""

_CLOCKWISE: tuple[Corner, ...] = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""Steps (column, row): right along the upper edge of a pixel, down, left, up."""


def polygons_of(mask: MaskArray) -> tuple[Polygon, ...]:
    """Every outline of a mask (row, column), in the order of their uppermost, then leftmost corners."""
    edges = _edges(mask)
    found = []
    for start in sorted(edges, key=lambda corner: (corner[1], corner[0])):
        while edges.get(start):
            found.append(_trace(edges, start))
    return tuple(found)


def _edges(mask: MaskArray) -> dict[Corner, list[int]]:
    """By the corner where it begins: the directions of every pixel edge with the mask on its right hand."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return {}
    top, left = int(rows[0]), int(columns[0])
    padded = np.pad(mask[top : rows[-1] + 1, left : columns[-1] + 1].astype(bool), 1)
    inside = padded[1:-1, 1:-1]
    outside = (padded[:-2, 1:-1], padded[1:-1, 2:], padded[2:, 1:-1], padded[1:-1, :-2])
    begins = ((0, 0), (1, 0), (1, 1), (0, 1))  # (column, row) of the corner where the edge of that direction begins
    edges: dict[Corner, list[int]] = {}
    for direction, (neighbour, (right, down)) in enumerate(zip(outside, begins, strict=True)):
        for row, column in np.argwhere(inside & ~neighbour).tolist():
            edges.setdefault((left + column + right, top + row + down), []).append(direction)
    return edges


def _trace(edges: dict[Corner, list[int]], start: Corner) -> Polygon:
    """Follow one outline from its first corner, turning right where two outlines meet, and use its edges up."""
    corner, direction = start, min(edges[start])
    corners = [start]
    while True:
        edges[corner].remove(direction)
        step = _CLOCKWISE[direction]
        corner = (corner[0] + step[0], corner[1] + step[1])
        if corner == start:
            return tuple(corners)
        following = _next(edges[corner], direction)
        if following != direction:
            corners.append(corner)
        direction = following


def _next(directions: list[int], previous: int) -> int:
    """The direction that turns right, else straight on, else left."""
    return next(d for d in ((previous + 1) % 4, previous, (previous + 3) % 4) if d in directions)
