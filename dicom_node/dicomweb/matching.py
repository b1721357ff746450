"""Whether a DICOM JSON element matches what a search says (PS3.4 C.2.2.2, as QIDO-RS uses it, PS3.18 8.3.4).

Single value, list of UIDs, wildcards, ranges of date and time, and nothing given (which matches everything). An element
of several values matches when one of them does; one without a value only matches where nothing is asked of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from dicom_node.dicomweb.refusals import bad_request

Element = Mapping[str, Any]
"""``{"vr": ..., "Value": [...]}`` (PS3.18 F.2)."""
Matcher = Callable[[Element | None], bool]

NUMBER_VRS = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"})
LIST_VRS = frozenset({"UI", "CS"})
"""Several values may be given: of UIDs by PS3.4 C.2.2.2.2, of code strings because viewers do it for modalities."""
RANGE_VRS = frozenset({"DA", "DT", "TM"})
DIGITS: Mapping[str, int] = {"DA": 8, "DT": 14, "TM": 6}
"""Characters of a date and of a time to the second; shorter ones mean all that begins with them."""
MAX_CHARACTERS = 1024
"""Longest text that is searched for; our own bound."""


def matcher(vr: str, wanted: str) -> Matcher:
    """What decides about an element of this value representation.

    Raises:
        WebRefusal: 400, the text is not a date, a time or a number where one is needed, or too long.
    """
    if len(wanted) > MAX_CHARACTERS and vr != "UI":
        raise bad_request(f"A value to search for has at most {MAX_CHARACTERS} characters.")
    if wanted in {"", "*"}:
        return lambda _element: True
    if vr in RANGE_VRS:
        low, high = _range(vr, wanted)
        return _any(lambda value: low <= _digits(value) <= high)
    if vr in NUMBER_VRS:
        number = _number(wanted)
        return _any(lambda value: _is_number(value, number))
    fold = vr == "PN"
    patterns = [_fold(part, fold=fold) for part in (_parts(wanted) if vr in LIST_VRS else [wanted])]
    return _any(lambda value: any(glob(pattern, _fold(str(value), fold=fold)) for pattern in patterns))


def glob(pattern: str, text: str) -> bool:
    """Whether the text is what the pattern says: ``*`` any characters, ``?`` one. Takes time pattern x text at most."""
    at, position, star, mark = 0, 0, -1, 0
    while position < len(text):
        if at < len(pattern) and pattern[at] == "*":
            star, mark, at = at, position, at + 1
        elif at < len(pattern) and pattern[at] in {"?", text[position]}:
            at, position = at + 1, position + 1
        elif star >= 0:
            mark += 1
            at, position = star + 1, mark
        else:
            return False
    return all(character == "*" for character in pattern[at:])


def _any(decide: Callable[[Any], bool]) -> Matcher:
    return lambda element: any(decide(value) for value in _values(element))


def _values(element: Element | None) -> Iterator[Any]:
    """Plain values; of a person name each of its three groups."""
    for value in (element or {}).get("Value", ()):
        if isinstance(value, dict):
            yield from value.values()
        elif value is not None:
            yield value


def _parts(wanted: str) -> list[str]:
    return [part.strip() for part in wanted.replace("\\", ",").split(",") if part.strip()]


def _fold(text: str, *, fold: bool) -> str:
    """Names are compared without case, and without empty components at the end (PS3.4 C.2.2.2.1)."""
    return text.rstrip("^ ").casefold() if fold else text.strip()


def _range(vr: str, wanted: str) -> tuple[str, str]:
    """First and last value that match, in digits; both ends belong to the range."""
    low, dash, high = wanted.partition("-")
    for part in (low, high):
        if not all(character.isdigit() or character in ".: " for character in part):
            raise bad_request("A date is YYYYMMDD, a time HHMMSS, a date with a time both; a range is written from-to.")
    if dash and not low.strip() and not high.strip():
        raise bad_request("A range has a beginning, an end, or both.")
    first, last = _digits(low), _digits(high if dash else low)
    return first, (last or "").ljust(DIGITS[vr] + 6, "9")


def _digits(value: object) -> str:
    return "".join(character for character in str(value) if character.isdigit())


def _number(wanted: str) -> float:
    try:
        return float(wanted)
    except ValueError:
        raise bad_request("This attribute is a number; it is searched for by one number.") from None


def _is_number(value: object, number: float) -> bool:
    try:
        return float(str(value)) == number
    except ValueError:
        return False


def matches(matchers: Sequence[tuple[str, Matcher]], attributes: Mapping[str, Element]) -> bool:
    """Whether every matcher, given with its tag, agrees with a data set."""
    return all(decide(attributes.get(tag)) for tag, decide in matchers)
