"""What can become of an instance that is sent to us, and the status that the sender is told: one table.

Statuses are those of the Storage Service (PS3.4 B.2.3, Table B.2-1) and the general ones of PS3.7 Annex C. The Error
Comment (0000,0902) is LO, at most 64 characters, and never holds anything about the patient.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

ERROR_COMMENT_MAX_CHARACTERS = 64
"""Length limit of an LO value (PS3.5 6.2)."""


class Verdict(StrEnum):
    """What became of one instance, sent by C-STORE or STOW-RS."""

    STORED = "stored"
    """New; durable now."""
    DUPLICATE = "duplicate"
    """Held already, byte for byte, in the same transfer syntax; nothing was written twice."""
    OWN_RETURNED = "own_returned"
    """An object that this node made and still holds; acknowledged, not stored again, starts nothing."""
    REENCODED = "reencoded"
    """Held already in another transfer syntax. Whether both say the same cannot be told without decoding, which the
    receiver never does: the first bytes stay, the new ones are set aside."""
    CONFLICT = "conflict"
    """The SOP Instance UID is held already with other bytes; the first bytes stay, the new ones are set aside."""
    MISMATCH = "mismatch"
    """The data set's SOP Class or Instance UID differs from the request's; set aside."""
    OTHER_STUDY = "other_study"
    """The data set belongs to another study than the one that it was sent to (STOW-RS only); set aside."""
    NOT_NEGOTIATED = "not_negotiated"
    """The request names another SOP class than its presentation context; set aside."""
    UNREADABLE = "unreadable"
    """The data set's header cannot be read in the negotiated transfer syntax; set aside."""
    UID_MISSING = "uid_missing"
    """A UID that every instance must have is missing or not a UID; set aside."""
    NO_DATA_SET = "no_data_set"
    """The request came without a data set."""
    TOO_LARGE = "too_large"
    """The data set is larger than the setting allows; not kept."""
    OVER_QUOTA = "over_quota"
    """The sender has sent as much today as the setting allows; not kept, it may try again tomorrow (UTC)."""
    OUT_OF_SPACE = "out_of_space"
    """The disk is full or beyond its watermark; not kept, the sender may try again later."""
    STORAGE_FAILED = "storage_failed"
    """The disk refused the bytes (read-only, input/output error); not acknowledged, may be retried."""
    DATABASE_FAILED = "database_failed"
    """The row could not be committed in time; not acknowledged, may be retried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What the sender is told."""

    status: int
    """DIMSE status, 16 bits."""
    comment: str
    """Error Comment; empty for success."""
    keeps_bytes: bool
    """Whether the bytes are set aside in quarantine with a row."""


RESPONSES: Mapping[Verdict, Response] = MappingProxyType(
    {
        Verdict.STORED: Response(status=0x0000, comment="", keeps_bytes=False),
        Verdict.DUPLICATE: Response(status=0x0000, comment="", keeps_bytes=False),
        Verdict.OWN_RETURNED: Response(status=0x0000, comment="", keeps_bytes=False),
        # Warning, Coercion of Data Elements: what we hold is encoded differently from what was sent.
        Verdict.REENCODED: Response(
            status=0xB000, comment="Held in another transfer syntax; this copy was set aside", keeps_bytes=True
        ),
        # Duplicate SOP Instance (PS3.7 C.5.6): a failure, because what was sent is not what a query would find.
        Verdict.CONFLICT: Response(
            status=0x0111, comment="SOP Instance UID is held with other bytes; set aside", keeps_bytes=True
        ),
        Verdict.MISMATCH: Response(
            status=0xA900, comment="SOP Class or Instance UID differs from the request; set aside", keeps_bytes=True
        ),
        Verdict.OTHER_STUDY: Response(
            status=0xA900, comment="Study Instance UID differs from the request; set aside", keeps_bytes=True
        ),
        # Refused: SOP Class not supported (PS3.7 C.5.10), here: on this presentation context.
        Verdict.NOT_NEGOTIATED: Response(
            status=0x0122, comment="SOP Class is not the one of the presentation context", keeps_bytes=True
        ),
        Verdict.UNREADABLE: Response(
            status=0xC000, comment="Header unreadable in the transfer syntax; set aside", keeps_bytes=True
        ),
        Verdict.UID_MISSING: Response(
            status=0xC001, comment="SOP, Study or Series UID missing or invalid; set aside", keeps_bytes=True
        ),
        # Mistyped argument (PS3.7 C.5.8): C-STORE-RQ always carries a data set (PS3.7 9.3.1.1).
        Verdict.NO_DATA_SET: Response(status=0x0212, comment="C-STORE without a data set", keeps_bytes=False),
        Verdict.TOO_LARGE: Response(
            status=0xA701, comment="Data set is larger than this node accepts", keeps_bytes=False
        ),
        Verdict.OVER_QUOTA: Response(
            status=0xA702, comment="Quota of this sender is used up; try again tomorrow (UTC)", keeps_bytes=False
        ),
        Verdict.OUT_OF_SPACE: Response(
            status=0xA700, comment="Out of disk space; not stored, try again later", keeps_bytes=False
        ),
        # Processing failure (PS3.7 C.5.21).
        Verdict.STORAGE_FAILED: Response(
            status=0x0110, comment="Storage failed; not stored, try again later", keeps_bytes=False
        ),
        # Refused: Out of resources (PS3.4 Table B.2-1): it passes, and every sender knows that one to try again.
        Verdict.DATABASE_FAILED: Response(
            status=0xA700, comment="Database is not available; not stored, try again later", keeps_bytes=False
        ),
    }
)
"""The answer to every verdict. Failures in which bytes are kept are listed in the table ``quarantine``."""

DISK_FULL_ERRNOS: frozenset[int] = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def verdict_of_os_error(error: OSError) -> Verdict:
    """The verdict when writing failed: a full disk is out of resources (0xA700), anything else a failure of ours."""
    return Verdict.OUT_OF_SPACE if error.errno in DISK_FULL_ERRNOS else Verdict.STORAGE_FAILED
