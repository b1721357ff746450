"""Bounds on what small input may become in memory: deflated data sets and compressed frames.

pydicom and its decoders allocate what the input asks for. Here it is asked first, and what asks for too much is refused
like any other damaged input: both errors are ValueErrors, which every caller of a decoder turns into its own refusal.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator
from mmap import mmap
from types import SimpleNamespace
from typing import Any

import pydicom.filereader
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames

from dicom_node.codestream import CodedSize, coded_size, has_size

INFLATED_FREE_BYTES = 64 << 20
"""A deflated data set may always become so large: an empty segmentation of a whole spine is a thousandth of itself."""
INFLATED_RATIO = 100
"""Beyond that it may be so many times its own length: images deflate to a half or a third."""
INFLATED_MAX_BYTES = 1 << 30
"""And never more than 1 GiB."""
FRAME_MAX_BYTES = 512 << 20
"""Largest decoded frame: a whole-spine radiograph has 0.1 GiB."""
DECODED_MAX_BYTES = 4 << 30
"""Largest instance that is decoded as a whole: native pixel data cannot exceed it either (PS3.5 7.1.1)."""
_CHUNK_BYTES = 1 << 20
_BYTE_BITS = 8


class InflationError(ValueError):
    """A deflated data set becomes larger than is allowed."""


class DecodedSizeError(ValueError):
    """A compressed frame is, by its code stream or its header, larger than is allowed, or not what its header says."""


def inflated_limit(deflated_bytes: int) -> int:
    """How large a deflated data set of that length may become."""
    return min(max(INFLATED_FREE_BYTES, INFLATED_RATIO * deflated_bytes), INFLATED_MAX_BYTES)


def check_inflation(data: bytes | mmap, offset: int = 0) -> None:
    """Inflate what stands behind an offset piece by piece, keeping nothing.

    Raises:
        InflationError: it becomes too large.
        zlib.error: it is no whole deflate stream.
    """
    for _ in _inflated(data, offset):
        pass


def inflate(deflated: bytes) -> bytes:
    """The data set; raises as `check_inflation`, before it is too large."""
    return b"".join(_inflated(deflated, 0))


def _inflated(data: bytes | mmap, offset: int) -> Iterator[bytes]:
    limit = inflated_limit(len(data) - offset)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)  # raw deflate, PS3.5 A.5
    total = 0
    for start in range(offset, len(data), _CHUNK_BYTES):
        waiting = data[start : start + _CHUNK_BYTES]
        while waiting and not inflater.eof:
            piece = inflater.decompress(waiting, _CHUNK_BYTES)
            total += len(piece)
            if total > limit:
                raise InflationError(f"the deflated data set becomes larger than {limit} bytes")
            yield piece
            waiting = inflater.unconsumed_tail
    if not inflater.eof:
        raise zlib.error("the deflate stream is incomplete")


def bound_pydicom() -> None:
    """Let pydicom inflate within these bounds, whoever calls it: it has no setting for it."""
    stand_in = SimpleNamespace(
        decompress=lambda deflated, _bits: inflate(deflated), MAX_WBITS=zlib.MAX_WBITS, error=zlib.error
    )
    setattr(pydicom.filereader, "zlib", stand_in)  # noqa: B010 - mypy refuses to assign to an import of another module


def bounded(dataset: Dataset, wanted: Collection[int] | None = None) -> Dataset:
    """The data set, whose compressed frames may be given to a decoder.

    Args:
        dataset: read with its pixel data.
        wanted: which frames will be decoded, from 0; None: all.

    Raises:
        DecodedSizeError: one of them is too large, or all together.
    """
    said = CodedSize(_number(dataset, "Rows"), _number(dataset, "Columns"), _number(dataset, "SamplesPerPixel", 1))
    frame_bytes = said.rows * said.columns * said.samples * -(-_number(dataset, "BitsAllocated", _BYTE_BITS) // 8)
    count = _number(dataset, "NumberOfFrames", 1)
    decoded = count if wanted is None else len(wanted)
    if frame_bytes > FRAME_MAX_BYTES or frame_bytes * decoded > DECODED_MAX_BYTES:
        raise DecodedSizeError(f"{decoded} frames of {said.rows}x{said.columns} are more than is decoded")
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    if has_size(syntax):
        for index, frame in enumerate(generate_frames(dataset.PixelData, number_of_frames=count)):
            if wanted is None or index in wanted:
                _check_frame(coded_size(frame, syntax), said)
    return dataset


def _check_frame(found: CodedSize | None, said: CodedSize) -> None:
    if found != said:
        is_said = "no size" if found is None else f"{found.rows}x{found.columns} of {found.samples} samples"
        raise DecodedSizeError(
            f"the code stream says {is_said}, the header {said.rows}x{said.columns} of {said.samples}"
        )


def _number(dataset: Dataset, keyword: str, default: int = 0) -> int:
    value: Any = dataset.get(keyword)
    return int(value) if value else default


bound_pydicom()
