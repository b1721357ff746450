"""DICOM JSON of a workitem (PS3.18 F.2): read strictly, because what a client sends is kept and shown to others."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

from pydicom.datadict import dictionary_VR, tag_for_keyword

from dicom_node.dicomweb.refusals import bad_request
from dicom_node.header import is_uid

Element: TypeAlias = dict[str, Any]
Dataset: TypeAlias = dict[str, Element]
"""``{"00741000": {"vr": "CS", "Value": ["SCHEDULED"]}}``."""

MAX_DEPTH = 16
"""Of sequences in each other; our own bound, real workitems nest four deep."""
MAX_ELEMENTS = 20_000
"""Of a whole workitem; our own bound."""
_TAG = re.compile(r"[0-9A-F]{8}")
_NOT_TEXT = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f\ud800-\udfff]")
"""Control characters that no value has (PS3.5 6.1.3), and halves of a UTF-16 pair, which are no character."""
_NAME_PARTS = frozenset({"Alphabetic", "Ideographic", "Phonetic"})
_BULK = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_INTEGERS: Mapping[str, tuple[int, int]] = {
    "SL": (-(2**31), 2**31 - 1),
    "SS": (-(2**15), 2**15 - 1),
    "SV": (-(2**63), 2**63 - 1),
    "UL": (0, 2**32 - 1),
    "US": (0, 2**16 - 1),
    "UV": (0, 2**64 - 1),
    "IS": (-(2**31), 2**31 - 1),
}
_TEXT_LENGTHS: Mapping[str, int] = {
    "AE": 16, "AS": 4, "CS": 16, "DA": 8, "DT": 26, "LO": 64, "LT": 10_240, "SH": 16, "ST": 1024, "TM": 16, "UI": 64,
    "UC": 65_536, "UR": 65_536, "UT": 1_000_000, "AT": 8,
    "DS": 16, "IS": 12,
}  # fmt: skip
"""Most characters of one value (PS3.5 Table 6.2-1)."""
_PATTERNS: Mapping[str, re.Pattern[str]] = {
    "AT": re.compile(r"[0-9A-Fa-f]{8}"),
    "CS": re.compile(r"[A-Z0-9_ ]*"),
    "DA": re.compile(r"\d{8}", re.ASCII),
    "DT": re.compile(r"\d{4}(\d{2}){0,5}(\.\d{1,6})?([+-]\d{4})?", re.ASCII),
    "DS": re.compile(r" *[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)? *", re.ASCII),
    "IS": re.compile(r" *[+-]?\d{1,11} *", re.ASCII),
    "TM": re.compile(r"\d{2}(\d{2}){0,2}(\.\d{1,6})?", re.ASCII),
}


def tag(keyword: str) -> str:
    """A keyword's tag, eight hexadecimal digits."""
    found = tag_for_keyword(keyword)
    if found is None:
        raise KeyError(keyword)
    return f"{found:08X}"


def element(keyword: str, *values: Any) -> tuple[str, Element]:
    """Tag and element of a keyword, to be put into a data set."""
    name = tag(keyword)
    made: Element = {"vr": dictionary_VR(int(name, 16))}
    return name, made | ({"Value": list(values)} if values else {})


def dataset(*elements: tuple[str, Element]) -> Dataset:
    """A data set of these elements, in the order of their tags."""
    return dict(sorted(elements))


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """An item of a code sequence (PS3.3 Table 8.8-1)."""
    return dataset(
        element("CodeValue", value), element("CodingSchemeDesignator", scheme), element("CodeMeaning", meaning)
    )


