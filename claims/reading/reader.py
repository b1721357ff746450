"""A report's statements: sentence by sentence, then what an addendum takes back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from claims.reading.addenda import superseded
from claims.reading.chunks import Placed, Sentence, acuity_at, combine, place
from claims.reading.levels import GroupKind
from claims.reading.lexicon import ANAPHORA, Kind, tells_earlier_study
from claims.reading.marks import Mark, is_body, marks
from claims.reading.scope import CONCEPTS, judge
from claims.reading.sections import Span, split
from claims.reading.view import fold
from claims.report import Acuity, Polarity, Quote, ReadReport, Report, ReportRefusal, Section, Statement, Topic
from inference.anatomy import Vertebra

MAX_CHARACTERS = 200_000
"""A long report has some 20 000; whatever is ten times as long is no report."""
_PAST = frozenset({Section.HISTORY, Section.COMPARISON, Section.TECHNIQUE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A statement with what later steps need to know of it."""

    statement: Statement
    is_soft: bool = False
    """Of a change of shape alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Carried:
    """The levels that the text is speaking of when a sentence begins."""

    levels: tuple[Vertebra, ...] = ()
    section: Section = Section.UNKNOWN
    paragraph: int = -1
    is_heading: bool = False
    """The paragraph begins with the level and a colon."""


def read_report(report: Report) -> ReadReport:
    """What a report says of each vertebral body, statement by statement, in the order of its text.

    A statement with a level is of that body. One without a level and NEGATED is of every body that no other statement
    names (``No other fracture``); without a level and AFFIRMED, the sentence does not say where. What the rules cannot
    settle is UNCERTAIN, with a note for the person who then reads the quoted sentence. Statements of HISTORY and
    COMPARISON are no findings of this study. The same report gives the same statements.

    Raises:
        ReportRefusal: the text is empty, or longer than any report.
    """
    if not report.text.strip():
        raise ReportRefusal("the report has no text")
    if len(report.text) > MAX_CHARACTERS:
        raise ReportRefusal(f"a report has at most {MAX_CHARACTERS} characters, this text has {len(report.text)}")
    carried = _Carried()
    drafts: list[Draft] = []
    for span in split(report.text):
        found, carried = _read_sentence(report.text, span, carried)
        drafts.extend(found)
    statements = _without_mere_shape(drafts)
    return ReadReport(report=report, statements=superseded(statements))


def _read_sentence(text: str, span: Span, carried: _Carried) -> tuple[list[Draft], _Carried]:
    view = fold(text, span.start, span.end)
    sentence = Sentence(view.folded, marks(view))
    section = span.section
    if section not in _PAST and tells_earlier_study(view.folded):
        section = Section.COMPARISON
    quote = Quote(text=text[span.start : span.end], section=section, start=span.start, end=span.end)
    drafts = list(_drafts(sentence, quote, _carry(carried, span)))
    return _settled(drafts), _carried_on(sentence, span, drafts, carried)


def _carry(carried: _Carried, span: Span) -> _Carried:
    if carried.section is not span.section or (carried.is_heading and carried.paragraph != span.paragraph):
        return _Carried()
    return carried


def _carried_on(sentence: Sentence, span: Span, drafts: Sequence[Draft], carried: _Carried) -> _Carried:
    """What the next sentence may go on about: this paragraph's heading, else the last fracture or oedema."""
    if carried.is_heading and carried.paragraph == span.paragraph:
        return carried
    named = [mark for mark in sentence.marks if mark.group]
    if not named:
        return carried if carried.section is span.section else _Carried()
    if named[0].start <= 2 and sentence.folded[named[0].end : named[0].end + 3].lstrip(") ").startswith((":", "-")):  # noqa: PLR2004
        levels = named[0].group.levels if named[0].group and named[0].group.kind is GroupKind.BODIES else ()
        return _Carried(levels=levels, section=span.section, paragraph=span.paragraph, is_heading=True)
    affirmed = [
        d.statement.level
        for d in drafts
        if d.statement.topic in (Topic.FRACTURE, Topic.EDEMA) and d.statement.polarity is not Polarity.NEGATED
    ]
    levels = tuple(dict.fromkeys(level for level in affirmed if level is not None))
    return _Carried(levels=levels, section=span.section, paragraph=span.paragraph)


