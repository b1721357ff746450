"""Bodies of which the outline holds only a part: it ends before the disc, or the image ends within the body.

A part of a body measured as if it were the whole looks like a crushed one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inference.errors import ReasonCode
from inference.geometry import FloatArray, MaskArray
from inference.measure.bodies import Bodies
from inference.measure.discs import touches_edge
from inference.measure.frames import STEP_MM
from inference.measure.grid import SagittalGrid
from inference.measure.reading import Heights, Unmeasured
from inference.measure.vertebrae import MeasuredBody

LARGEST_GAP_MM = 5.0
"""Widest distance between a body's outline and its disc's: the cartilage and the cortex between the two, which either
class may claim, are 2 mm at most [estimate], and as much for a blurred edge."""
REACH_MM = 25.0
"""How far beyond the outline a disc is looked for: most of a body's height."""
SHARES = np.linspace(0.1, 0.9, 9)
"""Of the depth from the front: places where the distance is taken, without the rounded rims."""
LEAST_PLACES = 3
"""Of SHARES, where the disc must be met for a distance to be believed."""
LEAST_COVERED = 0.7
"""A disc at the image's edge covers at least this share of its body's endplate, or the edge cuts the body too."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Neighbour:
    """The disc at one end of a body."""

    mask: MaskArray
    """Of the crop."""
    words: str
    """Above or below."""
    step: int
    """Along the body's axis: -1 above, 1 below."""


def whole_outlines(
    measured: dict[int, MeasuredBody], bodies: Bodies, discs: NDArray[np.int16], grid: SagittalGrid
) -> dict[int, MeasuredBody]:
    """The same, without the heights of bodies whose outline is not that of a whole one.

    Args:
        measured: by segment number.
        bodies: the segments.
        discs: number of each disc, shape of the crop.
        grid: the canonical crop.
    """
    checked = dict(measured)
    for number, body in measured.items():
        for neighbour in _neighbours(number, bodies, discs):
            reason = _partial(body, neighbour, grid)
            if reason is not None:
                checked[number] = replace(body, heights=reason)
    return checked


def _neighbours(number: int, bodies: Bodies, discs: NDArray[np.int16]) -> list[_Neighbour]:
    """The discs that were found beside a segment."""
    ends = ((number - 2, "above", -1), (number - 1, "below", 1))
    return [
        _Neighbour(mask=discs == bodies.separators[index].disc, words=words, step=step)
        for index, words, step in ends
        if 0 <= index < len(bodies.separators) and bodies.separators[index].disc is not None
    ]


def _partial(body: MeasuredBody, disc: _Neighbour, grid: SagittalGrid) -> Unmeasured | None:
    """Why the outline is not the whole body's towards one disc, None if it is."""
    if not isinstance(body.heights, Heights):
        return None
    gaps = _gaps(body, disc, grid)
    if touches_edge(disc.mask, grid):
        covered = float(np.mean(gaps <= LARGEST_GAP_MM))
        if covered < LEAST_COVERED:
            sentence = (
                f"the edge of the field of view cuts the disc {disc.words} it, which covers only {covered:.0%} of "
                "the endplate, so that the body may be cut too"
            )
            return Unmeasured(reason=ReasonCode.TRUNCATION, sentence=sentence)
    known = gaps[np.isfinite(gaps)]
    if len(known) < LEAST_PLACES or np.median(known) <= LARGEST_GAP_MM:
        return None
    sentence = (
        f"the outline ends {np.median(known):.0f} mm before the disc {disc.words} it, so that it does not hold the "
        "whole body"
    )
    return Unmeasured(reason=ReasonCode.UNCERTAIN, sentence=sentence)


def _gaps(body: MeasuredBody, disc: _Neighbour, grid: SagittalGrid) -> FloatArray:
    """From the endplate to the disc at SHARES, in millimetres; NaN where no disc is met.

    Along the body's axis, on the slice nearest to the canal's middle.
    """
    edges = body.edges
    if edges is None:
        return np.full(len(SHARES), np.nan)
    nearest = int(np.abs(edges.slices - body.canal_slice).argmin())
    surface = (edges.bottom if disc.step > 0 else edges.top)[nearest]
    u = np.array([edges.share(share)[nearest] for share in SHARES])
    v = np.interp(u, edges.u, surface)
    steps = np.arange(0.0, REACH_MM, STEP_MM)
    along = v[:, None] + disc.step * steps
    frame = edges.frame
    places = frame.centre_mm[1:] + u[:, None, None] * frame.across + along[..., None] * frame.axis
    index = np.nan_to_num(np.rint(places / grid.spacing_mm[1:]), nan=-1).astype(np.int64)
    inside = ((index >= 0) & (index < disc.mask.shape[1:])).all(axis=-1)
    rows, columns = np.where(inside[..., None], index, 0).transpose(2, 0, 1)
    met = disc.mask[edges.slices[nearest], rows, columns] & inside
    return np.where(met.any(axis=1), steps[met.argmax(axis=1)], np.nan)
