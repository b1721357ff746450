"""The frames of one instance: as native little endian bytes, or as they are compressed in the file (PS3.18 10.4.1.1.6).

A frame of 1 bit pixels (a segmentation) begins on a byte boundary here, as it must when it stands alone; in the file it
need not (PS3.5 8.1.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from os import SEEK_END
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGExtended12Bit,
)

from dicom_node.bounds import bounded
from dicom_node.dicomweb.encoding import quietly
from dicom_node.dicomweb.held import Held, NativeLayout
from dicom_node.dicomweb.refusals import not_acceptable
from dicom_node.reader.frames import Frame, frames_of
from dicom_node.reader.headers import Header, native_frame_bytes, pixel_location, read_header
from dicom_node.reader.jpeg12 import decode_12_bit
from dicom_node.reader.values import integer, text
from dicom_node.storage_classes import UNCOMPRESSED
from inference.errors import InstanceRefusal, StorageFailure

COMPRESSED_MEDIA_TYPES: Mapping[str, str] = {
    "1.2.840.10008.1.2.5": "image/dicom-rle",
    "1.2.840.10008.1.2.4.50": "image/jpeg",
    "1.2.840.10008.1.2.4.51": "image/jpeg",
    "1.2.840.10008.1.2.4.57": "image/jpeg",
    "1.2.840.10008.1.2.4.70": "image/jpeg",
    "1.2.840.10008.1.2.4.80": "image/jls",
    "1.2.840.10008.1.2.4.81": "image/jls",
    "1.2.840.10008.1.2.4.90": "image/jp2",
    "1.2.840.10008.1.2.4.91": "image/jp2",
    "1.2.840.10008.1.2.4.201": "image/jphc",
    "1.2.840.10008.1.2.4.202": "image/jphc",
    "1.2.840.10008.1.2.4.203": "image/jphc",
}
"""Media type of a stored frame, by transfer syntax (PS3.18 Table 8.7.3-3 and 8.7.3-5)."""
COPIED = frozenset({str(ImplicitVRLittleEndian), str(ExplicitVRLittleEndian)})
"""Transfer syntaxes whose pixels are sent as they lie in the file."""
SUBSAMPLED = "YBR_FULL_422"
"""Two chroma samples for two pixels (PS3.3 C.7.6.3.1.2): smaller than rows times columns."""
JPEG_BITS = 8
BYTE_BITS = 8


def open_header(path: Path) -> Header:
    """The header of an instance whose frames are wanted.

    Raises:
        WebRefusal: 406, the file cannot be read, or ends before its pixels do.
    """
    try:
        with quietly():
            header = read_header(path)
    except InstanceRefusal as refusal:
        raise not_acceptable(f"The pixels of this instance cannot be given: {refusal.sentence}.") from refusal
    assert header is not None, "a DICOMDIR is never stored"  # noqa: S101 - states the invariant
    return header


def native_layout(file: BinaryIO, dataset: Dataset, syntax: str) -> NativeLayout | None:
    """Where frames can be taken from byte for byte; the file stands in front of its pixel data, and is left elsewhere.

    None where pixels are compressed, big endian, bits, subsampled or missing, and where the file is too short for them.
    """
    place = pixel_location(file, syntax) if syntax in COPIED else None
    size = native_frame_bytes(dataset)
    if place is None or place.length is None or size is None or size != int(size):
        return None
    layout = NativeLayout(
        offset=place.offset, frame_bytes=int(size), frame_count=max(integer(dataset, "NumberOfFrames") or 1, 1)
    )
    needed = layout.frame_bytes * layout.frame_count
    is_whole = needed <= place.length and place.offset + place.length <= file.seek(0, SEEK_END)
    return layout if is_whole and text(dataset, "PhotometricInterpretation") != SUBSAMPLED else None


def laid_out_frames(held: Held, layout: NativeLayout, numbers: Sequence[int]) -> Iterator[bytes]:
    """Frames, counted from 1, from where they are known to lie.

    Raises:
        StorageFailure: the file is gone, or shorter than it was.
    """
    try:
        with held.path.open("rb", buffering=0) as file:
            for number in numbers:
                file.seek(layout.offset + (number - 1) * layout.frame_bytes)
                found = file.read(layout.frame_bytes)
                if len(found) != layout.frame_bytes:
                    raise StorageFailure(f"The file of instance {held.sop_instance_uid} is shorter than it was.")
                yield found
    except OSError as error:
        raise StorageFailure(f"Instance {held.sop_instance_uid} cannot be read from the spool.") from error


def stored_frames(header: Header, numbers: Sequence[int]) -> Iterator[bytes]:
    """Code streams of frames, counted from 1, of a compressed instance; EOFError and ValueError for damaged ones."""
    assert header.pixels is not None, "compressed data sets are not deflated"  # noqa: S101 - states the invariant
    with header.path.open("rb") as file:
        for number in numbers:
            file.seek(header.pixels.offset)
            yield get_frame(file, number - 1, number_of_frames=header.frame_count)


def native_frames(header: Header, numbers: Sequence[int]) -> Iterator[bytes]:
    """Frames, counted from 1, as uncompressed little endian bytes, whatever the file holds."""
    if header.transfer_syntax_uid not in UNCOMPRESSED:
        yield from decoded_frames(header.path, numbers)
        return
    bits = _frame_bits(header)
    swap = _swapped_bytes(header)
    if header.transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        with quietly():
            value = bytes(dcmread(header.path)["PixelData"].value)
        for number in numbers:
            yield _stretch(memoryview(value), (number - 1) * bits, bits)
        return
    assert header.pixels is not None, "a native instance has its pixels in the file"  # noqa: S101 - states the invariant
    with header.path.open("rb") as file:
        for number in numbers:
            first, last = (number - 1) * bits // BYTE_BITS, -(-number * bits // BYTE_BITS)
            file.seek(header.pixels.offset + first)
            found = file.read(last - first)
            if len(found) != last - first:
                raise EOFError
            stretch = _stretch(memoryview(found), (number - 1) * bits % BYTE_BITS, bits)
            yield _turned(stretch, swap)


def decoded_frames(path: Path, numbers: Sequence[int]) -> Iterator[bytes]:
    """Frames of a compressed instance, counted from 1, decoded to little endian bytes, in the stored colours."""
    header = open_header(path)
    indices = [number - 1 for number in numbers]
    if header.transfer_syntax_uid == JPEGExtended12Bit and (integer(header.dataset, "BitsStored") or 0) > JPEG_BITS:
        frames: list[Frame] = list(frames_of(header))
        arrays: Iterator[NDArray[Any]] = decode_12_bit([frames[index] for index in indices])
    else:
        with quietly():
            arrays = iter_pixels(bounded(dcmread(path), indices), indices=indices, raw=True)
    for array in arrays:
        yield array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _frame_bits(header: Header) -> int:
    """Bits of one frame in the file; ValueError where the header gives no size."""
    size = native_frame_bytes(header.dataset)
    if size is None:
        raise ValueError
    is_subsampled = text(header.dataset, "PhotometricInterpretation") == SUBSAMPLED
    return int(
        size * BYTE_BITS * (2 / 3 if is_subsampled else 1)
    )  # two chroma samples for two pixels, PS3.3 C.7.6.3.1.2


def _swapped_bytes(header: Header) -> int:
    """Bytes of a pixel cell that stand in the other order; 1 where nothing is to be turned."""
    is_big = header.transfer_syntax_uid == ExplicitVRBigEndian
    return max((integer(header.dataset, "BitsAllocated") or BYTE_BITS) // BYTE_BITS, 1) if is_big else 1


def _turned(data: bytes, size: int) -> bytes:
    return data if size == 1 else np.frombuffer(data, dtype=f">u{size}").astype(f"<u{size}").tobytes()


def _stretch(data: memoryview, start: int, bits: int) -> bytes:
    """Bits from a start, the first in the lowest bit of a byte; a stretch of whole bytes is only cut out."""
    if start % BYTE_BITS == 0 and bits % BYTE_BITS == 0:
        return bytes(data[start // BYTE_BITS : (start + bits) // BYTE_BITS])
    first = start // BYTE_BITS
    last = -(-(start + bits) // BYTE_BITS)
    unpacked = np.unpackbits(np.frombuffer(data[first:last], dtype=np.uint8), bitorder="little")
    begin = start - first * BYTE_BITS
    return np.packbits(unpacked[begin : begin + bits], bitorder="little").tobytes()


def is_compressed(transfer_syntax_uid: str) -> bool:
    """Whether frames are code streams in this transfer syntax."""
    return transfer_syntax_uid not in UNCOMPRESSED and UID(transfer_syntax_uid).is_transfer_syntax
