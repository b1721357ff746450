"""What is recorded, as one value: who did what, when, from where, to which study, and how it ended.

The kinds and their codes are DICOM PS3.15 A.5.3 with CID 400 (Audit Event ID) and CID 401 (Audit Event Type Code). A
record holds the user's identity and the Study Instance UID, and nothing of a patient: no query, no finding, no pixel.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict, dataclass
from enum import Enum, StrEnum

from server.auth.roles import Principal

_UID = re.compile(r"[0-9.]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A code of the DICOM Controlled Terminology (DCM)."""

    value: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EventCodes:
    """How DICOM names a kind of event."""

    event: Code
    action: str
    """C create, R read, U update, D delete, E execute."""
    type: Code | None = None


def _codes(event: tuple[str, str], action: str, type_: tuple[str, str] | None = None) -> EventCodes:
    return EventCodes(
        event=Code(value=event[0], meaning=event[1]),
        action=action,
        type=None if type_ is None else Code(value=type_[0], meaning=type_[1]),
    )


_AUTHENTICATION = ("110114", "User Authentication")
_ALERT = ("110113", "Security Alert")
_PROCEDURE = ("110111", "Procedure Record")
_ACTIVITY = ("110100", "Application Activity")
_BEGIN = ("110102", "Begin Transferring DICOM Instances")
_TRANSFERRED = ("110104", "DICOM Instances Transferred")
_ACCESSED = ("110103", "DICOM Instances Accessed")


class AuditKind(Enum):
    """What happened; the value is the name in the log."""

    LOGIN = "login"
    LOGOUT = "logout"
    BAD_KEY = "bad_key"
    REFUSED = "refused"
    IMAGES_QUERIED = "images_queried"
    IMAGES_READ = "images_read"
    IMAGES_STORED = "images_stored"
    WORKITEM_READ = "workitem_read"
    WORKITEM_CHANGED = "workitem_changed"
    FINDINGS_READ = "findings_read"
    REVIEWED = "reviewed"
    CLAIM_READ = "claim_read"
    CLAIM_CHANGED = "claim_changed"
    CLAIM_DELETED = "claim_deleted"
    CLAIM_SEALED = "claim_sealed"
    EXPORTED = "exported"
    AUDIT_READ = "audit_read"
    USER_CHANGED = "user_changed"
    ASSOCIATION_REFUSED = "association_refused"
    RECEIVING_BEGUN = "receiving_begun"
    INSTANCES_RECEIVED = "instances_received"
    SENDING_BEGUN = "sending_begun"
    INSTANCES_SENT = "instances_sent"
    NODE_STARTED = "node_started"
    NODE_STOPPED = "node_stopped"
    STUDY_DELETED = "study_deleted"
    HOLD_CHANGED = "hold_changed"

    @property
    def codes(self) -> EventCodes:
        """The codes of the kind."""
        return CODES[self]