def date_time(seconds: float) -> str:
    """Seconds since the epoch as DT in UTC (PS3.5 6.2)."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%d%H%M%S+0000")


def values_of(data: Mapping[str, Element], keyword: str) -> list[Any]:
    """The values of an element, none where it is absent or empty."""
    return list(data.get(tag(keyword), {}).get("Value") or [])


def text_of(data: Mapping[str, Element], keyword: str) -> str | None:
    """The first value as text; None where there is none."""
    values = values_of(data, keyword)
    return str(values[0]) if values and values[0] is not None else None


def parse(body: bytes) -> Dataset:
    """The one data set of a body: an object, or an array of one object.

    Raises:
        WebRefusal: 400, and no value of the body is repeated.
    """
    try:
        document = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise bad_request("The body is not JSON in UTF-8.") from None
    if isinstance(document, list) and len(document) == 1:
        document = document[0]
    return _Reader().dataset(document, 0)


def _no_constant(_name: str) -> float:
    raise ValueError


class _Reader:
    """Checks every element of a document, and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def dataset(self, document: object, depth: int) -> Dataset:
        if not isinstance(document, dict):
            raise bad_request("A data set is a JSON object of elements by tag (PS3.18 F.2).")
        if depth > MAX_DEPTH:
            raise bad_request(f"Sequences nest at most {MAX_DEPTH} deep.")
        self.count += len(document)
        if self.count > MAX_ELEMENTS:
            raise bad_request(f"A workitem has at most {MAX_ELEMENTS} elements.")
        made = {name.upper(): self._element(name.upper(), value, depth) for name, value in document.items()}
        return dict(sorted(made.items()))

    def _element(self, name: str, value: object, depth: int) -> Element:
        if not _TAG.fullmatch(name):
            raise bad_request("An element is named by its tag, eight hexadecimal digits.")
        vr = value.get("vr") if isinstance(value, dict) else None
        if not isinstance(value, dict) or not isinstance(vr, str) or not set(value) <= {"vr", "Value"}:
            raise bad_request(f"({name[:4]},{name[4:]}) has a vr and a Value, and nothing else.")
        known = _known_vr(name)
        if vr in _BULK or (known is not None and vr not in known.split(" or ")):
            raise bad_request(f"({name[:4]},{name[4:]}) cannot have the value representation that is given.")
        values = value.get("Value", [])
        if not isinstance(values, list):
            raise bad_request(f"The Value of ({name[:4]},{name[4:]}) is an array.")
        if vr == "SQ":
            items = [self.dataset(item, depth + 1) for item in values]
            return {"vr": vr} | ({"Value": items} if items else {})
        if not all(_fits(vr, one) for one in values):
            raise bad_request(f"A value of ({name[:4]},{name[4:]}) is none of {vr} (PS3.5 6.2).")
        return {"vr": vr} | ({"Value": values} if values else {})


def _known_vr(name: str) -> str | None:
    try:
        return dictionary_VR(int(name, 16))
    except KeyError:
        return None


def _fits(vr: str, value: object) -> bool:
    if value is None:
        return True
    if vr == "PN":
        return _is_name(value)
    if vr in {"DS", "IS"} and isinstance(value, str):
        return _is_text(vr, value)
    if vr in _INTEGERS:
        low, high = _INTEGERS[vr]
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
    if vr in {"DS", "FD", "FL"}:
        return isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value)
    return isinstance(value, str) and _is_text(vr, value)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _is_name(value: object) -> bool:
    return (
        isinstance(value, dict)
        and set(value) <= _NAME_PARTS
        and all(isinstance(part, str) and len(part) <= 5 * 64 and not _NOT_TEXT.search(part) for part in value.values())
    )


def _is_text(vr: str, value: str) -> bool:
    if vr not in _TEXT_LENGTHS or len(value) > _TEXT_LENGTHS[vr] or _NOT_TEXT.search(value):
        return False
    if vr == "UI":
        return value == "" or is_uid(value)
    pattern: Callable[[str], object] | None = _PATTERNS[vr].fullmatch if vr in _PATTERNS else None
    return value == "" or pattern is None or pattern(value) is not None


def found_in(data: Mapping[str, Element], path: tuple[str, ...]) -> Iterator[Element]:
    """The elements at a path of tags, in every item of the sequences on the way."""
    here = data.get(path[0])
    if here is None:
        return
    if len(path) == 1:
        yield here
        return
    for item in here.get("Value") or []:
        if isinstance(item, dict):
            yield from found_in(item, path[1:])
