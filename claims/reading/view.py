"""A report's text as the rules see it: one case, one kind of dash and blank, and the way back to the original.

The rules match on the view and quote from the text, so a quotation is always what the report says, letter by letter.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_SAME = dict.fromkeys("‐‑‒–—―−﹘﹣－", "-") | {
    "\u2018": "'",
    "\u2019": "'",
    "\u201c": '"',
    "\u201d": '"',
    "\u2044": "/",
    "\u2215": "/",
}
_INVISIBLE = frozenset("\u00ad\u200b\u200c\u200d\u2060\ufeff")
_WORD_BROKEN = re.compile(r"(?<=[A-Za-z])[-\u2010\u00ad][ \t]*\r?\n[ \t]*(?=[a-z])")
"""A word divided at the end of a line; a level is not (``T11-`` and then ``L1`` keep their dash)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Part of a text, folded; ``offsets[i]`` is where character ``i`` of it came from."""

    folded: str
    offsets: tuple[int, ...]
    source: str
    """The whole text that the offsets point into."""

    def was_upper(self, start: int, end: int) -> bool:
        """Whether every letter between two places of the view is a capital in the text."""
        return self.source[self.offsets[start] : self.offsets[end - 1] + 1].isupper()


def fold(source: str, start: int, end: int) -> View:
    """The view of ``source[start:end]``: small letters, plain dashes and quotes, single blanks, no divided words."""
    characters: list[str] = []
    offsets: list[int] = []
    for place in _kept(source, start, end):
        for character in _folded(source[place]):
            if character == " " and (not characters or characters[-1] == " "):
                continue
            characters.append(character)
            offsets.append(place)
    return View(folded="".join(characters), offsets=tuple(offsets), source=source)


def _kept(source: str, start: int, end: int) -> list[int]:
    places: list[int] = []
    reached = start
    for broken in _WORD_BROKEN.finditer(source, start, end):
        places.extend(range(reached, broken.start()))
        reached = broken.end()
    return [*places, *range(reached, end)]


def _folded(character: str) -> str:
    if character in _INVISIBLE:
        return ""
    if character in _SAME:
        return _SAME[character]
    if character.isspace() or unicodedata.category(character) == "Cc":
        return " "
    return unicodedata.normalize("NFKC", character).lower()
