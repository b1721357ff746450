"""The form of a criteria table: what a TOML file may say, with every word checked.

Each criterion names one of the engine's rules; a rule's numbers stand in the table and nowhere else, each with the
source that it was read in and how sure that is.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from claims.evidence import Source
from claims.level_field import Level
from claims.report import Topic
from inference.findings import Question

SCHEMA = "spine-criteria/1"


class Certainty(StrEnum):
    """How sure it is that the policy says so."""

    VERIFIED = "verified"
    """Read in the policy's own text."""
    SECONDARY = "secondary"
    """Read in a dependable summary of it."""
    UNCONFIRMED = "unconfirmed"
    """Common knowledge of the field; to be confirmed before use."""


class Part(BaseModel):
    """Every part of a table: frozen, and without words that nobody reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class _Criterion(Part):
    """What every criterion has."""

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    title: Annotated[str, Field(min_length=1)]
    """As it should read when it is met."""
    answered_by: Annotated[tuple[Source, ...], Field(min_length=1)]
    source: Annotated[str, Field(min_length=1)]
    certainty: Certainty
    prompt: str | None = None
    """What a person is asked where it cannot be determined; None: nothing of its own."""


class Chart(_Criterion):
    """Answered from the chart alone: always a question for a person."""

    rule: Literal["chart"]
    prompt: Annotated[str, Field(min_length=1)]


class Reported(_Criterion):
    """The signed report says of the body that the topic is there, or that it is not."""

    rule: Literal["reported"]
    topic: Topic
    wanted: Literal["present", "absent"] = "present"
    kinds: tuple[str, ...] = ()
    """Kinds of it that count, like Modic types ``1`` and ``2``; empty: any."""


class Acuity(_Criterion):
    """Onset within so many days of the service by the chart *and* the sign in the signed report: one is not enough."""

    rule: Literal["acuity"]
    sign: Topic
    max_days: Annotated[int, Field(gt=0)]


class Levels(_Criterion):
    """The body lies in a range, and the counting of levels is not in doubt."""

    rule: Literal["levels"]
    first: Level
    last: Level

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.first.value > self.last.value:
            raise ValueError(f"first must not lie below last, got {self.first.name} and {self.last.name}")
        return self


class ImagingAge(_Criterion):
    """Age of the imaging at the service; without a limit it is stated only."""

    rule: Literal["imaging_age"]
    max_days: Annotated[int, Field(gt=0)] | None = None


class AdvancedImaging(_Criterion):
    """The sign was looked for with a kind of imaging that can show it."""

    rule: Literal["advanced_imaging"]
    modalities: Annotated[tuple[str, ...], Field(min_length=1)]


class Measured(_Criterion):
    """A measurement that a physician has reviewed is past a limit; without a limit it is stated only."""

    rule: Literal["measured"]
    question: Question
    measurement: Annotated[str, Field(min_length=1)]
    above: float | None = None
    at_most: float | None = None
    unit: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if self.above is not None and self.at_most is not None:
            raise ValueError("above and at_most are one or the other, got both")
        return self


class Progressed(_Criterion):
    """A measurement grew between two studies by more than their uncertainty; both reviewed by a physician."""

    rule: Literal["progressed"]
    question: Question
    measurement: Annotated[str, Field(min_length=1)]


class Graded(_Criterion):
    """The reviewed finding at a disc of the body has one of these grades."""

    rule: Literal["graded"]
    question: Question
    scale: Annotated[str, Field(min_length=1)]
    values: Annotated[tuple[str, ...], Field(min_length=1)]


class BodyCount(_Criterion):
    """At most so many bodies are billed in one claim."""

    rule: Literal["body_count"]
    at_most: Annotated[int, Field(gt=0)]
    unless_diagnosis: tuple[str, ...] = ()
    """Beginnings of ICD-10-CM codes for which the limit does not hold."""


class Diagnosis(_Criterion):
    """A diagnosis of the line begins with one of these, beside one of ``together_with`` where those are given."""

    rule: Literal["diagnosis"]
    any_of: Annotated[tuple[str, ...], Field(min_length=1)]
    together_with: tuple[str, ...] = ()


class Modifier(_Criterion):
    """A modifier stands on the line."""

    rule: Literal["modifier"]
    modifier: Annotated[str, Field(pattern=r"^[A-Z0-9]{2}$")]


class Views(_Criterion):
    """So many retained views in different planes, or one CT slice; with what they have to show."""

    rule: Literal["views"]
    planes: Annotated[int, Field(ge=0)] = 0
    contrast: bool = False
    needle: bool = False

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if not (self.planes or self.contrast or self.needle):
            raise ValueError("one of planes, contrast and needle is needed, got none")
        return self


class CountOf(_Criterion):
    """At least so many of other criteria are met."""

    rule: Literal["count_of"]
    members: Annotated[tuple[str, ...], Field(min_length=1)]
    at_least: Annotated[int, Field(gt=0)]


Criterion = Annotated[
    Chart
    | Reported
    | Acuity
    | Levels
    | ImagingAge
    | AdvancedImaging
    | Measured
    | Progressed
    | Graded
    | BodyCount
    | Diagnosis
    | Modifier
    | Views
    | CountOf,
    Field(discriminator="rule"),
]
AT_BODIES = (Reported, Acuity, Levels, AdvancedImaging, Measured, Progressed, Graded, CountOf)
"""Answered for each body; the others once for the claim."""


class VerdictRule(Part):
    """What a signed report has to say of a body."""

    finding: Topic | None = None
    """What it names there; None: a signed report is enough, beside what ``needs`` asks."""
    finding_words: str = ""
    """``fracture``."""
    finding_kinds: tuple[str, ...] = ()
    """Kinds of it that count, like Modic types ``1`` and ``2``; empty: any."""
    finding_modalities: tuple[str, ...] = ()
    """Kinds of imaging whose report may name it; empty: any."""
    of_service_day: bool = False
    """Whether report and images are the procedure's own: of the day of service and no other."""
    sign: Topic | None = None
    """What it says beside it; None: the finding is enough."""
    sign_words: str = ""
    sign_modalities: tuple[str, ...] = ()
    """Kinds of imaging that can show the sign."""
    sign_within_days: Annotated[int, Field(ge=0)] | None = None
    """Most days between two reports of which one names the finding and the other the sign; None: any."""
    report_words: Annotated[str, Field(min_length=1)]
    """What is to be attached, like ``MRI report``."""
    modalities: Annotated[tuple[str, ...], Field(min_length=1)]
    """Kinds of studies that count as evidence."""
    question: Question | None = None
    """The AI's question beside it, for disagreements; None: there is none."""
    needs: tuple[str, ...] = ()
    """Criteria that have to be met beside the report."""

    @model_validator(mode="after")
    def _words_whole(self) -> Self:
        if (self.finding is None) is not (not self.finding_words):
            raise ValueError("finding and finding_words go together")
        if (self.sign is None) is not (not self.sign_words and not self.sign_modalities):
            raise ValueError("sign, sign_words and sign_modalities go together")
        return self


