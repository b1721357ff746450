"""Read the few header elements that the receiver needs, without decoding anything else.

Why not pydicom here: this runs between a peer's bytes and our acknowledgement, on whatever a peer sends. It must never
warn process-wide, never guess another encoding than the negotiated one, and fail with exactly one error. pydicom's
reader stays the measure: a test compares the two on every transfer syntax. Encoding rules: PS3.5 7.1, 7.5, A.5.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from mmap import mmap
from typing import Any

from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from dicom_node.bounds import InflationError, check_inflation

SOP_CLASS_UID = 0x0008_0016
SOP_INSTANCE_UID = 0x0008_0018
MANUFACTURER = 0x0008_0070
STUDY_INSTANCE_UID = 0x0020_000D
SERIES_INSTANCE_UID = 0x0020_000E
WANTED = frozenset({SOP_CLASS_UID, SOP_INSTANCE_UID, MANUFACTURER, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID})
LAST_WANTED = max(WANTED)
"""Elements ascend by tag (PS3.5 7.1): nothing is read beyond this one, and never the pixel data."""

ITEM_GROUP = 0xFFFE
ITEM, ITEM_END, SEQUENCE_END = 0xFFFE_E000, 0xFFFE_E00D, 0xFFFE_E0DD
UNDEFINED_LENGTH = 0xFFFF_FFFF
LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
"""Explicit VRs with a 32 bit length after two reserved bytes (PS3.5 Table 7.1-1)."""
MAX_NESTING = 64
"""Deepest sequence that is followed. Our own bound: real headers nest fewer than ten levels deep."""
MAX_UID_CHARACTERS = 64
"""PS3.5 9.1."""
MAX_VALUE_BYTES = 256
"""No wanted value is longer; a longer one is cut, and is then not a UID and not our mark."""
INFLATE_FIRST_BYTES = 1 << 20
INFLATE_MAX_BYTES = 1 << 26
"""A deflated header that needs more than 64 MiB is refused rather than inflated further."""


_TAG_LENGTH = (struct.Struct("<HHI"), struct.Struct(">HHI"))
_TAG_VR_LENGTH = (struct.Struct("<HH2sH"), struct.Struct(">HH2sH"))
_LONG = (struct.Struct("<I"), struct.Struct(">I"))
"""Little and big endian."""


class HeaderFault(ValueError):  # noqa: N818 - style.md section 4: a fault of the input, not an error of ours
    """The bytes are not a data set in the transfer syntax that was negotiated; the message says what is wrong."""


class HeaderEnds(HeaderFault):
    """The bytes end before the header does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceHeader:
    """What the receiver needs to know of an instance. Empty: the element is missing or empty."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    manufacturer: str
    """Only ever compared with our own mark."""


def is_uid(value: str) -> bool:
    """Whether this is a UID, and therefore safe as part of a path: digits and single dots, 1 to 64 characters.

    Leading zeros of a component are let through: PS3.5 9.1 forbids them, and real devices send them.
    """
    components = value.split(".")
    return 0 < len(value) <= MAX_UID_CHARACTERS and value.isascii() and all(part.isdigit() for part in components)


def read_header(
    data: bytes | mmap, transfer_syntax_uid: str, *, offset: int = 0, is_whole: bool = True
) -> InstanceHeader:
    """Read the header of a data set.

    Args:
        data: holds the data set from `offset` to its end. No view of it is kept, whatever happens.
        transfer_syntax_uid: the one that was negotiated.
        offset: bytes in front of the data set (preamble and file meta group), not looked at.
        is_whole: False: `data` is only how it begins.

    Raises:
        HeaderFault: the bytes cannot be walked in this transfer syntax.
        HeaderEnds: the header is longer than `data`.
    """
    if transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        if not is_whole:
            raise HeaderEnds("a deflated data set has to be looked at as a whole")
        return _as_header(_scan_deflated(data, offset))
    scanner = _Scanner(
        data=data,
        is_whole=is_whole,
        big_endian=transfer_syntax_uid == ExplicitVRBigEndian,
        implicit=transfer_syntax_uid == ImplicitVRLittleEndian,
    )
    return _as_header(scanner.scan(offset))


def _as_header(values: Mapping[int, bytes]) -> InstanceHeader:
    def text(tag: int) -> str:
        return values.get(tag, b"").strip(b" \0").decode("latin-1")

    return InstanceHeader(
        sop_class_uid=text(SOP_CLASS_UID),
        sop_instance_uid=text(SOP_INSTANCE_UID),
        study_instance_uid=text(STUDY_INSTANCE_UID),
        series_instance_uid=text(SERIES_INSTANCE_UID),
        manufacturer=text(MANUFACTURER),
    )


def _scan_deflated(data: bytes | mmap, offset: int) -> dict[int, bytes]:
    """Inflate no more than the header needs, so that a small object cannot fill the memory.

    What becomes too large when it is inflated as a whole is refused here, at the door: readers inflate it as a whole.
    """
    limit = INFLATE_FIRST_BYTES
    while True:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)  # raw deflate, PS3.5 A.5
        # Deflate never grows data by more than 5 bytes in 16 KiB (RFC 1951 3.2.4): twice the limit is enough to read.
        deflated = data[offset : offset + 2 * limit]
        try:
            inflated = inflater.decompress(deflated, limit)
        except zlib.error as error:
            raise HeaderFault("the data set is not a deflate stream") from error
        try:
            found = _Scanner(data=inflated, big_endian=False, implicit=False).scan(0)
        except HeaderEnds:
            if len(inflated) < limit or limit >= INFLATE_MAX_BYTES:
                raise
        else:
            _check_inflation(data, offset)
            return found
        limit *= 8


def _check_inflation(data: bytes | mmap, offset: int) -> None:
    try:
        check_inflation(data, offset)
    except InflationError as error:
        raise HeaderFault(str(error)) from error
    except zlib.error:
        return  # damaged behind its header: kept as it came, and refused by whoever reads it


@dataclass(slots=True, kw_only=True)
class _Scanner:
    """One pass over the top-level elements, from the first to the last that is wanted."""

    data: bytes | mmap
    big_endian: bool
    implicit: bool
    is_whole: bool = True
    found: dict[int, bytes] = field(default_factory=dict)

    def scan(self, offset: int) -> dict[int, bytes]:
        size = len(self.data)
        if offset >= size:
            raise HeaderFault("the data set is empty")
        while offset < size:
            tag, vr, length, offset = self._element(offset)
            if tag > LAST_WANTED:
                return self.found
            if length == UNDEFINED_LENGTH:
                # PS3.5 6.2.2 note 2: UN of undefined length holds an implicit VR sequence.
                offset = self._skip_sequence(offset, implicit=self.implicit or vr == b"UN", depth=1)
                continue
            end = self._end(offset, length, tag)
            if tag in WANTED:
                self.found[tag] = self.data[offset : min(end, offset + MAX_VALUE_BYTES)]
            offset = end
        if not self.is_whole:
            raise HeaderEnds("the data set may go on")
        return self.found

    def _element(self, offset: int, *, implicit: bool | None = None) -> tuple[int, bytes, int, int]:
        """Tag, VR (empty when implicit), length and offset of the value."""
        if self.implicit if implicit is None else implicit:
            group, number, length = self._unpack(_TAG_LENGTH, offset)
            return (group << 16) | number, b"", length, offset + 8
        group, number, vr, length = self._unpack(_TAG_VR_LENGTH, offset)
        tag = (group << 16) | number
        if group == ITEM_GROUP:  # has no VR (PS3.5 7.5)
            return tag, b"", self._unpack(_LONG, offset + 4)[0], offset + 8
        if vr in LONG_VRS:
            return tag, vr, self._unpack(_LONG, offset + 8)[0], offset + 12
        if not (vr.isalpha() and vr.isupper()):
            raise HeaderFault(f"no value representation at element ({group:04X},{number:04X})")
        return tag, vr, length, offset + 8

    def _unpack(self, layouts: tuple[struct.Struct, struct.Struct], offset: int) -> tuple[Any, ...]:
        try:
            return layouts[self.big_endian].unpack_from(self.data, offset)
        except struct.error as error:
            raise HeaderEnds(f"the data set ends inside an element, at byte {len(self.data)}") from error

    def _end(self, offset: int, length: int, tag: int) -> int:
        end = offset + length
        if end > len(self.data):
            raise HeaderEnds(
                f"element ({tag >> 16:04X},{tag & 0xFFFF:04X}) says {length} bytes, {len(self.data) - offset} are left"
            )
        return end

    def _skip_sequence(self, offset: int, *, implicit: bool, depth: int) -> int:
        """The offset behind a sequence of undefined length (PS3.5 7.5)."""
        if depth > MAX_NESTING:
            raise HeaderFault(f"sequences nest deeper than {MAX_NESTING} levels")
        while True:
            tag, _, length, offset = self._element(offset, implicit=implicit)
            if tag == SEQUENCE_END:
                return offset
            if tag != ITEM:
                raise HeaderFault(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) stands where a sequence item must begin")
            if length == UNDEFINED_LENGTH:
                offset = self._skip_item(offset, implicit=implicit, depth=depth)
            else:
                offset = self._end(offset, length, tag)

    def _skip_item(self, offset: int, *, implicit: bool, depth: int) -> int:
        """The offset behind an item of undefined length."""
        while True:
            tag, vr, length, offset = self._element(offset, implicit=implicit)
            if tag == ITEM_END:
                return offset
            if length == UNDEFINED_LENGTH:
                offset = self._skip_sequence(offset, implicit=implicit or vr == b"UN", depth=depth + 1)
            else:
                offset = self._end(offset, length, tag)
