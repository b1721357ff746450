"""One instance while it arrives in the receive log, and until it is acknowledged or forgotten."""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from dicom_node.durable import DurableTree
from dicom_node.file_meta import FileMeta, encode_file_meta
from dicom_node.header import HeaderEnds, InstanceHeader, read_header
from dicom_node.log_record import BLOCK_BYTES, Found, Record
from dicom_node.log_segment import COPY_BYTES, Segment, copy_content, write_all
from dicom_node.store import Instance

WRITE_BACK_BYTES = 1 << 18
"""Below this it costs more than it saves (python -m benchmarks.syncing)."""

HEAD_BYTES = 1 << 14
"""As much is read for the header at first. Those of images are shorter; mapping costs more than reading so much."""


class SegmentFullError(Exception):
    """The instance does not fit the rest of its segment; it is to become a file at once."""


class Owner(Protocol):
    """What a place in the log is given back to."""

    tree: DurableTree
    new_tmp: Callable[[], Path]

    def release(self, segment: Segment, found: Found | None, *, is_wanted: bool) -> None:
        """An instance has ended; see receive_log.ReceiveLog."""


class LoggedFile:
    """The file meta group and the data set of one instance, while it arrives in a segment. Used by one thread."""

    def __init__(self, owner: Owner, segment: Segment, meta: FileMeta) -> None:
        """Write what goes in front of the data set."""
        self.meta = meta
        self.size_bytes = 0
        """Length of the data set so far."""
        self._owner = owner
        self._segment = segment
        self._at = segment.tail
        self._content_at = segment.tail + BLOCK_BYTES
        self._digest = hashlib.sha256()
        prefix = encode_file_meta(meta)
        self._prefix_bytes = len(prefix)
        self._written_back = 0
        self._kept: Found | None = None
        self._is_wanted = False
        self._is_released = False
        write_all(segment.descriptor, memoryview(prefix), self._content_at)

    @property
    def sha256(self) -> str:
        """Digest of the data set bytes so far, without the file meta group."""
        return self._digest.hexdigest()

    def write(self, fragment: memoryview) -> None:
        """Append data set bytes as they were received.

        Raises:
            SegmentFullError: they do not fit; nothing of this fragment was written.
            OSError: the disk did not take them.
        """
        done = self._prefix_bytes + self.size_bytes
        if done + len(fragment) > self._segment.room_bytes:
            raise SegmentFullError
        at = self._content_at + done
        write_all(self._segment.descriptor, fragment, at)
        self.size_bytes += len(fragment)
        self._write_back()
        self._digest.update(fragment)  # while the disk works

    def _write_back(self) -> None:
        """Begin to write to the disk what is there, so that less is left for the sync at the end."""
        done = self._prefix_bytes + self.size_bytes
        if done - self._written_back >= WRITE_BACK_BYTES:
            at, length = self._content_at + self._written_back, done - self._written_back
            os.posix_fadvise(self._segment.descriptor, at, length, os.POSIX_FADV_DONTNEED)  # Linux: writes back first
            self._written_back = done

    def header(self) -> InstanceHeader:
        """The header of the data set; a long one is mapped, not read.

        Raises:
            HeaderFault: it cannot be read in the transfer syntax of the file meta group.
        """
        length = self._prefix_bytes + self.size_bytes
        if length > HEAD_BYTES:
            head = os.pread(self._segment.descriptor, HEAD_BYTES, self._content_at)
            with suppress(HeaderEnds):
                return read_header(head, self.meta.transfer_syntax_uid, offset=self._prefix_bytes, is_whole=False)
        with mmap.mmap(self._segment.descriptor, length, access=mmap.ACCESS_READ, offset=self._content_at) as mapped:
            return read_header(mapped, self.meta.transfer_syntax_uid, offset=self._prefix_bytes)

    def keep(self, instance: Instance) -> None:
        """Make the instance durable: after this it survives a power cut, with all that its row says.

        Raises:
            OSError: it may not be durable.
        """
        record = Record(instance=instance, prefix_bytes=self._prefix_bytes)
        self._segment.write_record(self._at, record)
        self._segment.sync()
        self._kept = Found(at=self._at, record=record)
        self._is_wanted = True

    def copy_to(self, write: Callable[[memoryview], None]) -> None:
        """Hand the data set so far to another place, piece by piece.

        Raises:
            OSError: the log cannot be read, or the other place does not take it.
        """
        length = self._prefix_bytes + self.size_bytes
        with (
            mmap.mmap(self._segment.descriptor, length, access=mmap.ACCESS_READ, offset=self._content_at) as mapped,
            memoryview(mapped) as view,
        ):
            for at in range(self._prefix_bytes, length, COPY_BYTES):
                with view[at : at + COPY_BYTES] as piece:
                    write(piece)

    def move_aside(self, target: Path) -> None:
        """What was kept is not wanted after all: make it a file at `target`, and no other.

        Raises:
            OSError: it could not be written.
        """
        assert self._kept is not None, "kept first"  # noqa: S101 - states the invariant
        tmp = self._owner.new_tmp()
        try:
            copy_content(self._segment.descriptor, self._kept, tmp)
            self._owner.tree.rename(tmp, target)
        finally:
            tmp.unlink(missing_ok=True)
        void = Record(instance=self._kept.record.instance, prefix_bytes=self._prefix_bytes, is_void=True)
        self._segment.write_record(self._at, void)
        self._is_wanted = False

    def discard(self) -> None:
        """Give the place back: what was kept waits to become a file, anything else is forgotten. Harmless twice."""
        if not self._is_released:
            self._is_released = True
            self._owner.release(self._segment, self._kept, is_wanted=self._is_wanted)