def _drafts(sentence: Sentence, quote: Quote, carried: _Carried) -> Iterator[Draft]:
    topics: list[Topic] = []
    for at, mark in enumerate(sentence.marks):
        if mark.kind in CONCEPTS and mark.topic:
            topics.append(mark.topic)
            yield from _concept(sentence, at, quote, carried)
    subject = next(iter(topics), Topic.FRACTURE)
    for at, mark in enumerate(sentence.marks):
        if mark.group and is_body(mark) and at:
            yield from _level_alone(sentence, at, quote, subject, is_named=bool(topics))


def _concept(sentence: Sentence, at: int, quote: Quote, carried: _Carried) -> Iterator[Draft]:
    mark = sentence.marks[at]
    topic = mark.topic or Topic.FRACTURE
    polarity, note = _judged(sentence, at, quote.section)
    is_planned = topic is Topic.AUGMENTED and note is not None and note.startswith("The report looks")
    if is_planned:
        return
    placed = place(sentence, at)
    if topic is Topic.TRANSITIONAL:
        placed = Placed(chunks=placed.chunks)
    elif not placed.levels:
        placed = _from_before(sentence, placed, carried)
    if placed.note and polarity is Polarity.AFFIRMED:
        polarity, note = Polarity.UNCERTAIN, placed.note
    if _is_other_part(sentence, at):
        if not placed.levels:
            return
        polarity, note = Polarity.UNCERTAIN, "The sentence speaks of a part other than the vertebral body."
    for level in placed.levels or (None,):
        acuity = Acuity.UNSTATED
        if topic is Topic.FRACTURE:
            acuity = acuity_at(sentence, at, placed, level, is_denied=polarity is Polarity.NEGATED)
        statement = Statement(level=level, topic=topic, polarity=polarity, acuity=acuity, quote=quote, note=note)
        yield Draft(statement=statement, is_soft=mark.kind is not Kind.CONCEPT)


def _judged(sentence: Sentence, at: int, section: Section) -> tuple[Polarity, str | None]:
    mark = sentence.marks[at]
    polarity, note = judge(sentence.marks, at)
    if mark.kind is Kind.INTACT:
        return (Polarity.NEGATED, None) if polarity is Polarity.AFFIRMED else (Polarity.UNCERTAIN, note)
    if mark.topic is Topic.TRANSITIONAL and polarity is Polarity.AFFIRMED:
        return _numbering(mark)
    if polarity is Polarity.AFFIRMED and section not in _PAST and _is_past(sentence, at):
        return Polarity.UNCERTAIN, "The sentence speaks of an earlier study or of the past."
    return polarity, note


def _numbering(mark: Mark) -> tuple[Polarity, str | None]:
    if mark.text.startswith(("five", "5")):
        return Polarity.NEGATED, None
    if any(word in mark.text for word in ("number", "numer", "count", "label")):
        return Polarity.UNCERTAIN, "The report says how it counts the levels."
    return Polarity.AFFIRMED, None


def _is_past(sentence: Sentence, at: int) -> bool:
    mark = sentence.marks[at]
    if mark.topic in (Topic.AUGMENTED, Topic.OTHER_CAUSE) or any(m.kind is Kind.STILL for m in sentence.marks):
        return False
    if any(m.kind is Kind.ACUITY and m.acuity is not Acuity.CHRONIC and m.acuity is None for m in sentence.marks):
        return False
    chunk = sentence.chunk_of(at)
    return any(m.kind is Kind.EARLIER for m in sentence.marks_of(chunk))


def _from_before(sentence: Sentence, placed: Placed, carried: _Carried) -> Placed:
    if not carried.levels:
        return placed
    if carried.is_heading:
        return replace(placed, levels=carried.levels)
    if not ANAPHORA.search(sentence.folded):
        return placed
    note = None if len(carried.levels) == 1 else "The sentence names no level, and the one before names several."
    return replace(placed, levels=carried.levels, note=note)


def _is_other_part(sentence: Sentence, at: int) -> bool:
    """Whether a fracture or oedema is of a process, a rib, the sacrum ..., by the words right beside it."""
    mark = sentence.marks[at]
    if mark.topic not in (Topic.FRACTURE, Topic.EDEMA) or "compression" in mark.text or mark.kind is Kind.INTACT:
        return False
    chunk = sentence.marks_of(sentence.chunk_of(at))
    here = list(chunk).index(mark)
    if here and chunk[here - 1].kind is Kind.PART:
        return True
    following = [m for m in chunk[here + 1 : here + 3] if m.kind in (Kind.PART, Kind.LEVEL)]
    return any(m.kind is Kind.PART for m in following)


