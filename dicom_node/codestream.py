"""How large a compressed frame says that it is, read from its code stream before any decoder is given it.

A decoder allocates what the code stream says, not what the data set says: a few bytes may ask for gigabytes. Only the
headers are looked at: SIZ of JPEG 2000 and HTJ2K (ISO/IEC 15444-1 A.5.1), the frame header of JPEG (ISO/IEC 10918-1
B.2.2) and of JPEG-LS (ISO/IEC 14495-1 C.2.2).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from pydicom.uid import UID, JPEG2000TransferSyntaxes, RLELossless

HTJ2K = frozenset(f"1.2.840.10008.1.2.4.{last}" for last in (201, 202, 203))
_J2K = frozenset(str(uid) for uid in JPEG2000TransferSyntaxes) | HTJ2K
_SOC_SIZ = b"\xff\x4f\xff\x51"
_SEARCHED_BYTES = 4096
"""A JP2 box around the code stream, which some writers leave, is shorter."""
_NO_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})
"""JPEG markers without a segment: TEM and RSTn. SOI is passed over where it stands."""
_FRAME_HEADERS = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
"""SOFn, and SOF55 of JPEG-LS; not DHT, JPG and DAC, which lie among them."""
_START_OF_SCAN = 0xDA


@dataclass(frozen=True, slots=True)
class CodedSize:
    """What a decoder will make of a frame."""

    rows: int
    columns: int
    samples: int


def has_size(transfer_syntax_uid: str) -> bool:
    """Whether frames in this transfer syntax say their own size; RLE and uncompressed ones are as the header says."""
    return UID(transfer_syntax_uid).is_compressed and transfer_syntax_uid != RLELossless


def coded_size(codestream: bytes, transfer_syntax_uid: str) -> CodedSize | None:
    """The size that a code stream says; None where no header is found in it."""
    try:
        return _siz(codestream) if transfer_syntax_uid in _J2K else _frame_header(codestream)
    except (struct.error, IndexError):
        return None


def _siz(codestream: bytes) -> CodedSize | None:
    start = codestream.find(_SOC_SIZ, 0, _SEARCHED_BYTES)
    if start < 0:
        return None
    # Lsiz, Rsiz, then Xsiz, Ysiz, XOsiz, YOsiz, four of the tiles, Csiz
    width, height, left, top, *_, samples = struct.unpack_from(">8IH", codestream, start + 8)
    return CodedSize(height - top, width - left, samples)


def _frame_header(codestream: bytes) -> CodedSize | None:
    at = 2 if codestream[:2] == b"\xff\xd8" else len(codestream)
    while at < len(codestream):
        if codestream[at] != 0xFF:  # noqa: PLR2004 - every marker begins with it (10918-1 B.1.1.2)
            return None
        marker = codestream[at + 1]
        if marker == 0xFF:  # noqa: PLR2004 - a fill byte
            at += 1
        elif marker in _NO_LENGTH:
            at += 2
        elif marker in _FRAME_HEADERS:
            rows, columns, samples = struct.unpack_from(">HHB", codestream, at + 5)
            return CodedSize(rows, columns, samples)
        elif marker == _START_OF_SCAN:
            return None
        else:
            at += 2 + struct.unpack_from(">H", codestream, at + 2)[0]
    return None
