"""Where a report's sections, paragraphs and sentences begin and end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from claims.reading.lexicon import HEADINGS
from claims.report import Section

_NAMES = "|".join(f"(?P<{section.name}>{names})" for section, names in HEADINGS.items())
_AT_LINE = re.compile(
    rf"^[ \t]*(?:[*#=_-]+[ \t]*)?(?:\d[.)][ \t]*)?(?:{_NAMES})[ \t]*(?:\([^)\n]{{0,40}}\))?[ \t]*"
    r"(?:[*#=_-]*[ \t]*(?::|\r?$)|[-=]+[ \t]|\d\d?/\d)",
    re.IGNORECASE | re.MULTILINE,
)
_IN_LINE = re.compile(rf"(?<=[\s.;!?)])(?:{_NAMES}):", re.IGNORECASE)
"""A report sent as one line has its headings in the middle of it."""
_ALWAYS = re.compile(r"add|addend(?:um|a)\b", re.IGNORECASE)

_BULLET = r"[ \t]*(?:[-*•·▪>]+[ \t]+|\(?\d{1,2}[.)](?!\d)[ \t]*|[a-z][.)][ \t]+)"
_BREAK = re.compile(rf"(?P<blank>\r?\n[ \t]*\r?\n)|(?P<line>\r?\n)(?P<bullet>{_BULLET})?|\r(?!\n)", re.IGNORECASE)
_STOP = re.compile(r"[.!?]+[\"')\]]*(?=\s|$)|(?<=[a-z]{2})\.(?=[A-Z][a-z])|(?<=\s)(?=\d\.\s+[A-Z])")
_NO_STOP = re.compile(
    r"(?:\b(?:dr|drs|mr|mrs|ms|prof|st|vs|approx|ca|cf|eg|e\.g|i\.e|ie|nr|fig|im|ser|img|incl|resp|etc|sup|inf|ant|post"
    r"|min|max|mod|sev|deg|vert|compr|dx|hx|rt|lt|jr|sr|[a-z])|^[ \t]*\d{1,2})\.$",
    re.IGNORECASE,
)
SHORT_LINE = 45
"""Characters. A line that ends sooner was ended by its writer; a longer one may be wrapped by a program."""


MAX_SENTENCE = 600
"""Characters; longer ones are no sentences, and are read in pieces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One sentence of a report."""

    start: int
    end: int
    section: Section
    paragraph: int
    """Sentences of one paragraph or list item have the same number."""


def split(text: str) -> tuple[Span, ...]:
    """The sentences of a text, in order, without their surrounding blanks."""
    return tuple(_spans(text))


def _spans(text: str) -> Iterator[Span]:
    paragraphs = ((section, *piece) for section, *part in _sections(text) for piece in _pieces(text, *part))
    for number, (section, start, end) in enumerate(paragraphs):
        for sentence in _sentences(text, start, end):
            for piece in _bounded(text, *sentence):
                if trimmed := _trim(text, *piece):
                    yield Span(start=trimmed[0], end=trimmed[1], section=section, paragraph=number)


def _sections(text: str) -> Iterator[tuple[Section, int, int]]:
    found = {match.start(): match for match in _AT_LINE.finditer(text)}
    found |= {match.start(): match for match in _IN_LINE.finditer(text) if not _inside(match.start(), found)}
    current, reached, is_addendum = Section.UNKNOWN, 0, False
    for place in sorted(found):
        match = found[place]
        yield current, reached, place
        section = next(Section[name] for name, value in match.groupdict().items() if value)
        restarts = section in _RESTART or match[section.name].lower().endswith("report")
        is_addendum = section is Section.ADDENDUM or (is_addendum and not restarts)
        current = Section.ADDENDUM if is_addendum and section in _ASSERTS else section
        reached = place if _ALWAYS.match(text, place) and text[match.end() - 1] != ":" else match.end()
    yield current, reached, len(text)


_ASSERTS = frozenset({Section.FINDINGS, Section.IMPRESSION, Section.ADDENDUM})
"""Sections of an addendum that speak for it."""
_RESTART = frozenset({Section.UNKNOWN, Section.HISTORY, Section.TECHNIQUE, Section.COMPARISON})
"""Headings of the report itself, that an addendum standing before it ends at."""


def _inside(place: int, found: dict[int, re.Match[str]]) -> bool:
    return any(match.start() <= place < match.end() for match in found.values())


def _pieces(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Paragraphs, list items, and lines that their writer ended."""
    reached = start
    for match in _BREAK.finditer(text, start, end):
        line_start = max(text.rfind("\n", 0, match.start()) + 1, reached)
        if (
            match["line"] is None
            or match["bullet"]
            or _ended(text[line_start : match.start()], text[match.end() : end])
        ):
            yield reached, match.start()
            reached = match.end()
    yield reached, end


def _ended(line: str, rest: str) -> bool:
    bare = line.rstrip()
    following = rest.lstrip(" \t")[:1]
    if not bare or bare[-1] in ".:;!?" or not following:
        return True
    if bare[-1] in ",-/(" or (following.islower() and not bare.islower()):
        return False
    return len(bare) < SHORT_LINE


def _sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    reached = start
    for match in _STOP.finditer(text, start, end):
        if _NO_STOP.search(text[max(start, match.end() - 8) : match.end()]) and match.end() < end:
            continue
        if match.end() > reached:
            yield reached, match.end()
            reached = match.end()
    if reached < end:
        yield reached, end


def _bounded(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """A run of words without an end, cut at blanks."""
    while end - start > MAX_SENTENCE:
        cut = text.rfind(" ", start + 1, start + MAX_SENTENCE)
        cut = cut if cut > start else start + MAX_SENTENCE
        yield start, cut
        start = cut
    yield start, end


def _trim(text: str, start: int, end: int) -> tuple[int, int] | None:
    piece = text[start:end]
    lead = re.match(rf"\s*(?:{_BULLET})?\s*", piece)
    first = start + (lead.end() if lead else 0)
    last = start + len(piece.rstrip())
    return (first, last) if any(character.isalnum() for character in text[first:last]) else None
