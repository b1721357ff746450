"""One instance as a PS3.10 file, as it is stored or in Explicit VR Little Endian.

Explicit VR Little Endian is what a client gets that asks for nothing (PS3.18 8.7.3.5.2). Deflated data sets are always
inflated: browsers' decoders do not read them. Nothing is ever compressed here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEGExtended12Bit,
)

from dicom_node.bounds import bounded
from dicom_node.dicomweb.encoding import quietly
from dicom_node.dicomweb.held import Held
from dicom_node.dicomweb.media import ANY, DICOM, MediaRange
from dicom_node.dicomweb.multipart import CHUNK_BYTES
from dicom_node.dicomweb.pixels import decoded_frames
from dicom_node.dicomweb.refusals import not_acceptable
from dicom_node.reader.pixels import DECODE_ERRORS
from dicom_node.storage_classes import UNCOMPRESSED
from inference.errors import Refusal, StorageFailure

WORD_BYTES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Part10:
    """A PS3.10 file to send."""

    transfer_syntax_uid: str
    length: int | None
    body: Iterator[bytes]

    @property
    def media_type(self) -> str:
        """With the transfer syntax that it is really in."""
        return f"{DICOM}; transfer-syntax={self.transfer_syntax_uid}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What was negotiated for one instance."""

    stored: str
    target: str
    """Transfer syntax to send."""
    is_single: bool
    """Whether one instance is wanted without a multipart body around it."""


def transfer_syntax_of(held: Held) -> str:
    """The one that the instance is stored in.

    Raises:
        StorageFailure: the file is gone, or is no PS3.10 file any more.
    """
    if held.transfer_syntax_uid is not None:
        return held.transfer_syntax_uid
    try:
        return str(read_file_meta_info(held.path).TransferSyntaxUID)
    except (*DECODE_ERRORS,) as error:
        raise StorageFailure(f"Instance {held.sop_instance_uid} cannot be read from the spool.") from error


def choose(ranges: Sequence[MediaRange], stored: str) -> Choice | None:
    """The best transfer syntax that is accepted for a stored one; None where there is none."""
    inflated = str(ExplicitVRLittleEndian) if stored == DeflatedExplicitVRLittleEndian else stored
    for media_range in ranges:
        if not media_range.covers(DICOM):
            continue
        target = _target(media_range.transfer_syntax, inflated)
        if target is not None:
            is_single = not media_range.is_multipart and media_range.media_type == DICOM
            return Choice(stored=stored, target=target, is_single=is_single)
    return None


def _target(asked: str | None, stored: str) -> str | None:
    """The transfer syntax to send for one that is asked for, of an instance that is stored inflated."""
    if asked in {None, ExplicitVRLittleEndian}:
        return str(ExplicitVRLittleEndian)
    return stored if asked in {ANY, stored} else None


def open_part10(held: Held, choice: Choice, *, strict: bool) -> Part10:
    """The file, ready to be sent.

    Args:
        held: the instance.
        choice: its transfer syntaxes.
        strict: refuse what cannot be transcoded; else it is sent as it is stored, and its media type says so.

    Raises:
        StorageFailure: the file is not there.
        WebRefusal: 406, the instance cannot be transcoded, and `strict`.
    """
    if choice.target != choice.stored:
        try:
            data = transcode(held.path, choice.stored)
        except (*DECODE_ERRORS, Refusal) as error:
            if strict:
                raise not_acceptable(
                    f"Instance {held.sop_instance_uid} cannot be converted from {UID(choice.stored).name}; "
                    "it can be had as it is stored, with transfer-syntax=*."
                ) from error
        else:
            return Part10(transfer_syntax_uid=choice.target, length=len(data), body=iter((data,)))
    try:
        length = held.path.stat().st_size
    except OSError as error:
        raise StorageFailure(f"Instance {held.sop_instance_uid} is not in the spool.") from error
    return Part10(transfer_syntax_uid=choice.stored, length=length, body=file_chunks(held.path))


def file_chunks(path: Path, start: int = 0, length: int | None = None) -> Iterator[bytes]:
    """A file, or a stretch of it, in pieces of at most CHUNK_BYTES."""
    with path.open("rb") as file:
        file.seek(start)
        left = length
        while left is None or left > 0:
            chunk = file.read(CHUNK_BYTES if left is None else min(CHUNK_BYTES, left))
            if not chunk:
                return
            left = None if left is None else left - len(chunk)
            yield chunk


def transcode(path: Path, stored: str) -> bytes:
    """The whole file in Explicit VR Little Endian; raises what pydicom and the decoders raise."""
    with quietly():
        dataset = dcmread(path)
        if stored == ExplicitVRBigEndian:
            _swap_words(dataset)
        elif stored not in UNCOMPRESSED and "PixelData" in dataset:
            _decompress(dataset, path, stored)
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        buffer = BytesIO()
        dcmwrite(buffer, dataset, implicit_vr=False, little_endian=True, enforce_file_format=True)
    return buffer.getvalue()


def _decompress(dataset: Dataset, path: Path, stored: str) -> None:
    if stored == JPEGExtended12Bit:
        dataset.PixelData = b"".join(decoded_frames(path, range(1, int(dataset.get("NumberOfFrames") or 1) + 1)))
        dataset["PixelData"].is_undefined_length = False
        return
    bounded(dataset).decompress(generate_instance_uid=False)


def _swap_words(dataset: Dataset) -> None:
    """Turn OW values round, which pydicom leaves as they are: 16 bit words (PS3.5 7.3), pixels by allocated size."""
    bits = int(dataset.get("BitsAllocated") or 16)
    for element in dataset.iterall():
        if element.VR == "OW" and isinstance(element.value, bytes):
            size = max(bits // 8, WORD_BYTES) if element.keyword == "PixelData" else WORD_BYTES
            element.value = np.frombuffer(element.value, dtype=f">u{size}").astype(f"<u{size}").tobytes()
