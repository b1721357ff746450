"""What a report says of Modic change, of hardware, and of the needles, contrast and images of a procedure.

The same marks, scopes and levels as for fractures, in a pass for each family of ``families.toml``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from claims.reading.chunks import Placed, Sentence, place
from claims.reading.families import FAMILIES, PROCEDURE, Family, kinds_of
from claims.reading.levels import level_groups
from claims.reading.lexicon import BARE, CORRECTION, EARLIER_STUDY, WITHDRAWAL, Kind
from claims.reading.marks import Mark, marks
from claims.reading.scope import CONCEPTS
from claims.reading.sections import Span
from claims.reading.statements import CORRECTED, PAST, WITHDRAWN, judged, level_alone, side_of
from claims.reading.view import View
from claims.report import Polarity, Quote, Section, Statement, Topic
from inference.anatomy import Laterality, Vertebra

TOPICS = frozenset({Topic.MODIC, Topic.HARDWARE, Topic.NEEDLE, Topic.CONTRAST, Topic.IMAGES})
_BARE = BARE | {"disc", "disk", "space", "interspace", "joint", "joints", "facet"}
_FULL = {Topic.MODIC: frozenset("12"), Topic.HARDWARE: frozenset({"loosening"})}
"""Who denies these kinds denies the whole; who denies others says nothing of the rest."""
_DESCRIBED = "The report describes oedema of an endplate and does not call it Modic change."
_PARTIAL = "The report denies one kind and says nothing of the others."
_NOT_SHOWN = "The sentence does not say that images show it."
_ABORTED = "The report names no level here, and says that not everything was done."
_CORRECTED = "An addendum corrects the report, or says something of this level that is not read."


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Where the text is when a sentence begins."""

    levels: tuple[Vertebra, ...] = ()
    side: Laterality | None = None
    paragraph: int = -1
    is_heading: bool = False
    """The paragraph begins with the levels and a colon."""
    title: tuple[Vertebra, ...] = ()
    """Levels of the procedure, as its title names them."""
    title_side: Laterality | None = None


def read_further(text: str, spans: Sequence[Span], views: Sequence[View]) -> list[Statement]:
    """The statements of every family that the text has a word of, in no order.

    Args:
        text: the report.
        spans: its sentences.
        views: the same, folded.
    """
    return [
        said
        for family in FAMILIES
        if any(family.trigger.search(view.folded) for view in views)
        for said in _of_family(text, spans, views, family)
    ]


def _of_family(text: str, spans: Sequence[Span], views: Sequence[View], family: Family) -> Iterator[Statement]:
    told = Told()
    is_aborted = family is PROCEDURE and any(family.sentences["aborted"].search(view.folded) for view in views)
    for span, view in zip(spans, views, strict=True):
        section = span.section
        if section not in PAST and EARLIER_STUDY.search(view.folded):
            section = Section.COMPARISON
        sentence = Sentence(view.folded, marks(view, family), bare=_BARE)
        if told.paragraph != span.paragraph:
            told = Told(title=told.title, title_side=told.title_side)
        if family.trigger.search(view.folded):
            quote = Quote(text=text[span.start : span.end], section=section, start=span.start, end=span.end)
            for said in _sentence(sentence, quote, told, family):
                is_open = is_aborted and said.note is None and not any(mark.group for mark in sentence.marks)
                yield _asked(said, _ABORTED) if is_open and said.topic is Topic.NEEDLE else said
        told = _told_on(sentence, span, told, family)


