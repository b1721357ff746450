"""Levels of a series without the sacrum take their names from one that shows it, and never from one in doubt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inference.anatomy import Numbering, Vertebra
from inference.errors import ReasonCode
from inference.geometry import FrameReference, Volume
from inference.measure import read_sagittal
from inference.measure.levels import METHOD, NAMED_METHOD
from inference.measure.matching import match_readings
from inference.measure.naming import contradiction, lowest_level, named_as, with_doubt
from inference.measure.reading import BodySize, Unmeasured
from training.phantom import PhantomParameters, generate_labels

COARSE = {"rows": 320, "columns": 256, "spacing_mm": 0.9375, "slices": 5, "seed": 2}
SURE = Numbering(method=METHOD, ambiguous=False, note="")


def probabilities_of(labels):
    return np.stack([labels == label for label in range(4)]).astype(np.float32)


def series(first_row=0, last_row=None, **changes):
    """Part of a generated spine's rows, as a volume with its outlines."""
    phantom = generate_labels(PhantomParameters(**(COARSE | changes)))
    labels = phantom.labels[:, first_row:last_row]
    affine = phantom.affine.copy()
    affine[:3, 3] += first_row * affine[:3, 1]
    volume = Volume(
        voxels=np.random.default_rng(0).random(labels.shape, dtype=np.float32),
        affine=affine,
        sources=tuple(FrameReference(sop_class_uid="1.2", sop_instance_uid=f"1.2.{n}") for n in range(len(labels))),
        series_instance_uid="1.2.3",
        frame_of_reference_uid="1.9",
    )
    return volume, probabilities_of(labels)


@pytest.fixture(scope="module")
def whole():
    volume, probabilities = series()
    return volume, read_sagittal(volume, probabilities)


@pytest.fixture(scope="module")
def cut(whole):
    """The same patient, the field of view ending within L4."""
    _, reading = whole
    rows = np.argwhere(next(v.body for v in reading.vertebrae if v.level is Vertebra.L4))[:, 1]
    return series(last_row=int(rows.mean()))


def names(reading):
    return [v.level.name for v in reading.vertebrae]


def test_a_series_without_the_sacrum_counts_wrongly_and_says_that_it_may(whole, cut):
    reading = read_sagittal(*cut)
    assert reading.numbering.ambiguous
    assert names(reading)[-1] == "L5"
    assert names(whole[1])[-1] == "L5"
    assert not whole[1].numbering.ambiguous


def test_its_levels_take_the_names_of_the_series_that_shows_the_sacrum(whole, cut):
    volume, probabilities = cut
    lowest = lowest_level(read_sagittal(volume, probabilities), volume, whole[1], whole[0])
    assert lowest is Vertebra.L4
    named = read_sagittal(volume, probabilities, lowest)
    assert names(named) == names(whole[1])[:-1]
    assert [d.level.name for d in named.discs] == [d.level.name for d in whole[1].discs][: len(named.discs)]
    assert named.numbering.method == NAMED_METHOD
    assert not named.numbering.ambiguous
    assert "larger field of view" in named.numbering.note
    assert ReasonCode.NUMBERING not in [code for code, _ in named.warnings]
    for ours, theirs in zip(named.vertebrae[1:-1], whole[1].vertebrae[1:-2], strict=True):
        assert ours.heights.posterior.mm == pytest.approx(theirs.heights.posterior.mm, abs=0.3)


def test_a_series_in_doubt_itself_names_nothing(whole, cut):
    doubtful = replace(whole[1], numbering=replace(whole[1].numbering, ambiguous=True))
    answer = lowest_level(read_sagittal(*cut), cut[0], doubtful, whole[0])
    assert isinstance(answer, Unmeasured)
    assert answer.reason is ReasonCode.NUMBERING


def test_someone_else_names_nothing(cut):
    volume, probabilities = series(seed=9, lordosis_deg=60.0, size=0.85)
    answer = lowest_level(read_sagittal(*cut), cut[0], read_sagittal(volume, probabilities), volume)
    assert isinstance(answer, Unmeasured)
    assert answer.reason is ReasonCode.GEOMETRY


def test_two_series_that_are_both_sure_and_disagree_leave_a_doubt_with_its_sentence(whole):
    volume, reading = whole
    match = match_readings(reading, volume, read_sagittal(*series(), Vertebra.L4), volume)
    sentence = contradiction(match, SURE, SURE, "STIR")
    first = reading.vertebrae[0].level
    assert sentence == (
        f"On the STIR series the vertebra that is called {first.name} here is counted as {first.above.name}."
    )
    doubtful = with_doubt(reading, sentence)
    assert doubtful.numbering.ambiguous
    assert doubtful.warnings[-1] == (ReasonCode.NUMBERING, doubtful.numbering.note)
    assert doubtful.numbering.note.endswith(sentence)
    assert contradiction(match, SURE, replace(SURE, ambiguous=True), "STIR") is None
    assert contradiction(match_readings(reading, volume, reading, volume), SURE, SURE, "STIR") is None


def centres(reading):
    return {disc.level.name: disc.centre_index for disc in reading.discs}


def test_discs_of_two_series_are_paired_by_their_place_and_not_by_their_names(whole):
    """Crops of different discs were graded as one where T1 was counted one level otherwise than T2."""
    volume, reading = whole
    shifted = read_sagittal(*series(), Vertebra.L4)
    assert centres(shifted) != centres(reading)
    named, doubt = named_as(reading, volume, shifted, volume, "T1")
    assert centres(named) == centres(reading)
    assert [slip.level for slip in named.slips] == [slip.level for slip in reading.slips]
    assert doubt.startswith("On the T1 series the vertebra that is called")
    back, _ = named_as(shifted, volume, reading, volume, "T1")
    assert centres(back) == centres(shifted)


def test_a_disc_that_the_other_count_has_no_name_for_is_left_out(whole, cut):
    first = read_sagittal(*cut)  # ends within L4, and calls it L5
    named, doubt = named_as(first, cut[0], whole[1], whole[0], "T1")
    ours, theirs = centres(first), centres(named)
    assert all(np.allclose(ours[level], theirs[level], atol=1.0) for level in list(ours)[1:])
    assert len(theirs) == len(centres(whole[1])) - 1
    assert doubt is None  # the first says itself that it may be wrong


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_names_stand_where_the_bodies_sizes_tell_a_wrong_spacing(whole, factor):
    volume, reading = whole
    size = BodySize(height=reading.size.height * factor, depth=reading.size.depth)
    shifted = replace(read_sagittal(*series(), Vertebra.L4), size=size)
    assert named_as(reading, volume, shifted, volume, "T1") == (shifted, None)


def test_names_stand_where_the_bodies_cannot_be_matched(whole, cut):
    volume, reading = whole
    few = replace(reading, vertebrae=reading.vertebrae[:2])
    assert named_as(reading, volume, few, volume, "T1") == (few, None)
