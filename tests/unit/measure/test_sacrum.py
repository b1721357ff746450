"""What is sacrum and what is canal, told on blocks: the names of all levels hang on it."""

from __future__ import annotations

import numpy as np
import pytest

from inference.measure import read_sagittal


def shallower(probabilities, mask, number, kept):
    """Take the front of a structure away until only this share of its depth is left."""
    columns = np.flatnonzero(mask.any(axis=(0, 1)))
    front = mask.copy()
    front[:, :, columns[0] + round((1 - kept) * len(columns)) :] = False
    probabilities[number][front], probabilities[0][front] = 0.0, 1.0


@pytest.mark.parametrize(("kept", "lowest"), [(0.55, "T12"), (0.9, "T11"), (0.3, "T11")])
def test_the_rest_of_the_disc_in_the_sacrum_is_not_taken_for_the_last_one(block_spine, kept, lowest):
    """Used to name every level one too high: S1-S2 is visible in many people, half as deep as L5-S1."""
    volume, probabilities = block_spine().build()
    shallower(probabilities, read_sagittal(volume, probabilities).discs[-1].mask, 2, kept)
    reading = read_sagittal(volume, probabilities)
    assert reading.vertebrae[0].level.name == lowest
    assert reading.vertebrae[-1].level.name == "L5"
    assert reading.discs[-1].level.name == "L5-S1"
    if lowest == "T12":
        assert reading.numbering.ambiguous
        assert "rest of S1-S2" in reading.numbering.note
        body = reading.vertebrae[-1].body
        assert (reading.vertebrae[-1].mask & ~body).sum() < body.sum()  # S1 is not given to L5


def test_a_body_in_pieces_above_a_shallow_disc_is_sacrum(block_spine):
    volume, probabilities = block_spine().build()
    whole = read_sagittal(volume, probabilities)
    shallower(probabilities, whole.discs[-1].mask, 2, 0.75)
    assert read_sagittal(volume, probabilities).vertebrae[0].level.name == "T11"
    shallower(probabilities, whole.vertebrae[-1].body, 1, 0.45)
    assert read_sagittal(volume, probabilities).vertebrae[0].level.name == "T12"


def test_half_a_disc_a_whole_body_below_the_others_is_no_rest_of_s1_s2(block_spine):
    """What is left of the disc under an L5 that has slipped far was taken for that of S1-S2."""
    volume, probabilities = block_spine().build()
    whole = read_sagittal(volume, probabilities)
    lowest = whole.discs[-1].mask
    shallower(probabilities, lowest, 2, 0.55)
    assert read_sagittal(volume, probabilities).vertebrae[0].level.name == "T12"
    first = int(np.flatnonzero(lowest.any(axis=(0, 2)))[0])
    taller = np.concatenate([probabilities[:, :, : first - 8], *[probabilities[:, :, first - 8 : first - 7]] * 10,
                             probabilities[:, :, first - 8 :]], axis=2)  # fmt: skip
    taller = taller[:, :, : volume.shape[1]]
    reading = read_sagittal(volume, taller)
    assert reading.vertebrae[0].level.name == "T11"
    assert reading.discs[-1].level.name == "L5-S1"


def test_a_piece_of_bone_without_a_disc_under_it_is_sacrum(block_spine):
    volume, probabilities = block_spine().build()
    whole = read_sagittal(volume, probabilities)
    lowest = whole.discs[-1].mask
    probabilities[2][lowest], probabilities[0][lowest] = 0.0, 1.0
    shallower(probabilities, whole.vertebrae[-1].body, 1, 0.6)
    reading = read_sagittal(volume, probabilities)
    assert reading.vertebrae[0].level.name == "T12"
    assert "taken for a piece of S1" in reading.numbering.note


def test_a_strip_of_belly_outlined_as_canal_changes_nothing(block_spine):
    """Used to hide the bodies behind it, and to name every level as many too low."""
    volume, probabilities = block_spine().build()
    whole = read_sagittal(volume, probabilities)
    front = np.flatnonzero((probabilities[0] < 0.5).any(axis=(0, 1)))[0]
    probabilities[:, :, 60:200, front - 34 : front - 28] = np.array([0.0, 0.0, 0.0, 1.0])[:, None, None, None]
    reading = read_sagittal(volume, probabilities)
    assert [v.level for v in reading.vertebrae] == [v.level for v in whole.vertebrae]
    assert (reading.canal == whole.canal).all()
    assert not reading.numbering.ambiguous
