"""The verdict on one body by its signed reports alone.

First what is missing or contradicts, then what is only half there; SUPPORTS is what is left when no rule spoke.
"""

from __future__ import annotations

from claims.engine.halves import HALVES
from claims.engine.missing import RULES
from claims.engine.view import Outcome, View, begin
from claims.engine.words import kind_words, quotes
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
    return Outcome(verdict=Verdict.SUPPORTS, sentence=f"{begin(_named(view))} at {view.at}.", pointers=quoted)


def _named(view: View) -> str:
    """Which signed report names what; one where finding and sign stand in the same."""
    named, of_sign = view.found[0].report.words, [one.report.words for one in view.sign]
    if of_sign and named not in of_sign:
        return f"{named}, signed, names {view.rule.finding_words}, and {of_sign[0]}, signed, {view.rule.sign_words}"
    words = " and ".join(filter(None, (view.rule.finding_words, view.rule.sign_words)))
    if view.rule.finding and view.rule.finding_kinds:
        kinds = sorted({kind for one in view.found for kind in one.statement.kinds})
        words = f"{words} of {kind_words(view.rule.finding, kinds, 'and')}"
    return f"{named}, signed, names {words}"
