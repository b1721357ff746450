"""The bytes of the receive log: a file of blocks, written in place again and again.

    block 0   magic, version, nonce, CRC-32. A nonce of zeros: nothing in this file is wanted.
    record    one block (magic, nonce, length of the words, CRC-32, the words as JSON), then the bytes of one PS3.10
              file, filled up to the next block

The nonce is new each time that a file is begun again: what an earlier use left behind is never taken for a record. It
is random and told to nobody, so that no sender can plant a record in the bytes of an instance.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from dicom_node.store import Instance

BLOCK_BYTES = 4096
"""The page and block size of the usual file systems: a record never shares a block with another."""
NONCE_BYTES = 16
NO_NONCE = bytes(NONCE_BYTES)
_MAGIC = b"SPINELOG"
_RECORD_MAGIC = b"SPINEREC"
_VERSION = 1
_START = struct.Struct("<8sI16s")
_HEAD = struct.Struct("<8s16sII")  # magic, nonce, length of the words, their CRC-32
_CRC = struct.Struct("<I")
_ENCODER = json.JSONEncoder(separators=(",", ":"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One instance in the log."""

    instance: Instance
    prefix_bytes: int
    """Preamble and file meta group, in front of the data set."""
    is_void: bool = False
    """Written, and then not wanted: a conflict that went to quarantine."""

    @property
    def content_bytes(self) -> int:
        """Length of the PS3.10 file."""
        return self.prefix_bytes + self.instance.size_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A record, and the offset in bytes of its block."""

    at: int
    record: Record

    @property
    def content_at(self) -> int:
        """Offset of the PS3.10 file."""
        return self.at + BLOCK_BYTES

    @property
    def end(self) -> int:
        """Offset of the next record."""
        return self.content_at + whole_blocks(self.record.content_bytes)


def whole_blocks(size_bytes: int) -> int:
    """The size, filled up to a block."""
    return -(-size_bytes // BLOCK_BYTES) * BLOCK_BYTES


def encode_start(nonce: bytes) -> bytes:
    """Block 0 of a file."""
    start = _START.pack(_MAGIC, _VERSION, nonce)
    return (start + _CRC.pack(zlib.crc32(start))).ljust(BLOCK_BYTES, b"\0")


def decode_start(block: bytes) -> bytes:
    """The nonce that block 0 says; zeros when it says none, or was torn."""
    start = block[: _START.size]
    if len(block) < _START.size + _CRC.size or _CRC.unpack_from(block, _START.size)[0] != zlib.crc32(start):
        return NO_NONCE
    magic, version, nonce = _START.unpack(start)
    return bytes(nonce) if (magic, version) == (_MAGIC, _VERSION) else NO_NONCE


def encode_record(record: Record, nonce: bytes) -> bytes:
    """The block in front of an instance.

    Raises:
        ValueError: the words do not fit a block; UIDs and an AE title of allowed length always do.
    """
    instance = {name: getattr(record.instance, name) for name in Instance.__slots__}
    fields = {"instance": instance, "prefix_bytes": record.prefix_bytes, "is_void": record.is_void}
    words = _ENCODER.encode(fields).encode("ascii")
    if len(words) > BLOCK_BYTES - _HEAD.size:
        raise ValueError(f"the words of a record have at most {BLOCK_BYTES - _HEAD.size} bytes, got {len(words)}")
    return (_HEAD.pack(_RECORD_MAGIC, nonce, len(words), zlib.crc32(words)) + words).ljust(BLOCK_BYTES, b"\0")


def decode_record(block: bytes, nonce: bytes) -> Record | None:
    """The record that a block of a file with this nonce begins; None when it begins none, or was torn."""
    if nonce == NO_NONCE or len(block) < BLOCK_BYTES:
        return None
    magic, its_nonce, length, checksum = _HEAD.unpack_from(block)
    words = block[_HEAD.size : _HEAD.size + length]
    if (magic, its_nonce) != (_RECORD_MAGIC, nonce) or len(words) != length or zlib.crc32(words) != checksum:
        return None
    try:
        fields = json.loads(words)
        instance = Instance(**fields["instance"])
        return Record(instance=instance, prefix_bytes=int(fields["prefix_bytes"]), is_void=bool(fields["is_void"]))
    except (ValueError, TypeError, KeyError):
        return None  # of a later version of this program


def scan(data: memoryview) -> Iterator[Found]:
    """Every record of a whole file, also behind a block that was damaged."""
    nonce = decode_start(bytes(data[:BLOCK_BYTES]))
    mark = _RECORD_MAGIC + nonce
    at = BLOCK_BYTES
    while nonce != NO_NONCE and at + BLOCK_BYTES <= len(data):
        is_marked = data[at : at + len(mark)] == mark
        record = decode_record(bytes(data[at : at + BLOCK_BYTES]), nonce) if is_marked else None
        found = Found(at=at, record=record) if record else None
        if found is not None and found.content_at + found.record.content_bytes <= len(data):
            yield found
            at = found.end
        else:
            at += BLOCK_BYTES
