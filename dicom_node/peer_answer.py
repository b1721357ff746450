"""What another node says when it is asked whether it is there, and what its refusals mean to the person at the PACS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum


class RejectSource(IntEnum):
    """Who rejected an association: PS3.8 Table 9-21."""

    USER = 1
    ACSE = 2
    PRESENTATION = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """An A-ASSOCIATE-RJ: PS3.8 Table 9-21."""

    result: int
    """Whether it is for good."""
    source: int
    reason: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerAnswer:
    """What came of an association that asked for C-ECHO and for storage."""

    rejection: Rejection | None = None
    problem: str | None = None
    """One sentence where there is no association."""
    accepted: frozenset[str] = frozenset()
    """SOP Class UIDs of the contexts that were accepted."""
    echo_status: int | None = None
    """Of the C-ECHO response; None where none came, or Verification was not accepted."""


REJECTIONS: Mapping[tuple[int, int], tuple[str, str]] = {
    (RejectSource.USER, 1): (
        "The peer rejects the association and gives no reason.",
        "Look into the peer's log; most often it does not know {calling} at this machine's address.",
    ),
    (RejectSource.USER, 2): (
        "The peer does not speak DICOM's application context.",
        "{host}:{port} is not a DICOM storage port: ask for the right one.",
    ),
    (RejectSource.USER, 3): (
        "Calling AE title not recognised.",
        "The PACS must know {calling}: add it there as a remote node, with this machine's address.",
    ),
    (RejectSource.USER, 7): (
        "Called AE title not recognised.",
        "The PACS does not call itself {called}: correct the destination's AE title to the one that it has.",
    ),
    (RejectSource.ACSE, 1): (
        "The peer's association service rejects without a reason.",
        "Look into the peer's log.",
    ),
    (RejectSource.ACSE, 2): (
        "The peer does not support the protocol version.",
        "{host}:{port} is not a DICOM port of today: ask for the right one.",
    ),
    (RejectSource.PRESENTATION, 1): (
        "The peer is congested.",
        "It takes associations again later, and deliveries are tried again; if it lasts, raise its limit.",
    ),
    (RejectSource.PRESENTATION, 2): (
        "The peer's limit of associations is reached.",
        "Raise it there: this node opens up to four for each worker.",
    ),
}
"""(source, reason) -> what it means, and what to do; reasons of PS3.8 Table 9-21 that are not reserved."""
