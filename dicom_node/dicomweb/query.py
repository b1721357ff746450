"""A QIDO-RS query, from the words of its URL (PS3.18 8.3.4 and 10.6.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydicom.datadict import dictionary_VR, tag_for_keyword

from dicom_node.dicomweb.levels import (
    MODALITIES_IN_STUDY,
    SEARCHABLE,
    SERIES_UID,
    SOP_UID,
    STUDY_UID,
    Level,
)
from dicom_node.dicomweb.matching import Matcher, matcher
from dicom_node.dicomweb.refusals import bad_request, checked_uid

MAX_RESULTS = 5000
"""Most entries of one answer; our own bound. More are announced in a Warning header, as PS3.18 8.3.4.4 asks."""
MAX_INCLUDED = 100
NOT_ATTRIBUTES = frozenset({"accept", "charset", "emptyvaluematching", "multiplevaluematching"})
"""Parameters that are no attribute and change nothing here."""
EXACT: Mapping[str, str] = {STUDY_UID: "study_instance_uid", SERIES_UID: "series_instance_uid"}
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_TRUTH: Mapping[str, bool] = {"true": True, "false": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is searched for."""

    level: Level
    uids: Mapping[str, tuple[str, ...]]
    """Tag of a UID -> the values of which one must be met; looked up by the database."""
    modalities: tuple[str, ...]
    """Of which the study must have one; empty: any."""
    matchers: tuple[tuple[str, Matcher], ...]
    included: frozenset[str]
    """Tags that are wanted beside the usual ones."""
    everything: bool
    limit: int
    offset: int
    fuzzy: bool
    """Asked for, and not done."""


def parse(level: Level, parameters: Iterable[tuple[str, str]], fixed: Mapping[str, str]) -> Query:
    """The query.

    Args:
        level: what is searched for.
        parameters: names and values of the URL's query, in their order.
        fixed: UIDs by tag that stand in the URL's path.

    Raises:
        WebRefusal: 400, a name is no attribute that can be searched by at this level, or a value is none.
    """
    words = _Words(level)
    for name, value in parameters:
        words.take(name, value)
    for tag, uid in fixed.items():
        words.uids[tag] = (checked_uid(uid, "UID in the path"),)
    return Query(
        level=level,
        uids=words.uids,
        modalities=words.modalities,
        matchers=tuple(words.matchers),
        included=frozenset(words.included),
        everything=words.everything,
        limit=words.limit,
        offset=words.offset,
        fuzzy=words.fuzzy,
    )


class _Words:
    """Collects the parameters."""

    def __init__(self, level: Level) -> None:
        self.level = level
        self.uids: dict[str, tuple[str, ...]] = {}
        self.modalities: tuple[str, ...] = ()
        self.matchers: list[tuple[str, Matcher]] = []
        self.included: set[str] = set()
        self.everything = False
        self.limit = MAX_RESULTS
        self.offset = 0
        self.fuzzy = False

    def take(self, name: str, value: str) -> None:
        match name.lower():
            case "limit":
                self.limit = min(count_of("limit", value), MAX_RESULTS)
            case "offset":
                self.offset = count_of("offset", value)
            case "fuzzymatching":
                self.fuzzy = truth_of("fuzzymatching", value)
            case "includefield":
                self._include(value)
            case other if other not in NOT_ATTRIBUTES:
                self._match(name, value)

    def _include(self, value: str) -> None:
        for word in filter(None, (part.strip() for part in value.split(","))):
            if word.lower() == "all":
                self.everything = True
            else:
                self.included.add(tag_named(word.split(".")[0]))
        if len(self.included) > MAX_INCLUDED:
            raise bad_request(f"includefield names at most {MAX_INCLUDED} attributes.")

    def _match(self, name: str, value: str) -> None:
        tag = tag_named(name)
        if tag not in SEARCHABLE[self.level]:
            raise bad_request(f"({tag[:4]},{tag[4:]}) is no attribute that {self.level} can be searched by.")
        if tag in {STUDY_UID, SERIES_UID, SOP_UID} and value.strip("*"):
            self.uids[tag] = _uids(value)
        elif tag == MODALITIES_IN_STUDY and value.strip("*"):
            self.modalities = tuple(part.strip() for part in value.replace("\\", ",").split(",") if part.strip())
        else:
            self.matchers.append((tag, matcher(dictionary_VR(int(tag, 16)), value)))


def tag_named(word: str) -> str:
    """The tag of a keyword, or of eight hexadecimal digits.

    Raises:
        WebRefusal: 400, PS3.6 has no such attribute.
    """
    if _TAG.fullmatch(word):
        tag = int(word, 16)
        try:
            dictionary_VR(tag)
        except KeyError:
            raise bad_request("A parameter names a tag that PS3.6 does not know.") from None
        return f"{tag:08X}"
    found = tag_for_keyword(word)
    if found is None:
        raise bad_request("A parameter is neither a keyword nor a tag of PS3.6, nor one of PS3.18.")
    return f"{found:08X}"


def _uids(value: str) -> tuple[str, ...]:
    parts = [part.strip() for part in value.replace("\\", ",").split(",") if part.strip()]
    return tuple(checked_uid(part, "UID that is searched for") for part in parts)


def count_of(name: str, value: str) -> int:
    """A whole number from 0; WebRefusal (400) where it is none."""
    if not (value.isascii() and value.isdigit() and len(value) < 10):  # noqa: PLR2004 - below 2^31
        raise bad_request(f"{name} is a whole number from 0.")
    return int(value)


def truth_of(name: str, value: str) -> bool:
    """True or false; WebRefusal (400) where it is neither."""
    if value.lower() not in _TRUTH:
        raise bad_request(f"{name} is true or false.")
    return _TRUTH[value.lower()]
