"""Vertebral levels as reports write them: ``L1``, ``L-1``, ``Th XII``, ``first lumbar vertebra``, ``T11 through L1``.

T1 and T2 also name the two weightings of MR; they are read as vertebrae only where the words around them say so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from claims.reading.lexicon import LEVELS
from claims.reading.view import View
from inference.anatomy import REGULAR_VERTEBRAE, Vertebra


class GroupKind(Enum):
    """What a mention of levels speaks of."""

    BODIES = "bodies"
    PAIR = "pair"
    """Two neighbours, as ``L1-L2``: the disc between them, or both bodies."""
    DISC = "disc"


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelGroup:
    """One mention: a level, a list or a range, with its place in the folded sentence."""

    levels: tuple[Vertebra, ...]
    kind: GroupKind
    start: int
    end: int


_ROMAN_HABIT = re.compile(r"\b(?:L|T|Th)(?:II|III|IV)\b")
"""In a report that counts like this, ``LI`` is a level too."""
_UNITS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_ORDINALS = (
    *("first", "second", "third", "fourth", "fifth", "sixth"),
    *("seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth"),
)
_ROMANS = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii")
_NUMBERS = {word: n for words in (_UNITS, _ORDINALS, _ROMANS) for n, word in enumerate(words, 1)}
_REGIONS = {"cervical": "C", "thoracic": "T", "dorsal": "T", "lumbar": "L", "sacral": "S", "th": "T", "d": "T"}


def _longest_first(words: tuple[str, ...]) -> str:
    return "|".join(sorted(words, key=len, reverse=True))


_REGION_WORD = r"cervical|thoracic|dorsal|lumbar|sacral"
_DIGITS = r"1[0-3]|[1-9]"
_COUNT = rf"{_DIGITS}|{_longest_first(_UNITS)}"
_END = r"(?![a-z0-9]|\.\d)"
_LEVEL = re.compile(
    rf"(?<![a-z0-9])(?P<region>th|[ctdls])[ -]?(?P<number>{_COUNT}){_END}"
    rf"|(?<![a-z0-9])(?P<roman_region>th|[tdlc])(?P<gap>[ -]?)(?P<roman>{_longest_first(_ROMANS)}){_END}"
    rf"|\b(?P<ordinal>{_longest_first(_ORDINALS)}|1[0-2]th|1st|2nd|3rd|[4-9]th) (?P<ordinal_region>{_REGION_WORD})\b"
    r"(?: vertebra\w*| segment)?"
    rf"|\b(?P<long_region>lumbar|thoracic|cervical) (?:vertebra |level )?(?P<long_number>{_COUNT}){_END}"
)
_NOUN = r"(?:vertebra[el]?|vertebral|bod(?:y|ies)|levels?|superior|inferior|upper|lower|end ?-?plates?|segment)"
_FILL = rf"(?: {_NOUN}){{0,3}}"
_COUNTED = (
    r"(?:mm|cm|%|x|weeks?|months?|days?|years?|percent|degrees?|or\b|of\b|images?|views?|vertebra|lumbar|levels?"
    r"|fractures?)"
)
"""What a bare number may count instead of being a level."""
_BARE = rf"(?P<bare>(?:{_DIGITS})(?![a-z0-9]|[.:/]\d| ?-?{_COUNTED}))?"
_RANGE = re.compile(rf"{_FILL} ?(?:-|to|through|thru|thr|down to|up to|until|and through) ?(?:the )?{_BARE}")
_NEXT = re.compile(
    rf"{_FILL} ?(?P<joint>,? (?:and|or|as well as|plus|but also) |, ?|/| ?& ?|\+)(?:(?:also|the|at|of|on|in) )*{_BARE}"
)


def level_groups(view: View) -> tuple[LevelGroup, ...]:
    """Every mention of levels in a folded sentence, lists and ranges as one, in order."""
    groups: list[LevelGroup] = []
    place = 0
    while first := _LEVEL.search(view.folded, place):
        level = _vertebra(first, view)
        place = first.end()
        if level is None:
            continue
        group = _grown(view, first.start(), first.end(), level)
        place = group.end
        if not LEVELS["other_after"].match(view.folded, group.end) and not _is_weighting(group, view.folded):
            groups.append(group)
    return tuple(groups)


def _vertebra(match: re.Match[str], view: View) -> Vertebra | None:
    found = match.groupdict()
    pairs = (
        ("region", "number"),
        ("roman_region", "roman"),
        ("ordinal_region", "ordinal"),
        ("long_region", "long_number"),
    )
    region, number = next((found[r], found[n]) for r, n in pairs if found[r])
    if found["roman"] and not _is_roman(match, view):
        return None
    return _named(region, number)


def _is_roman(match: re.Match[str], view: View) -> bool:
    """``L II`` and ``LIII`` are levels; ``TI``, ``LV`` and ``CI`` are abbreviations of other things."""
    numeral = match["roman"]
    capitals = view.was_upper(*match.span("roman")) and view.source[view.offsets[match.start()]].isupper()
    return capitals and (bool(match["gap"]) or len(numeral) > 1 or bool(_ROMAN_HABIT.search(view.source)))


def _named(region: str, number: str) -> Vertebra | None:
    digits = re.sub(r"(?:st|nd|rd|th)$", "", number)
    count = int(digits) if digits.isdigit() else _NUMBERS[number]
    return Vertebra.__members__.get(f"{_REGIONS.get(region, region.upper()[0])}{count}")


def _grown(view: View, start: int, end: int, level: Vertebra) -> LevelGroup:
    """The list or range that begins at a level."""
    levels, parts, is_pair = [level], 1, False
    while step := _step(view, end, levels[-1]):
        following, after, is_range, is_tight = step
        if following in levels or (not is_range and not is_tight and LEVELS["own_verb"].match(view.folded, after)):
            break
        end = after
        is_pair = parts == 1 and is_tight and following is levels[0].below
        levels.extend(_between(levels[-1], following) if is_range else (following,))
        parts += 1
    unique = tuple(dict.fromkeys(levels))
    kind = GroupKind.PAIR if is_pair and parts == 2 else GroupKind.BODIES  # noqa: PLR2004 - two levels are a pair
    if LEVELS["disc_after"].match(view.folded, end) and kind is GroupKind.PAIR:
        kind = GroupKind.DISC
    return LevelGroup(levels=unique, kind=kind, start=start, end=end)


def _step(view: View, end: int, last: Vertebra) -> tuple[Vertebra, int, bool, bool] | None:
    """The level that continues a list or range, its end, whether all between are meant, whether tightly joined."""
    for pattern, is_range in ((_RANGE, True), (_NEXT, False)):
        joint = pattern.match(view.folded, end)
        if joint is None:
            continue
        tight = "-" in joint[0] or "/" in joint[0]
        if joint["bare"]:
            following = _named(last.name[0].lower(), joint["bare"])
            after = joint.end()
        else:
            match = _LEVEL.match(view.folded, joint.end())
            following = _vertebra(match, view) if match else None
            after = match.end() if match else end
        if following is not None and (not is_range or following.value > last.value):
            return following, after, is_range, tight
    return None


def _between(above: Vertebra, below: Vertebra) -> Iterator[Vertebra]:
    yield from (v for v in REGULAR_VERTEBRAE if above.value < v.value < below.value)
    yield below


def _is_weighting(group: LevelGroup, folded: str) -> bool:
    if not set(group.levels) <= {Vertebra.T1, Vertebra.T2}:
        return False
    if LEVELS["sequence_after"].match(folded, group.end):
        return True
    before = folded[: group.start]
    is_body = LEVELS["body_after"].match(folded, group.end) or LEVELS["body_before"].search(before)
    return not is_body or bool(LEVELS["sequence_before"].search(before))
