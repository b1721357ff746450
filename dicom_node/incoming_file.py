"""One instance that arrives as an unfinished file: where there is no receive log, or no room in it."""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
from pathlib import Path

from dicom_node.durable import DurableTree
from dicom_node.file_meta import FileMeta, encode_file_meta
from dicom_node.header import InstanceHeader, read_header
from dicom_node.store import Instance


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
