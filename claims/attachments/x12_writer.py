"""Writing X12: segments checked against their table, and the envelope around one transaction set with its counts.

X12 has no escape for its separators before release 7030: a value that holds one cannot be written and is refused by
its element's name. Letters outside ASCII are written without their marks (``Müller`` as ``Muller``), as X12's
character set wants; what has no such form is refused.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from claims.attachment import AttachmentRefusal
from claims.attachments.partner import Partner
from claims.attachments.x12_elements import SEGMENTS, Element, Guide

ELEMENT, COMPONENT, REPETITION, TERMINATOR = "*", ":", "^", "~"
"""The separators that companion guides ask for; the ISA declares them."""
_SEPARATORS = frozenset((ELEMENT, COMPONENT, REPETITION, TERMINATOR))
_LETTERS = str.maketrans(
    {"ß": "ss", "Æ": "AE", "æ": "ae", "Ø": "O", "ø": "o", "Œ": "OE", "œ": "oe", "Ł": "L", "ł": "l", "Đ": "D", "đ": "d",
     "Ð": "D", "ð": "d", "Þ": "TH", "þ": "th", "ı": "i", "’": "'", "‘": "'", "‐": "-", "–": "-"}
)  # fmt: skip
"""Letters that Unicode does not decompose, and the punctuation of names."""
CONTROL_NUMBERS = 10**9
"""An interchange control number has nine digits; after the last one they start again."""
_ISA_WIDTH = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What stands around one transaction set."""

    guide: Guide
    partner: Partner
    control_number: int
    """From 1; ISA13, GS06 and ST02 are made of it, and a payer tells a repeated interchange by it."""
    made_at: datetime
    """With its time zone; written as it is."""


def segment(identifier: str, *elements: str | tuple[str, ...]) -> bytes:
    """One segment with its terminator; trailing empty elements are left out, a tuple is a composite.

    Raises:
        AttachmentRefusal: an element is missing, too short, too long, or has a character that X12 cannot carry.
    """
    rules = SEGMENTS[identifier]
    values = (*elements, *[""] * (len(rules) - len(elements)))
    words = [
        _word(f"{identifier}{place:02}", rule, value)
        for place, (rule, value) in enumerate(zip(rules, values, strict=True), start=1)
    ]
    while words and not words[-1]:
        words.pop()
    return (ELEMENT.join((identifier, *words)) + TERMINATOR).encode("ascii")


def binary_segment(identifier: str, *elements: str, data: bytes) -> bytes:
    """BDS or BIN: the count of the octets, then the octets, whatever they are."""
    head = ELEMENT.join((identifier, *elements, str(len(data)))) + ELEMENT
    return head.encode("ascii") + data + TERMINATOR.encode("ascii")


def interchange(envelope: Envelope, body: Sequence[bytes]) -> bytes:
    """The interchange: ISA, GS, ST, the segments of `body`, SE, GE, IEA, with every count and control number."""
    number = envelope.control_number % CONTROL_NUMBERS
    guide, partner, made = envelope.guide, envelope.partner, envelope.made_at
    long, short = f"{number:09}", str(number)
    transaction = f"{number:04}"
    head = (
        _isa(envelope, long),
        segment(
            "GS", "PI", partner.sender_id, partner.receiver_id, f"{made:%Y%m%d}", f"{made:%H%M}", short, "X", guide.name
        ),
        segment("ST", "275", transaction, guide.name),
    )
    tail = (
        segment("SE", str(len(body) + 2), transaction),
        segment("GE", "1", short),
        segment("IEA", "1", long),
    )
    return b"".join((*head, *body, *tail))


def plain(text: str) -> str:
    """A text in the letters of X12's character set, as far as it has such a form."""
    decomposed = unicodedata.normalize("NFKD", text.strip().translate(_LETTERS))
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def _isa(envelope: Envelope, control_number: str) -> bytes:
    """The ISA, whose elements have fixed widths, and whose last ones are separators and not values."""
    partner, made = envelope.partner, envelope.made_at
    sender = _word("ISA06", Element("sender", 1, _ISA_WIDTH, required=True), partner.sender_id)
    receiver = _word("ISA08", Element("receiver", 1, _ISA_WIDTH, required=True), partner.receiver_id)
    words = (
        "ISA",
        *("00", " " * 10, "00", " " * 10),
        *(_word("ISA05", SEGMENTS["ISA"][4], partner.sender_qualifier), sender.ljust(_ISA_WIDTH)),
        *(_word("ISA07", SEGMENTS["ISA"][6], partner.receiver_qualifier), receiver.ljust(_ISA_WIDTH)),
        *(f"{made:%y%m%d}", f"{made:%H%M}", REPETITION, envelope.guide.interchange_version, control_number),
        *("1", "P" if partner.is_production else "T", COMPONENT),
    )
    return (ELEMENT.join(words) + TERMINATOR).encode("ascii")


def _word(where: str, rule: Element, value: str | tuple[str, ...]) -> str:
    text = COMPONENT.join(_checked(where, rule, part) for part in value) if isinstance(value, tuple) else value
    word = text if isinstance(value, tuple) else _checked(where, rule, value)
    if not word:
        if rule.required:
            raise AttachmentRefusal(f"{where} ({rule.name}) is missing; X12 requires it.")
        return ""
    if not rule.shortest <= len(word) <= rule.longest:
        raise AttachmentRefusal(
            f"{where} ({rule.name}) takes {rule.shortest} to {rule.longest} characters, got {len(word)}."
        )
    return word


def _checked(where: str, rule: Element, value: str) -> str:
    word = plain(value)
    if not word.isascii() or not word.isprintable() or _SEPARATORS & set(word):
        raise AttachmentRefusal(
            f"{where} ({rule.name}) has a separator of X12 (* : ^ ~) or a character outside its character set; "
            f"write it in Latin letters."
        )
    return word
