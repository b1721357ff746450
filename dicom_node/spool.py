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

Hosts share this tree, or an object store (dicom_node.object_store) instead. With one, the tree is of one host:
received/ holds what waits to be put there, results/ nothing, and `Spool.path` fetches what others have put.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dicom_node.durable import DurableTree
from dicom_node.file_meta import FileMeta
from dicom_node.incoming_file import IncomingFile
from dicom_node.log_record import Record
from dicom_node.log_segment import copy_content, find
from dicom_node.logged_file import LoggedFile
from dicom_node.object_store import CACHE, CachedStore, ObjectStore
from dicom_node.receive_log import LogRules, ReceiveLog
from dicom_node.tmp_area import TmpArea, host_part, locked

RECEIVED, QUARANTINE, RESULTS, TMP, LOG = "received", "quarantine", "results", "tmp", "log"
OF_ONE_HOST = (QUARANTINE, TMP, LOG)
"""Folders that no other host reads."""
IN_STORE = 1
"""In place of a file's number, for an object."""
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

    def __init__(self, root: Path, objects: ObjectStore | None = None) -> None:
        """Name the root; it is created when something is first written.

        Args:
            root: the tree's folder.
            objects: what hosts share instead of the tree; None: they share the tree, or there is one host.
        """
        self.root = root.absolute()
        self.objects = None if objects is None else CachedStore(objects, self.root / CACHE, self.new_tmp)
        self._tree = DurableTree(self.root)
        self._tmp: TmpArea | None = None
        self._lock = threading.Lock()
        self.log: ReceiveLog | None = None
        """Of a process that receives much; the others write every instance as a file."""

    def path(self, relative: str) -> Path:
        """Path of a file to read; one that is only in the receive log, or in the object store, is brought here first.

        Raises:
            ValueError: the path is absolute or leaves the root.
            ObjectStoreFailure: the object store does not answer.
            OSError: its object cannot be written here.
        """
        path = self._place(relative)
        top = PurePosixPath(relative).parts[0]
        if path.exists() or top in OF_ONE_HOST:
            return path
        copy = self.objects.copy(relative) if self.objects is not None else None
        if copy is not None:
            return copy
        if top == RECEIVED:
            self._bring_out(relative, path)
        if self.objects is None or path.exists():
            return path
        return self.objects.find(relative) or path

    def is_here(self, relative: str) -> bool:
        """Whether this host has it as a file, received or copied."""
        is_copied = self.objects is not None and self.objects.copy(relative) is not None
        return is_copied or self._place(relative).exists()

    def holds(self, relative: str) -> bool:
        """Whether there is such a file, here or in the object store, which is not read.

        Raises:
            ObjectStoreFailure: it does not answer.
        """
        if self.objects is None:
            return self.path(relative).is_file()
        return self.is_here(relative) or self.objects.store.has(relative)

    def upload(self, relative: str) -> None:
        """Put a file of this host into the object store; where there is none, hosts share the file already.

        Raises:
            ObjectStoreFailure: the object store does not take it.
            FileNotFoundError: the file is not here.
        """
        if self.objects is not None:
            path = self._place(relative)
            self.objects.put(relative, path if path.exists() else self.objects.copy(relative) or path)

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
        incoming.move_aside(self._place(target))
        return target

    def write_result(self, relative: str, data: bytes) -> None:
        """Write one of our own objects; when this returns, it survives a power cut. Writing it again is harmless.

        Raises:
            OSError: the bytes could not be made durable; nothing is at `relative` that was not there before.
            ObjectStoreFailure: the same, where hosts share an object store.
        """
        tmp = self.new_tmp()
        try:
            with tmp.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if self.objects is not None:
                self.objects.put(relative, tmp)
            else:
                self._tree.rename(tmp, self._place(relative))
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
        """Remove a file that no row names; missing is fine.

        Raises:
            OSError: it could not be removed.
            ObjectStoreFailure: the same, where hosts share an object store.
        """
        if self.objects is not None:
            self.objects.remove(relative)
        self._place(relative).unlink(missing_ok=True)

    def remove_folder(self, relative: str) -> None:
        """Remove a folder that no row names, with everything in it; missing is fine.

        Raises:
            OSError: it could not be removed.
            ObjectStoreFailure: the same, where hosts share an object store.
        """
        if self.objects is not None:
            for name in list(self.objects.store.names(f"{relative}/")):
                self.objects.remove(name)
        with suppress(FileNotFoundError):
            shutil.rmtree(self._place(relative))

    def inode(self, relative: str) -> int | None:
        """The number of a file, or IN_STORE; None where there is none."""
        if self.objects is not None:
            return IN_STORE
        try:
            return self.path(relative).stat().st_ino
        except FileNotFoundError:
            return None

    def remove_file(self, relative: str, inode: int) -> bool:
        """Remove a file if it is still that one, and its folder when that is empty; False where it is not.

        A file that came to the same path meanwhile is another one, with a row or soon to have one. To tell them apart
        without a gap, the file is first renamed, and renamed back where it is the newer one; a kill in between leaves
        the new name, which the next call looks at first. An object is removed at once: what came under its name again
        waits to be put as long as a removal is listed (dicom_node.uploads).

        Raises:
            OSError: it could not be removed.
            ObjectStoreFailure: the same, where hosts share an object store.
        """
        if self.objects is not None:
            self.objects.remove(relative)
            return True
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
        for folder, _, names in os.walk(self._place(top)):
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

    def _place(self, relative: str) -> Path:
        parts = PurePosixPath(relative).parts
        if not parts or parts[0] == "/" or ".." in parts:
            raise ValueError(f"a spool path is relative and stays below the root, got {relative!r}")
        return self.root.joinpath(*parts)

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
                self._tree.ensure(self._place(TMP))
                self._tmp = TmpArea.open(self._place(TMP))
            return self._tmp


Incoming = IncomingFile | LoggedFile
"""One instance while it arrives."""


def key_of(incoming: Incoming) -> str:
    """The content key of what has arrived so far."""
    return content_key(incoming.meta.transfer_syntax_uid, incoming.sha256)
