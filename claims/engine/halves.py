"""What keeps a report that names the finding from supporting the claim: every open half, each with its prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from claims.engine.view import NOT_READ, RECENT, Outcome, View
from claims.engine.words import MODALITIES, quotes
from claims.evidence import Pointer, Verdict
from claims.report import Polarity, Topic

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
    if view.rule.finding in NOT_READ:
        sentence = f"The software does not read {view.rule.finding_words} in reports."
        yield _half(view, "read_report", sentence, f"Read the signed report: does it name it at {view.at}?")
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
    kind = affirmed[0].modality
    what = f"is of {kind}, which does not show it" if kind else "does not say which examination it is of"
    sentence = f"The report that names {view.rule.sign_words} at {view.at} {what}."
    kinds = " or ".join(MODALITIES.get(modality, modality) for modality in fit)
    yield _half(view, "attach_advanced_imaging", sentence, f"Attach the signed report of {kinds}.")


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
    _age_open,
    _sign_missing,
    _sign_unfit,
    _far_apart,
    _undated,
    _explained,
    _numbering_open,
    _needs_unmet,
)
