"""From the bytes of one sent instance to a verdict: what is kept where, in which order it becomes durable.

The order, and nothing else, keeps an acknowledged instance safe: bytes written and synced in the receive log (or as a
file, renamed into place and its directory synced), the rows committed; only then is the verdict STORED returned, and
only then is the sender answered.
"""

from __future__ import annotations

import errno
import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydicom.uid import SecondaryCaptureImageStorage
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from dicom_node.file_meta import FileMeta
from dicom_node.header import HeaderFault, InstanceHeader, is_uid
from dicom_node.incoming_file import IncomingFile
from dicom_node.logged_file import SegmentFullError
from dicom_node.recorder import Recorder
from dicom_node.spool import FreeSpace, Incoming, Spool, key_of, quarantine_path, received_path
from dicom_node.storage_classes import StorageKind, kind_of
from dicom_node.store import Instance, QuarantineEntry, result_sop_class
from dicom_node.verdicts import RESPONSES, Verdict, verdict_of_os_error
from inference.errors import StorageFailure
from inference.provenance import MANUFACTURER

ROOM_CHECK_BYTES = 16 << 20
"""A large instance looks again after so many bytes: all associations together go no further beyond the watermark."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreRequest:
    """What a C-STORE-RQ with its presentation context, or a file meta group, says before the data set."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    negotiated_sop_class_uid: str
    """Abstract syntax of the presentation context."""
    calling_ae_title: str
    study_instance_uid: str | None = None
    """Where the request names the study that it stores to (STOW-RS)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxRules:
    """Limits of what is taken in."""

    min_free_bytes: int = 5 * 1024**3
    """Refuse when less than this is free on the spool's file system (default 5 GiB)."""
    min_free_fraction: float = 0.10
    """Refuse when less than this part of the file system is free (default 10 %)."""
    max_instance_bytes: int = 4 * 1024**3
    """Refuse a larger data set; pixel data of a native image cannot exceed 2^32 - 2 bytes (PS3.5 7.1.1)."""

    def reserve_bytes(self, space: FreeSpace) -> float:
        """What stays free on this file system."""
        return max(self.min_free_bytes, self.min_free_fraction * space.total_bytes)


