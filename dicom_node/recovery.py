"""Put the spool and the rows in step again after a crash: no acknowledged instance is lost, nothing is held twice.

What a kill at any moment can leave behind, and what becomes of it:

- a record in the receive log that is whole: acknowledged, or about to be; given its row where a power cut took it, and
  left to the log's keeper to make a file of;
- such a record of a study that expired since: left alone;
- a record that is not whole (the power cut came before its sync, or the disk damaged it since): moved to quarantine,
  and its row, if there is one, removed, so that the sender can send it again;
- an unfinished file below tmp/: never published, never acknowledged; removed (Spool.sweep, before the listener opens);
- a file below received/ or quarantine/ without a row (killed, or the database refused, between rename and commit):
  never acknowledged either, but whole, as its name's content key proves; adopted as if it had just arrived;
- a file of a study that expired, whose unlinking the kill came before: listed in removals, and unlinked now;
- a file without a row that is older than its study's expiry (sent twice, where hosts share an object store): removed;
- such a file whose key does not match (a disk that lied about a sync): moved to quarantine;
- a row without a file or a record: cannot come from a crash, since the bytes are durable before the row is written.
"""

from __future__ import annotations

import hashlib
import logging
import mmap
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from pydicom.errors import InvalidDicomError
from sqlalchemy import Engine

from dicom_node.arrivals import record_instance
from dicom_node.expiry import has_expired_since, remove_files
from dicom_node.file_meta import decode_file_meta
from dicom_node.header import HeaderFault, read_header
from dicom_node.inbox import REASONS, is_marked_ours
from dicom_node.log_record import Found, Record
from dicom_node.log_segment import DamagedRecordError, Segment, copy_content, is_whole
from dicom_node.spool import QUARANTINE, RECEIVED, Spool, content_key
from dicom_node.store import Instance, QuarantineEntry, forget_damaged, known_paths, record_quarantine
from dicom_node.verdicts import RESPONSES, Verdict

