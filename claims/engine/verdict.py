"""The verdict on one body by its signed reports alone.

First what is missing or contradicts, then what is only half there; SUPPORTS is what is left when no rule spoke.
"""

from __future__ import annotations

from claims.engine.halves import HALVES
from claims.engine.missing import RULES
from claims.engine.view import Outcome, View, begin
from claims.engine.words import quotes
from claims.evidence import Verdict


def judge(view: View) -> Outcome:
    """The verdict with its sentence, prompts and pointers."""
    for rule in RULES:
        if outcome := rule(view):
            return outcome
    quoted = quotes([*view.found, *view.sign])
    halves = [half for rule in HALVES for half in rule(view)]
    if halves:
        return Outcome(
            verdict=Verdict.PARTIAL,
            sentence=" ".join(half.sentence for half in halves),
            prompts=tuple(prompt for half in halves for prompt in half.prompts),
            pointers=tuple(dict.fromkeys([*quoted, *(pointer for half in halves for pointer in half.pointers)])),
        )
    names = [words for words in (view.rule.finding_words, view.rule.sign_words) if words]
    said = f"names {' and '.join(names)} at {view.at}" if names else f"is there for {view.at}"
    report = view.found[0].report if view.found else view.material.signed[-1]
    return Outcome(verdict=Verdict.SUPPORTS, sentence=f"{begin(report.words)}, signed, {said}.", pointers=quoted)