class ReceiverMetrics:
    """Counters by name, for any number of threads; values only ever grow."""

    def __init__(self) -> None:
        """Begin at zero."""
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a counter."""
        with self._lock:
            self._counts[name] += amount

    def snapshot(self) -> Mapping[str, int]:
        """All counters at this moment: ``instances_<verdict>``, ``associations_<what>``, ``bytes_received``."""
        with self._lock:
            return dict(self._counts)


class Inbox:
    """Takes instances in, for all associations of one process."""

    def __init__(
        self,
        spool: Spool,
        recorder: Recorder,
        engine: Engine,
        *,
        rules: InboxRules,
        metrics: ReceiverMetrics,
        clock: Callable[[], float],
    ) -> None:
        """Bring the parts together; nothing is opened yet."""
        self._spool = spool
        self._recorder = recorder
        self._engine = engine
        self._rules = rules
        self.metrics = metrics
        self._clock = clock

    def begin(self, request: StoreRequest) -> Arrival:
        """Begin to take an instance in. Never raises for disk or database: the arrival remembers and answers so."""
        return Arrival(self, request)

    def open_file(self, request: StoreRequest) -> Incoming:
        """An unfinished place for a request.

        Raises:
            OSError: the disk is beyond its watermark (ENOSPC), or cannot be written.
        """
        self.require_room()
        meta = FileMeta(
            sop_class_uid=request.sop_class_uid,
            sop_instance_uid=request.sop_instance_uid,
            transfer_syntax_uid=request.transfer_syntax_uid,
            source_ae_title=request.calling_ae_title,
        )
        return self._spool.receive(meta)

    def as_file(self, incoming: Incoming) -> IncomingFile:
        """The same instance, so far, as an unfinished file: its place in the log is too small.

        Raises:
            OSError: the disk does not take it.
        """
        return self._spool.as_file(incoming)

    def require_room(self) -> None:
        """Keep away from the last of the disk, which the database needs to go on.

        Raises:
            OSError: the disk is beyond its watermark (ENOSPC), or not reachable.
        """
        space = self._spool.free_space()
        if space.free_bytes < self._rules.reserve_bytes(space):
            raise WatermarkError(space.free_bytes)

    def is_too_large(self, size_bytes: int) -> bool:
        """Whether a data set of this size is refused."""
        return size_bytes > self._rules.max_instance_bytes

    def take(self, request: StoreRequest, file: Incoming) -> tuple[Verdict, str | None]:
        """Decide about a whole data set, and make the decision durable; the verdict and the study it belongs to.

        Raises:
            OSError: the bytes could not be made durable.
            StorageFailure: the rows could not be committed.
        """
        try:
            header = file.header()
        except HeaderFault as fault:
            return self._set_aside(request, file, Verdict.UNREADABLE, f"The header cannot be read: {fault}."), None
        fault_found = fault_of(request, header)
        if fault_found is not None:
            return self._set_aside(request, file, *fault_found, header), None
        study_uid = header.study_instance_uid
        if self._is_own_result(header):
            return Verdict.OWN_RETURNED, study_uid
        return self._store(request, file, header), study_uid

    def _store(self, request: StoreRequest, file: Incoming, header: InstanceHeader) -> Verdict:
        key = key_of(file)
        relative = received_path(header.study_instance_uid, header.sop_instance_uid, key)
        instance = Instance(
            sop_instance_uid=header.sop_instance_uid,
            study_instance_uid=header.study_instance_uid,
            series_instance_uid=header.series_instance_uid,
            sop_class_uid=header.sop_class_uid,
            transfer_syntax_uid=request.transfer_syntax_uid,
            path=relative,
            size_bytes=file.size_bytes,
            sha256=file.sha256,
            received_at=self._clock(),
            source_ae_title=request.calling_ae_title,
            ours=is_marked_ours(header),
            waits_for_upload=self._spool.objects is not None,
        )
        file.keep(instance)
        verdict = self._recorder.record(instance)
        if RESPONSES[verdict].keeps_bytes:
            self._record_aside(instance, self._spool.set_aside(file, relative, key), verdict)
        return verdict

    def _record_aside(self, instance: Instance, path: str, verdict: Verdict) -> None:
        """Another instance holds this UID: what was just kept went to quarantine, and gets a row there."""
        self._recorder.record(
            QuarantineEntry(
                sop_instance_uid=instance.sop_instance_uid,
                study_instance_uid=instance.study_instance_uid,
                path=path,
                verdict=verdict,
                reason=REASONS[verdict],
                sha256=instance.sha256,
                received_at=instance.received_at,
                source_ae_title=instance.source_ae_title,
            )
        )

    def _set_aside(
        self,
        request: StoreRequest,
        file: Incoming,
        verdict: Verdict,
        reason: str,
        header: InstanceHeader | None = None,
    ) -> Verdict:
        relative = quarantine_path(key_of(file))
        sop_uid = header.sop_instance_uid if header else request.sop_instance_uid
        study_uid = header.study_instance_uid if header else ""
        entry = QuarantineEntry(
            sop_instance_uid=sop_uid if is_uid(sop_uid) else None,
            study_instance_uid=study_uid if is_uid(study_uid) else None,
            path=relative,
            verdict=verdict,
            reason=reason,
            sha256=file.sha256,
            received_at=self._clock(),
            source_ae_title=request.calling_ae_title,
        )
        self._spool.as_file(file).publish(self._spool.path(relative))
        return self._recorder.record(entry)

    def _is_own_result(self, header: InstanceHeader) -> bool:
        """Whether this node made the instance and still holds it. Images are not even looked up: we make none."""
        if kind_of(header.sop_class_uid) is StorageKind.IMAGE:
            return False
        try:
            with self._engine.connect() as connection:
                made = result_sop_class(connection, header.sop_instance_uid)
        except SQLAlchemyError as error:
            raise StorageFailure(f"the database refused to read ({type(error).__name__})") from error
        return made == header.sop_class_uid


class WatermarkError(OSError):
    """Less is free on the disk than the setting asks for."""

    def __init__(self, free_bytes: int) -> None:
        """Say what is left."""
        super().__init__(errno.ENOSPC, f"{free_bytes} bytes are free, less than the watermark")


class Arrival:
    """One instance while it arrives. Used by one thread; every way out of it releases its unfinished file."""

    def __init__(self, inbox: Inbox, request: StoreRequest) -> None:
        """Open the unfinished file, or remember why not."""
        self._inbox = inbox
        self._request = request
        self._file: Incoming | None = None
        self._failed: Verdict | None = None
        self.study_instance_uid: str | None = None
        """Known after `finish`, when the header could be read."""
        try:
            self._file = inbox.open_file(request)
        except OSError as error:
            self._fail(verdict_of_os_error(error), error)

    def write(self, fragment: memoryview) -> None:
        """Append data set bytes; after a failure they are counted out, so that the sender can finish and be told."""
        if self._file is None:
            return
        try:
            self._append(self._file, fragment)
        except OSError as error:
            self._fail(verdict_of_os_error(error), error)
            return
        size = self._file.size_bytes
        if self._inbox.is_too_large(size):
            self._fail(Verdict.TOO_LARGE, None)
        elif size // ROOM_CHECK_BYTES > (size - len(fragment)) // ROOM_CHECK_BYTES:
            self._look_for_room()

    def _look_for_room(self) -> None:
        try:
            self._inbox.require_room()
        except OSError as error:
            self._fail(verdict_of_os_error(error), error)

    def refuse(self, verdict: Verdict) -> None:
        """Take nothing of it: the bytes are counted out, and the sender is told at the end."""
        self._fail(verdict, None)

    def finish(self) -> Verdict:
        """All bytes are here: decide, and return when the decision is durable."""
        verdict = self._failed or self._take()
        self._inbox.metrics.count(f"instances_{verdict}")
        return verdict

    def abandon(self) -> None:
        """The association ended in the middle: forget the bytes, which nobody was told that we have."""
        if self._file is not None:
            self._file.discard()
            self._inbox.metrics.count("instances_abandoned")
        self._file = None

    def _take(self) -> Verdict:
        assert self._file is not None, "an arrival without a file has failed"  # noqa: S101 - states the invariant
        try:
            self._inbox.metrics.count("bytes_received", self._file.size_bytes)
            verdict, self.study_instance_uid = self._inbox.take(self._request, self._file)
        except OSError as error:
            return self._fail(verdict_of_os_error(error), error)
        except StorageFailure as failure:
            return self._fail(Verdict.DATABASE_FAILED, failure)
        self._file.discard()
        self._file = None
        return verdict

    def _append(self, incoming: Incoming, fragment: memoryview) -> None:
        try:
            incoming.write(fragment)
        except SegmentFullError:
            self._file = self._inbox.as_file(incoming)
            self._file.write(fragment)

    def _fail(self, verdict: Verdict, error: Exception | None) -> Verdict:
        if self._file is not None:
            self._file.discard()
        self._file = None
        self._failed = verdict
        detail = {"verdict": str(verdict), "error": type(error).__name__, "errno": getattr(error, "errno", None)}
        log.warning("instance_not_stored", extra=detail)
        return verdict


REASONS: Mapping[Verdict, str] = {
    Verdict.CONFLICT: "The SOP Instance UID was received before with other content; the first is kept and used.",
    Verdict.REENCODED: "The SOP Instance UID was received before in another encoding; the first is kept and used.",
    Verdict.NOT_NEGOTIATED: "The SOP Class UID of the request is not the one of its presentation context.",
    Verdict.MISMATCH: "The SOP Class or SOP Instance UID of the data set is not the one of the request.",
    Verdict.OTHER_STUDY: "The Study Instance UID of the data set is not the one that the request stores to.",
}
"""What the quarantine list says."""

REQUIRED_UIDS: Mapping[str, str] = {
    "sop_class_uid": "SOP Class UID",
    "sop_instance_uid": "SOP Instance UID",
    "study_instance_uid": "Study Instance UID",
    "series_instance_uid": "Series Instance UID",
}
"""Type 1 in every composite instance (PS3.3 C.12.1, C.7.2.1, C.7.3.1)."""


def fault_of(request: StoreRequest, header: InstanceHeader) -> tuple[Verdict, str] | None:
    """Why the instance cannot be stored as what it claims to be, with a sentence; None when it can."""
    for name, words in REQUIRED_UIDS.items():
        value = getattr(header, name)
        if not is_uid(value):
            said = "is not a UID" if value else "is missing"
            return Verdict.UID_MISSING, f"The {words} of the data set {said}."
    if request.sop_class_uid != request.negotiated_sop_class_uid:
        return Verdict.NOT_NEGOTIATED, REASONS[Verdict.NOT_NEGOTIATED]
    claimed = (request.sop_class_uid, request.sop_instance_uid)
    if claimed != (header.sop_class_uid, header.sop_instance_uid):
        return Verdict.MISMATCH, REASONS[Verdict.MISMATCH]
    if request.study_instance_uid not in {None, header.study_instance_uid}:
        return Verdict.OTHER_STUDY, REASONS[Verdict.OTHER_STUDY]
    return None


def is_marked_ours(header: InstanceHeader) -> bool:
    """Whether the instance says that this software made it: here before its rows were lost, or on another node."""
    kinds = (StorageKind.RESULT, StorageKind.DOCUMENT)
    is_made = kind_of(header.sop_class_uid) in kinds or header.sop_class_uid == SecondaryCaptureImageStorage
    return is_made and header.manufacturer == MANUFACTURER
