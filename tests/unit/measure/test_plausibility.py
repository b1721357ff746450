"""Sizes that no adult has: a series is refused, a single body is not measured."""

from __future__ import annotations

import numpy as np
import pytest

from inference.anatomy import Numbering, Vertebra
from inference.errors import ReasonCode, SeriesRefusal
from inference.measure.levels import Levels, with_doubts
from inference.measure.morphometry import BODY_NORMS
from inference.measure.plausibility import body_size, check_size, count_doubts, single_bodies
from inference.measure.reading import Heights, Length, Unmeasured
from inference.measure.vertebrae import MeasuredBody

LEVELS = dict(enumerate((Vertebra.T12, Vertebra.L1, Vertebra.L2, Vertebra.L3, Vertebra.L4, Vertebra.L5), start=1))


def sized(level: Vertebra, height: float, depth: float = 1.0, *, ends: float = 1.0) -> MeasuredBody:
    """A body of so many adult heights and depths; front and back of that height times `ends`."""
    front, middle, back = (
        Length(mm=height * share * norm, uncertainty_mm=0.2, start_index=(0, 0, 0), end_index=(0, 1, 0))
        for norm, share in zip(BODY_NORMS[level].heights_mm, (ends, 1.0, ends), strict=True)
    )
    heights = Heights(anterior=front, middle=middle, posterior=back)
    depth_mm = depth * BODY_NORMS[level].depth_mm
    return MeasuredBody(centre_mm=np.zeros(3), touches_edge=False, heights=heights, depth_mm=depth_mm)


def column(height: float, depth: float = 1.0) -> dict[int, MeasuredBody]:
    return {number: sized(level, height, depth) for number, level in LEVELS.items()}


@pytest.mark.parametrize(("height", "depth"), [(1.9, 0.06), (0.41, 1.0), (0.6, 1.4), (1.0, 1.4)])
def test_height_and_depth_are_each_those_of_an_adult(height: float, depth: float) -> None:
    """Used to pass where a wrong height and a wrong depth made up for each other."""
    with pytest.raises(SeriesRefusal) as caught:
        check_size(body_size(LEVELS, column(height, depth)))
    assert caught.value.code is ReasonCode.BODY_PART


@pytest.mark.parametrize("size", [0.75, 1.0, 1.25])
def test_adults_of_any_size_keep_their_bodies(size: float) -> None:
    measured = column(size)
    check_size(body_size(LEVELS, measured))
    single = single_bodies(measured, LEVELS)
    assert single == measured
    assert count_doubts(measured, single) == ()


def test_a_body_taller_than_any_adults_may_be_two() -> None:
    """Used to be the reference that made every other body of its spine a crush fracture."""
    measured = column(1.0) | {5: sized(Vertebra.L4, 1.67)}
    single = single_bodies(measured, LEVELS)
    heights = single[5].heights
    assert isinstance(heights, Unmeasured)
    assert heights.reason is ReasonCode.UNCERTAIN
    assert "167%" in heights.sentence
    assert {number for number, body in single.items() if isinstance(body.heights, Unmeasured)} == {5}
    (doubt,) = count_doubts(measured, single)
    levels = Levels(vertebrae=LEVELS, discs={}, numbering=Numbering(method="m", ambiguous=False, note="n."))
    assert with_doubts(levels, ()) is levels
    doubted = with_doubts(levels, (doubt,)).numbering
    assert doubted.ambiguous
    assert doubted.note == f"n. {doubt}"


@pytest.mark.parametrize(("ends", "is_body"), [(0.55, False), (0.85, True)])
def test_a_body_does_not_bulge_in_the_middle(ends: float, is_body: bool) -> None:  # noqa: FBT001
    """Used to be a crush fracture: bone of another structure had hung on to the middle of an endplate."""
    measured = column(1.0) | {1: sized(Vertebra.T12, 1.1, ends=ends)}
    assert isinstance(single_bodies(measured, LEVELS)[1].heights, Heights) is is_body
