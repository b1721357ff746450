"""Outlines of a mask: they fill to the mask again, one for each part and each hole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.ndimage import label

from inference.contour import polygons_of

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))
SQUARE = ((1, 1), (3, 1), (3, 3), (1, 3))


def edges_of(polygon):
    return list(zip(polygon, polygon[1:] + polygon[:1], strict=True))


def filled(polygons, shape):
    """Even-odd: a pixel is inside when the edges to the left of its centre are odd in number."""
    mask = np.zeros(shape, dtype=bool)
    for polygon in polygons:
        for (column, row0), (other, row1) in edges_of(polygon):
            if column == other:
                mask[min(row0, row1) : max(row0, row1), column:] ^= True
    return mask


def area(polygon):
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in edges_of(polygon)) / 2


@given(mask=MASKS)
def test_filling_gives_the_mask_back(mask):
    assert np.array_equal(filled(polygons_of(mask), mask.shape), mask)


@given(mask=MASKS)
def test_every_part_has_one_clockwise_outline_and_areas_add_up(mask):
    areas = [area(polygon) for polygon in polygons_of(mask)]
    assert sum(value > 0 for value in areas) == label(mask)[1]
    assert sum(areas) == mask.sum()


@given(mask=MASKS)
def test_no_corner_lies_on_a_line(mask):
    for polygon in polygons_of(mask):
        for (a, b), (_, c) in zip(edges_of(polygon), edges_of(polygon[1:] + polygon[:1]), strict=True):
            assert (b[0] - a[0]) * (c[1] - b[1]) != (b[1] - a[1]) * (c[0] - b[0])


@given(rows=st.integers(1, 5), columns=st.integers(1, 5))
def test_nothing_has_no_outline(rows, columns):
    assert polygons_of(np.zeros((rows, columns), dtype=bool)) == ()


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (["....", ".##.", ".##.", "...."], (SQUARE,)),
        (["##", "##"], (((0, 0), (2, 0), (2, 2), (0, 2)),)),
        (["#.", ".#"], (((0, 0), (1, 0), (1, 1), (0, 1)), ((1, 1), (2, 1), (2, 2), (1, 2)))),
        (["###", "#.#", "###"], (((0, 0), (3, 0), (3, 3), (0, 3)), ((1, 1), (1, 2), (2, 2), (2, 1)))),
    ],
)
def test_outlines_by_hand(picture, expected):
    """Corners are (column, row): the upper left corner of the first pixel is (0, 0)."""
    assert polygons_of(np.array([[mark == "#" for mark in row] for row in picture])) == expected
