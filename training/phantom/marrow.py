"""Changes of the marrow inside a body that keep its shape."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from inference.geometry import MaskArray
from training.phantom.body import BodyShape
from training.phantom.grid import Box
from training.phantom.parameters import MarrowChange
from training.phantom.tissue import Tissue

MARROW_BAND_MM = 6.0
"""Height of a band along an endplate: within the two bands of models.md 3.6, which end 8 mm from it."""
NODE_RADIUS_MM = 5.0
"""Of the oedema around a Schmorl node [estimate]."""
NODE_DEPTH_MM = -2.0
"""The node lies a little before the middle of the body."""
CHANGED: Mapping[MarrowChange, Tissue] = {
    MarrowChange.HAEMANGIOMA: Tissue.SUBCUTANEOUS_FAT,
    MarrowChange.SUPERIOR_FAT: Tissue.SUBCUTANEOUS_FAT,
    MarrowChange.INFERIOR_FAT: Tissue.SUBCUTANEOUS_FAT,
    MarrowChange.SUPERIOR_SCLEROSIS: Tissue.SCLEROSIS,
    MarrowChange.INFERIOR_SCLEROSIS: Tissue.SCLEROSIS,
}
"""What the marrow becomes; oedema where nothing else is named."""
SUPERIOR = frozenset({MarrowChange.SUPERIOR_BAND, MarrowChange.SUPERIOR_FAT, MarrowChange.SUPERIOR_SCLEROSIS})
INFERIOR = frozenset({MarrowChange.INFERIOR_BAND, MarrowChange.INFERIOR_FAT, MarrowChange.INFERIOR_SCLEROSIS})


def paint_marrow(tissue: NDArray[np.uint8], box: Box, shape: BodyShape, inside: MaskArray) -> None:
    """Paint what a body's marrow shows into a block of the canvas, (plane, row, column)."""
    change = shape.marrow
    if change is None:
        return
    tissue[inside & _where(change, box, shape)] = CHANGED.get(change, Tissue.OEDEMA)


def _where(change: MarrowChange, box: Box, shape: BodyShape) -> MaskArray:
    if change in (MarrowChange.OEDEMA, MarrowChange.HAEMANGIOMA):
        return np.ones(np.broadcast_shapes(box.u.shape, box.v.shape, box.w.shape), dtype=np.bool_)
    radius = shape.radius(box.u, box.v)
    depth = np.clip(box.v / np.float32(shape.depth_mm) + np.float32(0.5), 0, 1)
    from_top, from_bottom = shape.top(depth, radius) - box.w, box.w - shape.bottom(depth, radius)
    if change in SUPERIOR:
        return np.asarray(from_top < MARROW_BAND_MM)
    if change in INFERIOR:
        return np.asarray(from_bottom < MARROW_BAND_MM)
    distance = box.u**2 + (box.v - np.float32(NODE_DEPTH_MM)) ** 2 + from_top**2
    return np.asarray(distance < NODE_RADIUS_MM**2)
