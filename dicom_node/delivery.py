"""What became of an instance that was sent, and when to try again: tables, no sockets.

A *permanent refusal* goes to the dead letter, where a person decides; everything that may pass is tried again with
back-off. A status that no table names counts as passing: wrongly giving up loses a result, wrongly trying again
does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path
from typing import Protocol

from dicom_node.peer_answer import Rejection


class Verdict(StrEnum):
    """What a peer did with one instance."""

    ACCEPTED = "accepted"
    """Stored, perhaps with a warning; or there already."""
    REFUSED = "refused_permanently"
    """The peer will never take it as it is."""
    FAILED = "failed_transiently"
    """It may take it later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendOutcome:
    """The answer for one instance."""

    sop_instance_uid: str
    verdict: Verdict
    status: int | None
    """DIMSE or HTTP status; None where no answer came."""
    sentence: str
    """For a person; no identity."""


class Gate(Protocol):
    """Asked around each file that is sent; what it raises ends the sending, and reaches the caller."""

    def before(self, file: Path, /) -> None:
        """The file is about to leave: nothing stands between this call and the socket."""
        ...

    def after(self, file: Path, outcome: SendOutcome, /) -> None:
        """What became of the file, sent or not, as soon as it is known."""
        ...


class OpenGate:
    """Lets everything out."""

    def before(self, file: Path, /) -> None:
        """Nothing is asked."""

    def after(self, file: Path, outcome: SendOutcome, /) -> None:
        """Nothing is noted."""


