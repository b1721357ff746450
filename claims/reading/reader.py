"""A report's statements: sentence by sentence, then what one sentence means for another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from claims.reading.addenda import superseded
from claims.reading.chunks import Sentence
from claims.reading.further import read_further, settled
from claims.reading.levels import GroupKind
from claims.reading.lexicon import EARLIER_STUDY, ENGLISH
from claims.reading.marks import marks
from claims.reading.sections import Span, split
from claims.reading.statements import PAST, Carried, Draft, drafts
from claims.reading.view import View, fold
from claims.report import Polarity, Quote, ReadReport, Report, ReportRefusal, Section, Statement, Topic
from inference.anatomy import Vertebra

MAX_CHARACTERS = 50_000
"""A long report has some 20 000; what is longer than twice that is no report."""

FEW_WORDS = 20
"""Of a report too short to tell its language by."""
ENGLISH_SHARE = 0.05
"""Of common English words among all; the tersest report of the corpus has twice that."""


def read_report(report: Report) -> ReadReport:
    """What a report says of each vertebral body, statement by statement, in the order of its text.

    A statement with a level is of that body. One without a level and NEGATED is of every body that no other statement
    names (``No other fracture``); without a level and AFFIRMED, the sentence does not say where. What the rules cannot
    settle is UNCERTAIN, with a note for the person who then reads the quoted sentence. Statements of HISTORY,
    TECHNIQUE and COMPARISON are no findings of this study. The same report gives the same statements.

    Raises:
        ReportRefusal: the text is empty, or longer than any report.
    """
    if not report.text.strip():
        raise ReportRefusal("the report has no text; a report needs the words that the radiologist signed")
    if len(report.text) > MAX_CHARACTERS:
        raise ReportRefusal(f"a report has at most {MAX_CHARACTERS} characters, this text has {len(report.text)}")
    spans = split(report.text)
    if spans and _is_foreign(report.text):
        return ReadReport(report=report, statements=(_foreign(report.text, spans[0]),))
    carried = Carried()
    found: list[Draft] = []
    views = [fold(report.text, span.start, span.end) for span in spans]
    for span, view in zip(spans, views, strict=True):
        here, carried = _read_sentence(report.text, span, view, carried)
        found.extend(here)
    every = [*_without_mere_shape(found), *read_further(report.text, spans, views)]
    every.sort(key=lambda said: said.quote.start)
    statements = settled(superseded(every), spans, views)
    return ReadReport(report=report, statements=_with_other_causes(statements))


def _is_foreign(text: str) -> bool:
    words = len(text.split())
    return words >= FEW_WORDS and len(ENGLISH.findall(text.lower())) < words * ENGLISH_SHARE


def _foreign(text: str, span: Span) -> Statement:
    quote = Quote(text=text[span.start : span.end], section=span.section, start=span.start, end=span.end)
    note = "The report does not read as English; a person must read it."
    return Statement(level=None, topic=Topic.FRACTURE, polarity=Polarity.UNCERTAIN, quote=quote, note=note)


def _read_sentence(text: str, span: Span, view: View, carried: Carried) -> tuple[list[Draft], Carried]:
    sentence = Sentence(view.folded, marks(view))
    section = span.section
    if section not in PAST and EARLIER_STUDY.search(view.folded):
        section = Section.COMPARISON
    quote = Quote(text=text[span.start : span.end], section=section, start=span.start, end=span.end)
    if carried.section is not span.section or (carried.is_heading and carried.paragraph != span.paragraph):
        carried = Carried()
    elif carried.paragraph != span.paragraph:
        carried = replace(carried, is_fresh=False)
    found = drafts(sentence, quote, carried)
    return found, _carried_on(sentence, span, found, carried)


def _carried_on(sentence: Sentence, span: Span, found: Sequence[Draft], carried: Carried) -> Carried:
    """What the next sentence may go on about: this paragraph's heading, else the last fracture or oedema."""
    if carried.is_heading and carried.paragraph == span.paragraph:
        return carried
    named = [mark for mark in sentence.marks if mark.group]
    if not named:
        return replace(carried, section=span.section)
    first = named[0]
    rest = sentence.folded[first.end : first.end + 3].lstrip(") ")
    if first.start <= 1 and rest.startswith(":") and first.group and first.group.kind is GroupKind.BODIES:
        levels = first.group.levels
        return Carried(levels=levels, section=span.section, paragraph=span.paragraph, is_heading=True)
    levels = _standing(found)
    is_fresh = len(levels) == 1 and all(
        draft.statement.topic is Topic.FRACTURE and draft.statement.polarity is Polarity.AFFIRMED for draft in found
    )
    return Carried(levels=levels, section=span.section, paragraph=span.paragraph, is_fresh=is_fresh)


def _standing(found: Sequence[Draft]) -> tuple[Vertebra, ...]:
    return tuple(
        dict.fromkeys(
            draft.statement.level
            for draft in found
            if draft.statement.level is not None
            and draft.statement.topic in (Topic.FRACTURE, Topic.EDEMA)
            and draft.statement.polarity is not Polarity.NEGATED
        )
    )


def _without_mere_shape(found: Sequence[Draft]) -> tuple[Statement, ...]:
    """Height and shape speak only where the report names no fracture at that level; then a person must read them."""
    named = {
        draft.statement.level
        for draft in found
        if not draft.is_soft and draft.statement.topic is Topic.FRACTURE and draft.statement.quote.section not in PAST
    }
    kept: list[Statement] = []
    for draft in found:
        said = draft.statement
        is_open = said.level is None and said.polarity is not Polarity.NEGATED
        if draft.is_soft and (said.level in named if said.level else is_open and named):
            continue
        if draft.is_soft and said.polarity is Polarity.AFFIRMED:
            said = replace(said, polarity=Polarity.UNCERTAIN, note="A change of shape that is not called a fracture.")
        kept.append(said)
    return tuple(kept)


def _with_other_causes(statements: Sequence[Statement]) -> tuple[Statement, ...]:
    """Oedema is left to a person where the report names another cause at its level, unless it says fracture with it."""
    of_study = [said for said in statements if said.quote.section not in PAST and not said.superseded]
    causes = {
        said.level
        for said in of_study
        if said.topic in (Topic.OTHER_CAUSE, Topic.AUGMENTED) and said.polarity is not Polarity.NEGATED
    }
    fractured = {
        (said.level, said.quote.start)
        for said in of_study
        if said.topic is Topic.FRACTURE and said.polarity is Polarity.AFFIRMED
    }
    return tuple(
        replace(said, polarity=Polarity.UNCERTAIN, note="The report names another cause of oedema at this level.")
        if said.topic is Topic.EDEMA
        and said.polarity is Polarity.AFFIRMED
        and (said.level in causes or None in causes or (said.level is None and causes))
        and (said.level, said.quote.start) not in fractured
        else said
        for said in statements
    )
