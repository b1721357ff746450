"""A disk in user space that keeps only what was flushed: ``python power_disk.py IMAGE MOUNT``.

A FUSE file system of two files. ``disk`` is the disk, made of the image and of blocks that were written since the last
flush, which live in this process alone. Writing a seed and a share into ``control`` is the power cut: of those blocks a
random share reaches the image, the others never will, and from then on nothing can be written or flushed. So a write
that nobody flushed may be lost, may be kept, and may be kept without the one before it, as on a drive with a cache.
"""

# ruff: noqa: ARG002 - the signatures are those of FUSE
from __future__ import annotations

import errno
import os
import random
import stat
import sys
from pathlib import Path

from mfusepy import FUSE, FuseOSError, Operations

BLOCK_BYTES = 4096
DISK, CONTROL = "/disk", "/control"


class PowerDisk(Operations):
    """The two files. One request at a time (``nothreads``), so that a cut falls between two requests."""

    use_ns = True

    def __init__(self, image: Path) -> None:
        """Open the image."""
        self._image = os.open(image, os.O_RDWR)
        self._size = os.fstat(self._image).st_size
        self._pending: dict[int, bytearray] = {}
        self._is_dead = False

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        """Sizes and modes."""
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o700, "st_nlink": 2}
        if path not in {DISK, CONTROL}:
            raise FuseOSError(errno.ENOENT)
        size = self._size if path == DISK else 0
        return {"st_mode": stat.S_IFREG | 0o600, "st_nlink": 1, "st_size": size}

    def readdir(self, path: str, fh: int) -> list[str]:
        """The names."""
        return [".", "..", DISK[1:], CONTROL[1:]]

    def open(self, path: str, flags: int) -> int:
        """Both files have no handle of their own."""
        return 0

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        """Of ``control`` alone, by a shell's redirection."""
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        """What was written last, flushed or not."""
        data = bytearray(os.pread(self._image, size, offset))
        for index in range(offset // BLOCK_BYTES, (offset + len(data) - 1) // BLOCK_BYTES + 1):
            if block := self._pending.get(index):
                start, end = max(offset, index * BLOCK_BYTES), min(offset + len(data), (index + 1) * BLOCK_BYTES)
                data[start - offset : end - offset] = block[start - index * BLOCK_BYTES : end - index * BLOCK_BYTES]
        return bytes(data)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        """Into memory; of ``control``: the cut."""
        if path == CONTROL:
            seed, share = data.split()
            self._cut(int(seed), float(share))
            return len(data)
        if self._is_dead:
            raise FuseOSError(errno.EIO)
        done = 0
        while done < len(data):
            index, start = divmod(offset + done, BLOCK_BYTES)
            piece = data[done : done + BLOCK_BYTES - start]
            if index not in self._pending:
                self._pending[index] = bytearray(os.pread(self._image, BLOCK_BYTES, index * BLOCK_BYTES))
            self._pending[index][start : start + len(piece)] = piece
            done += len(piece)
        return len(data)

    def flush(self, path: str, fh: int) -> int:
        """That a file descriptor was closed: no flush of the disk."""
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        """The flush: everything that was written is kept."""
        if self._is_dead:
            raise FuseOSError(errno.EIO)
        self._keep(self._pending)
        self._pending.clear()
        return 0

    def _cut(self, seed: int, share: float) -> None:
        generator = random.Random(seed)  # noqa: S311 - repeatable
        self._is_dead = True
        self._keep({index: block for index, block in sorted(self._pending.items()) if generator.random() < share})
        self._pending.clear()

    def _keep(self, blocks: dict[int, bytearray]) -> None:
        for index, block in blocks.items():
            os.pwrite(self._image, block, index * BLOCK_BYTES)


if __name__ == "__main__":
    FUSE(PowerDisk(Path(sys.argv[1])), sys.argv[2], foreground=True, nothreads=True)
