"""One file's header, and where its pixel data lies, without reading the pixels.

A file is refused here, by itself and by name, when nothing can be said about it: it is not DICOM, its header ends
early, or it lacks the identifiers that place it in a study. Everything else is a property of its series.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from dicom_node.reader.tags import HEADER_KEYWORDS
from dicom_node.reader.values import integer, tag_of, text
from inference.errors import InstanceRefusal, ReasonCode

HEADER_TAGS = tuple(tag_of(keyword) for keyword in HEADER_KEYWORDS)
PIXEL_DATA = 0x7FE0_0010
UNDEFINED_LENGTH = 0xFFFF_FFFF
MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
"""Media Storage Directory (DICOMDIR): a table of contents, no instance (PS3.10 8.6)."""
LONG_VRS = (b"OB", b"OW", b"UN", b"OF", b"OD", b"OL", b"OV")
PARSE_ERRORS = (
    InvalidDicomError, EOFError, ValueError, KeyError, TypeError, AttributeError, NotImplementedError, IndexError,
    OverflowError, MemoryError, RecursionError, struct.error, zlib.error,
)  # fmt: skip
"""What pydicom raises on bytes that are no data set (found by feeding it truncated and damaged files)."""


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
    with path.open("rb") as file:
        dataset = _parse(file)
        if _meta(dataset, "MediaStorageSOPClassUID") == MEDIA_DIRECTORY or path.name.upper() == "DICOMDIR":
            return None
        syntax = _transfer_syntax(dataset)
        deflated = syntax == DeflatedExplicitVRLittleEndian
        location = None if deflated else _pixel_location(file, syntax)
        file_bytes = file.seek(0, 2)
    has_pixels = _deflated_has_pixels(path) if deflated else location is not None
    header = _identified(path, dataset, syntax, location, has_pixels=has_pixels)
    _refuse_short_pixels(header, file_bytes)
    return header


def _parse(file: BinaryIO) -> FileDataset:
    try:
        dataset = dcmread(file, stop_before_pixels=True, specific_tags=[*HEADER_TAGS])
    except InvalidDicomError:
        return _parse_without_preamble(file)
    except PARSE_ERRORS as error:
        raise _not_dicom(f"its header cannot be parsed ({type(error).__name__})") from error
    return dataset


def _parse_without_preamble(file: BinaryIO) -> FileDataset:
    """A data set without the PS3.10 preamble, as some devices write it; believed only if it names itself."""
    file.seek(0)
    try:
        dataset = dcmread(file, stop_before_pixels=True, force=True, specific_tags=[*HEADER_TAGS])
        identified = bool(text(dataset, "SOPClassUID") and text(dataset, "SOPInstanceUID"))
    except PARSE_ERRORS as error:
        raise _not_dicom("it has no DICOM preamble and does not parse as a data set") from error
    if not identified:
        raise _not_dicom("it has no DICOM preamble and does not parse as a data set")
    return dataset


def _not_dicom(why: str) -> InstanceRefusal:
    return InstanceRefusal(f"the file is not a DICOM instance that can be read: {why}", code=ReasonCode.NOT_DICOM)


def _meta(dataset: FileDataset, keyword: str) -> str | None:
    meta = dataset.file_meta
    value = meta.get(keyword) if meta else None
    return str(value) if value else None


def _transfer_syntax(dataset: FileDataset) -> str:
    declared = _meta(dataset, "TransferSyntaxUID")
    if declared:
        return declared
    implicit, little = dataset.original_encoding
    if implicit:
        return str(ImplicitVRLittleEndian)
    return "1.2.840.10008.1.2.1" if little else str(ExplicitVRBigEndian)


def _pixel_location(file: BinaryIO, syntax: str) -> PixelLocation | None:
    """Read the element header that pydicom stopped in front of (it rewinds to it)."""
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
        if rows and columns:
            raise InstanceRefusal(
                f"the header announces {rows}x{columns} pixels, but the file ends before its pixel data",
                code=ReasonCode.PIXEL_DATA,
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
