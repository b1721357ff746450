"""What keeps a report that names the finding from supporting the claim: every open half, each with its prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from claims.engine.material import DatedReport, standing
from claims.engine.view import RECENT, Outcome, View
from claims.engine.words import MODALITIES, kind_words, quotes
from claims.evidence import Pointer, Verdict
from claims.report import Polarity, Section, Topic
from inference.anatomy import Laterality

SIDES: Mapping[str, tuple[Laterality, ...]] = {
    "LT": (Laterality.LEFT,),
    "RT": (Laterality.RIGHT,),
    "50": (Laterality.LEFT, Laterality.RIGHT),
}
"""Modifiers of a service line that name a side."""
CAUSES: Mapping[Topic, str] = {
    Topic.OTHER_CAUSE: "another cause for what is seen",
    Topic.AUGMENTED: "cement or an earlier augmentation",
}


def _half(view: View, code: str, sentence: str, asked: str, pointers: tuple[Pointer, ...] = ()) -> Outcome:
    return Outcome(
        verdict=Verdict.PARTIAL, sentence=sentence, prompts=view.prompt(code, f"{sentence} {asked}"), pointers=pointers
    )


def _no_body(view: View) -> Iterator[Outcome]:
    if view.body is None and view.rule.finding:
        yield _half(view, "name_bodies", "The claim names no vertebral body.", "Take it from the procedure note.")


def _no_level(view: View) -> Iterator[Outcome]:
    if view.found or view.rule.finding is None or view.body is None:
        return
    finding = view.rule.finding_words
    if view.says_sign:
        sentence = f"The signed report names {view.rule.sign_words} at {view.at}; no {finding} was found there."
    else:
        sentence = f"The signed report names {finding} without a level."
    general = view.material.said(view.rule.finding, None)
    yield _half(view, "ask_level", sentence, f"Ask the radiologist about {view.at}.", quotes(general))


def _hedged(view: View) -> Iterator[Outcome]:
    hedged = [one for one in view.found if one.statement.polarity is Polarity.UNCERTAIN]
    if hedged:
        sentence = f"What the signed report says of a {view.rule.finding_words} at {view.at} is not certain."
        note = hedged[0].statement.note or ""
        yield _half(
            view, "read_sentence", sentence, f"{note} Read it; ask the radiologist where it stays open.".strip()
        )


def _kind_open(view: View) -> Iterator[Outcome]:
    """Named without its type, or of several of which the policy names some."""
    if Polarity.AFFIRMED not in view.polarities or view.is_of_kind is not None or view.rule.finding is None:
        return
    kinds = sorted({kind for one in view.found for kind in one.statement.kinds})
    named = kind_words(view.rule.finding, kinds, "and") if kinds else "no type"
    wanted = kind_words(view.rule.finding, view.rule.finding_kinds)
    sentence = f"The signed report names {view.rule.finding_words} at {view.at}, {named}; the policy: {wanted}."
    yield _half(view, "ask_type", sentence, "Ask the radiologist for the type.")


def _finding_unfit(view: View) -> Iterator[Outcome]:
    """The finding is named in a report of images that cannot show it, or of unknown ones."""
    named = [one.report for one in view.found if one.statement.polarity is Polarity.AFFIRMED]
    fit = view.rule.finding_modalities
    if named and fit and not any(report.modality in fit for report in named):
        yield _unfit(view, named[0], view.rule.finding_words, fit)


def _side_open(view: View) -> Iterator[Outcome]:
    """A side is billed, and the report names another or none."""
    lines = [line for line in view.material.claim.lines if view.body in line.bodies]
    billed = {side for line in lines for word in line.modifiers for side in SIDES.get(word, ())}
    if view.rule.finding is not Topic.NEEDLE or not billed or not view.found:
        return
    said_to_be = [one.statement for one in view.found if one.statement.polarity is Polarity.AFFIRMED]
    named = {side for statement in said_to_be for side in _sides(statement.side)}
    if not billed <= named:
        said = f"names the {' and '.join(sorted(named))}" if named else "names no side"
        sentence = f"Billed at {view.at}: {' and '.join(sorted(billed))}; the signed report {said} there."
        yield _half(view, "check_side", sentence, "Read the report, and ask who did the procedure.")


def _sides(side: Laterality | None) -> tuple[Laterality, ...]:
    both = (Laterality.LEFT, Laterality.RIGHT)
    return both if side is Laterality.BILATERAL else (side,) if side else ()


def _not_in_impression(view: View) -> Iterator[Outcome]:
    """The findings of a report name it at the body, and its impression at other bodies only."""
    named = [one for one in view.found if one.statement.polarity is Polarity.AFFIRMED]
    if not named or any(one.statement.quote.section is not Section.FINDINGS for one in named):
        return
    summed_up = [
        statement
        for statement in standing(named[0].report.read)
        if statement.topic is view.rule.finding
        and statement.polarity is Polarity.AFFIRMED
        and statement.quote.section is Section.IMPRESSION
    ]
    levels = {statement.level for statement in summed_up}
    if levels and None not in levels and view.body not in levels:
        places = ", ".join(level.name for level in sorted(filter(None, levels), key=lambda level: level.value))
        words = view.rule.finding_words
        sentence = f"The findings of the signed report name {words} at {view.at}, its impression at {places}."
        yield _half(view, "read_sentence", sentence, "Ask the radiologist which is right.")


def _age_open(view: View) -> Iterator[Outcome]:
    if view.acuities and not view.acuities <= RECENT:
        called = " and ".join(sorted(acuity.value for acuity in view.acuities))
        sentence = f"The signed report leaves the age of the {view.rule.finding_words} at {view.at} open ({called})."
        yield _half(view, "ask_acuity", sentence, "Ask the radiologist.")


def _sign_missing(view: View) -> Iterator[Outcome]:
    if view.rule.sign is None or view.body is None or not view.found:
        return
    said = {one.statement.polarity for one in view.sign}
    if said == {Polarity.AFFIRMED}:
        return
    words = view.rule.sign_words
    if not said:
        sentence = (
            f"The signed report names {view.rule.finding_words} at {view.at}; no word on {words} was found there."
        )
    elif said == {Polarity.NEGATED}:
        sentence = f"The signed report says that there is no {words} at {view.at}."
    else:
        sentence = f"The signed report is not clear about {words} at {view.at}."
    yield _half(view, "ask_sign", sentence, "Ask the radiologist, or attach the report of another examination.")


def _sign_unfit(view: View) -> Iterator[Outcome]:
    """The sign is named in a report of images that cannot show it, or of unknown ones."""
    affirmed = [one.report for one in view.sign if one.statement.polarity is Polarity.AFFIRMED]
    fit = view.rule.sign_modalities
    if not affirmed or any(report.modality in fit for report in affirmed):
        return
    yield _unfit(view, affirmed[0], view.rule.sign_words, fit)


def _unfit(view: View, report: DatedReport, words: str, fit: Sequence[str]) -> Outcome:
    kind = report.modality
    what = f"is of {kind}, which does not show it" if kind else "does not say which examination it is of"
    sentence = f"The report that names {words} at {view.at} {what}."
    kinds = " or ".join(MODALITIES.get(modality, modality) for modality in fit)
    return _half(view, "attach_advanced_imaging", sentence, f"Attach the signed report of {kinds}.")


def _far_apart(view: View) -> Iterator[Outcome]:
    """The finding and the sign stand in two reports of which nobody can say that they are of one event."""
    most = view.rule.sign_within_days
    named, signs = {one.report.day for one in view.found}, {one.report.day for one in view.sign}
    if most is None or not named or not signs or named & signs or None in named | signs:
        return
    days = min(abs((one - other).days) for one in named for other in signs if one and other)
    if days > most:
        both = f"{view.rule.finding_words.capitalize()} and {view.rule.sign_words}"
        sentence = f"{both} at {view.at} are named {days} days apart."
        yield _half(view, "ask_sign", sentence, "Ask the radiologist whether they are of one event.")


def _undated(view: View) -> Iterator[Outcome]:
    undated = [one for one in (*view.found, *view.sign) if one.report.day is None]
    if undated or (view.rule.finding is None and all(report.day is None for report in view.material.signed)):
        sentence = "The signed report does not say from which day its images are."
        yield _half(view, "give_imaging_date", sentence, "Give the date of the examination.")


def _explained(view: View) -> Iterator[Outcome]:
    if view.body is None:
        return
    for topic, words in CAUSES.items():
        named = [s for s in view.material.said(topic, view.body) if s.statement.polarity is not Polarity.NEGATED]
        if named and view.rule.finding is Topic.FRACTURE:
            sentence = f"The signed report names {words} at {view.at}."
            yield _half(view, "check_cause", sentence, "Read the sentence and ask the radiologist.", quotes(named))


def _numbering_open(view: View) -> Iterator[Outcome]:
    if view.rule.finding is None:
        return
    open_said = view.transitional
    if open_said or (view.body is not None and view.body.is_transitional):
        sentence = f"The counting of the levels is not certain, so it is open which body {view.at} is."
        asked = "Ask which body was treated, and how it was counted."
        yield _half(view, "confirm_numbering", sentence, asked, quotes(open_said))


def _needs_unmet(view: View) -> Iterator[Outcome]:
    for title in view.unmet:
        yield _half(view, "complete_evidence", f"Not shown: {title}.", "Attach what shows it.")


def _procedure_report(view: View) -> Iterator[Outcome]:
    if view.rule.finding is None:
        sentence = f"The software does not read a {view.rule.report_words.split(' with ')[0]}."
        asked = f"Read it: does it name {view.at} and the side that is billed?"
        yield _half(view, "read_report", sentence, asked)


HALVES: tuple[Callable[[View], Iterator[Outcome]], ...] = (
    _no_body,
    _procedure_report,
    _no_level,
    _hedged,
    _kind_open,
    _finding_unfit,
    _side_open,
    _not_in_impression,
    _age_open,
    _sign_missing,
    _sign_unfit,
    _far_apart,
    _undated,
    _explained,
    _numbering_open,
    _needs_unmet,
)