def _told_on(sentence: Sentence, span: Span, told: Told, family: Family) -> Told:
    groups = [mark.group for mark in sentence.marks if mark.group]
    if not groups:
        return told
    first, levels = groups[0], tuple(dict.fromkeys(level for group in groups for level in group.levels))
    side = side_of(sentence.folded)
    may_be_title = family is PROCEDURE and span.section in (Section.TECHNIQUE, Section.UNKNOWN) and not told.title
    if may_be_title and family.sentences["titled"].search(sentence.folded):
        told = replace(told, title=levels, title_side=side)
    rest = sentence.folded[first.end : first.end + 8].lstrip(") ").removeprefix("disc").removeprefix("disk").lstrip()
    if first.start <= 1 and rest.startswith(":"):
        return replace(told, levels=first.levels, side=side, paragraph=span.paragraph, is_heading=True)
    if told.is_heading and told.paragraph == span.paragraph:
        return told
    if family is PROCEDURE and not family.sentences["needled"].search(sentence.folded):
        return told
    return replace(told, levels=levels, side=side, paragraph=span.paragraph, is_heading=False)


def _sentence(sentence: Sentence, quote: Quote, told: Told, family: Family) -> Iterator[Statement]:
    found: list[Statement] = []
    for at, mark in enumerate(sentence.marks):
        if mark.kind in CONCEPTS and mark.topic:
            found.extend(_concept(sentence, at, quote, told, family))
        elif mark.group and at:
            found.extend(d.statement for d in level_alone(sentence, at, quote) if d.statement.topic in TOPICS)
    yield from dict.fromkeys(said for said in found if not _is_said_better(said, found))


def _is_said_better(said: Statement, found: Sequence[Statement]) -> bool:
    """Whether the sentence says of the level what is, beside what was before or is said without its kind."""
    firm = [one for one in found if one is not said and (one.level, one.topic) == (said.level, said.topic)]
    firm = [one for one in firm if one.polarity is Polarity.AFFIRMED]
    is_weaker = said.polarity is Polarity.UNCERTAIN and (said.note or "").startswith(
        "The sentence speaks of an earlier"
    )
    is_bare = said.polarity is Polarity.AFFIRMED and not said.kinds
    return (is_weaker and bool(firm)) or (is_bare and any(one.kinds for one in firm))


def _concept(sentence: Sentence, at: int, quote: Quote, told: Told, family: Family) -> Iterator[Statement]:
    mark = sentence.marks[at]
    topic = mark.topic or Topic.MODIC
    polarity, note = judged(sentence, at, quote.section)
    polarity_and_note = _by_word(sentence, mark, polarity, note, family)
    if polarity_and_note is None:
        return
    polarity, note = polarity_and_note
    placed, side = _placed(sentence, at, topic, told)
    if placed.note and polarity is Polarity.AFFIRMED:
        polarity, note = Polarity.UNCERTAIN, placed.note
    for level in placed.levels or (None,):
        yield Statement(
            level=level,
            topic=topic,
            polarity=polarity,
            kinds=kinds_of(mark.word, mark.text),
            quote=quote,
            side=side,
            note=note,
        )


def _by_word(
    sentence: Sentence, mark: Mark, polarity: Polarity, note: str | None, family: Family
) -> tuple[Polarity, str | None] | None:
    """What the word makes of the judgement; None: it says nothing."""
    if mark.word == "described":
        return None if polarity is Polarity.NEGATED else (Polarity.UNCERTAIN, note or _DESCRIBED)
    if mark.word == "change" and polarity is not Polarity.NEGATED:
        return None
    if polarity is Polarity.AFFIRMED and (doubt := family.sentences["doubt"].search(_without_ignored(sentence))):
        polarity, note = Polarity.UNCERTAIN, f'The sentence says "{doubt[0]}": a person must read it.'
    if family is not PROCEDURE:
        return polarity, note
    said, shown = family.shown[mark.word]
    if not said.search(sentence.folded) or family.sentences["planned"].search(sentence.folded):
        return None
    if polarity is Polarity.AFFIRMED and not shown.search(sentence.folded):
        return Polarity.UNCERTAIN, _NOT_SHOWN
    return polarity, note


def _without_ignored(sentence: Sentence) -> str:
    """The sentence without the words that only look like others (``without vascular uptake``)."""
    ignored = {place for m in sentence.marks if m.kind is Kind.IGNORED for place in range(m.start, m.end)}
    return "".join(" " if place in ignored else letter for place, letter in enumerate(sentence.folded))


