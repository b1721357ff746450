"""Pixels of one frame as float32 modality values, never mirrored or scaled for display.

Stored bits are taken from where BitsStored and HighBit say (PS3.5 8.1.1): what else the allocated bits hold (old
overlays, noise) is ignored, and so are overlay planes (60xx). Then the frame's own rescale slope and intercept
(PS3.3 C.11.1). MONOCHROME1 (the smallest value is white, PS3.3 C.7.6.3.1.2) is inverted about the stored range, so
that larger is brighter as in MONOCHROME2; except in CT, whose Hounsfield units mean the same under either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import ExplicitVRBigEndian, JPEGExtended12Bit

from dicom_node.bounds import bounded
from dicom_node.reader.frames import Frame
from dicom_node.reader.jpeg12 import decode_12_bit
from dicom_node.reader.rawbytes import frame_bytes, unreadable
from dicom_node.reader.values import PARSE_ERRORS, integer, text
from dicom_node.storage_classes import UNCOMPRESSED
from inference.errors import ReasonCode, SeriesRefusal
from inference.geometry import VoxelArray

JPEG_BITS = 8
"""Bits that every JPEG decoder reads; JPEG Extended with more goes to the one that can."""
DIRECT_BITS = (8, 16, 32)
DECODE_ERRORS = (*PARSE_ERRORS, RuntimeError, OSError, AssertionError)
"""What pydicom's decoder plug-ins raise on damaged code streams (RuntimeError when every plug-in failed)."""


def read_pixels(frames: Sequence[Frame], voxels: VoxelArray) -> None:
    """Fill ``voxels`` (slice, row, column), float32, with the modality values of the frames in their order.

    Raises:
        SeriesRefusal: E_PIXEL_DATA, E_BURNED_IN (colour) when a frame cannot be read.
    """
    by_file: dict[str, list[int]] = {}
    for index, frame in enumerate(frames):
        _require_readable(frame)
        by_file.setdefault(str(frame.header.path), []).append(index)
    for indices in by_file.values():
        stored = _stored([frames[index] for index in indices])
        for index in indices:
            _into(voxels[index], next(stored), frames[index])


def _require_readable(frame: Frame) -> None:
    dataset = frame.header.dataset
    samples = integer(dataset, "SamplesPerPixel") or 1
    if samples != 1:
        raise SeriesRefusal(
            f"the pixels are in colour ({samples} samples per pixel), a picture for people: it is not measured",
            code=ReasonCode.BURNED_IN,
        )
    if not frame.header.has_pixels or not frame.rows or not frame.columns:
        raise unreadable(frame, "there is no pixel data")
    stored, allocated = integer(dataset, "BitsStored"), integer(dataset, "BitsAllocated")
    if allocated not in DIRECT_BITS or stored is None or not 1 <= stored <= allocated:
        raise unreadable(frame, f"BitsAllocated is {allocated} with BitsStored {stored}; 8, 16 or 32 is read")
    if not np.isfinite([frame.slope, frame.intercept]).all() or frame.slope == 0:
        raise unreadable(frame, f"rescale slope {frame.slope} and intercept {frame.intercept} do not map values")


def _stored(frames: Sequence[Frame]) -> Iterator[NDArray[Any]]:
    """The stored pixel arrays (row, column) of frames of one file."""
    syntax = frames[0].header.transfer_syntax_uid
    if syntax in UNCOMPRESSED:
        return (_native(frame) for frame in frames)
    if syntax == JPEGExtended12Bit and (integer(frames[0].header.dataset, "BitsStored") or 0) > JPEG_BITS:
        return decode_12_bit(frames)
    return _decoded(frames)


def _native(frame: Frame) -> NDArray[Any]:
    dataset = frame.header.dataset
    order = ">" if frame.header.transfer_syntax_uid == ExplicitVRBigEndian else "<"
    kind = "i" if integer(dataset, "PixelRepresentation") else "u"
    raw = frame_bytes(frame)
    dtype = f"{order}{kind}{(integer(dataset, 'BitsAllocated') or 0) // 8}"
    return np.frombuffer(raw, dtype=dtype).reshape(frame.rows or 0, frame.columns or 0)


def _decoded(frames: Sequence[Frame]) -> Iterator[NDArray[Any]]:
    """Frames of one compressed file, by the first of pydicom's plug-ins that can."""
    indices = [(frame.number or 1) - 1 for frame in frames]
    try:
        decoded = iter_pixels(bounded(dcmread(frames[0].header.path), indices), indices=indices, raw=True)
        for frame in frames:
            array = next(decoded)
            if array.shape != (frame.rows, frame.columns):
                raise unreadable(frame, f"it decodes to {array.shape}, the header says {frame.rows}x{frame.columns}")
            yield array
    except (*DECODE_ERRORS, StopIteration) as error:
        raise unreadable(frames[0], f"decoding failed ({type(error).__name__})") from error


def _into(target: NDArray[np.float32], stored: NDArray[Any], frame: Frame) -> None:
    """Write a frame's modality values into its slice."""
    dataset = frame.header.dataset
    bits, allocated = integer(dataset, "BitsStored") or 0, integer(dataset, "BitsAllocated") or 0
    signed = bool(integer(dataset, "PixelRepresentation"))
    high = integer(dataset, "HighBit")
    values = stored_bits(
        stored, bits, allocated if bits == allocated else (high if high is not None else bits - 1) + 1, signed=signed
    )
    if text(dataset, "PhotometricInterpretation") == "MONOCHROME1" and text(dataset, "Modality") != "CT":
        values = -1 - values if signed else (1 << bits) - 1 - values.astype(np.int64)
    if frame.slope == 1:  # whole numbers: exact in float32 and twice as fast
        np.add(values, np.float32(frame.intercept), out=target, dtype=np.float32, casting="unsafe")
    else:
        target[...] = values * np.float64(frame.slope) + np.float64(frame.intercept)


def stored_bits(array: NDArray[Any], bits: int, top: int, *, signed: bool) -> NDArray[Any]:
    """The ``bits`` bits below bit number ``top`` (HighBit + 1) of each element, sign-extended if signed."""
    width = array.dtype.itemsize * 8
    if bits >= width or (top == bits and _holds_only(array, bits, signed=signed)):
        return array
    top = min(max(top, bits), width)
    shifted = array.astype(array.dtype.newbyteorder("=")).view(f"u{width // 8}") << (width - top)
    kind = "i" if signed else "u"
    result: NDArray[Any] = shifted.view(f"{kind}{width // 8}") >> (width - bits)
    return result


def _holds_only(array: NDArray[Any], bits: int, *, signed: bool) -> bool:
    """Whether every element is already a value of that many bits: the usual case, told faster than it is made so."""
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return int(array.max()) <= high and (array.dtype.kind == "u" or int(array.min()) >= low)
