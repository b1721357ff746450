"""The three answers to a criterion."""

from __future__ import annotations

from dataclasses import dataclass

from claims.evidence import CriterionState, Pointer


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One criterion at one body, or for the claim."""

    state: CriterionState
    sentence: str
    pointers: tuple[Pointer, ...] = ()
    prompt: str | None = None


def met(sentence: str, *pointers: Pointer) -> Answer:
    """It is met."""
    return Answer(state=CriterionState.MET, sentence=sentence, pointers=pointers)


def not_met(sentence: str, *pointers: Pointer) -> Answer:
    """It is not met."""
    return Answer(state=CriterionState.NOT_MET, sentence=sentence, pointers=pointers)


def open_(sentence: str, *pointers: Pointer, prompt: str | None = None) -> Answer:
    """It cannot be determined."""
    return Answer(state=CriterionState.NOT_DETERMINABLE, sentence=sentence, pointers=pointers, prompt=prompt)
