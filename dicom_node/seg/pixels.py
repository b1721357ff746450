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
