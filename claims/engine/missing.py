"""What is missing, and what contradicts the claim: the first rule that speaks decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from claims.engine.material import Material, Said
from claims.engine.view import RECENT, Outcome, View, begin
from claims.engine.words import kind_words, levels, quotes, study_pointer
from claims.evidence import Prompt, Verdict
from claims.report import Acuity, Polarity


def _no_report(view: View) -> Outcome | None:
    """No signed report that counts: say what is there, and what to attach."""
    material = view.material
    if material.signed:
        return None
    studies = material.studies_of(view.body)
    if material.unsigned or studies:
        unsigned = f"{begin(material.unsigned[-1].words)} is not known to be signed." if material.unsigned else ""
        sentence = unsigned or f"There is the {study_pointer(studies[-1]).text}, but no signed report."
        return Outcome(
            verdict=Verdict.REPORT_MISSING,
            sentence=sentence,
            prompts=view.prompt(
                "attach_signed_report", f"{sentence} Attach the signed {view.rule.report_words} of {view.at}."
            ),
            pointers=tuple(study_pointer(study) for study in studies),
        )
    is_asked = view.rule.finding is not None and not view.rule.of_service_day
    early = material.said(view.rule.finding, view.body, material.early) if is_asked and view.rule.finding else ()
    if any(one.statement.polarity is Polarity.AFFIRMED for one in early):
        return _from_before(view, early)
    why = _why_nothing(material)
    return Outcome(
        verdict=Verdict.NO_EVIDENCE,
        sentence=f"There is no study and no report that shows {view.at}{why}.",
        prompts=view.prompt("attach_report", f"Attach the signed {view.rule.report_words} that covers {view.at}{why}."),
    )


def _why_nothing(material: Material) -> str:
    claim = material.claim
    if material.table.verdict.of_service_day:
        return f" on the day of the service, {claim.service_date}"
    if material.early:
        return f" after the onset on {claim.onset_date}"
    return f" up to the service on {claim.service_date}" if material.late else ""


def _from_before(view: View, early: Sequence[Said]) -> Outcome:
    onset = view.material.claim.onset_date
    return Outcome(
        verdict=Verdict.CONTRADICTS,
        sentence=f"{begin(early[0].report.words)} names {view.rule.finding_words} at {view.at}, but its images are "
        f"older than the onset on {onset}: it was there before.",
        prompts=view.prompt(
            "attach_report", f"Attach the signed {view.rule.report_words} of images after the onset, or check the date."
        ),
        pointers=quotes(early),
    )


def _old(view: View) -> Outcome | None:
    if view.acuities != {Acuity.CHRONIC}:
        return None
    sentence = f"{begin(view.found[0].report.words)} calls the {view.rule.finding_words} of {view.at} old."
    return _contradiction(view, sentence)


def _both_ways(view: View) -> Outcome | None:
    if not {Polarity.AFFIRMED, Polarity.NEGATED} <= view.polarities:
        return None
    return _contradiction(view, f"The signed report both names and denies {view.rule.finding_words} at {view.at}.")


def _other_kind(view: View) -> Outcome | None:
    """Named, and of a kind that the policy does not name."""
    if view.polarities != {Polarity.AFFIRMED} or view.is_of_kind is not False or view.rule.finding is None:
        return None
    kinds = sorted({kind for one in view.found for kind in one.statement.kinds})
    named = kind_words(view.rule.finding, kinds, "and")
    wanted = kind_words(view.rule.finding, view.rule.finding_kinds)
    sentence = (
        f"{begin(view.found[0].report.words)} names {view.rule.finding_words} of {named} at {view.at}, not {wanted}."
    )
    return _contradiction(view, sentence)


def _denied(view: View) -> Outcome | None:
    if view.polarities != {Polarity.NEGATED}:
        return None
    sentence = f"{begin(view.found[0].report.words)} says that {view.at} has no {_denied_words(view)}."
    return _contradiction(view, sentence)


def _denied_words(view: View) -> str:
    acuities = {one.statement.acuity for one in view.found}
    return f"acute {view.rule.finding_words}" if acuities <= RECENT else view.rule.finding_words


def _elsewhere(view: View) -> Outcome | None:
    """Named at other levels, and not at this one."""
    if view.found or view.rule.finding is None or view.body is None:
        return None
    others = view.material.levels_with(view.rule.finding)
    if not others:
        return None
    sentence = f"The signed report names {view.rule.finding_words} at {levels(others)}, not at {view.at}."
    prompts = view.prompt("check_level", f"{sentence} Check the level in the procedure note against the report.")
    named = [one for level in others for one in view.material.said(view.rule.finding, level)]
    return Outcome(
        verdict=Verdict.CONTRADICTS, sentence=sentence, prompts=prompts + _numbering(view), pointers=quotes(named)
    )


def _numbering(view: View) -> tuple[Prompt, ...]:
    if not view.transitional:
        return ()
    sentence = "The report says that the counting of the levels is not certain: ask which body was treated."
    return view.prompt("confirm_numbering", sentence)


def _denied_everywhere(view: View) -> Outcome | None:
    """Denied without a level, and named nowhere."""
    if view.found or view.rule.finding is None:
        return None
    general = view.material.said(view.rule.finding, None)
    if not any(one.statement.polarity is Polarity.NEGATED for one in general):
        return None
    if any(one.statement.polarity is Polarity.AFFIRMED for one in general):
        return None
    sentence = f"{begin(general[0].report.words)} says that there is no {view.rule.finding_words}."
    return Outcome(
        verdict=Verdict.CONTRADICTS,
        sentence=sentence,
        prompts=view.prompt("resolve_contradiction", f"{sentence} Read it before the claim goes out."),
        pointers=quotes(general),
    )


def _silent(view: View) -> Outcome | None:
    """A signed report that says nothing of the body."""
    if view.found or view.says_sign or view.rule.finding is None or view.body is None:
        return None
    if view.material.said(view.rule.finding, None):
        return None
    report = view.material.signed[-1]
    return Outcome(
        verdict=Verdict.REPORT_MISSING,
        sentence=f"No word on {view.rule.finding_words} at {view.at} was found in {report.words}.",
        prompts=view.prompt(
            "attach_signed_report", f"Attach the signed {view.rule.report_words} that speaks of {view.at}."
        ),
    )


def _contradiction(view: View, sentence: str) -> Outcome:
    return Outcome(
        verdict=Verdict.CONTRADICTS,
        sentence=sentence,
        prompts=view.prompt("resolve_contradiction", f"{sentence} Read it before the claim goes out."),
        pointers=quotes(view.found),
    )


RULES: tuple[Callable[[View], Outcome | None], ...] = (
    _no_report,
    _old,
    _both_ways,
    _other_kind,
    _denied,
    _elsewhere,
    _denied_everywhere,
    _silent,
)
