"""The table of cases (cases.toml), and what holds for all of them whatever the findings say."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders.claims import Case, read_cases

CASES = read_cases(Path(__file__).parent / "cases.toml")


def test_the_table_is_large():
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case) -> None:
    evidence = case.evaluated()

    sentences = " ".join(body.sentence for body in evidence.bodies)
    assert evidence.verdict.value == case.verdict, sentences
    for word in case.says:
        assert word in sentences
    codes = {prompt.code for prompt in evidence.prompts}
    assert set(case.asks) <= codes
    assert not set(case.asks_not) & codes
    found = ", ".join(f"{body.body.name} {body.verdict.value}" for body in evidence.bodies)
    assert not case.bodies or found == case.bodies
    against = " ".join(fact.sentence for fact in evidence.concordance if fact.agrees is False)
    for word in case.disagrees:
        assert word in against
    states = {
        f"{one.criterion}{f' {one.body.name}' if one.body else ''}: {one.state.value}" for one in evidence.criteria
    }
    assert set(case.criteria) <= states
