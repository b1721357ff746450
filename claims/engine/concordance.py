"""Facts on codes, levels and units: what agrees and what does not, never what to bill instead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from claims import icd10
from claims.claim import Claim, ServiceLine
from claims.engine.words import levels
from claims.evidence import BodyEvidence, ConcordanceFact, Verdict
from claims.procedures import Procedure, procedures
from inference.anatomy import Vertebra


def facts_of(claim: Claim, bodies: Sequence[BodyEvidence]) -> tuple[ConcordanceFact, ...]:
    """All facts, lines in their order."""
    known = procedures()
    facts: list[ConcordanceFact] = []
    for line in claim.lines:
        procedure = known[line.procedure]
        facts += [*_region(line, procedure), *_units(line, procedure), *_diagnoses(line)]
    facts += _families(claim)
    facts += _supported(claim, bodies)
    facts += _twice(claim)
    return tuple(dict.fromkeys(facts))


def _fact(code: str, sentence: str, *, agrees: bool | None) -> ConcordanceFact:
    return ConcordanceFact(code=code, sentence=sentence, agrees=agrees)


def _region(line: ServiceLine, procedure: Procedure) -> Iterator[ConcordanceFact]:
    span = f"{procedure.first.name} to {procedure.last.name}"
    for body in line.bodies:
        if body.is_transitional:
            sentence = f"Line {line.number}: {body.name} is transitional, {procedure.code} is for {span}."
            yield _fact("region", sentence, agrees=None)
            continue
        agrees = procedure.is_for(body)
        verb = "lies" if agrees else "does not lie"
        sentence = f"Line {line.number}: {body.name} {verb} in {span}, which {procedure.code} is for."
        yield _fact("region", sentence, agrees=agrees)


def _units(line: ServiceLine, procedure: Procedure) -> Iterator[ConcordanceFact]:
    if not line.bodies:
        yield _fact("units", f"Line {line.number} bills {line.units} unit(s) and names no body.", agrees=None)
        return
    most = line.units * procedure.bodies
    named = f"Line {line.number} bills {line.units} unit(s) of {procedure.code} and names {levels(line.bodies)}"
    agrees = len(line.bodies) <= most if procedure.bodies > 1 else len(line.bodies) == most
    yield _fact("units", f"{named}.", agrees=agrees)
    if line.units > 1 and not procedure.is_add_on:
        yield _fact("first_body", f"{named}; {procedure.code} is for the first body.", agrees=False)


def _diagnoses(line: ServiceLine) -> Iterator[ConcordanceFact]:
    if not line.diagnoses:
        yield _fact("diagnosis", f"Line {line.number} points to no diagnosis.", agrees=False)
    for code in line.diagnoses:
        if not icd10.is_code(code):
            yield _fact("diagnosis_code", f"{code} is not in ICD-10-CM of {icd10.release()}.", agrees=False)
        elif not icd10.is_complete(code):
            yield _fact("diagnosis_code", f"{code} is not complete: longer codes continue it.", agrees=False)
        else:
            yield from _place_and_encounter(line, code)


def _place_and_encounter(line: ServiceLine, code: str) -> Iterator[ConcordanceFact]:
    if (seventh := icd10.encounter(code)) and seventh in icd10.NOT_ACTIVE:
        sentence = f"Line {line.number} bills a treatment; {code} ends with {seventh}, which is not active treatment."
        yield _fact("encounter", sentence, agrees=False)
    named = icd10.levels_of(code)
    if not named:
        if seventh:
            yield _fact("diagnosis_level", f"{code} names no level: report and procedure note do.", agrees=None)
        return
    for body in line.bodies:
        agrees = body in named
        where = levels(sorted(named, key=lambda level: level.value)) if len(named) <= 2 else _span(named)  # noqa: PLR2004
        sentence = f"Line {line.number}: {code} is for {where}; the body is {body.name}."
        yield _fact("diagnosis_level", sentence, agrees=agrees)


def _span(named: Sequence[Vertebra]) -> str:
    ordered = sorted(named, key=lambda level: level.value)
    return f"{ordered[0].name} to {ordered[-1].name}"


def _families(claim: Claim) -> Iterator[ConcordanceFact]:
    known = procedures()
    for family in dict.fromkeys(known[line.procedure].family for line in claim.lines):
        lines = [line for line in claim.lines if known[line.procedure].family == family]
        first = [line.procedure for line in lines if not known[line.procedure].is_add_on]
        further = sorted({line.procedure for line in lines if known[line.procedure].is_add_on})
        if further and not first:
            sentence = f"{', '.join(further)} is for a further body; no first body is billed."
            yield _fact("first_body", sentence, agrees=False)
        if len(first) > 1:
            sentence = f"{' and '.join(first)} each stand for a first body, which there is once."
            yield _fact("first_body", sentence, agrees=False)


def _supported(claim: Claim, bodies: Sequence[BodyEvidence]) -> Iterator[ConcordanceFact]:
    known = procedures()
    billed = sum(line.units * known[line.procedure].bodies for line in claim.lines)
    supported = [evidence.body for evidence in bodies if evidence.verdict is Verdict.SUPPORTS]
    which = f" ({levels(supported)})" if supported else ""
    sentence = f"Bodies billed: {billed}; bodies that a signed report supports: {len(supported)}{which}."
    yield _fact("supported_bodies", sentence, agrees=billed <= len(supported))


def _twice(claim: Claim) -> Iterator[ConcordanceFact]:
    counts = Counter(body for line in claim.lines for body in line.bodies)
    for body in sorted((body for body, count in counts.items() if count > 1), key=lambda level: level.value):
        yield _fact("body_twice", f"{body.name} is named on {counts[body]} lines.", agrees=False)
