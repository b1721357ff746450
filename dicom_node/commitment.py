"""Storage Commitment Push Model: what is asked, what is answered, and their data sets (PS3.4 Annex J, PS3.3 C.14).

A *request* (N-ACTION) names instances; a *report* (N-EVENT-REPORT) says of each whether it is held for good or why not.
The Transaction UID ties the two together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from io import BytesIO

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DatasetSequence
from pydicom.uid import UID
from pynetdicom.dsutils import decode, encode

from dicom_node.header import is_uid
from inference.errors import Refusal

REQUEST_ACTION = 1
"""Action Type ID "Request Storage Commitment" (PS3.4 Table J.3-1)."""
ALL_COMMITTED_EVENT = 1
"""Event Type ID "Storage Commitment Request Successful" (PS3.4 Table J.3-2)."""
FAILURES_EVENT = 2
"""Event Type ID "Storage Commitment Request Complete - Failures Exist"."""
MAX_INSTANCES = 100_000
"""Most instances of one request: our choice, far above a study's."""


class FailureReason(IntEnum):
    """Why an instance is not committed to: Failure Reason (0008,1197), PS3.3 C.14.1.1."""

    PROCESSING_FAILURE = 0x0110
    NO_SUCH_OBJECT_INSTANCE = 0x0112
    CLASS_INSTANCE_CONFLICT = 0x0119
    REFERENCED_SOP_CLASS_NOT_SUPPORTED = 0x0122
    DUPLICATE_TRANSACTION_UID = 0x0131
    RESOURCE_LIMITATION = 0x0213


REASON_WORDS: dict[int, str] = {
    FailureReason.PROCESSING_FAILURE: "processing failure",
    FailureReason.NO_SUCH_OBJECT_INSTANCE: "no such object instance",
    FailureReason.CLASS_INSTANCE_CONFLICT: "class-instance conflict",
    FailureReason.REFERENCED_SOP_CLASS_NOT_SUPPORTED: "SOP class not supported",
    FailureReason.DUPLICATE_TRANSACTION_UID: "duplicate Transaction UID",
    FailureReason.RESOURCE_LIMITATION: "resource limitation",
}
"""For people; a value that the standard does not list is shown as its number alone."""


class Commitment(StrEnum):
    """Whether a destination answers for an object that was delivered to it."""

    WAITING = "waiting"
    """Delivered; not asked yet."""
    ASKED = "asked"
    """It took the request; its report has not come yet."""
    COMMITTED = "committed"
    """It answers for the object."""
    FAILED = "failed"
    """It said that it has not got it, or said nothing: the object is sent again, or is in the dead letter."""


