"""One file of the receive log: made and filled once, locked by the process that writes it, then written in place.

Why in place: a sync of bytes that lie where bytes lay before touches no metadata of the file system, and so waits for
no journal. It takes half as long as a sync of appended or preallocated bytes (`python -m benchmarks.syncing`).
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dicom_node.durable import sync_directory
from dicom_node.log_record import (
    BLOCK_BYTES,
    NO_NONCE,
    NONCE_BYTES,
    Found,
    Record,
    decode_record,
    decode_start,
    encode_record,
    encode_start,
    scan,
)

SUFFIX, UNFINISHED_SUFFIX = ".log", ".new"
COPY_BYTES = 1 << 20


class DamagedRecordError(OSError):
    """The bytes in the log are not those that its record says."""


@dataclass(slots=True, kw_only=True, eq=False)
class Segment:
    """A locked file of the log. What it holds changes hands under the lock of its owner (receive_log.ReceiveLog)."""

    path: Path
    descriptor: int
    size_bytes: int
    nonce: bytes = NO_NONCE
    tail: int = BLOCK_BYTES
    """Where the next record begins."""
    waiting: list[Found] = field(default_factory=list)
    """Acknowledged, and not yet a file of its own."""

    @property
    def room_bytes(self) -> int:
        """Bytes of content that still fit."""
        return self.size_bytes - self.tail - BLOCK_BYTES

    @classmethod
    def create(cls, folder: Path, size_bytes: int) -> Segment:
        """A new file, each of its blocks written and synced.

        Raises:
            OSError: the disk does not take it; nothing is left.
        """
        path = folder / f"{uuid.uuid4().hex}{SUFFIX}"
        unfinished = path.with_suffix(UNFINISHED_SUFFIX)  # nobody adopts it before it is filled and locked
        descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            zeros = bytes(COPY_BYTES)
            for at in range(0, size_bytes, COPY_BYTES):
                write_all(descriptor, memoryview(zeros)[: size_bytes - at], at)
            os.fsync(descriptor)
            unfinished.rename(path)
            sync_directory(folder)
        except OSError:
            for left in (unfinished, path):
                left.unlink(missing_ok=True)
            os.close(descriptor)
            raise
        return cls(path=path, descriptor=descriptor, size_bytes=size_bytes)

    @classmethod
    def adopt(cls, path: Path) -> Segment | None:
        """Lock a file that no living process holds; None when one does, or it is gone."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        segment = cls(path=path, descriptor=descriptor, size_bytes=os.fstat(descriptor).st_size)
        segment.nonce = decode_start(os.pread(descriptor, BLOCK_BYTES, 0))
        return segment

    def begin(self) -> None:
        """Use the file from its start again. Its first sync of a record makes this durable too.

        Raises:
            OSError: the disk does not take it.
        """
        self.nonce = secrets.token_bytes(NONCE_BYTES)
        self.tail = BLOCK_BYTES
        write_all(self.descriptor, memoryview(encode_start(self.nonce)), 0)

    def write_record(self, at: int, record: Record) -> None:
        """Write the block in front of an instance; not durable before `sync`.

        Raises:
            OSError: the disk does not take it.
        """
        write_all(self.descriptor, memoryview(encode_record(record, self.nonce)), at)

    def sync(self) -> None:
        """Make what was written durable.

        Raises:
            OSError: it may not be.
        """
        os.fdatasync(self.descriptor)

    def forget(self) -> None:
        """Nothing in this file is wanted any more, also after a power cut.

        Raises:
            OSError: the disk does not take it.
        """
        write_all(self.descriptor, memoryview(encode_start(NO_NONCE)), 0)
        self.sync()
        self.nonce = NO_NONCE

    def records(self) -> list[Found]:
        """Every record, void ones too."""
        if self.nonce == NO_NONCE or self.size_bytes <= BLOCK_BYTES:
            return []
        with mmap.mmap(self.descriptor, self.size_bytes, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as view:
            return list(scan(view))

    def close(self) -> None:
        """Give the lock back."""
        os.close(self.descriptor)


def sweep(folder: Path) -> None:
    """Remove segments that a process did not finish making before it ended."""
    for path in folder.glob(f"*{UNFINISHED_SUFFIX}"):
        segment = Segment.adopt(path)
        if segment is not None:
            path.unlink(missing_ok=True)
            segment.close()


def find(folder: Path, relative: str) -> tuple[Path, Found] | None:
    """Where the log of any process holds the instance whose file is to be at `relative`."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        with _reading(path) as descriptor:
            if descriptor is None:
                continue
            nonce = decode_start(os.pread(descriptor, BLOCK_BYTES, 0))
            at = BLOCK_BYTES
            while (record := decode_record(os.pread(descriptor, BLOCK_BYTES, at), nonce)) is not None:
                found = Found(at=at, record=record)
                if record.instance.path == relative and not record.is_void:
                    return path, found
                at = found.end
    return None


def copy_content(descriptor: int, found: Found, target: Path) -> None:
    """Write the PS3.10 file of a record to a new file, and sync it.

    Raises:
        DamagedRecordError: the data set is not what the record says; the file is written all the same.
        OSError: the disk does not take it.
    """
    digest = hashlib.sha256()
    done = 0
    with target.open("xb", buffering=0) as file:
        for piece in _pieces(descriptor, found):
            digest.update(piece[max(found.record.prefix_bytes - done, 0) :])
            write_all(file.fileno(), piece, done)
            done += len(piece)
        os.fdatasync(file.fileno())
    if digest.hexdigest() != found.record.instance.sha256:
        raise DamagedRecordError(f"the log does not hold the bytes of a record at {found.at}")


def is_whole(descriptor: int, found: Found) -> bool:
    """Whether the data set is what the record says.

    Raises:
        OSError: the disk does not give it.
    """
    digest = hashlib.sha256()
    done = 0
    for piece in _pieces(descriptor, found):
        digest.update(piece[max(found.record.prefix_bytes - done, 0) :])
        done += len(piece)
    return digest.hexdigest() == found.record.instance.sha256


def _pieces(descriptor: int, found: Found) -> Iterator[memoryview]:
    """The PS3.10 file of a record, each piece valid until the next."""
    size = found.record.content_bytes
    buffer = memoryview(bytearray(min(COPY_BYTES, size)))
    done = 0
    while done < size and (count := os.preadv(descriptor, [buffer[: size - done]], found.content_at + done)):
        yield buffer[:count]
        done += count


def write_all(descriptor: int, data: memoryview, at: int) -> None:
    """Write bytes at an offset.

    Raises:
        OSError: the disk does not take them.
    """
    while data:
        written = os.pwrite(descriptor, data, at)
        data, at = data[written:], at + written


@contextmanager
def _reading(path: Path) -> Iterator[int | None]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)
