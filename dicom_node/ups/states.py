"""The state transitions of a workitem, as one table (PS3.4 Table CC.1.1-2), with what HTTP says of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from http import HTTPStatus

from dicom_node.dicomweb.refusals import WebRefusal


class UpsState(StrEnum):
    """Procedure Step State (0074,1000), PS3.4 Table CC.1.1-1."""

    SCHEDULED = "SCHEDULED"
    """To be performed; nobody has claimed it."""
    IN_PROGRESS = "IN PROGRESS"
    """Claimed: only who has its Transaction UID changes it."""
    COMPLETED = "COMPLETED"
    """Done; final."""
    CANCELED = "CANCELED"
    """Stopped before or while it was performed; final."""


class Event(StrEnum):
    """What is asked of a workitem."""

    CREATE = "create"
    CLAIM = "change state to IN PROGRESS"
    SCHEDULE = "change state to SCHEDULED"
    COMPLETE = "change state to COMPLETED"
    CANCEL = "change state to CANCELED"
    REQUEST_CANCEL = "request cancellation"
    UPDATE = "update"


CHANGES: Mapping[str, Event] = {
    UpsState.IN_PROGRESS.value: Event.CLAIM,
    UpsState.SCHEDULED.value: Event.SCHEDULE,
    UpsState.COMPLETED.value: Event.COMPLETE,
    UpsState.CANCELED.value: Event.CANCEL,
}
"""By the state that a change asks for (PS3.18 11.7.1.4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What one status of PS3.4 CC.2 is as an HTTP answer."""

    status: HTTPStatus
    sentence: str
    warning: str | None = None
    """Text of the Warning header that PS3.18 11.6 to 11.8 prescribe; None: the sentence of a failure."""


_INCONSISTENT = "The submitted request is inconsistent with the state of the UPS Instance."


class Status(Enum):
    """DIMSE statuses of the operations on workitems (PS3.4 CC.2.1.4, CC.2.2.4, CC.2.5.4, CC.2.6.4)."""

    ALREADY_CANCELED = 0xB304
    ALREADY_COMPLETED = 0xB306
    DUPLICATE = 0x0111
    NO_LONGER_UPDATED = 0xC300
    WRONG_TRANSACTION_UID = 0xC301
    ALREADY_IN_PROGRESS = 0xC302
    SCHEDULED_ONLY_BY_CREATE = 0xC303
    FINAL_STATE_NOT_MET = 0xC304
    UNKNOWN = 0xC307
    NOT_YET_IN_PROGRESS = 0xC310
    COMPLETED_ALREADY = 0xC311
    PERFORMER_UNREACHABLE = 0xC312
    PERFORMER_REFUSES = 0xC313


MEANINGS: Mapping[Status, Meaning] = {
    Status.ALREADY_CANCELED: Meaning(
        status=HTTPStatus.OK, sentence="The UPS is already in the requested state of CANCELED."
    ),
    Status.ALREADY_COMPLETED: Meaning(
        status=HTTPStatus.OK, sentence="The UPS is already in the requested state of COMPLETED."
    ),
    Status.DUPLICATE: Meaning(
        status=HTTPStatus.CONFLICT, sentence="A workitem with this UID exists.", warning=_INCONSISTENT
    ),
    Status.NO_LONGER_UPDATED: Meaning(
        status=HTTPStatus.CONFLICT,
        sentence="The workitem is COMPLETED or CANCELED and stays as it is.",
        warning=_INCONSISTENT,
    ),
    Status.WRONG_TRANSACTION_UID: Meaning(
        status=HTTPStatus.BAD_REQUEST, sentence="The Transaction UID is incorrect.", warning=None
    ),
    Status.ALREADY_IN_PROGRESS: Meaning(
        status=HTTPStatus.CONFLICT, sentence="The workitem is IN PROGRESS already.", warning=_INCONSISTENT
    ),
    Status.SCHEDULED_ONLY_BY_CREATE: Meaning(
        status=HTTPStatus.BAD_REQUEST,
        sentence="A workitem becomes SCHEDULED by being created, and in no other way.",
        warning=_INCONSISTENT,
    ),
    Status.FINAL_STATE_NOT_MET: Meaning(
        status=HTTPStatus.CONFLICT,
        sentence="The workitem lacks attributes that its final state demands (PS3.4 Table CC.2.5-3).",
        warning=_INCONSISTENT,
    ),
    Status.UNKNOWN: Meaning(status=HTTPStatus.NOT_FOUND, sentence="There is no workitem with this UID."),
    Status.NOT_YET_IN_PROGRESS: Meaning(
        status=HTTPStatus.CONFLICT, sentence="The workitem is not IN PROGRESS yet.", warning=_INCONSISTENT
    ),
    Status.COMPLETED_ALREADY: Meaning(
        status=HTTPStatus.CONFLICT, sentence="The workitem is COMPLETED.", warning=_INCONSISTENT
    ),
    Status.PERFORMER_UNREACHABLE: Meaning(
        status=HTTPStatus.CONFLICT,
        sentence="The workitem is IN PROGRESS at a performer that this node cannot tell of the request.",
        warning=_INCONSISTENT,
    ),
    Status.PERFORMER_REFUSES: Meaning(
        status=HTTPStatus.CONFLICT,
        sentence="This node is performing the workitem and goes on; what is being read is not cancelled.",
        warning=_INCONSISTENT,
    ),
}

REFUSED_UPDATES: Mapping[Status, Meaning] = {
    Status.NO_LONGER_UPDATED: Meaning(
        status=HTTPStatus.BAD_REQUEST,
        sentence="The workitem is COMPLETED or CANCELED and stays as it is.",
        warning="The submitted request is inconsistent with the current state of the Workitem.",
    ),
    Status.NOT_YET_IN_PROGRESS: Meaning(
        status=HTTPStatus.CONFLICT,
        sentence="The workitem is not claimed: it is updated without a Transaction UID.",
        warning="The target URI did not reference a claimed Workitem.",
    ),
}
"""Where PS3.18 11.6 has another answer for an update."""

STATES: tuple[UpsState | None, ...] = (
    None,
    UpsState.SCHEDULED,
    UpsState.IN_PROGRESS,
    UpsState.COMPLETED,
    UpsState.CANCELED,
)
"""The columns of TRANSITIONS; None: there is no such workitem."""
_S, _P, _C, _X = UpsState.SCHEDULED, UpsState.IN_PROGRESS, UpsState.COMPLETED, UpsState.CANCELED
_NONE = Status.UNKNOWN
_WRONG = (_NONE, *(4 * (Status.WRONG_TRANSACTION_UID,)))

TRANSITIONS: Mapping[tuple[Event, bool], tuple[UpsState | Status, ...]] = {
    (Event.CREATE, True): (_S, *(4 * (Status.DUPLICATE,))),
    (Event.CLAIM, True): (
        _NONE, _P, Status.ALREADY_IN_PROGRESS, Status.NO_LONGER_UPDATED, Status.NO_LONGER_UPDATED,
    ),
    (Event.CLAIM, False): _WRONG,
    (Event.SCHEDULE, True): (_NONE, *(4 * (Status.SCHEDULED_ONLY_BY_CREATE,))),
    (Event.SCHEDULE, False): (_NONE, *(4 * (Status.SCHEDULED_ONLY_BY_CREATE,))),
    (Event.COMPLETE, True): (
        _NONE, Status.NOT_YET_IN_PROGRESS, _C, Status.ALREADY_COMPLETED, Status.NO_LONGER_UPDATED,
    ),
    (Event.COMPLETE, False): _WRONG,
    (Event.CANCEL, True): (
        _NONE, Status.NOT_YET_IN_PROGRESS, _X, Status.NO_LONGER_UPDATED, Status.ALREADY_CANCELED,
    ),
    (Event.CANCEL, False): _WRONG,
    (Event.REQUEST_CANCEL, True): (
        _NONE, _X, Status.PERFORMER_UNREACHABLE, Status.COMPLETED_ALREADY, Status.ALREADY_CANCELED,
    ),
    (Event.UPDATE, True): (
        _NONE, _S, _P, Status.NO_LONGER_UPDATED, Status.NO_LONGER_UPDATED,
    ),
    (Event.UPDATE, False): (
        _NONE, Status.NOT_YET_IN_PROGRESS, Status.WRONG_TRANSACTION_UID, Status.NO_LONGER_UPDATED,
        Status.NO_LONGER_UPDATED,
    ),
}  # fmt: skip
"""What comes of an event in each state: the next one, or why not. PS3.4 Table CC.1.1-2, and CC.2.6.3 for updates.

The flag says whether the Transaction UID is the right one: for a claim any, for an update of a SCHEDULED workitem none.
"""


class WorkitemRefusal(WebRefusal):
    """A request about a workitem that is not done."""

    def __init__(self, reason: Status, sentence: str | None = None, meaning: Meaning | None = None) -> None:
        """Keep the reason, and the text of the Warning header; another meaning than the usual one may be given."""
        meaning = meaning or MEANINGS[reason]
        super().__init__(meaning.status, sentence or meaning.sentence)
        self.reason = reason
        self.warning = meaning.warning or sentence or meaning.sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """The Transaction UID of a workitem, and the one that was sent."""

    held: str | None
    given: str | None

    def fits(self, event: Event, state: UpsState | None) -> bool:
        """Whether what was sent is right for this event."""
        match event:
            case Event.CLAIM | Event.COMPLETE | Event.CANCEL if state is UpsState.SCHEDULED:
                return self.given is not None
            case Event.UPDATE if state is UpsState.SCHEDULED:
                return self.given is None
            case Event.CREATE | Event.SCHEDULE | Event.REQUEST_CANCEL:
                return True
            case _:
                return self.given is not None and self.given == self.held


def step(event: Event, state: UpsState | None, lock: Lock) -> tuple[UpsState, Status | None]:
    """The state after an event, with a warning where it changes nothing.

    Raises:
        WorkitemRefusal: the table says so.
    """
    outcome = TRANSITIONS[event, lock.fits(event, state)][STATES.index(state)]
    if isinstance(outcome, UpsState):
        return outcome, None
    if outcome in {Status.ALREADY_CANCELED, Status.ALREADY_COMPLETED} and state is not None:
        return state, outcome
    if outcome is Status.WRONG_TRANSACTION_UID:
        missing = None if lock.given else "The Transaction UID is missing."
        raise WorkitemRefusal(outcome, missing)
    raise WorkitemRefusal(outcome, meaning=REFUSED_UPDATES.get(outcome) if event is Event.UPDATE else None)
