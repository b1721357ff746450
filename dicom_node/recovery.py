"""Put the spool and the rows in step again after a crash: no acknowledged instance is lost, nothing is held twice.

What a kill at any moment can leave behind, and what becomes of it:

- an unfinished file below tmp/: never published, never acknowledged; removed (Spool.sweep, before the listener opens);
- a file below received/ or quarantine/ without a row (killed, or the database refused, between rename and commit):
  never acknowledged either, but whole, as its name's content key proves; adopted as if it had just arrived;
- a file of a study that expired, whose unlinking the kill came before: listed in removals, and unlinked now;
- such a file whose key does not match (a disk that lied about a sync): moved to quarantine;
- a row without a file: cannot come from a crash, since the file is durable before the row is written.
"""

from __future__ import annotations

import hashlib
import logging
import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath

from pydicom.errors import InvalidDicomError
from sqlalchemy import Engine

from dicom_node.expiry import remove_files
from dicom_node.file_meta import decode_file_meta
from dicom_node.header import HeaderFault, read_header
from dicom_node.inbox import REASONS, is_marked_ours
from dicom_node.spool import QUARANTINE, RECEIVED, Spool, content_key
from dicom_node.store import Instance, QuarantineEntry, known_paths, record_instance, record_quarantine
from dicom_node.verdicts import RESPONSES, Verdict

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
    """Give every file without a row its row. May run beside live receivers: their own commit is then a duplicate."""
    remove_files(engine, spool)
    desk = _Desk(engine=engine, spool=spool, clock=clock)
    adopted = set_aside = 0
    for relative in _without_row(engine, spool, RECEIVED, should_stop):
        try:
            is_adopted = desk.adopt(relative)
        except FileNotFoundError:
            continue  # a live receiver moved it meanwhile, and wrote its row
        adopted, set_aside = adopted + is_adopted, set_aside + (not is_adopted)
    for relative in _without_row(engine, spool, QUARANTINE, should_stop):
        reason = "Found in quarantine without a row after a restart; the sender was told nothing, or that it failed."
        desk.list(relative, Verdict.UNREADABLE, reason)
        set_aside += 1
    if adopted or set_aside:
        log.warning("spool_recovered", extra={"adopted": adopted, "set_aside": set_aside})
    return Recovered(adopted=adopted, set_aside=set_aside)


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

    def adopt(self, relative: str) -> bool:
        """Record a whole file as received; False: it was set aside instead."""
        try:
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
            verdict = record_instance(connection, found)
        if RESPONSES[verdict].keeps_bytes:
            self._set_aside(relative, verdict, REASONS[verdict])
        return not RESPONSES[verdict].keeps_bytes

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
