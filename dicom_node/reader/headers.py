"""One file's header, and where its pixel data lies, without reading the pixels.

A file is refused here, by itself and by name, when nothing can be said about it: it is not DICOM, its header ends
early, or it lacks the identifiers that place it in a study. Everything else is a property of its series.
"""

from __future__ import annotations

import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from dicom_node.reader.tags import HEADER_KEYWORDS
from dicom_node.reader.values import PARSE_ERRORS, integer, tag_of, text
from dicom_node.storage_classes import StorageKind, kind_of
from inference.errors import InstanceRefusal, ReasonCode

HEADER_TAGS = tuple(tag_of(keyword) for keyword in HEADER_KEYWORDS)
PIXEL_DATA = 0x7FE0_0010
UNDEFINED_LENGTH = 0xFFFF_FFFF
PREAMBLE_BYTES = 132
"""Preamble and the prefix DICM (PS3.10 7.1)."""
META_LENGTH_BYTES = 12
"""(0002,0000): tag, VR, length and value."""
LAST_FIRST_ELEMENT = 0x0018
"""A data set starts with one of the first elements of group 0002 or 0008, SOP Instance UID at the latest."""
MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
"""Media Storage Directory (DICOMDIR): a table of contents, no instance (PS3.10 8.6)."""
LONG_VRS = (b"OB", b"OW", b"UN", b"OF", b"OD", b"OL", b"OV")


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelLocation:
    """Where the pixel data lies in the file."""

    offset: int
    """Byte offset of the value."""
    length: int | None
    """Bytes of the value as the header says; None: encapsulated (compressed), PS3.5 A.4."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Header:
    """What is known of one file."""

    path: Path
    dataset: Dataset
    """Only the elements of tags.HEADER_KEYWORDS."""
    transfer_syntax_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    pixels: PixelLocation | None
    """None: the instance has no pixel data, or it lies in a deflated data set, whose offsets mean nothing."""
    has_pixels: bool

    @property
    def frame_count(self) -> int:
        """NumberOfFrames, 1 for a single-frame image, 0 for an instance without pixels."""
        if not self.has_pixels:
            return 0
        return max(integer(self.dataset, "NumberOfFrames") or 1, 1)


def read_header(path: Path) -> Header | None:
    """The header of a file; None for a DICOMDIR.

    Raises:
        InstanceRefusal: nothing can be said about the file.
    """
    try:
        opened = path.open("rb")
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise _not_dicom(f"it cannot be opened ({type(error).__name__})") from error
    with opened as file:
        dataset = _parse(file)
        if _meta(dataset, "MediaStorageSOPClassUID") == MEDIA_DIRECTORY or path.name.upper() == "DICOMDIR":
            return None
        syntax = _transfer_syntax(dataset)
        deflated = syntax == DeflatedExplicitVRLittleEndian
        location = None if deflated else pixel_location(file, syntax)
        file_bytes = file.seek(0, 2)
    has_pixels = _deflated_has_pixels(path) if deflated else location is not None
    header = _identified(path, dataset, syntax, location, has_pixels=has_pixels)
    _refuse_short_pixels(header, file_bytes)
    return header


def _parse(file: BinaryIO) -> FileDataset:
    start = file.read(PREAMBLE_BYTES + META_LENGTH_BYTES)
    file.seek(0)
    has_preamble = start[PREAMBLE_BYTES - 4 : PREAMBLE_BYTES] == b"DICM"
    elements = start[PREAMBLE_BYTES:] if has_preamble else start
    group, element = struct.unpack("<HH", elements[:4].ljust(4, b"\xff"))
    if group not in (0x0002, 0x0008) or element > LAST_FIRST_ELEMENT:
        raise _not_dicom("it does not start like a data set")
    if has_preamble:
        _refuse_cut_meta(file, elements)
    return _read(file, force=not has_preamble)


def _read(file: BinaryIO, *, force: bool) -> FileDataset:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's warnings quote values, which may identify a patient
            return dcmread(file, stop_before_pixels=True, force=force, specific_tags=[*HEADER_TAGS])
    except PARSE_ERRORS as error:
        raise _not_dicom(f"its header cannot be parsed ({type(error).__name__})") from error
    except OSError as error:
        if (
            error.errno is not None
        ):  # the disk's error, which may pass; pydicom's own for damaged sequences has no number
            raise
        raise _not_dicom("its header has a damaged sequence") from error


def _refuse_cut_meta(file: BinaryIO, meta: bytes) -> None:
    """Refuse a file that ends inside its meta information, by the group length that stands first (PS3.10 7.1)."""
    if meta[:6] != b"\x02\x00\x00\x00UL" or len(meta) < META_LENGTH_BYTES:
        return
    needed = PREAMBLE_BYTES + META_LENGTH_BYTES + int(struct.unpack("<I", meta[8:12])[0])
    there = file.seek(0, 2)
    file.seek(0)
    if there < needed:
        raise _not_dicom(f"it ends after {there} bytes, inside its meta information of {needed}")


def _not_dicom(why: str) -> InstanceRefusal:
    return InstanceRefusal(f"the file is not a DICOM instance that can be read: {why}", code=ReasonCode.NOT_DICOM)


def _meta(dataset: FileDataset, keyword: str) -> str | None:
    return text(dataset.file_meta, keyword) if dataset.file_meta else None


def _transfer_syntax(dataset: FileDataset) -> str:
    declared = _meta(dataset, "TransferSyntaxUID")
    if declared:
        return declared
    implicit, little = dataset.original_encoding
    if implicit:
        return str(ImplicitVRLittleEndian)
    return "1.2.840.10008.1.2.1" if little else str(ExplicitVRBigEndian)


def pixel_location(file: BinaryIO, syntax: str) -> PixelLocation | None:
    """Where Pixel Data lies, from the element header that pydicom stopped in front of (it rewinds to it)."""
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    start = file.tell()
    head = file.read(12)
    if len(head) < 8:  # noqa: PLR2004 - tag and length
        return None
    group, element = struct.unpack(f"{order}HH", head[:4])
    if (group << 16 | element) != PIXEL_DATA:
        return None
    if syntax == ImplicitVRLittleEndian or head[4:6] not in LONG_VRS:
        offset, length = start + 8, struct.unpack(f"{order}I", head[4:8])[0]
    elif len(head) == 12:  # noqa: PLR2004 - explicit VR with a 32 bit length
        offset, length = start + 12, struct.unpack(f"{order}I", head[8:12])[0]
    else:
        return None
    return PixelLocation(offset=offset, length=None if length == UNDEFINED_LENGTH else length)


def _deflated_has_pixels(path: Path) -> bool:
    return PIXEL_DATA in dcmread(path, specific_tags=["PixelData"], defer_size=1)


def _identified(
    path: Path, dataset: Dataset, syntax: str, location: PixelLocation | None, *, has_pixels: bool
) -> Header:
    uids = {
        keyword: text(dataset, keyword)
        for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
    }
    missing = [keyword for keyword, value in uids.items() if not value]
    if missing:
        raise InstanceRefusal(
            f"the instance has no {', no '.join(missing)}: it belongs to no study that could be named, "
            "or its header ends early",
            code=ReasonCode.NOT_DICOM,
        )
    return Header(
        path=path,
        dataset=dataset,
        transfer_syntax_uid=syntax,
        sop_class_uid=str(uids["SOPClassUID"]),
        sop_instance_uid=str(uids["SOPInstanceUID"]),
        study_instance_uid=str(uids["StudyInstanceUID"]),
        series_instance_uid=str(uids["SeriesInstanceUID"]),
        pixels=location,
        has_pixels=has_pixels,
    )


def native_frame_bytes(dataset: Dataset) -> float | None:
    """Bytes of one uncompressed frame (PS3.5 8.1.1), fractional for 1 bit; None where the header gives no size."""
    rows, columns = integer(dataset, "Rows"), integer(dataset, "Columns")
    bits = integer(dataset, "BitsAllocated")
    if not rows or not columns or not bits:
        return None
    return rows * columns * bits * (integer(dataset, "SamplesPerPixel") or 1) / 8


def _refuse_short_pixels(header: Header, file_bytes: int) -> None:
    """Refuse an instance whose pixels end before its header says: a cut transfer or a damaged file."""
    rows, columns = integer(header.dataset, "Rows"), integer(header.dataset, "Columns")
    if not header.has_pixels:
        if (rows and columns) or kind_of(header.sop_class_uid) is StorageKind.IMAGE:
            size = f"{rows}x{columns} pixels" if rows and columns else "an image"
            raise InstanceRefusal(
                f"the header announces {size}, but the file ends before its pixel data", code=ReasonCode.PIXEL_DATA
            )
        return
    if header.pixels is None or not UID(header.transfer_syntax_uid).is_transfer_syntax:
        return
    there = file_bytes - header.pixels.offset
    frame = native_frame_bytes(header.dataset)
    needed = header.pixels.length
    if needed is not None and frame is not None and integer(header.dataset, "SamplesPerPixel") in (None, 1):
        needed = max(needed, int(frame * header.frame_count))
    if needed is not None and there < needed:
        raise InstanceRefusal(
            f"the pixel data is truncated: {there} bytes are there, {needed} are needed "
            f"for {header.frame_count} frame(s) of {rows}x{columns}",
            code=ReasonCode.PIXEL_DATA,
        )
