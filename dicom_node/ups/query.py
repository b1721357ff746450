"""A search for workitems, from the words of its URL (PS3.18 11.9, 8.3.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydicom.datadict import dictionary_VR

from dicom_node.dicomweb.matching import Matcher, matcher
from dicom_node.dicomweb.query import NOT_ATTRIBUTES, count_of, tag_named, truth_of
from dicom_node.dicomweb.refusals import bad_request
from dicom_node.ups.elements import Dataset, Element, found_in, tag

MAX_RESULTS = 500
"""Most workitems of one answer; our own bound."""
MAX_KEYS = 50
STATE, UID, STUDY = tag("ProcedureStepState"), tag("SOPInstanceUID"), tag("StudyInstanceUID")
_SECRET = tag("TransactionUID")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkitemQuery:
    """What is searched for."""

    keys: tuple[tuple[tuple[str, ...], Matcher], ...]
    """Path of tags, through sequences, and what the element there must be."""
    exact: Mapping[str, str]
    """Tag of an attribute that has a column -> its value; looked up by the database."""
    limit: int
    offset: int
    fuzzy: bool
    """Asked for, and not done."""

    def fits(self, data: Dataset) -> bool:
        """Whether a workitem is one of those."""
        return all(_any(decide, list(found_in(data, path))) for path, decide in self.keys)


def _any(decide: Matcher, found: list[Element]) -> bool:
    return any(decide(element) for element in found) if found else decide(None)


def parse_query(parameters: Iterable[tuple[str, str]]) -> WorkitemQuery:
    """The query; every attribute that is returned can be searched by, also inside sequences (``A.B=value``).

    Raises:
        WebRefusal: 400, a name is no attribute, or a value is none.
    """
    keys: list[tuple[tuple[str, ...], Matcher]] = []
    exact: dict[str, str] = {}
    limit, offset, fuzzy = MAX_RESULTS, 0, False
    for name, value in parameters:
        match name.lower():
            case "limit":
                limit = min(count_of("limit", value), MAX_RESULTS)
            case "offset":
                offset = count_of("offset", value)
            case "fuzzymatching":
                fuzzy = truth_of("fuzzymatching", value)
            case "includefield":
                _check_fields(value)
            case other if other not in NOT_ATTRIBUTES:
                path = _path(name)
                vr = dictionary_VR(int(path[-1], 16))
                if vr == "SQ" and value:
                    raise bad_request("A sequence is searched by an attribute inside it, like A.B=value.")
                keys.append((path, matcher(vr, value)))
                if len(path) == 1 and value and set(value).isdisjoint("*?\\,"):
                    exact[path[0]] = value
    if len(keys) > MAX_KEYS:
        raise bad_request(f"A search has at most {MAX_KEYS} attributes.")
    return WorkitemQuery(keys=tuple(keys), exact=exact, limit=limit, offset=offset, fuzzy=fuzzy)


def _path(name: str) -> tuple[str, ...]:
    path = tuple(tag_named(word) for word in name.split("."))
    if _SECRET in path:
        raise bad_request("Workitems cannot be searched by their Transaction UID, which is a lock.")
    if any(dictionary_VR(int(step, 16)) != "SQ" for step in path[:-1]):
        raise bad_request("Before each dot stands a sequence.")
    return path


def _check_fields(value: str) -> None:
    """Every attribute is returned as it is; the names must still be some."""
    for word in filter(None, (part.strip() for part in value.split(","))):
        if word.lower() != "all":
            _path(word)