def _placed(sentence: Sentence, at: int, topic: Topic, told: Told) -> tuple[Placed, Laterality | None]:
    """The levels beside the concept; else of the heading or, for a needle, of the sentences before or the title."""
    placed, side = place(sentence, at), side_of(sentence.words_of(sentence.chunk_of(at)))
    if placed.levels:
        return placed, side or (told.title_side if topic is Topic.NEEDLE else None)
    if told.is_heading:
        return replace(placed, levels=told.levels), side or told.side
    if topic is Topic.NEEDLE:
        before = (told.levels, told.side) if told.levels else (told.title, told.title_side)
        return replace(placed, levels=before[0]), side or before[1] or told.title_side
    return placed, side


def settled(statements: Sequence[Statement], spans: Sequence[Span], views: Sequence[View]) -> tuple[Statement, ...]:
    """The statements of a report, each seen beside the others of its topic.

    A denial of one kind is dropped where another is affirmed, else asked; so is what is said without its kind where it
    is said with it. A denial at one disc says nothing of the other disc of its bodies. Where an addendum corrects
    something, or speaks of a level in words that are not read, what stood before is asked.
    """
    kept = [said for said in statements if said.topic not in TOPICS or not _is_covered(said, statements)]
    touched = _touched(statements, spans, views)
    return tuple(_last_look(said, touched) if said.topic in TOPICS else said for said in kept)


def _touched(
    statements: Sequence[Statement], spans: Sequence[Span], views: Sequence[View]
) -> frozenset[Vertebra | None]:
    """The levels that an addendum speaks of without saying anything that is read; all where it corrects something."""
    addenda = [(span, view) for span, view in zip(spans, views, strict=True) if span.section is Section.ADDENDUM]
    is_corrected = any(CORRECTION.search(view.folded) or WITHDRAWAL.search(view.folded) for _, view in addenda)
    if is_corrected or any(said.note in (CORRECTED, WITHDRAWN) for said in statements):
        return frozenset({None, *Vertebra})
    told = {said.quote.start for said in statements if said.topic in TOPICS}
    silent = [view for span, view in addenda if span.start not in told]
    return frozenset(level for view in silent for group in level_groups(view) for level in group.levels)


def _is_covered(said: Statement, statements: Sequence[Statement]) -> bool:
    firm = [
        one
        for one in statements
        if one.topic is said.topic
        and one is not said
        and one.polarity is Polarity.AFFIRMED
        and one.is_of_study
        and not one.superseded
        and said.level in (None, one.level)
    ]
    if said.polarity is Polarity.NEGATED:
        is_other = any(one.kinds and not set(one.kinds) & set(said.kinds) for one in firm) and bool(said.kinds)
        own = _levels_with(said, statements)
        return is_other or (said.level is not None and any(not _levels_with(one, statements) <= own for one in firm))
    is_bare = said.polarity is Polarity.AFFIRMED and not said.kinds and said.topic is Topic.MODIC
    return (is_bare and any(one.kinds for one in firm)) or (said.note == _DESCRIBED and bool(firm))


def _levels_with(said: Statement, statements: Sequence[Statement]) -> frozenset[Vertebra | None]:
    """The levels of which the same sentence says the same: of a disc both."""
    key = (said.quote.start, said.polarity, said.topic)
    return frozenset(one.level for one in statements if (one.quote.start, one.polarity, one.topic) == key)


def _last_look(said: Statement, touched: frozenset[Vertebra | None]) -> Statement:
    if said.level in touched and said.polarity is Polarity.AFFIRMED and said.quote.section is not Section.ADDENDUM:
        return _asked(said, _CORRECTED)
    is_partial = said.kinds and not _FULL.get(said.topic, frozenset()) <= set(said.kinds)
    return _asked(said, _PARTIAL) if said.polarity is Polarity.NEGATED and is_partial else said


def _asked(said: Statement, note: str) -> Statement:
    return replace(said, polarity=Polarity.UNCERTAIN, note=note)