class Document(Part):
    """One published document of the policy, and where it holds."""

    id: Annotated[str, Field(min_length=1)]
    """Like ``L34228``."""
    jurisdictions: tuple[str, ...]
    """Contractor areas and postal codes of states."""
    certainty: Certainty


class CriteriaTable(Part):
    """One version of one policy."""

    spine_schema: Annotated[Literal["spine-criteria/1"], Field(alias="schema")]
    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
    version: Annotated[str, Field(min_length=1)]
    title: Annotated[str, Field(min_length=1)]
    source: Annotated[str, Field(min_length=1)]
    payers: tuple[str, ...]
    """Payer ids of the claims that it is for; empty: chosen by name only."""
    jurisdictions: tuple[str, ...] = ()
    """Where it holds; empty with ``documents``: where those do; empty without: everywhere."""
    effective_from: date
    """First day of service."""
    effective_to: date | None = None
    """Last day of service; None: open."""
    procedures: Annotated[tuple[str, ...], Field(min_length=1)]
    """CPT codes."""
    documents: tuple[Document, ...] = ()
    verdict: VerdictRule
    criteria: Annotated[tuple[Criterion, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.effective_to is not None and self.effective_to < self.effective_from:
            raise ValueError(f"effective_to {self.effective_to} lies before effective_from {self.effective_from}")
        ids = [criterion.id for criterion in self.criteria]
        if twice := sorted({name for name in ids if ids.count(name) > 1}):
            raise ValueError(f"each criterion has an id of its own, got {', '.join(twice)} twice")
        before: set[str] = set()
        for criterion in self.criteria:
            if isinstance(criterion, CountOf):
                self._check_members(criterion, before)
            before.add(criterion.id)
        if unknown := [name for name in self.verdict.needs if name not in before]:
            raise ValueError(f"verdict.needs names criteria of the table, got {', '.join(unknown)}")
        return self

    @staticmethod
    def _check_members(criterion: CountOf, before: set[str]) -> None:
        if missing := [name for name in criterion.members if name not in before]:
            raise ValueError(f"{criterion.id} counts criteria that stand before it, got {', '.join(missing)}")
        if criterion.at_least > len(criterion.members):
            raise ValueError(
                f"{criterion.id} asks for {criterion.at_least} of {len(criterion.members)} members, which cannot be"
            )

    def holds_in(self, jurisdiction: str | None) -> bool:
        """Whether it holds there; True where claim or table name no place."""
        places = {*self.jurisdictions, *(place for d in self.documents for place in d.jurisdictions)}
        return jurisdiction is None or not places or jurisdiction.upper() in places

    def holds_on(self, day: date) -> bool:
        """Whether it holds for a service of that day."""
        return self.effective_from <= day and (self.effective_to is None or day <= self.effective_to)

    def documents_of(self, jurisdiction: str | None) -> tuple[Document, ...]:
        """The documents that hold in the jurisdiction; all where the claim names none."""
        return tuple(d for d in self.documents if jurisdiction is None or jurisdiction.upper() in d.jurisdictions)
