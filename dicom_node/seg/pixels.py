"""The bits of a BINARY segmentation: one frame after the other, least significant bit first (PS3.5 8.1.1)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from inference.geometry import MaskArray

BITS_PER_BYTE = 8


def pack_frames(frames: Iterable[MaskArray]) -> bytes:
    """Pack frames, each (row, column), without padding between them, to an even number of bytes."""
    packed: list[bytes] = []
    rest: NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)
    for frame in frames:
        bits = frame.reshape(-1) if rest.size == 0 else np.concatenate([rest, frame.reshape(-1)])
        whole = bits.size - bits.size % BITS_PER_BYTE
        packed.append(np.packbits(bits[:whole], bitorder="little").tobytes())
        rest = bits[whole:]
    packed.append(np.packbits(rest, bitorder="little").tobytes())
    data = b"".join(packed)
    return data + b"\x00" * (len(data) % 2)


def unpack_frame(data: bytes, index: int, shape: tuple[int, int]) -> MaskArray:
    """Frame ``index`` (from 0) of packed frames of one shape (rows, columns); ValueError where the data ends early."""
    rows, columns = shape
    first, size = index * rows * columns, rows * columns
    begin, end = first // BITS_PER_BYTE, -(-(first + size) // BITS_PER_BYTE)
    if end > len(data):
        raise ValueError(f"frame {index + 1} ends at byte {end}, but there are {len(data)}")
    bits = np.unpackbits(np.frombuffer(data[begin:end], dtype=np.uint8), bitorder="little")
    start = first - begin * BITS_PER_BYTE
    return np.asarray(bits[start : start + size].reshape(shape), dtype=np.bool_)


def overlap(masks: Iterable[MaskArray]) -> bool:
    """True when a voxel belongs to more than one mask."""
    seen: MaskArray | None = None
    for mask in masks:
        if seen is None:
            seen = mask.copy()
        elif np.any(seen & mask):
            return True
        else:
            seen |= mask
    return False
