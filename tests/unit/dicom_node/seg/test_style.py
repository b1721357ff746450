"""Colours: stable, and different between neighbours."""

from __future__ import annotations

from itertools import pairwise

import pytest

from dicom_node.seg.style import display_color
from inference.anatomy import REGULAR_VERTEBRAE
from inference.segmentation import Structure


def test_neighbouring_vertebrae_have_different_colours():
    colours = [tuple(display_color(Structure.VERTEBRA, v.name).value) for v in REGULAR_VERTEBRAE]
    assert all(first != second for first, second in pairwise(colours))


def test_structures_of_one_level_have_different_colours():
    structures = [(Structure.VERTEBRA, "L4"), (Structure.VERTEBRAL_BODY, "L4"), (Structure.DISC, "L4-L5")]
    assert len({tuple(display_color(s, level).value) for s, level in structures}) == 3


@pytest.mark.parametrize("level", ["C1", "T13", "L6", "S1"])
def test_every_level_has_a_colour(level):
    assert len(display_color(Structure.VERTEBRA, level).value) == 3


def test_the_colour_of_a_level_is_stable():
    assert display_color(Structure.VERTEBRA, "L1").to_rgb() == (204, 121, 167)
    assert display_color(Structure.SPINAL_CANAL, None).to_rgb() == (160, 160, 255)