def _level_alone(sentence: Sentence, at: int, quote: Quote, topic: Topic, *, is_named: bool) -> Iterator[Draft]:
    """A level that a correction takes back, or that an exception sets apart from what is said of the others."""
    mark, cue = sentence.marks[at], sentence.marks[at - 1].kind
    if mark.group is None:
        return
    acuity = Acuity.UNSTATED
    if cue is Kind.CORRECTS and (is_named or quote.section is Section.ADDENDUM):
        polarity, note = Polarity.NEGATED, None
    elif cue is Kind.EXCEPT and is_named and not sentence.has_concept(sentence.chunk_of(at)):
        polarity, note = Polarity.UNCERTAIN, "The sentence sets this level apart without saying what is there."
    elif aged := _aged_alone(sentence, at, topic):
        polarity, acuity, note = Polarity.UNCERTAIN, aged, "The sentence gives an age at this level without saying of what."
    else:
        return
    for level in mark.group.levels:
        statement = Statement(level=level, topic=topic, polarity=polarity, acuity=acuity, quote=quote, note=note)
        yield Draft(statement=statement)


def _aged_alone(sentence: Sentence, at: int, topic: Topic) -> Acuity | None:
    """The age in a clause that has a level and an age and names nothing (``no acute fracture; chronic at T12``)."""
    clause = sentence.chunks[sentence.chunk_of(at)].clause
    here = [mark for chunk in sentence.chunks if chunk.clause == clause for mark in sentence.marks[chunk.first : chunk.last]]
    words = [mark.acuity for mark in here if mark.kind is Kind.ACUITY]
    if topic is not Topic.FRACTURE or not any(words) or any(mark.kind in CONCEPTS for mark in here) or not clause:
        return None
    return combine(words)


def _settled(drafts: Sequence[Draft]) -> list[Draft]:
    """One sentence's drafts without repetitions; oedema that the sentence explains otherwise is left to a person."""
    causes = [
        d.statement.level
        for d in drafts
        if d.statement.topic in (Topic.OTHER_CAUSE, Topic.AUGMENTED) and d.statement.polarity is not Polarity.NEGATED
    ]
    explained = [_explained(draft, causes) for draft in drafts]
    kept: list[Draft] = []
    for draft in explained:
        if draft not in kept and not _says_less(draft, explained):
            kept.append(draft)
    return kept


def _explained(draft: Draft, causes: Sequence[Vertebra | None]) -> Draft:
    said = draft.statement
    is_open = said.topic is Topic.EDEMA and said.polarity is Polarity.AFFIRMED
    if not is_open or not any(cause is None or said.level is None or cause is said.level for cause in causes):
        return draft
    note = "The sentence names another cause beside the oedema."
    return replace(draft, statement=replace(said, polarity=Polarity.UNCERTAIN, note=note))


def _says_less(draft: Draft, all_of_sentence: Sequence[Draft]) -> bool:
    """Whether another draft of the sentence says the same with the age of the fracture, or says it outright."""
    said = draft.statement
    return any(
        other is not draft
        and (other.statement.level, other.statement.topic) == (said.level, said.topic)
        and other.statement.polarity is said.polarity
        and said.acuity is Acuity.UNSTATED
        and other.statement.acuity is not Acuity.UNSTATED
        for other in all_of_sentence
    )


def _without_mere_shape(drafts: Sequence[Draft]) -> tuple[Statement, ...]:
    """Height and shape speak only where the report names no fracture at that level; then a person must read them."""
    named = {
        d.statement.level
        for d in drafts
        if not d.is_soft and d.statement.topic is Topic.FRACTURE and d.statement.quote.section not in _PAST
    }
    kept: list[Statement] = []
    for draft in drafts:
        said = draft.statement
        if draft.is_soft and said.level in named and said.level is not None:
            continue
        if draft.is_soft and said.polarity is Polarity.AFFIRMED:
            said = replace(said, polarity=Polarity.UNCERTAIN, note="A change of shape that is not called a fracture.")
        kept.append(said)
    return tuple(kept)
