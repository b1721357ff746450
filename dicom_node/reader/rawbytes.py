"""The stored bytes of one frame, straight from its file."""

from __future__ import annotations

from pathlib import Path

from pydicom import dcmread
from pydicom.encaps import get_frame
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dicom_node.reader.frames import Frame
from dicom_node.reader.headers import native_frame_bytes
from dicom_node.reader.values import PARSE_ERRORS
from inference.errors import ReasonCode, SeriesRefusal


def frame_bytes(frame: Frame) -> bytes:
    """Uncompressed: the frame's own bytes; compressed: its code stream.

    Raises:
        SeriesRefusal: E_PIXEL_DATA, the bytes are not there or cannot be told apart by frame.
    """
    header = frame.header
    index = (frame.number or 1) - 1
    size = native_frame_bytes(header.dataset)
    try:
        if header.transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
            return _native(dcmread(header.path)["PixelData"].value, index, size)
        if header.pixels is None:
            raise ValueError
        if header.pixels.length is None:
            return _encapsulated(header.path, header.pixels.offset, index, header.frame_count)
        return read_native(header.path, header.pixels.offset, index, size)
    except PARSE_ERRORS as error:
        raise unreadable(frame, type(error).__name__) from error


def read_native(path: Path, offset: int, index: int, size: float | None) -> bytes:
    """One uncompressed frame of a file; ValueError where the header does not give its size in whole bytes."""
    if size is None or size != int(size):
        raise ValueError
    with path.open("rb") as file:
        file.seek(offset + index * int(size))
        found = file.read(int(size))
    if len(found) != int(size):
        raise EOFError
    return found


def unreadable(frame: Frame, why: str) -> SeriesRefusal:
    """The refusal for a frame whose pixels cannot be read."""
    which = f" frame {frame.number}" if frame.number else ""
    return SeriesRefusal(
        f"the pixel data of instance {frame.header.sop_instance_uid}{which} cannot be read "
        f"(transfer syntax {frame.header.transfer_syntax_uid}): {why}",
        code=ReasonCode.PIXEL_DATA,
    )


def _native(value: bytes, index: int, size: float | None) -> bytes:
    if size is None or size != int(size) or len(value) < (index + 1) * int(size):
        raise ValueError
    return value[index * int(size) : (index + 1) * int(size)]


def _encapsulated(path: Path, offset: int, index: int, frame_count: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return get_frame(file.read(), index, number_of_frames=frame_count)
