"""The labelled corpus: what must not get worse."""

from __future__ import annotations

import pytest

from benchmarks.report_reading.corpus import LabelledReport, load
from benchmarks.report_reading.score import Score, score
from claims.report import Polarity, Topic

REPORTS = load()
SUPPORTING = (Topic.FRACTURE, Topic.EDEMA)
"""What could support a claim."""
FURTHER = (Topic.MODIC, Topic.HARDWARE, Topic.NEEDLE)
"""... for another procedure."""


def parts() -> dict[str, list[LabelledReport]]:
    return {
        "development": [report for report in REPORTS if not report.is_held_out],
        "held-out": [report for report in REPORTS if report.is_held_out],
    }


@pytest.fixture(scope="module")
def results() -> dict[str, Score]:
    return {name: score(reports) for name, reports in parts().items()}


def test_the_corpus_is_large_and_numbered_once() -> None:
    assert len(REPORTS) >= 440
    assert len({report.number for report in REPORTS}) == len(REPORTS)
    assert len({report.style for report in REPORTS}) >= 6
    assert len(parts()["held-out"]) >= 40


@pytest.mark.parametrize(("part", "most"), [("development", 3), ("held-out", 2)])
def test_what_could_support_a_claim_is_hardly_ever_affirmed_wrongly(
    results: dict[str, Score], part: str, most: int
) -> None:
    tallies = [results[part].tallies[topic, Polarity.AFFIRMED] for topic in SUPPORTING]
    assert sum(tally.said - tally.right for tally in tallies) <= most
    assert not results[part].falsely_recent


@pytest.mark.parametrize("part", ["development", "held-out"])
@pytest.mark.parametrize("topic", FURTHER)
def test_further_topics_are_never_affirmed_wrongly(results: dict[str, Score], part: str, topic: Topic) -> None:
    tally = results[part].tallies[topic, Polarity.AFFIRMED]
    assert tally.said == tally.right
    assert tally.found >= 0.75 * tally.labelled
    assert results[part].types_right == results[part].types


@pytest.mark.parametrize("part", ["development", "held-out"])
@pytest.mark.parametrize("topic", SUPPORTING)
def test_what_is_labelled_is_found_or_asked(results: dict[str, Score], part: str, topic: Topic) -> None:
    tally = results[part].tallies[topic, Polarity.AFFIRMED]
    assert tally.found >= 0.85 * tally.labelled
    assert tally.found + tally.asked >= 0.95 * tally.labelled
