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
from inference.measure.naming import contradiction, lowest_level, with_doubt
from inference.measure.reading import Unmeasured
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
