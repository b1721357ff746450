"""Where bytes live: what was received, what was set aside, our own results. Paths in the database are below the root.

    received/<aa>/<Study Instance UID>/<SOP Instance UID>-<content key>.dcm     aa: two digits of the study's digest
    log/<token>.log                                                             received, and not yet a file of its own
    quarantine/<content key>.dcm                                                set aside, with a row that says why
    results/...                                                                 what this node made
    tmp/<host>@<token>/, tmp/<host>@<token>.lock                                one process's unfinished files

The content key is a digest of transfer syntax and data set bytes. So a file never replaces one with other content, and
a file that is found without a row (the process died between rename and commit) can be told from a torn one.

A row names the file that its instance is to have. Until the receive log has made it, `Spool.path` does: whoever asks
for the path of a received instance finds a file there.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import mmap
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dicom_node.durable import DurableTree
from dicom_node.file_meta import FileMeta, encode_file_meta
from dicom_node.header import InstanceHeader, read_header
from dicom_node.log_record import Record
from dicom_node.log_segment import copy_content, find
from dicom_node.logged_file import LoggedFile
from dicom_node.receive_log import LogRules, ReceiveLog
from dicom_node.store import Instance
from dicom_node.tmp_area import TmpArea, host_part, locked

RECEIVED, QUARANTINE, RESULTS, TMP, LOG = "received", "quarantine", "results", "tmp", "log"
GOING = ".going"
"""Suffix of a file that is being removed (Spool.remove_file)."""
CONTENT_KEY_CHARACTERS = 40
"""160 bits of SHA-256: two contents with one key cannot be constructed (birthday bound 2^80)."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeSpace:
    """What is left on the spool's file system for this process, in bytes."""

    free_bytes: int
    total_bytes: int


def content_key(transfer_syntax_uid: str, sha256: str) -> str:
    """The part of a file name that stands for the content: the same bytes in the same encoding, the same key."""
    return hashlib.sha256(f"{transfer_syntax_uid}|{sha256}".encode()).hexdigest()[:CONTENT_KEY_CHARACTERS]


def received_path(study_instance_uid: str, sop_instance_uid: str, key: str) -> str:
    """Relative path of a received instance; both UIDs must be UIDs (dicom_node.header.is_uid)."""
    fan_out = hashlib.sha256(study_instance_uid.encode()).hexdigest()[:2]
    return f"{RECEIVED}/{fan_out}/{study_instance_uid}/{sop_instance_uid}-{key}.dcm"


def quarantine_path(key: str) -> str:
    """Relative path of an instance that is set aside."""
    return f"{QUARANTINE}/{key}.dcm"