DAMAGED = "Damaged in the receive log after it was acknowledged: its bytes are not those received. Send it again."
NOT_WHOLE = "Found in the receive log after a restart, and not whole; the sender was never told that it arrived."
PATHS_PER_QUERY = 200
"""Fewer than SQLite's default limit of 999 bound values."""
READ_BYTES = 1 << 20

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What was found without a row."""

    adopted: int = 0
    set_aside: int = 0


def recover(
    engine: Engine, spool: Spool, *, clock: Callable[[], float], should_stop: Callable[[], bool] = lambda: False
) -> Recovered:
    """Give every record and file without a row its row. May run beside live receivers: their commit is a duplicate."""
    remove_files(engine, spool)
    desk = _Desk(engine=engine, spool=spool, clock=clock)
    replayed = replay(engine, spool, clock=clock)
    adopted, set_aside = replayed.adopted, replayed.set_aside
    for relative in _without_row(engine, spool, RECEIVED, should_stop):
        try:
            is_adopted = desk.adopt(relative)
        except FileNotFoundError:
            continue  # a live receiver moved it meanwhile, and wrote its row
        adopted, set_aside = adopted + (is_adopted is True), set_aside + (is_adopted is False)
    for relative in _without_row(engine, spool, QUARANTINE, should_stop):
        reason = "Found in quarantine without a row after a restart; the sender was told nothing, or that it failed."
        desk.list(relative, Verdict.UNREADABLE, reason)
        set_aside += 1
    if adopted or set_aside:
        log.warning("spool_recovered", extra={"adopted": adopted, "set_aside": set_aside})
    return Recovered(adopted=adopted, set_aside=set_aside)


def replay(engine: Engine, spool: Spool, *, clock: Callable[[], float]) -> Recovered:
    """Give the records that dead processes left in the receive log their rows, in the order in which they arrived."""
    if spool.log is None:
        return Recovered()
    desk = _Desk(engine=engine, spool=spool, clock=clock)
    wanted: list[tuple[Segment, Found]] = []
    adopted = set_aside = 0
    segments = spool.log.left_behind()
    pairs = [(segment, found) for segment in segments for found in segment.records() if not found.record.is_void]
    for segment, found in sorted(pairs, key=lambda pair: pair[1].record.instance.received_at):
        verdict = desk.replay(segment, found)
        if verdict is None:
            continue
        if verdict in {Verdict.STORED, Verdict.DUPLICATE}:
            wanted.append((segment, found))
        adopted, set_aside = adopted + (verdict is Verdict.STORED), set_aside + RESPONSES[verdict].keeps_bytes
    spool.log.take_over(segments, wanted)
    return Recovered(adopted=adopted, set_aside=set_aside)


def set_aside_damaged(engine: Engine, spool: Spool, record: Record, copy: Path, received_at: float) -> None:
    """A record of the log does not hold its own bytes: list what it holds, and forget its row.

    Args:
        engine: the database of the rows.
        spool: the spool.
        record: what the log says.
        copy: a file with what the log holds; it is moved to quarantine.
        received_at: seconds since the epoch, for the list.

    Raises:
        OSError: the copy could not be moved.
        SQLAlchemyError: the rows could not be changed.
    """
    with copy.open("rb") as file:
        file.seek(record.prefix_bytes)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    path = spool.publish_aside(copy, content_key(record.instance.transfer_syntax_uid, sha256))
    with engine.begin() as connection:
        was_held = forget_damaged(connection, record.instance)
        entry = QuarantineEntry(
            sop_instance_uid=record.instance.sop_instance_uid,
            study_instance_uid=record.instance.study_instance_uid,
            path=path,
            verdict=Verdict.UNREADABLE,
            reason=DAMAGED if was_held else NOT_WHOLE,
            sha256=sha256,
            received_at=received_at,
            source_ae_title=record.instance.source_ae_title,
        )
        record_quarantine(connection, entry)
    log.error("logged_instance_damaged", extra={"was_held": was_held})


def _without_row(engine: Engine, spool: Spool, top: str, should_stop: Callable[[], bool]) -> Iterator[str]:
    files = spool.files(top)
    while not should_stop() and (chunk := list(islice(files, PATHS_PER_QUERY))):
        with engine.connect() as connection:
            known = known_paths(connection, chunk)
        yield from (relative for relative in chunk if relative not in known)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Desk:
    """Where a found file gets its row."""

    engine: Engine
    spool: Spool
    clock: Callable[[], float]

    def adopt(self, relative: str) -> bool | None:
        """Record a whole file as received; False: it was set aside instead; None: its study has expired since."""
        try:
            made_at = self.spool.path(relative).stat().st_mtime
            found = self._read(relative)
        except FileNotFoundError:
            raise
        except (InvalidDicomError, HeaderFault, OSError, AttributeError, ValueError, EOFError) as error:
            reason = f"Found without a row after a restart, and not readable ({type(error).__name__})."
            self._set_aside(relative, Verdict.UNREADABLE, reason)
            return False
        if content_key(found.transfer_syntax_uid, found.sha256) != _key_of(relative):
            reason = "Found without a row after a restart, and not whole: its content is not what its name says."
            self._set_aside(relative, Verdict.UNREADABLE, reason)
            return False
        with self.engine.begin() as connection:
            is_expired = has_expired_since(connection, found.study_instance_uid, made_at)
            verdict = Verdict.STORED if is_expired else record_instance(connection, found)
        if is_expired:
            self.spool.remove(relative)
            return None
        if RESPONSES[verdict].keeps_bytes:
            self._set_aside(relative, verdict, REASONS[verdict])
        return not RESPONSES[verdict].keeps_bytes

    def replay(self, segment: Segment, found: Found) -> Verdict | None:
        """Record what the log holds; REENCODED, CONFLICT and UNREADABLE were set aside, None has expired since."""
        instance = found.record.instance
        with self.engine.connect() as connection:
            if has_expired_since(connection, instance.study_instance_uid, instance.received_at):
                return None
        if not is_whole(segment.descriptor, found):
            copy = self.spool.new_tmp()
            with suppress(DamagedRecordError):
                copy_content(segment.descriptor, found, copy)
            set_aside_damaged(self.engine, self.spool, found.record, copy, self.clock())
            return Verdict.UNREADABLE
        with self.engine.begin() as connection:
            verdict = record_instance(connection, instance)
        if RESPONSES[verdict].keeps_bytes:
            self._set_aside(instance.path, verdict, REASONS[verdict])
        return verdict

    def list(self, relative: str, verdict: Verdict, reason: str) -> None:
        """Write the quarantine row of a file that is there already."""
        with self.spool.path(relative).open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        entry = QuarantineEntry(
            sop_instance_uid=None,
            study_instance_uid=None,
            path=relative,
            verdict=verdict,
            reason=reason,
            sha256=sha256,
            received_at=self.clock(),
            source_ae_title="",
        )
        with self.engine.begin() as connection:
            record_quarantine(connection, entry)

    def _read(self, relative: str) -> Instance:
        path = self.spool.path(relative)
        meta, offset = decode_file_meta(path)
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            header = read_header(mapped, meta.transfer_syntax_uid, offset=offset)
            sha256 = _sha256_from(mapped, offset)
            size_bytes = len(mapped) - offset
        return Instance(
            sop_instance_uid=header.sop_instance_uid,
            study_instance_uid=header.study_instance_uid,
            series_instance_uid=header.series_instance_uid,
            sop_class_uid=header.sop_class_uid,
            transfer_syntax_uid=meta.transfer_syntax_uid,
            path=relative,
            size_bytes=size_bytes,
            sha256=sha256,
            received_at=self.clock(),
            source_ae_title=meta.source_ae_title,
            ours=is_marked_ours(header),
            waits_for_upload=self.spool.objects is not None,
        )

    def _set_aside(self, relative: str, verdict: Verdict, reason: str) -> None:
        target = self.spool.move_to_quarantine(relative, _key_of(relative))
        self.list(target, verdict, reason)


def _key_of(relative: str) -> str:
    return PurePosixPath(relative).stem.rpartition("-")[2]


def _sha256_from(mapped: mmap.mmap, offset: int) -> str:
    mapped.seek(offset)
    digest = hashlib.sha256()
    while chunk := mapped.read(READ_BYTES):
        digest.update(chunk)
    return digest.hexdigest()
