"""Storage Commitment on an association that a peer requested (PS3.4 J.3): its requests, and its reports on ours.

A request is answered with success when it is written down. The report follows on the same association where that
stays open for a moment; else, and after a crash, on one that this node requests (server.commitment_work).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from dicom_node.commitment import (
    REQUEST_ACTION,
    CommitmentReport,
    CommitmentRequest,
    encode_dataset,
    read_report,
    read_request,
    report_dataset,
)
from dicom_node.dimse import Command, CommandField, encode_event_report
from dicom_node.negotiation import AcceptedContext
from dicom_node.storage_classes import COMMITMENT_SOP_CLASS_UID, COMMITMENT_SOP_INSTANCE_UID
from inference.errors import Failure, Refusal

MAX_DATA_SET_BYTES = 16 << 20
"""Longest data set that is kept in memory: 100 000 references of the usual length."""
SILENCE_S = 1.0
"""A peer that has sent nothing for so long after its request is waiting for the report on this association."""

SUCCESS = 0x0000
PROCESSING_FAILURE = 0x0110
NO_SUCH_SOP_INSTANCE = 0x0112
INVALID_ARGUMENT_VALUE = 0x0115
SOP_CLASS_NOT_SUPPORTED = 0x0122
NO_SUCH_ACTION = 0x0123
MISTYPED_ARGUMENT = 0x0212
RESOURCE_LIMITATION = 0x0213
"""PS3.7 C.4, C.5."""


class CommitmentService(Protocol):
    """What becomes of requests and reports (server.commitments)."""

    def take_request(self, request: CommitmentRequest, ae_title: str) -> int:
        """Write a request down, and see to it that the peer is told; its number. Durable when this returns.

        Raises:
            Failure: it could not be written.
        """
        ...

    def report(self, number: int) -> CommitmentReport:
        """The answer at this moment.

        Raises:
            Failure: the database did not answer.
        """
        ...

    def told(self, number: int, report: CommitmentReport) -> None:
        """The peer has taken the report.

        Raises:
            Failure: it could not be written.
        """
        ...

    def take_report(self, report: CommitmentReport) -> bool:
        """Write down what a destination answers; False: this node did not ask. Raises as `take_request`."""
        ...


class LateCommitments:
    """A service that is made when it is first needed: what it takes loads while the receiver listens already."""

    def __init__(self, make: Callable[[], CommitmentService]) -> None:
        """Nothing is made yet."""
        self._service = functools.cache(make)

    def take_request(self, request: CommitmentRequest, ae_title: str) -> int:
        """See CommitmentService."""
        return self._service().take_request(request, ae_title)

    def report(self, number: int) -> CommitmentReport:
        """See CommitmentService."""
        return self._service().report(number)

    def told(self, number: int, report: CommitmentReport) -> None:
        """See CommitmentService."""
        self._service().told(number, report)

    def take_report(self, report: CommitmentReport) -> bool:
        """See CommitmentService."""
        return self._service().take_report(report)


@dataclass(frozen=True, slots=True)
class Reply:
    """The response to a request."""

    status: int
    comment: str = ""
    number: int | None = None
    """Of a request that was taken: its report is owed."""


@dataclass(slots=True, kw_only=True)
class NormalizedArrival:
    """The data set of an N-ACTION or N-EVENT-REPORT while it arrives; with the methods of an inbox's arrival."""

    service: CommitmentService | None
    command: Command
    context: AcceptedContext
    calling_ae_title: str
    _data: bytearray = field(default_factory=bytearray)
    _is_too_long: bool = False

    def write(self, fragment: memoryview) -> None:
        """Append; what is too long is counted out, so that the peer can finish and be told."""
        self._is_too_long = self._is_too_long or len(self._data) + len(fragment) > MAX_DATA_SET_BYTES
        if not self._is_too_long:
            self._data += fragment

    def abandon(self) -> None:
        """The association ended in the middle."""
        self._data.clear()

    def reply(self) -> Reply:
        """All bytes are here: decide; what is decided is durable when this returns."""
        refused = _refusal(self.command, self.context, self.service)
        if refused is not None:
            return refused
        assert self.service is not None, "refused before"  # noqa: S101 - states the invariant
        if self._is_too_long:
            return Reply(RESOURCE_LIMITATION, f"At most {MAX_DATA_SET_BYTES >> 20} MiB in one request")
        try:
            return self._take(self.service)
        except Refusal as refusal:
            return Reply(INVALID_ARGUMENT_VALUE, refusal.sentence)
        except Failure:
            return Reply(PROCESSING_FAILURE, "Not written down; try again later")

    def _take(self, service: CommitmentService) -> Reply:
        syntax = self.context.transfer_syntax_uid
        if self.command.field is CommandField.N_ACTION_RQ:
            request = read_request(bytes(self._data), syntax)
            return Reply(SUCCESS, number=service.take_request(request, self.calling_ae_title))
        is_known = service.take_report(read_report(bytes(self._data), syntax))
        return Reply(SUCCESS) if is_known else Reply(INVALID_ARGUMENT_VALUE, "No request has this Transaction UID")


def _refusal(command: Command, context: AcceptedContext, service: CommitmentService | None) -> Reply | None:
    of_class = {command.sop_class_uid, context.abstract_syntax_uid}
    if service is None or of_class != {COMMITMENT_SOP_CLASS_UID}:
        return Reply(SOP_CLASS_NOT_SUPPORTED, "Not a request for storage commitment")
    if command.sop_instance_uid != COMMITMENT_SOP_INSTANCE_UID:
        return Reply(NO_SUCH_SOP_INSTANCE, "Only the well-known instance is served")
    if not command.has_data_set:
        return Reply(MISTYPED_ARGUMENT, "A data set must follow")
    if command.field is CommandField.N_ACTION_RQ and command.type_id != REQUEST_ACTION:
        return Reply(NO_SUCH_ACTION, f"Action Type ID is {REQUEST_ACTION}")
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwedReport:
    """A report that may still be given on the association of its request."""

    number: int
    context_id: int
    context: AcceptedContext

    def message(self, report: CommitmentReport) -> tuple[bytes, bytes]:
        """Command set and data set of the N-EVENT-REPORT; its Message ID is `message_id`."""
        command = encode_event_report(
            message_id=self.message_id,
            sop_class_uid=COMMITMENT_SOP_CLASS_UID,
            sop_instance_uid=COMMITMENT_SOP_INSTANCE_UID,
            event_type=report.event_type,
        )
        return command, encode_dataset(report_dataset(report), self.context.transfer_syntax_uid)

    @property
    def message_id(self) -> int:
        """Any 16 bit number that is ours alone on this association (PS3.7 E.1)."""
        return self.number % 0x10000