class Spool:
    """One directory tree on a local or shared file system. Nothing is written by making this object."""

    def __init__(self, root: Path) -> None:
        """Name the root; it is created when something is first written."""
        self.root = root.absolute()
        self._tree = DurableTree(self.root)
        self._tmp: TmpArea | None = None
        self._lock = threading.Lock()
        self.log: ReceiveLog | None = None
        """Of a process that receives much; the others write every instance as a file."""

    def path(self, relative: str) -> Path:
        """Absolute path of a relative one; an instance that is only in the receive log becomes a file first.

        Raises:
            ValueError: the path is absolute or leaves the root.
        """
        parts = PurePosixPath(relative).parts
        if not parts or parts[0] == "/" or ".." in parts:
            raise ValueError(f"a spool path is relative and stays below the root, got {relative!r}")
        path = self.root.joinpath(*parts)
        if parts[0] == RECEIVED and not path.exists():
            self._bring_out(relative, path)
        return path

    def open_log(
        self, rules: LogRules, *, has_room: Callable[[int], bool], on_damage: Callable[[Record, Path], None]
    ) -> None:
        """Receive into the log from now on (see ReceiveLog), until `close`.

        Raises:
            OSError: the spool cannot be written.
        """
        opened = ReceiveLog(self._tree, self.root / LOG, self.new_tmp, rules, has_room=has_room, on_damage=on_damage)
        opened.start()
        self.log = opened

    def free_space(self) -> FreeSpace:
        """Free and total space of the file system that holds the spool.

        Raises:
            OSError: the spool is not reachable.
        """
        try:
            status = os.statvfs(self.root)
        except FileNotFoundError:
            status = os.statvfs(self.root.parent)
        return FreeSpace(free_bytes=status.f_bavail * status.f_frsize, total_bytes=status.f_blocks * status.f_frsize)

    def receive(self, meta: FileMeta) -> Incoming:
        """Begin a place for the data set of one instance, in the log or as a file; it is nowhere until it is kept.

        Raises:
            OSError: the spool cannot be written.
        """
        logged = self.log.begin(meta) if self.log is not None else None
        return logged or self.receive_file(meta)

    def receive_file(self, meta: FileMeta) -> IncomingFile:
        """Begin a file for the data set of one instance; it is nowhere until it is published.

        Raises:
            OSError: the spool cannot be written.
        """
        return IncomingFile(self._tree, self.new_tmp(), meta)

    def as_file(self, incoming: Incoming) -> IncomingFile:
        """The same bytes so far as an unfinished file; the place in the log is given back.

        Raises:
            OSError: the spool cannot be written; what was given is still as it was.
        """
        if isinstance(incoming, IncomingFile):
            return incoming
        file = self.receive_file(incoming.meta)
        try:
            incoming.copy_to(file.write)
        except OSError:
            file.discard()
            raise
        incoming.discard()
        return file

    def set_aside(self, incoming: Incoming, relative: str, key: str) -> str:
        """Move what was kept as `relative`, and turned out not to be wanted, to quarantine; its new relative path.

        Raises:
            OSError: it could not be moved.
        """
        if isinstance(incoming, IncomingFile):
            return self.move_to_quarantine(relative, key)
        target = quarantine_path(key)
        incoming.move_aside(self.path(target))
        return target

    def write_result(self, relative: str, data: bytes) -> None:
        """Write one of our own objects; when this returns, it survives a power cut. Writing it again is harmless.

        Raises:
            OSError: the bytes could not be made durable; nothing is at `relative` that was not there before.
        """
        target = self.path(relative)
        tmp = self.new_tmp()
        try:
            with tmp.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self._tree.rename(tmp, target)
        finally:
            tmp.unlink(missing_ok=True)

    def move_to_quarantine(self, relative: str, key: str) -> str:
        """Move a published file that turned out not to be wanted; returns its new relative path.

        Raises:
            OSError: it could not be moved; it is no error when somebody else has moved it there already.
        """
        target = quarantine_path(key)
        try:
            self._tree.rename(self.path(relative), self.path(target))
        except FileNotFoundError:
            if not self.path(target).exists():
                raise
        return target

    def publish_aside(self, synced: Path, key: str) -> str:
        """Move an unfinished file whose data is synced to quarantine; returns its relative path.

        Raises:
            OSError: it could not be moved.
        """
        target = quarantine_path(key)
        self._tree.rename(synced, self.path(target))
        return target

    def new_tmp(self) -> Path:
        """A new path for an unfinished file of this process, on the spool's file system."""
        return self._tmp_area().new_path()

    def remove(self, relative: str) -> None:
        """Remove a file that no row names; missing is fine."""
        self.path(relative).unlink(missing_ok=True)

    def inode(self, relative: str) -> int | None:
        """The number of a file; None where there is none."""
        try:
            return self.path(relative).stat().st_ino
        except FileNotFoundError:
            return None

    def remove_file(self, relative: str, inode: int) -> bool:
        """Remove a file if it is still that one, and its folder when that is empty; False where it is not.

        A file that came to the same path meanwhile is another one, with a row or soon to have one. To tell them apart
        without a gap, the file is first renamed, and renamed back where it is the newer one; a kill in between leaves
        the new name, which the next call looks at first.

        Raises:
            OSError: it could not be removed.
        """
        path = self.root / relative
        going = path.with_name(path.name + GOING)
        if not going.exists():
            if not path.exists() or path.stat().st_ino != inode:
                return False
            path.rename(going)
        if going.stat().st_ino != inode:
            going.rename(path)  # the name holds a digest of the content: what may be there by now is the same bytes
            return False
        going.unlink()
        with suppress(OSError):  # not empty, or somebody has removed it
            path.parent.rmdir()
        return True

    def sweep(self) -> int:
        """Remove the unfinished files of processes that are gone; returns how many.

        What is below tmp/ was never published, its row never committed, so it was never acknowledged: the sender still
        has it and sends it again. A process holds a lock on its folder, so that a live one beside us is left alone;
        those of other hosts too, because not every shared file system shows one host the locks of another.
        """
        removed = 0
        for lock in sorted(self.path(TMP).glob(f"{host_part()}*.lock")):
            with locked(lock) as is_free:
                if is_free:
                    folder = lock.with_suffix("")
                    removed += sum(1 for _ in folder.glob("*"))
                    shutil.rmtree(folder, ignore_errors=True)
                    lock.unlink(missing_ok=True)
        return removed

    def files(self, top: str) -> Iterator[str]:
        """Relative paths of all files below one of the four folders, folder by folder."""
        for folder, _, names in os.walk(self.path(top)):
            for name in sorted(name for name in names if not name.endswith(GOING)):
                yield str((Path(folder) / name).relative_to(self.root))

    def close(self, grace_s: float = 0.0) -> None:
        """Give up this process's log, with what waits in it made files in the grace time, and its tmp folder."""
        if self.log is not None:
            self.log.stop(grace_s)
        self.log = None
        with self._lock:
            if self._tmp is not None:
                self._tmp.close()
            self._tmp = None

    def _bring_out(self, relative: str, target: Path) -> None:
        """Make an instance that is in the log of this or another process the file that it is to be."""
        tmp: Path | None = None
        try:
            there = find(self.root / LOG, relative)
            if there is None:
                return
            segment, found = there
            tmp = self.new_tmp()
            descriptor = os.open(segment, os.O_RDONLY | os.O_CLOEXEC)
            try:
                copy_content(descriptor, found, tmp)
            finally:
                os.close(descriptor)
            self._tree.rename(tmp, target)
        except OSError as error:  # the caller finds no file, unless the log's own process has made it meanwhile
            log.warning("instance_not_brought_out", extra={"error": type(error).__name__, "errno": error.errno})
        finally:
            if tmp is not None:
                tmp.unlink(missing_ok=True)

    def _tmp_area(self) -> TmpArea:
        with self._lock:
            if self._tmp is None:
                self._tree.ensure(self.path(TMP))
                self._tmp = TmpArea.open(self.path(TMP))
            return self._tmp