@dataclass(frozen=True, slots=True)
class Item:
    """A reference to one instance."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentRequest:
    """What is asked."""

    transaction_uid: str
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class FailedItem:
    """An instance that is not committed to."""

    item: Item
    reason: int
    """Failure Reason as it came; FailureReason where the standard lists it."""

    @property
    def sentence(self) -> str:
        """For people."""
        words = REASON_WORDS.get(self.reason, "a reason that is not in the standard")
        return f"The peer does not commit to the object: {words} (0x{self.reason:04X})."


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentReport:
    """What is answered."""

    transaction_uid: str
    committed: tuple[Item, ...]
    failed: tuple[FailedItem, ...]

    @property
    def event_type(self) -> int:
        """Event Type ID."""
        return FAILURES_EVENT if self.failed else ALL_COMMITTED_EVENT


def request_dataset(request: CommitmentRequest) -> Dataset:
    """Action Information (PS3.4 Table J.3-1)."""
    dataset = Dataset()
    dataset.TransactionUID = request.transaction_uid
    dataset.ReferencedSOPSequence = _references(request.items)
    return dataset


def report_dataset(report: CommitmentReport) -> Dataset:
    """Event Information (PS3.4 Table J.3-2); a sequence without items is left out."""
    dataset = Dataset()
    dataset.TransactionUID = report.transaction_uid
    if report.failed:
        failed = _references(one.item for one in report.failed)
        for item, one in zip(failed, report.failed, strict=True):
            item.FailureReason = one.reason
        dataset.FailedSOPSequence = failed
    if report.committed:
        dataset.ReferencedSOPSequence = _references(report.committed)
    return dataset


def encode_dataset(dataset: Dataset, transfer_syntax_uid: str) -> bytes:
    """The bytes of one of these data sets."""
    syntax = UID(transfer_syntax_uid)
    encoded = encode(dataset, syntax.is_implicit_VR, syntax.is_little_endian)
    assert encoded is not None, "a data set of UIDs and numbers can be encoded"  # noqa: S101 - states the invariant
    return encoded


def read_request(encoded: bytes, transfer_syntax_uid: str) -> CommitmentRequest:
    """Read Action Information.

    Raises:
        Refusal: it cannot be read, or what it must say is missing.
    """
    return request_of(_decode(encoded, transfer_syntax_uid))


def request_of(dataset: Dataset) -> CommitmentRequest:
    """The request that a data set makes; raises as `read_request`."""
    items = _items(dataset.get("ReferencedSOPSequence"))
    if not items:
        raise Refusal("A request for storage commitment names at least one instance.")
    if len(items) > MAX_INSTANCES:
        raise Refusal(f"A request for storage commitment names at most {MAX_INSTANCES} instances, got {len(items)}.")
    return CommitmentRequest(transaction_uid=_transaction_uid(dataset), items=tuple(items))


def read_report(encoded: bytes, transfer_syntax_uid: str) -> CommitmentReport:
    """Read Event Information.

    Raises:
        Refusal: it cannot be read, or what it must say is missing.
    """
    return report_of(_decode(encoded, transfer_syntax_uid))


def report_of(dataset: Dataset) -> CommitmentReport:
    """The report that a data set makes; raises as `read_report`. Without a reason, an item failed in processing."""
    failed = dataset.get("FailedSOPSequence")
    reasons = [int(item.get("FailureReason") or FailureReason.PROCESSING_FAILURE) for item in failed or ()]
    return CommitmentReport(
        transaction_uid=_transaction_uid(dataset),
        committed=tuple(_items(dataset.get("ReferencedSOPSequence"))),
        failed=tuple(FailedItem(item, reason) for item, reason in zip(_items(failed), reasons, strict=True)),
    )


def _decode(encoded: bytes, transfer_syntax_uid: str) -> Dataset:
    syntax = UID(transfer_syntax_uid)
    try:
        dataset = decode(BytesIO(encoded), syntax.is_implicit_VR, syntax.is_little_endian)
        dataset.walk(lambda _dataset, _element: None)  # pydicom reads values late: read all while this can be answered
    except Exception as error:  # pydicom's parsers raise whatever the bytes make them raise
        raise Refusal(f"The data set cannot be read ({type(error).__name__}).") from error
    return dataset


def _transaction_uid(dataset: Dataset) -> str:
    value = str(dataset.get("TransactionUID") or "")
    if not is_uid(value):
        raise Refusal("The Transaction UID is missing or not a UID.")
    return value


def _items(sequence: Sequence[Dataset] | None) -> list[Item]:
    items = []
    for reference in sequence or ():
        item = Item(str(reference.get("ReferencedSOPClassUID")), str(reference.get("ReferencedSOPInstanceUID")))
        if not (is_uid(item.sop_class_uid) and is_uid(item.sop_instance_uid)):
            raise Refusal("A reference has no SOP Class UID or no SOP Instance UID.")
        items.append(item)
    return items


def _references(items: Iterable[Item]) -> DatasetSequence:
    references = []
    for item in items:
        reference = Dataset()
        reference.ReferencedSOPClassUID = item.sop_class_uid
        reference.ReferencedSOPInstanceUID = item.sop_instance_uid
        references.append(reference)
    return DatasetSequence(references)