CODES = {
    AuditKind.LOGIN: _codes(_AUTHENTICATION, "E", ("110122", "Login")),
    AuditKind.LOGOUT: _codes(_AUTHENTICATION, "E", ("110123", "Logout")),
    AuditKind.BAD_KEY: _codes(_ALERT, "E", ("110126", "Node Authentication")),
    AuditKind.REFUSED: _codes(_ALERT, "E", ("110132", "Use of Restricted Function")),
    AuditKind.IMAGES_QUERIED: _codes(("110112", "Query"), "E"),
    AuditKind.IMAGES_READ: _codes(_ACCESSED, "R"),
    AuditKind.IMAGES_STORED: _codes(_TRANSFERRED, "C"),
    AuditKind.WORKITEM_READ: _codes(_PROCEDURE, "R"),
    AuditKind.WORKITEM_CHANGED: _codes(_PROCEDURE, "U"),
    AuditKind.FINDINGS_READ: _codes(_ACCESSED, "R"),
    AuditKind.REVIEWED: _codes(_ACCESSED, "U"),
    AuditKind.CLAIM_READ: _codes(("110110", "Patient Record"), "R"),
    AuditKind.CLAIM_CHANGED: _codes(("110110", "Patient Record"), "U"),
    AuditKind.CLAIM_DELETED: _codes(("110110", "Patient Record"), "D"),
    AuditKind.CLAIM_SEALED: _codes(("110110", "Patient Record"), "U"),
    AuditKind.EXPORTED: _codes(("110106", "Export"), "R"),
    AuditKind.AUDIT_READ: _codes(("110101", "Audit Log Used"), "R"),
    AuditKind.USER_CHANGED: _codes(_ALERT, "E", ("110137", "User Security Attributes Changed")),
    AuditKind.ASSOCIATION_REFUSED: _codes(_ALERT, "E", ("110126", "Node Authentication")),
    AuditKind.RECEIVING_BEGUN: _codes(_BEGIN, "E"),
    AuditKind.INSTANCES_RECEIVED: _codes(_TRANSFERRED, "C"),
    AuditKind.SENDING_BEGUN: _codes(_BEGIN, "E"),
    AuditKind.INSTANCES_SENT: _codes(_TRANSFERRED, "C"),
    AuditKind.NODE_STARTED: _codes(_ACTIVITY, "E", ("110120", "Application Start")),
    AuditKind.NODE_STOPPED: _codes(_ACTIVITY, "E", ("110121", "Application Stop")),
    AuditKind.STUDY_DELETED: _codes(("110105", "DICOM Study Deleted"), "D"),
    AuditKind.HOLD_CHANGED: _codes(_ALERT, "U", ("110135", "Object Security Attributes Changed")),
}
"""PS3.15 A.5.3 and CID 400, 401; a review changes what the objects of a study mean, so it is an access that updates."""
PEER_SENDS = frozenset({AuditKind.RECEIVING_BEGUN, AuditKind.INSTANCES_RECEIVED})
"""Kinds of which the subject is the AE title that sends to this node."""
NODE_SENDS = frozenset({AuditKind.SENDING_BEGUN, AuditKind.INSTANCES_SENT})
"""Kinds of which the subject is the destination that this node sends to."""


class Outcome(StrEnum):
    """How it ended (PS3.15 A.5.1, EventOutcomeIndicator)."""

    SUCCESS = "0"
    MINOR_FAILURE = "4"
    """Refused, or not there: what was asked did not happen."""
    SERIOUS_FAILURE = "8"
    """A fault of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One line of the audit trail."""

    kind: AuditKind
    outcome: Outcome
    at: float
    """Seconds since the epoch (UTC), to the millisecond."""
    subject: str
    display_name: str
    role: str
    """Empty where the identity has none."""
    method: str
    """How the identity was established."""
    address: str
    """Network address of who asked; empty on the command line."""
    studies: tuple[str, ...] = ()
    """Study Instance UIDs; only what has the form of a UID."""
    object: str = ""
    """What it was done to: a route without its values but our id of a claim, the subject of a user or key, a role of
    this node, why somebody was not let in, how much was deleted, or why a study is held."""
    instances: int = 0
    """Of a transfer: how many instances were taken."""

    def __post_init__(self) -> None:
        """Keep out of the trail whatever is not a UID: what a client wrote into a path may be anything."""
        object.__setattr__(self, "studies", tuple(uid for uid in self.studies if _UID.fullmatch(uid)))
        object.__setattr__(self, "at", round(self.at, 3))

    def canonical(self) -> str:
        """The one text of this record, over which the chain is hashed: JSON with sorted keys."""
        values = asdict(self) | {"kind": self.kind.value, "outcome": self.outcome.value}
        return json.dumps(values, sort_keys=True, ensure_ascii=True, separators=(",", ":"))


def parse(text: str) -> AuditRecord:
    """The record of a canonical text."""
    values = json.loads(text)
    known = {"kind": AuditKind(values["kind"]), "outcome": Outcome(values["outcome"])}
    return AuditRecord(**(values | known | {"studies": tuple(values["studies"])}))


def record_of(
    kind: AuditKind,
    principal: Principal,
    *,
    outcome: Outcome = Outcome.SUCCESS,
    address: str = "",
    studies: tuple[str, ...] = (),
    about: str = "",
    instances: int = 0,
) -> AuditRecord:
    """What they did just now."""
    return AuditRecord(
        kind=kind,
        outcome=outcome,
        at=time.time(),
        subject=principal.subject,
        display_name=principal.display_name,
        role=principal.role.value if principal.role else "",
        method=principal.method.value,
        address=address,
        studies=studies,
        object=about,
        instances=instances,
    )
