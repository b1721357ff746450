"""Discs that touch: the two beside a collapsed body, joined where nothing of the body is left between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.geometry import MaskArray
from inference.measure.grid import parts_of

IN_SLICE = ndimage.generate_binary_structure(3, 1) & np.array([False, True, False])[:, None, None]
"""Voxels of one slice that share a face are connected; those of neighbouring slices are not."""
LEAST_PIECE = 0.2
"""Of the largest piece of a part in a slice: smaller pieces are its frayed edge."""
STACKED = 0.5
"""Pieces of one disc lie beside each other, the discs above and below a collapsed body over each other: two pieces are
two discs where the smaller lies over or under the larger by more than this share of its columns ..."""
LEAST_APART_MM = 11.0
"""... whose middles are this far apart: half a disc of 6 mm on either side and 5 mm of a body. What is nearer is a disc
that a dark line splits, or one with a dark band of marrow beside it that was taken for disc ..."""
LEAST_SLICES = 0.5
"""... in at least this share of the slices that show the part. Noise splits a disc in a slice or two."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Piece:
    """A connected piece of a part in one slice."""

    number: int
    middle: float
    """Mean row."""
    columns: frozenset[int]

    def is_over_or_under(self, other: _Piece) -> bool:
        return len(self.columns & other.columns) > STACKED * min(len(self.columns), len(other.columns))


def disc_parts(disc: MaskArray, spacing_mm: tuple[float, float, float]) -> tuple[NDArray[np.int64], int]:
    """Connected parts as ``grid.parts_of`` gives them, but a part that two discs share is cut between them.

    Args:
        disc: voxels of all discs, (slice, row, column), rows running towards the feet.
        spacing_mm: between slices, rows, columns.

    Returns:
        The number, from 0, of the part of each voxel in the order of ``np.argwhere(disc)``, and how many there are.
    """
    part_of, count = parts_of(disc)
    labels = np.zeros(disc.shape, dtype=np.int64)
    labels[disc] = part_of + 1
    for number, box in enumerate(ndimage.find_objects(labels, max_label=count), start=1):
        lower = _lower_disc(labels[box] == number, spacing_mm)
        if lower is not None:
            count += 1
            labels[box][lower] = count
    return labels[disc] - 1, count


def _lower_disc(part: MaskArray, spacing_mm: tuple[float, float, float]) -> MaskArray | None:
    """The lower of the two discs that a part holds; None where it is one disc."""
    pieces, count = ndimage.label(part, structure=IN_SLICE)
    if count <= len(part):
        return None  # at most one piece in a slice, or so few more that they are noise
    pairs = [pair for index in range(len(part)) if (pair := _pair(pieces[index], spacing_mm[1])) is not None]
    if len(pairs) < LEAST_SLICES * np.count_nonzero(part.any(axis=(1, 2))):
        return None
    seeds = np.zeros(count + 1, dtype=np.int64)
    for upper, lower in pairs:
        seeds[upper.number], seeds[lower.number] = 1, 2
    marks = seeds[pieces]
    nearest = ndimage.distance_transform_edt(
        marks == 0, sampling=spacing_mm, return_distances=False, return_indices=True
    )
    return np.asarray(part & (marks[tuple(nearest)] == 2))  # noqa: PLR2004 - the lower seed


def _pair(pieces: NDArray[np.int32], row_mm: float) -> tuple[_Piece, _Piece] | None:
    """The upper and the lower of two pieces in a slice that lie over each other; None where there are no two."""
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    large = np.flatnonzero(sizes >= max(1.0, LEAST_PIECE * sizes.max()))
    if len(large) != 2:  # noqa: PLR2004 - more pieces are a torn disc
        return None
    found = []
    for number in large.tolist():
        rows, columns = np.nonzero(pieces == number)
        found.append(_Piece(number=number, middle=float(rows.mean()), columns=frozenset(columns.tolist())))
    upper, lower = sorted(found, key=lambda piece: piece.middle)
    is_apart = (lower.middle - upper.middle) * row_mm >= LEAST_APART_MM
    return (upper, lower) if is_apart and upper.is_over_or_under(lower) else None
