"""Two series are matched by where their bodies lie: moved, tilted, cut, counted wrongly, or of someone else."""

from __future__ import annotations

import numpy as np
import pytest

from inference.anatomy import Vertebra
from inference.errors import ReasonCode
from inference.measure import read_sagittal
from inference.measure.matching import LARGEST_RESIDUAL_MM, LevelMatch, match_centres, match_readings, rigid_motion
from inference.measure.reading import Unmeasured
from training.phantom import PhantomParameters, generate_labels

COARSE = {"rows": 160, "columns": 128, "spacing_mm": 1.875, "slices": 3, "variation": 1.0}


def person(seed=1, **changes):
    """Centres of the bodies of a generated person, T12 to L5."""
    truth = generate_labels(PhantomParameters(seed=seed, **COARSE, **changes)).truth
    wanted = ("T12", "L1", "L2", "L3", "L4", "L5")
    return {Vertebra[name]: np.array(truth.vertebra(name).centre_lps_mm) for name in wanted}


def moved(centres, *, shift=(0.0, 0.0, 0.0), turn_deg=0.0, axis=0):
    """The centres after a turn about an axis through their middle, and a shift."""
    c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    one, two = (n for n in range(3) if n != axis)
    turn = np.eye(3)
    turn[one, one], turn[one, two], turn[two, one], turn[two, two] = c, -s, s, c
    middle = np.mean(list(centres.values()), axis=0)
    return {level: turn @ (place - middle) + middle + shift for level, place in centres.items()}


def renamed(centres, step):
    """The same places under names that were counted wrongly by some levels."""
    levels = list(Vertebra)
    return {levels[levels.index(level) + step]: place for level, place in centres.items()}


def without(centres, *gone):
    return {level: place for level, place in centres.items() if level.name not in gone}


SAME = person()


@pytest.mark.parametrize("same_frame", [True, False])
@pytest.mark.parametrize(
    "second",
    [
        SAME,
        moved(SAME, shift=(0, 0, 10)),
        moved(SAME, shift=(10, 0, 0)),
        moved(SAME, shift=(0, -10, 0)),
        moved(SAME, turn_deg=5),
        moved(SAME, turn_deg=5, axis=1),
        moved(SAME, turn_deg=-5, shift=(3, 4, -5)),
        without(SAME, "L5"),
        without(SAME, "T12"),
        moved(without(SAME, "T12"), turn_deg=5, shift=(0, 0, 6)),
    ],
    ids=["same", "down", "left", "forward", "tilted", "leaned", "both", "no L5", "no T12", "cut and moved"],
)
def test_a_moved_patient_keeps_the_levels(second, same_frame):
    match = match_centres(SAME, second, same_frame=same_frame)
    assert isinstance(match, LevelMatch)
    assert match.levels == {level: level for level in second}
    assert match.motion.residual_mm < 1e-6
    for level, place in second.items():
        assert match.motion.matrix @ [*SAME[level], 1] == pytest.approx([*place, 1])


@pytest.mark.parametrize("step", [-1, 1])
@pytest.mark.parametrize(("same_frame", "gone"), [(True, ("L5", "T12")), (False, ())])
def test_levels_that_the_second_series_counted_wrongly_get_the_names_of_the_first(step, same_frame, gone):
    second = renamed(without(SAME, *gone), step)
    match = match_centres(SAME, second, same_frame=same_frame)
    assert isinstance(match, LevelMatch)
    assert list(match.levels) == list(second)
    assert list(match.levels.values()) == list(without(SAME, *gone))


def test_a_match_does_not_depend_on_the_frame_of_reference_when_the_patient_lies_elsewhere():
    match = match_centres(SAME, moved(SAME, shift=(0, 0, 400)), same_frame=False)
    assert isinstance(match, LevelMatch)
    assert set(match.levels.values()) == set(SAME)


def test_within_one_frame_a_move_of_half_a_level_is_not_taken_for_another_level():
    second = renamed(moved(SAME, shift=(0, 0, 17)), 1)
    match = match_centres(SAME, second, same_frame=True)
    assert isinstance(match, Unmeasured) or list(match.levels.values()) == list(SAME)


@pytest.mark.parametrize("same_frame", [True, False])
def test_another_patient_is_refused_with_the_residual(same_frame):
    other = person(seed=2, size=0.88, lordosis_deg=60.0)
    refused = match_centres(SAME, other, same_frame=same_frame)
    assert isinstance(refused, Unmeasured)
    assert refused.reason is ReasonCode.GEOMETRY
    assert f"at most {LARGEST_RESIDUAL_MM:g} mm are accepted" in refused.sentence
    assert "mm (root mean square)" in refused.sentence


def test_most_but_not_all_pairs_of_different_people_are_refused():
    """The match is a check of geometry, not of identity: of 90 ordered pairs of ten people 74 are refused."""
    people = [person(seed=seed, size=0.92 if seed % 2 else 1.0) for seed in range(1, 11)]
    pairs = [(one, two) for one in people for two in people if one is not two]
    refused = sum(isinstance(match_centres(one, two, same_frame=True), Unmeasured) for one, two in pairs)
    assert len(pairs) == 90
    assert 70 <= refused < 90


def test_an_even_straight_chain_is_matched_by_shape_only_where_the_counted_levels_agree():
    """Its shape fits at every level, so that without a common frame nothing but the names is left."""
    even = {level: np.array([0.0, 0.0, -30.0 * n]) for n, level in enumerate(SAME)}
    assert isinstance(match_centres(even, moved(even, shift=(0, 0, 90)), same_frame=False), LevelMatch)
    refused = match_centres(even, renamed(without(even, "L5"), 1), same_frame=False)
    assert isinstance(refused, Unmeasured)
    assert "more than one level" in refused.sentence


def test_too_few_bodies_are_refused():
    two = without(SAME, "T12", "L1", "L2", "L3")
    refused = match_centres(SAME, two, same_frame=True)
    assert isinstance(refused, Unmeasured)
    assert "6 and 2 vertebral bodies" in refused.sentence


def test_a_rigid_motion_is_a_rotation_and_never_a_mirror():
    points = np.array([[0, 0, 0], [10, 0, 0], [0, 20, 0], [0, 0, 30.0]])
    mirrored = points * [-1, 1, 1]
    motion = rigid_motion(points, mirrored)
    assert np.linalg.det(motion.turn) == pytest.approx(1)
    assert motion.residual_mm > 1


def test_readings_match_whatever_the_order_of_slices_and_axes(block_spine, other_order):
    volume, probabilities = block_spine().build()
    other, theirs = other_order(volume, probabilities, flips=(True, False, True), transposed=True)
    match = match_readings(
        read_sagittal(volume, probabilities), volume, read_sagittal(other, np.ascontiguousarray(theirs)), other
    )
    assert isinstance(match, LevelMatch)
    assert all(ours is theirs for ours, theirs in match.levels.items())
    assert match.motion.residual_mm < 0.5
