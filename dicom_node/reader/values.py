"""Read single header values tolerantly: from their bytes, whatever value representation the sender wrote.

Why not pydicom's converted values: converting warns process-wide with the offending value in the message (which may
identify a patient), and a wrong VR in one element would make the whole header unreadable. Here a value that cannot
be understood is None, like a missing one; what depends on it is then refused by name. Encodings: PS3.5 6.2;
character sets: PS3.3 C.12.1.1.2.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from pydicom.charset import python_encoding
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.tag import BaseTag, Tag

BINARY_VRS = {"FD": "d", "FL": "f", "US": "H", "SS": "h", "UL": "I", "SL": "i", "OD": "d", "OF": "f"}
"""VRs whose values are binary numbers, with their struct codes (PS3.5 Table 6.2-1)."""
PARSE_ERRORS = (
    InvalidDicomError, BytesLengthException, EOFError, ValueError, KeyError, TypeError, AttributeError,
    NotImplementedError, IndexError, OverflowError, MemoryError, RecursionError, struct.error, zlib.error,
)  # fmt: skip
"""What pydicom and its decoders raise on bytes that are no data set (found by feeding truncated and damaged files).

NotImplementedError: a transfer syntax or pixel layout that no decoder knows. MemoryError and OverflowError: a length
field that claims more than there can be."""
ESCAPE = 0x1B
SPECIFIC_CHARACTER_SET = 0x0008_0005


@cache
def tag_of(keyword: str) -> BaseTag:
    """The tag of a PS3.6 keyword; KeyError for a word that is none, which must never read as 'missing'."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(keyword)
    return Tag(tag)


def texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """The values of a text element, stripped; empty where it is missing, empty or not text."""
    value = _value(dataset, keyword)
    if isinstance(value, bytes):
        value = _decode(value, dataset)
    if isinstance(value, str):
        return tuple(part.strip(" \0") for part in value.split("\\")) if value.strip(" \0") else ()
    if isinstance(value, Iterable):
        return tuple(str(part).strip(" \0") for part in value)
    return () if value is None else (str(value),)


def text(dataset: Dataset, keyword: str) -> str | None:
    """The first value of a text element, None where there is none."""
    found = texts(dataset, keyword)
    return found[0] if found and found[0] else None


def numbers(dataset: Dataset, keyword: str, count: int | None = None) -> tuple[float, ...] | None:
    """All values of a numeric element; None where one is not a finite number or there are not ``count`` of them."""
    element = _element(dataset, keyword)
    raw = None if element is None else element.value
    if isinstance(element, RawDataElement) and isinstance(raw, bytes) and element.VR in BINARY_VRS:
        found = _binary(raw, BINARY_VRS[element.VR], little_endian=element.is_little_endian)
    elif isinstance(element, RawDataElement) and isinstance(raw, bytes) and element.VR is None:
        found = _implicit(raw, keyword, little_endian=element.is_little_endian)
    else:
        found = _parsed(texts(dataset, keyword))
    if not found or not all(math.isfinite(value) for value in found) or (count is not None and len(found) != count):
        return None
    return found


def number(dataset: Dataset, keyword: str) -> float | None:
    """The first value of a numeric element, None where it is missing or not a finite number."""
    found = numbers(dataset, keyword)
    return found[0] if found else None


def integer(dataset: Dataset, keyword: str) -> int | None:
    """The first value of a numeric element when it is a whole number, else None."""
    found = number(dataset, keyword)
    return int(found) if found is not None and found == int(found) else None


def items(dataset: Dataset, keyword: str) -> Sequence[Dataset]:
    """The items of a sequence; empty where it is missing, not a sequence or damaged."""
    if not has(dataset, keyword):
        return ()
    try:
        element = dataset[tag_of(keyword)]
        return list(element.value) if element.VR == "SQ" and element.value else ()
    except (*PARSE_ERRORS, OSError):  # pydicom raises OSError for an item that is none; the bytes are in memory
        return ()


def has(dataset: Dataset, keyword: str) -> bool:
    """Whether the element is in the data set, if only empty."""
    return dict.__contains__(dataset._dict, tag_of(keyword))  # noqa: SLF001 - Dataset.__contains__ costs ten times more


def _element(dataset: Dataset, keyword: str) -> Any:
    tag = tag_of(keyword)
    return dataset.get_item(tag) if has(dataset, keyword) else None


def _value(dataset: Dataset, keyword: str) -> Any:
    element = _element(dataset, keyword)
    return None if element is None else element.value


def _binary(raw: bytes, code: str, *, little_endian: bool) -> tuple[float, ...]:
    size = struct.calcsize(code)
    usable = len(raw) // size
    values = struct.unpack(f"{'<' if little_endian else '>'}{usable}{code}", raw[: usable * size])
    return tuple(float(value) for value in values)


def _implicit(raw: bytes, keyword: str, *, little_endian: bool) -> tuple[float, ...]:
    """Values of an implicit VR element: the dictionary says what its bytes are."""
    code = BINARY_VRS.get(_dictionary_vr(keyword))
    if code is None:
        return _parsed(tuple(raw.decode("ascii", errors="replace").split("\\")))
    return _binary(raw, code, little_endian=little_endian)


@cache
def _dictionary_vr(keyword: str) -> str:
    return dictionary_VR(tag_of(keyword)).split(" ")[0]


def _parsed(words: Sequence[str]) -> tuple[float, ...]:
    try:
        return tuple(float(word.strip(" \0")) for word in words)
    except ValueError:
        return ()


def _decode(raw: bytes, dataset: Dataset) -> str:
    """Text of the element's bytes; a byte that the character set does not have becomes U+FFFD, never an error."""
    if raw.isascii() and ESCAPE not in raw:  # ASCII is the same in every DICOM character set
        return raw.decode("ascii")
    element = dataset.get_item(SPECIFIC_CHARACTER_SET) if SPECIFIC_CHARACTER_SET in dataset else None
    declared = "" if element is None or element.value is None else element.value
    terms = declared.decode("ascii", "replace") if isinstance(declared, bytes) else declared
    names = [term.strip() for term in (terms.split("\\") if isinstance(terms, str) else terms)]
    codec = next((python_encoding[name] for name in reversed(names) if name in python_encoding), "latin-1")
    return raw.decode(codec, errors="replace")
