"""One body as the signed reports show it, and what a rule has to say of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from claims.criteria.table import VerdictRule
from claims.engine.material import Material, Said, is_of_kind
from claims.engine.words import place
from claims.evidence import Pointer, Prompt, Verdict
from claims.report import Acuity, Polarity, Topic
from inference.anatomy import Vertebra

RECENT = frozenset({Acuity.ACUTE, Acuity.SUBACUTE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one rule has to say."""

    verdict: Verdict
    sentence: str
    prompts: tuple[Prompt, ...] = ()
    pointers: tuple[Pointer, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One body and what the signed reports that count say of it; no findings of the AI."""

    material: Material
    body: Vertebra | None
    """None: the claim names none."""
    rule: VerdictRule
    found: tuple[Said, ...]
    """Of the finding at the body."""
    sign: tuple[Said, ...]
    """Of the sign at the body."""
    unmet: Sequence[str]
    """Titles of the criteria that the verdict needs and that are not met."""

    @property
    def at(self) -> str:
        """The body's name."""
        return place(self.body)

    @property
    def polarities(self) -> set[Polarity]:
        """Everything that is said of the finding."""
        return {one.statement.polarity for one in self.found}

    @property
    def acuities(self) -> set[Acuity]:
        """Every age that the finding is given where it is not denied."""
        named = (one.statement for one in self.found if one.statement.polarity is not Polarity.NEGATED)
        return {statement.acuity for statement in named} - {Acuity.UNSTATED}

    @property
    def is_of_kind(self) -> bool | None:
        """Whether what is affirmed of the finding is of a kind that the policy names; None where that is open."""
        return is_of_kind(self.found, self.rule.finding_kinds)

    @property
    def says_sign(self) -> bool:
        """Whether the sign is affirmed or doubted at the body."""
        return any(one.statement.polarity is not Polarity.NEGATED for one in self.sign)

    @property
    def transitional(self) -> tuple[Said, ...]:
        """Where a report says that the counting of levels is in doubt."""
        named = self.material.said(Topic.TRANSITIONAL, None)
        return tuple(one for one in named if one.statement.polarity is not Polarity.NEGATED)

    def prompt(self, code: str, sentence: str) -> tuple[Prompt, ...]:
        """A prompt about the body."""
        return (Prompt(code=code, sentence=sentence, body=self.body),)


def view_of(material: Material, body: Vertebra | None, unmet: Sequence[str]) -> View:
    """The body's view."""
    rule = material.table.verdict
    is_named = rule.finding is not None and body is not None and bool(material.said(rule.finding, body))
    return View(
        material=material,
        body=body,
        rule=rule,
        found=material.about(rule.finding, body) if rule.finding and is_named else (),
        sign=material.about(rule.sign, body) if rule.sign and body else (),
        unmet=unmet,
    )


def begin(words: str) -> str:
    """With a capital letter."""
    return words[:1].upper() + words[1:]
