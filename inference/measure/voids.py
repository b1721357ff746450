"""Bodies beside which the image holds no signal: metal, or a part of the image that was lost.

An outline ends where the signal ends, so that what is left of a body looks like a crushed one; a network may well take
the void for a disc, so that it counts whatever it was outlined as.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from inference.errors import ReasonCode
from inference.geometry import MaskArray, VoxelArray
from inference.measure.bodies import Bodies
from inference.measure.grid import SagittalGrid
from inference.measure.reading import Heights, Unmeasured
from inference.measure.vertebrae import MeasuredBody

VOID_SIGNAL = 0.1
"""Signal of a void over that of the marrow, both above the image's lowest value."""
BESIDE_MM = 4.0
"""How far above and below a body is looked: endplate cartilage and bone are 1 to 2 mm, the rest is disc."""
MOST_VOID = 0.5
"""Most of the space above, or below, a body that may be void: up to 0.26 beside the whole bodies of two SPIDER T2 SPACE
patients kept back (middle slice), 0.79 and more beside a band of their images that was blackened."""


def without_voids(
    measured: dict[int, MeasuredBody], bodies: Bodies, voxels: VoxelArray, grid: SagittalGrid
) -> dict[int, MeasuredBody]:
    """The same, without the heights of bodies that end at a void.

    Args:
        measured: by segment number.
        bodies: the segments.
        voxels: the image on the crop.
        grid: the canonical crop.
    """
    marrow = voxels[bodies.body > 0]
    lowest = float(voxels.min())
    void: MaskArray = np.asarray(voxels < lowest + VOID_SIGNAL * (float(np.median(marrow)) - lowest))
    checked = dict(measured)
    for number, body in measured.items():
        if isinstance(body.heights, Heights):
            share = void_share(void, bodies, number, grid)
            if share > MOST_VOID:
                checked[number] = replace(body, heights=_no_signal(share))
    return checked


def void_share(void: MaskArray, bodies: Bodies, number: int, grid: SagittalGrid) -> float:
    """The larger of the shares of void right above and right below a body."""
    reach = max(1, round(BESIDE_MM / grid.spacing_mm[1]))
    slices, rows, columns = bodies.boxes[number]
    near = slices, slice(max(rows.start - reach, 0), rows.stop + reach), columns
    body = bodies.body[near] == number
    shares = []
    for direction in (-1, 1):
        beside = np.zeros_like(body)
        for step in range(1, reach + 1):
            beside |= _shifted(body, direction * step)
        beside &= ~body
        if beside.any():
            shares.append(float(void[near][beside].mean()))
    return max(shares, default=0.0)


def _shifted(mask: MaskArray, rows: int) -> MaskArray:
    """The mask moved down by so many rows, up when negative; nothing comes in at the edge."""
    moved = np.zeros_like(mask)
    if rows > 0:
        moved[:, rows:] = mask[:, :-rows]
    else:
        moved[:, :rows] = mask[:, -rows:]
    return moved


def _no_signal(share: float) -> Unmeasured:
    return Unmeasured(
        reason=ReasonCode.METAL,
        sentence=f"{share:.0%} of the space beside the body holds no signal, as metal or a lost part of the image "
        f"leaves it, at most {MOST_VOID:.0%} is usual: the outline may be a part of the body",
    )
