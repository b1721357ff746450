"""HL7 v2 messages as a feed sends them: their header, what of them is refused, and the acknowledgement.

Header and acknowledgement: HL7 v2.5.1, 2.15.9 (MSH), 2.15.8 (MSA), 2.15.5 (ERR); original mode. Tables 0008 (MSA-1),
0357 (ERR-3), 0103 (MSH-11), 0085 (OBX-11), 0123 (OBR-25).
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from inference.errors import Refusal

LONGEST_CONTROL_ID = 199
"""HL7 v2.7 and later, 2.14.9.10; earlier versions have 20."""
_VOID = frozenset({"D", "W", "X"})
"""OBX-11: deleted, wrong patient or specimen, cannot be obtained."""
_CANCELLED = "X"
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]|[|^~\\&]")


class Answer(StrEnum):
    """MSA-1 (table 0008)."""

    ACCEPTED = "AA"
    FAILED = "AE"
    """What it says cannot be taken, or could not be kept."""
    REJECTED = "AR"
    """It is no message for this feed."""


class Code(StrEnum):
    """ERR-3 (table 0357)."""

    SEQUENCE = "100"
    REQUIRED = "101"
    MESSAGE_TYPE = "200"
    EVENT = "201"
    PROCESSING = "202"
    VERSION = "203"
    DUPLICATE = "205"
    INTERNAL = "207"
    OTHER = "199"


MEANINGS = {
    Code.SEQUENCE: "Segment sequence error",
    Code.REQUIRED: "Required field missing",
    Code.MESSAGE_TYPE: "Unsupported message type",
    Code.EVENT: "Unsupported event code",
    Code.PROCESSING: "Unsupported processing id",
    Code.VERSION: "Unsupported version id",
    Code.DUPLICATE: "Duplicate key identifier",
    Code.INTERNAL: "Application internal error",
    Code.OTHER: "Other HL7 error",
}


class MessageRefusal(Refusal):
    """A message is not taken."""

    def __init__(self, answer: Answer, code: Code, sentence: str) -> None:
        """One sentence without anything of a patient."""
        super().__init__(sentence)
        self.answer, self.error_code = answer, code


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Segments as fields; text is Latin-1, so that every byte is what it was."""

    segments: tuple[tuple[str, ...], ...]
    separator: str
    encoding_characters: str

    def all(self, name: str) -> Iterator[tuple[str, ...]]:
        """The segments of a name."""
        return (segment for segment in self.segments if segment[0] == name)

    def field(self, name: str, number: int) -> str:
        """A field of the first segment of a name; empty where there is none."""
        return next((_at(segment, number) for segment in self.all(name)), "")

    def part(self, name: str, number: int, component: int) -> str:
        """A component, counted from 1, of the first repetition of a field."""
        separator, repeated = self.encoding_characters[:1] or "^", self.encoding_characters[1:2] or "~"
        parts = self.field(name, number).split(repeated)[0].split(separator)
        return parts[component - 1].strip() if len(parts) >= component else ""

    @property
    def control_id(self) -> str:
        """MSH-10."""
        return self.field("MSH", 10).strip()

    @property
    def withdraws(self) -> bool:
        """Whether it takes back the report: the request cancelled, or every line deleted, wrong or not obtained."""
        lines = [_at(segment, 11).strip().upper() for segment in self.all("OBX")]
        return self.field("OBR", 25).strip().upper() == _CANCELLED or (bool(lines) and set(lines) <= _VOID)


NOTHING = Message(segments=(), separator="|", encoding_characters="^~\\&")
"""Stands for bytes that are no message."""


def parse(data: bytes) -> Message:
    """The segments.

    Raises:
        MessageRefusal: it does not begin with a message header.
    """
    text = data.decode("latin-1").strip("\r\n \t")
    if not text.startswith("MSH") or len(text) < len("MSH|^~\\&|") or text[3].isalnum():
        raise MessageRefusal(Answer.REJECTED, Code.SEQUENCE, "What came is no HL7 v2 message: it has no MSH segment.")
    separator = text[3]
    lines = [line for line in re.split(r"[\r\n]+", text) if line]
    segments = tuple(tuple(line.split(separator)) for line in lines)
    head = ("MSH", separator, *segments[0][1:])  # MSH-1 is the separator itself
    return Message(segments=(head, *segments[1:]), separator=separator, encoding_characters=segments[0][1])


def check_report(message: Message) -> None:
    """Refuse what is no message with one report for this feed.

    Raises:
        MessageRefusal: by name.
    """
    kind, trigger = message.part("MSH", 9, 1), message.part("MSH", 9, 2)
    if not message.control_id or len(message.control_id) > LONGEST_CONTROL_ID:
        raise MessageRefusal(Answer.REJECTED, Code.REQUIRED, "MSH-10 (message control id) is missing or too long.")
    if kind != "ORU":
        raise MessageRefusal(Answer.REJECTED, Code.MESSAGE_TYPE, "This feed takes ORU messages only (MSH-9).")
    if trigger not in {"R01", ""}:
        raise MessageRefusal(Answer.REJECTED, Code.EVENT, "This feed takes ORU^R01 only (MSH-9).")
    if message.part("MSH", 11, 1) != "P":
        raise MessageRefusal(
            Answer.REJECTED, Code.PROCESSING, "This feed takes production messages only: MSH-11 has to be P."
        )
    if not message.part("MSH", 12, 1).startswith("2."):
        raise MessageRefusal(Answer.REJECTED, Code.VERSION, "This feed takes HL7 version 2 only (MSH-12).")


def acknowledge(message: Message, answer: Answer, refusal: MessageRefusal | None = None) -> bytes:
    """The acknowledgement of a message, in its own separators."""
    bar, characters = message.separator, message.encoding_characters
    caret = characters[:1] or "^"
    fields = (
        *("MSH", characters, message.field("MSH", 5), message.field("MSH", 6)),
        *(message.field("MSH", 3), message.field("MSH", 4), time.strftime("%Y%m%d%H%M%S+0000", time.gmtime()), ""),
        *(f"ACK{caret}{message.part('MSH', 9, 2) or 'R01'}{caret}ACK", uuid.uuid4().hex[:20]),
        *(message.field("MSH", 11) or "P", message.field("MSH", 12) or "2.5.1"),
    )
    sentence = _UNPRINTABLE.sub(" ", str(refusal)) if refusal else ""
    lines = [bar.join(fields), bar.join(("MSA", answer.value, message.control_id, sentence)).rstrip(bar)]
    if refusal is not None:
        code = caret.join((refusal.error_code.value, MEANINGS[refusal.error_code], "HL70357"))
        lines.append(bar.join(("ERR", "", "", code, "E", "", "", "", sentence)))
    return ("\r".join(lines) + "\r").encode("latin-1")


def _at(segment: tuple[str, ...], number: int) -> str:
    return segment[number] if len(segment) > number else ""
