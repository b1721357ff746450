"""The labelled corpus: what must not get worse."""

from __future__ import annotations

import pytest

from benchmarks.report_reading.corpus import LabelledReport, load
from benchmarks.report_reading.score import Score, score
from claims.report import Polarity, Topic

REPORTS = load()
SUPPORTING = (Topic.FRACTURE, Topic.EDEMA)
"""What could support a claim."""


def parts() -> dict[str, list[LabelledReport]]:
    return {
        "development": [report for report in REPORTS if not report.is_held_out],
        "held-out": [report for report in REPORTS if report.is_held_out],
    }


@pytest.fixture(scope="module", params=["development", "held-out"])
def result(request: pytest.FixtureRequest) -> Score:
    return score(parts()[request.param])


def test_the_corpus_is_large_and_numbered_once() -> None:
    assert len(REPORTS) >= 200
    assert len({report.number for report in REPORTS}) == len(REPORTS)
    assert len({report.style for report in REPORTS}) >= 6
    assert len(parts()["held-out"]) >= 60


@pytest.mark.parametrize("topic", SUPPORTING)
def test_what_is_affirmed_is_labelled_so(result: Score, topic: Topic) -> None:
    tally = result.tallies[topic, Polarity.AFFIRMED]
    assert tally.precision is not None
    assert tally.precision >= 0.97


@pytest.mark.parametrize("topic", SUPPORTING)
def test_what_is_labelled_is_found_or_asked(result: Score, topic: Topic) -> None:
    tally = result.tallies[topic, Polarity.AFFIRMED]
    assert tally.found >= 0.8 * tally.labelled
    assert tally.found + tally.asked >= 0.9 * tally.labelled
