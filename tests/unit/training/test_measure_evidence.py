"""What is weighed beside a logit is compared on patients whose own grades took part in nothing."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra train")
pytest.importorskip("sklearn", reason="training needs the extra train")
pytest.importorskip("matplotlib", reason="training needs the extra train")

from models.disc_grades import OUTPUTS, Sign
from training.grader_data import Samples
from training.measure_evidence import compare, evidence_of, nested

COLUMN = OUTPUTS.index(Sign.LISTHESIS)
LEVELS = ("L3-L4", "L4-L5", "L5-S1")


def discs(patients=60):
    """Three discs of each patient; a slip of more than 5 % is a spondylolisthesis, whatever the images show."""
    rng = np.random.default_rng(3)
    count = 3 * patients
    slips = (rng.normal(size=(count, 1)) * 6 + rng.normal(size=(count, 2))).astype(np.float32)
    slips[rng.random(count) < 0.2] = np.nan
    targets = (rng.random((count, len(OUTPUTS))) < 0.5).astype(np.float32)
    targets[:, COLUMN] = np.abs(np.nan_to_num(slips)).mean(axis=1) > 5
    return Samples(
        images=np.zeros((count, 1), np.float16),
        shown=np.ones((count, 2), bool),
        targets=targets,
        slips=slips,
        levels=np.array(LEVELS * patients),
        patients=np.repeat([str(n) for n in range(patients)], 3),
        folds=np.repeat(np.arange(patients) % 5, 3),
        subgroups=np.array(["Philips, 3 T, F"] * count),
    ), rng.normal(size=targets.shape)


def test_evidence_that_tells_something_gains_and_the_rest_does_not():
    samples, logits = discs()
    scores = compare(samples, logits, Sign.LISTHESIS, bootstraps=20)
    assert scores["its logit"]["gain"]["value"] == 0
    assert scores["and the slip's size"]["gain"]["low"] > 0.2
    assert scores["and the logit at the discs above and below"]["gain"]["low"] < 0.05


def test_the_neighbours_are_those_of_the_same_patient():
    samples, logits = discs(2)
    found = evidence_of(samples, logits, Sign.LISTHESIS)["and the logit at the discs above and below"]
    own = logits[:, COLUMN]
    assert found[1].tolist() == [own[1], own[0], 0.0, own[2], 0.0]
    assert found[3].tolist() == [own[3], 0.0, 1.0, own[4], 0.0]
    assert found[5].tolist() == [own[5], own[4], 0.0, 0.0, 1.0]


def test_nobodys_own_grade_takes_part_in_what_is_said_of_it():
    samples, logits = discs()
    truth = samples.targets[:, COLUMN].astype(float)
    mine = samples.folds == 1
    before = nested(logits, truth, samples.folds)
    after = nested(logits, np.where(mine, 1 - truth, truth), samples.folds)
    assert np.array_equal(before[mine], after[mine])
    assert not np.array_equal(before[~mine], after[~mine])