class IncomingFile:
    """The file meta group and the data set of one instance, while it arrives. Used by one thread."""

    def __init__(self, tree: DurableTree, tmp: Path, meta: FileMeta) -> None:
        """Create the file and write what goes in front of the data set."""
        self.meta = meta
        self.size_bytes = 0
        """Length of the data set so far."""
        self._tree = tree
        self._tmp = tmp
        self._digest = hashlib.sha256()
        self._file = tmp.open("x+b", buffering=0)
        prefix = encode_file_meta(meta)
        self._data_set_offset = len(prefix)
        try:
            self._write_all(memoryview(prefix))
        except OSError:
            self.discard()
            raise

    @property
    def sha256(self) -> str:
        """Digest of the data set bytes so far, without the file meta group."""
        return self._digest.hexdigest()

    def write(self, fragment: memoryview) -> None:
        """Append data set bytes as they were received.

        Raises:
            OSError: the disk did not take them.
        """
        self._write_all(fragment)
        self._digest.update(fragment)
        self.size_bytes += len(fragment)

    def header(self) -> InstanceHeader:
        """The header of the data set; the file is mapped, not read.

        Raises:
            HeaderFault: it cannot be read in the transfer syntax of the file meta group.
        """
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return read_header(mapped, self.meta.transfer_syntax_uid, offset=self._data_set_offset)

    def keep(self, instance: Instance) -> None:
        """Make the file durable where its row says.

        Raises:
            OSError: it is not durable; the unfinished file is gone.
        """
        self.publish(self._tree.root / instance.path)

    def publish(self, target: Path) -> None:
        """Make the file durable at its place below the spool's root.

        Raises:
            OSError: it is not durable; the unfinished file is gone.
        """
        try:
            os.fdatasync(self._file.fileno())
            self._tree.rename(self._tmp, target)
        finally:
            self.discard()

    def discard(self) -> None:
        """Close and forget the unfinished file; harmless after `publish`."""
        self._file.close()
        self._tmp.unlink(missing_ok=True)

    def _write_all(self, data: memoryview) -> None:
        while data:
            written = self._file.write(data)
            if not written:
                raise OSError(errno.EIO, "the file took no bytes")
            data = data[written:]


Incoming = IncomingFile | LoggedFile
"""One instance while it arrives."""


def key_of(incoming: Incoming) -> str:
    """The content key of what has arrived so far."""
    return content_key(incoming.meta.transfer_syntax_uid, incoming.sha256)
