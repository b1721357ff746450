"""Reading X12: an interchange as its transaction sets, with every count and control number checked.

The separators are what the ISA says. The data of BIN and BDS is taken by its declared count, never by looking for a
separator, because it may hold any octet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from claims.attachment import AttachmentRefusal

_ISA_LENGTH = 106
"""Fixed, terminator included (X12.5)."""
_REPETITION, _COMPONENT, _TERMINATOR = 82, 104, 105  # places in the ISA
_COUNT_BEFORE_DATA = {"BIN": 1, "BDS": 2}
"""Which element of a binary segment is the count; the next one is the data."""
_LINE_BREAKS = b"\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One segment."""

    identifier: str
    elements: tuple[str, ...]
    """Without the data of a binary segment."""
    data: bytes = b""

    def __getitem__(self, place: int) -> str:
        """Element by its place from 1, empty where it was not sent."""
        return self.elements[place - 1] if place <= len(self.elements) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """One transaction set, ST to SE left out."""

    identifier: str
    """ST01: ``277``, ``999`` ..."""
    control_number: str
    guide: str
    """ST03, or GS08 where ST03 was not sent."""
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interchange:
    """What one ISA to IEA holds."""

    control_number: str
    component: str
    """Separator of the parts of a composite."""
    transactions: tuple[Transaction, ...]
    acknowledgments: tuple[Segment, ...]
    """TA1 segments: about interchanges that were received."""

    def parts(self, composite: str) -> tuple[str, ...]:
        """A composite's components."""
        return tuple(composite.split(self.component))


def read_interchange(data: bytes) -> Interchange:
    """Read one interchange.

    Raises:
        AttachmentRefusal: it is no X12, it ends early, or a count or control number is wrong.
    """
    segments = list(_segments(data.strip(_LINE_BREAKS + b" ")))
    isa, last = segments[0], segments[-1]
    if last.identifier != "IEA" or last[2] != isa[13]:
        raise AttachmentRefusal("The X12 interchange does not end with the IEA of its ISA; it may have been cut off.")
    acknowledgments = tuple(segment for segment in segments if segment.identifier == "TA1")
    transactions, groups = _transactions(segments[1:-1])
    if last[1] != str(groups):
        raise AttachmentRefusal(f"IEA01 says {last[1]!r} groups; the interchange has {groups}.")
    return Interchange(
        control_number=isa[13],
        component=chr(data.strip(_LINE_BREAKS + b" ")[_COMPONENT]),
        transactions=tuple(transactions),
        acknowledgments=acknowledgments,
    )


def _segments(data: bytes) -> Iterator[Segment]:
    if len(data) < _ISA_LENGTH or not data.startswith(b"ISA"):
        raise AttachmentRefusal("This is no X12 interchange: it does not begin with an ISA segment of 106 characters.")
    element, terminator = data[3:4], data[_TERMINATOR : _TERMINATOR + 1]
    at = 0
    while at < len(data):
        identifier = data[at : at + 4].split(element)[0].decode("ascii", "replace")
        if identifier in _COUNT_BEFORE_DATA:
            segment, at = _binary(data, at, identifier, element, terminator)
        else:
            end = data.find(terminator, at)
            if end < 0:
                raise AttachmentRefusal("The last segment of the X12 interchange has no terminator; it was cut off.")
            words = data[at:end].decode("latin-1").split(element.decode("latin-1"))
            segment, at = Segment(identifier=words[0], elements=tuple(words[1:])), end + 1
        yield segment
        while data[at : at + 1] in (b"\r", b"\n"):
            at += 1


def _binary(data: bytes, at: int, identifier: str, element: bytes, terminator: bytes) -> tuple[Segment, int]:
    words: list[str] = []
    for _ in range(_COUNT_BEFORE_DATA[identifier] + 1):
        end = data.find(element, at)
        if end < 0:
            raise AttachmentRefusal(f"{identifier} has no data; the interchange was cut off.")
        words.append(data[at:end].decode("latin-1"))
        at = end + 1
    if not words[-1].isdecimal():
        raise AttachmentRefusal(f"{identifier} counts its data with {words[-1]!r}, which is no number.")
    end = at + int(words[-1])
    if data[end : end + 1] != terminator:
        raise AttachmentRefusal(f"{identifier} says {words[-1]} octets, and its data does not end there.")
    return Segment(identifier=identifier, elements=tuple(words[1:]), data=data[at:end]), end + 1


def _transactions(segments: Sequence[Segment]) -> tuple[list[Transaction], int]:
    found: list[Transaction] = []
    group: Segment | None = None
    groups = in_group = 0
    start: int | None = None
    for place, segment in enumerate(segments):
        match segment.identifier:
            case "GS":
                group, in_group, groups = segment, 0, groups + 1
            case "ST":
                start = place
            case "SE":
                found.append(_transaction(segments, start, place, group))
                start, in_group = None, in_group + 1
            case "GE":
                _check_group(group, segment, in_group)
                group = None
            case _:
                continue
    if start is not None or group is not None:
        raise AttachmentRefusal("A transaction set or group of the X12 interchange does not end.")
    return found, groups


def _transaction(segments: Sequence[Segment], start: int | None, end: int, group: Segment | None) -> Transaction:
    if start is None or group is None:
        raise AttachmentRefusal("The X12 interchange has an SE without its ST or GS.")
    first, last, count = segments[start], segments[end], end - start + 1
    if last[1] != str(count) or last[2] != first[2]:
        raise AttachmentRefusal(
            f"SE says {last[1]!r} segments of transaction set {last[2]!r}; there are {count} of {first[2]!r}."
        )
    return Transaction(
        identifier=first[1],
        control_number=first[2],
        guide=first[3] or group[8],
        segments=tuple(segments[start + 1 : end]),
    )


def _check_group(group: Segment | None, end: Segment, count: int) -> None:
    if group is None or end[1] != str(count) or end[2] != group[6]:
        raise AttachmentRefusal(f"GE says {end[1]!r} transaction sets; its group has {count}.")
