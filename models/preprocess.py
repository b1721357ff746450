"""From a source series to a network's grid, and back.

A sagittal network sees rows running head to foot and columns running front to back, at its own in-plane spacing. The
source may be stored in any of the eight in-plane arrangements; axes are swapped and reversed *in the array*, and the
probabilities go back by the exact inverse, so nothing is mirrored in the patient. Slices are never resampled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.errors import ReasonCode, SeriesRefusal
from inference.geometry import Volume, VoxelArray

SAME_SPACING = 0.005
"""Relative difference of spacing below which nothing is resampled: half a pixel over 100 pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SagittalGrid:
    """How one source slice maps to the network's grid."""

    swap: bool
    """Source rows run along the antero-posterior axis."""
    reverse_rows: bool
    """After swapping, rows run foot to head."""
    reverse_columns: bool
    """After swapping, columns run back to front."""
    rows: tuple[int, int]
    """(source rows after swapping, network rows before padding)."""
    columns: tuple[int, int]
    padded: tuple[int, int]
    """Network rows and columns, multiples of what the network needs."""


def sagittal_grid(volume: Volume, spacing_mm: tuple[float, float], multiple_of: int) -> SagittalGrid:
    """Grid for a sagittal volume; SeriesRefusal when its slices do not run head-foot and front-back.

    Args:
        volume: the source.
        spacing_mm: the network's distance between rows and between columns.
        multiple_of: the network's rows and columns are multiples of this.
    """
    row_direction, column_direction = volume.directions[:, 1], volume.directions[:, 2]
    swap = abs(row_direction[2]) < abs(column_direction[2])
    if swap:
        row_direction, column_direction = column_direction, row_direction
    if abs(row_direction[2]) < 0.5 or abs(column_direction[1]) < 0.5:  # noqa: PLR2004 - 60 degrees off
        raise SeriesRefusal(
            f"a sagittal series has rows and columns along head-foot and front-back, got a {volume.plane} stack",
            code=ReasonCode.ORIENTATION,
        )
    _, source_rows, source_columns = volume.shape
    _, row_mm, column_mm = volume.spacing_mm
    if swap:
        source_rows, source_columns, row_mm, column_mm = source_columns, source_rows, column_mm, row_mm
    rows = _resampled(source_rows, row_mm, spacing_mm[0])
    columns = _resampled(source_columns, column_mm, spacing_mm[1])
    return SagittalGrid(
        swap=swap,
        reverse_rows=bool(row_direction[2] > 0),
        reverse_columns=bool(column_direction[1] < 0),
        rows=(source_rows, rows),
        columns=(source_columns, columns),
        padded=(-(-rows // multiple_of) * multiple_of, -(-columns // multiple_of) * multiple_of),
    )


def _resampled(count: int, source_mm: float, target_mm: float) -> int:
    if abs(source_mm / target_mm - 1) < SAME_SPACING:
        return count
    return max(1, round(count * source_mm / target_mm))


def normalise(voxels: VoxelArray) -> VoxelArray:
    """Voxels clipped to the volume's 0.5th and 99.5th percentile, then mean 0 and standard deviation 1.

    SeriesRefusal when all voxels are equal.
    """
    low, high = np.percentile(voxels, (0.5, 99.5))
    clipped = np.clip(voxels, low, high).astype(np.float32)
    deviation = float(clipped.std())
    if deviation == 0:
        raise SeriesRefusal(
            f"every voxel of the series is {float(low):g}: there is no image", code=ReasonCode.PIXEL_DATA
        )
    return np.asarray((clipped - clipped.mean()) / deviation, dtype=np.float32)


def to_network(voxels: VoxelArray, grid: SagittalGrid) -> VoxelArray:
    """Normalised source slices (slice, row, column) on the network's grid, padded with 0 below and to the right."""
    arranged = np.swapaxes(voxels, 1, 2) if grid.swap else voxels
    arranged = arranged[:, :: -1 if grid.reverse_rows else 1, :: -1 if grid.reverse_columns else 1]
    resampled = _resample(arranged, _matrix(*grid.rows), _matrix(*grid.columns))
    padded = np.zeros((voxels.shape[0], *grid.padded), np.float32)
    padded[:, : grid.rows[1], : grid.columns[1]] = resampled
    return padded


def from_network(values: NDArray[np.float32], grid: SagittalGrid) -> NDArray[np.float32]:
    """Values of the network's grid, shape (..., row, column), on the source grid: the inverse of to_network."""
    cropped = values[..., : grid.rows[1], : grid.columns[1]]
    source = _resample(cropped, _matrix(*grid.rows[::-1]), _matrix(*grid.columns[::-1]))
    source = source[..., :: -1 if grid.reverse_rows else 1, :: -1 if grid.reverse_columns else 1]
    return np.ascontiguousarray(np.swapaxes(source, -1, -2) if grid.swap else source)


def neighbours(voxels: VoxelArray, index: int, count: int) -> VoxelArray:
    """The ``count`` slices centred on ``index``, shape (1, count, row, column); ends repeat the outermost slice."""
    around = np.arange(index - count // 2, index + count // 2 + 1).clip(0, voxels.shape[0] - 1)
    return voxels[np.newaxis, around]


def _resample(
    values: NDArray[np.float32], rows: NDArray[np.float32], columns: NDArray[np.float32]
) -> NDArray[np.float32]:
    if rows.shape[0] != rows.shape[1]:
        values = np.matmul(rows, values)
    if columns.shape[0] != columns.shape[1]:
        values = np.matmul(values, columns.T)
    return values


def _matrix(source: int, target: int) -> NDArray[np.float32]:
    """Linear interpolation, (target, source), edge to edge; when shrinking, a triangle of a target pixel's width."""
    if source == target:
        return np.eye(source, dtype=np.float32)
    scale = source / target
    centres = (np.arange(target) + 0.5) * scale - 0.5
    distance = np.abs(np.arange(source)[np.newaxis] - centres[:, np.newaxis]) / max(scale, 1.0)
    weights = np.clip(1.0 - distance, 0.0, None)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)