OPEN_GATE = OpenGate()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What a status means."""

    verdict: Verdict
    meaning: str
    rejection: Rejection | None = None
    """Where the peer rejected the association."""


STORE_STATUS: dict[int, Ruling] = {
    0x0000: Ruling(verdict=Verdict.ACCEPTED, meaning="Success"),
    0x0107: Ruling(verdict=Verdict.ACCEPTED, meaning="Warning: attribute list error"),
    0x0111: Ruling(verdict=Verdict.ACCEPTED, meaning="Duplicate SOP Instance: the peer has it already"),
    0x0116: Ruling(verdict=Verdict.ACCEPTED, meaning="Warning: attribute value out of range"),
    0xB000: Ruling(verdict=Verdict.ACCEPTED, meaning="Warning: coercion of data elements"),
    0xB006: Ruling(verdict=Verdict.ACCEPTED, meaning="Warning: elements discarded"),
    0xB007: Ruling(verdict=Verdict.ACCEPTED, meaning="Warning: data set does not match SOP class"),
    0x0105: Ruling(verdict=Verdict.REFUSED, meaning="No such attribute"),
    0x0106: Ruling(verdict=Verdict.REFUSED, meaning="Invalid attribute value"),
    0x0115: Ruling(verdict=Verdict.REFUSED, meaning="Invalid argument value"),
    0x0117: Ruling(verdict=Verdict.REFUSED, meaning="Invalid SOP Instance"),
    0x0118: Ruling(verdict=Verdict.REFUSED, meaning="No such SOP class"),
    0x0119: Ruling(verdict=Verdict.REFUSED, meaning="Class-instance conflict"),
    0x0120: Ruling(verdict=Verdict.REFUSED, meaning="Missing attribute"),
    0x0121: Ruling(verdict=Verdict.REFUSED, meaning="Missing attribute value"),
    0x0122: Ruling(verdict=Verdict.REFUSED, meaning="Refused: SOP class not supported"),
    0x0124: Ruling(verdict=Verdict.REFUSED, meaning="Refused: not authorized"),
    0x0211: Ruling(verdict=Verdict.REFUSED, meaning="Unrecognized operation"),
    0x0212: Ruling(verdict=Verdict.REFUSED, meaning="Mistyped argument"),
    0x0110: Ruling(verdict=Verdict.FAILED, meaning="Processing failure"),
    0x0210: Ruling(verdict=Verdict.FAILED, meaning="Duplicate invocation"),
    0x0213: Ruling(verdict=Verdict.FAILED, meaning="Resource limitation"),
}
"""C-STORE status codes of one value: PS3.4 B.2.3 and PS3.7 Annex C."""

STORE_STATUS_RANGES: tuple[tuple[int, int, Ruling], ...] = (
    (0xA700, 0xA7FF, Ruling(verdict=Verdict.FAILED, meaning="Refused: out of resources")),
    (0xA900, 0xA9FF, Ruling(verdict=Verdict.REFUSED, meaning="Error: data set does not match SOP class")),
    (0xC000, 0xCFFF, Ruling(verdict=Verdict.REFUSED, meaning="Error: cannot understand")),
)
"""C-STORE status codes by range, first and last included: PS3.4 Table B.2-1."""

HTTP_STATUS: dict[int, Ruling] = {
    HTTPStatus.REQUEST_TIMEOUT: Ruling(verdict=Verdict.FAILED, meaning="Request timeout"),
    HTTPStatus.TOO_EARLY: Ruling(verdict=Verdict.FAILED, meaning="Too early"),
    HTTPStatus.TOO_MANY_REQUESTS: Ruling(verdict=Verdict.FAILED, meaning="Too many requests"),
    HTTPStatus.LOCKED: Ruling(verdict=Verdict.FAILED, meaning="Locked"),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: Ruling(verdict=Verdict.REFUSED, meaning="The instance is too large"),
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: Ruling(verdict=Verdict.REFUSED, meaning="Unsupported media type"),
    HTTPStatus.NOT_IMPLEMENTED: Ruling(verdict=Verdict.REFUSED, meaning="Not implemented"),
}
"""STOW-RS answers that concern the whole request and that their class (4xx, 5xx) does not decide."""

_CONTEXT_MEANING = {
    1: Ruling(verdict=Verdict.FAILED, meaning="presentation context rejected by the user"),
    2: Ruling(verdict=Verdict.FAILED, meaning="presentation context rejected without a reason"),
    3: Ruling(verdict=Verdict.REFUSED, meaning="SOP class not supported by the peer"),
    4: Ruling(verdict=Verdict.REFUSED, meaning="transfer syntax not supported by the peer"),
}
"""Result of a presentation context that was not accepted: PS3.8 Table 9-18."""


def rule_store(status: int) -> Ruling:
    """What a C-STORE status means for the instance."""
    if status in STORE_STATUS:
        return STORE_STATUS[status]
    for first, last, ruling in STORE_STATUS_RANGES:
        if first <= status <= last:
            return ruling
    return Ruling(verdict=Verdict.FAILED, meaning="status not in the standard")


def rule_http(status: int) -> Ruling:
    """What an HTTP status means for the instances of a request that was not answered one by one."""
    if status in HTTP_STATUS:
        return HTTP_STATUS[status]
    if HTTPStatus(200) <= status < HTTPStatus(300):
        return Ruling(verdict=Verdict.ACCEPTED, meaning="Success")
    if HTTPStatus(400) <= status < HTTPStatus(500):
        return Ruling(verdict=Verdict.REFUSED, meaning="the request was refused")
    return Ruling(verdict=Verdict.FAILED, meaning="the peer failed or redirected")


def rule_context(result: int) -> Ruling:
    """What the rejection of a presentation context means for the instances that need it."""
    return _CONTEXT_MEANING.get(result, Ruling(verdict=Verdict.FAILED, meaning="presentation context not negotiated"))


@dataclass(frozen=True, slots=True, kw_only=True)
class BackOff:
    """When to try again: the wait doubles from ``first_s`` up to ``longest_s``."""

    first_s: float = 10.0
    longest_s: float = 3600.0
    attempts: int = 72
    """Tries in all; with the defaults they span about two and a half days, a weekend with the PACS down."""

    def delay_s(self, attempts_made: int) -> float | None:
        """Seconds to wait after so many attempts (from 1); None when no attempt is left."""
        if attempts_made < 1:
            raise ValueError(f"attempts_made must be 1 or more, got {attempts_made}")
        if attempts_made >= self.attempts:
            return None
        doublings = min(attempts_made - 1, 64)
        return min(self.first_s * 2.0**doublings, self.longest_s)
