"""One foramen drawn on a slice: what counts as its wall, and what does not."""

from __future__ import annotations

import numpy as np
import pytest

from inference.measure.foramen_cut import ForamenCut, ForamenFrame, cut_foramen

PIXEL = 0.5
HEIGHT, WIDTH = 16.0, 10.0
FRONT, TOP = 20.0, 20.0
"""Place (mm) of the front wall and of the upper pedicle's underside on the slice of 60 x 60 mm."""
FRAME = ForamenFrame(upper=np.array([TOP - 6.0, FRONT + 4.0]), lower=np.array([TOP + HEIGHT + 6.0, FRONT + 4.0]))
DISC_V = 6.0 + 10.0


def slice_of(*openings, disc=(), bone=()):
    """(bone, disc): bone all around a box of HEIGHT x WIDTH; openings are taken out, disc and bone put in.

    Each is (first row, last row, first column, last column) in millimetres from the box's upper front corner.
    """
    bones, discs = np.ones((120, 120), np.float32), np.zeros((120, 120), np.float32)
    for box in ((0.0, HEIGHT, 0.0, WIDTH), *openings):
        bones[block(box)] = 0.0
    for box in bone:
        bones[block(box)] = 1.0
    for box in disc:
        bones[block(box)], discs[block(box)] = 0.0, 1.0
    return bones, discs


def block(box):
    row0, row1, column0, column1 = (round(v / PIXEL) for v in box)
    top, front = round(TOP / PIXEL), round(FRONT / PIXEL)
    return slice(top + row0, top + row1), slice(front + column0, front + column1)


def cut(bones, discs) -> ForamenCut | None:
    return cut_foramen(bones, discs, (PIXEL, PIXEL), FRAME, DISC_V)


def length(line):
    return float(np.linalg.norm(np.subtract(*line)))


def area(found):
    v, u = found.outline.T
    return abs(float(v @ np.roll(u, -1) - u @ np.roll(v, -1))) / 2


@pytest.mark.parametrize(
    "drawn",
    [
        slice_of(),
        slice_of((9.0, 11.0, -30.0, 0.0)),  # a dark endplate in front
        slice_of((9.0, 12.5, WIDTH, 30.0)),  # a facet joint behind
        slice_of((5.0, 12.0, WIDTH, 30.0)),  # capsule and flavum between pars and articular process
    ],
    ids=["plain", "endplate", "joint", "capsule"],
)
def test_openings_that_are_not_outlined_do_not_change_it(drawn):
    found = cut(*drawn)
    assert found is not None
    assert found.width is not None
    assert length(found.height) == pytest.approx(HEIGHT, abs=0.6)
    assert length(found.width) == pytest.approx(WIDTH, abs=0.6)
    assert area(found) == pytest.approx(HEIGHT * WIDTH, rel=0.08)


def test_a_wide_opening_behind_is_no_foramen():
    assert cut(*slice_of((3.0, 14.0, WIDTH, 30.0))) is None


def test_a_bulging_disc_narrows_it_and_the_notch_above_the_disc_is_not_followed():
    drawn = slice_of((7.0, 9.0, -3.0, 0.0), disc=[(9.0, 12.0, -20.0, 3.0)])
    found = cut(*drawn)
    assert found is not None
    assert found.width is not None
    assert length(found.width) == pytest.approx(WIDTH - 3.0, abs=0.6)
    assert length(found.height) == pytest.approx(HEIGHT, abs=0.6)


def test_behind_the_tip_of_an_articular_process_lies_the_joint_and_not_the_foramen():
    """The process stands up from below and parts the lower half; the joint behind it is as high, and closed below."""
    drawn = slice_of(bone=[(8.0, HEIGHT, 5.0, 7.0)])
    found = cut(*drawn)
    assert found is not None
    assert found.width is not None
    assert length(found.width) == pytest.approx(5.0, abs=0.6)
    assert area(found) == pytest.approx(8.0 * WIDTH + 8.0 * 5.0, rel=0.12)


def test_bone_everywhere_is_no_foramen():
    bones = np.ones((120, 120), np.float32)
    assert cut(bones, np.zeros_like(bones)) is None
