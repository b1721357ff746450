"""One orientation for every sagittal stack, and the way back to the source grid.

Inside this package a stack is *canonical*: axes (slice, row, column) with rows running head to foot and columns front
to back, whatever the source's order; slices keep their order, because only foramina have a side. Points in
millimetres are (z, y, x) = canonical index times spacing: z across slices, y towards the feet, x towards the back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.errors import ReasonCode, SeriesRefusal
from inference.geometry import MaskArray, Plane, Volume
from inference.measure.reading import Point

Box: TypeAlias = tuple[slice, slice, slice]
"""Where a structure lies in the crop. Most are far smaller than it, so that what looks only there is fast."""

VERTEBRA, DISC, CANAL = 1, 2, 3
"""Places of the classes on the class axis of the probabilities; 0 is background."""
CLASS_COUNT = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SagittalGrid:
    """How a canonical, cropped array lies in the source array."""

    source_shape: tuple[int, int, int]
    transposed: bool
    """True where the source's columns, not its rows, run between head and foot."""
    flip_rows: bool
    flip_columns: bool
    offset: tuple[int, int, int]
    """Canonical index of the crop's first voxel."""
    shape: tuple[int, int, int]
    """(slice, row, column) of the crop."""
    full_shape: tuple[int, int, int]
    """(slice, row, column) of the whole canonical stack."""
    spacing_mm: tuple[float, float, float]
    """(slice, row, column), canonical."""
    shear: tuple[float, float]
    """How far each millimetre of slice step also moves (towards the feet, towards the back); zero for a right stack."""

    def canonical(self, array: NDArray[Any]) -> NDArray[Any]:
        """A view of a source array, shape (..., slice, row, column), in canonical order, not cropped."""
        view = np.swapaxes(array, -1, -2) if self.transposed else array
        return view[..., :: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]

    def crop(self, array: NDArray[Any]) -> NDArray[Any]:
        """A view of a source array in canonical order, cropped."""
        (k, r, c), (nk, nr, nc) = self.offset, self.shape
        return self.canonical(array)[..., k : k + nk, r : r + nr, c : c + nc]

    def to_source(self, mask: MaskArray, box: Box | None = None) -> MaskArray:
        """A cropped canonical mask on the whole source grid; ``box`` says where in the crop a smaller mask lies."""
        whole = np.zeros(self.source_shape, dtype=np.bool_)
        self.crop(whole)[box or ...] = mask
        return whole

    def source_index(self, point_mm: Any) -> Point:
        """Source (slice, row, column) index of a point (z, y, x) in millimetres of the crop."""
        k, r, c = (float(v) for v in np.asarray(point_mm, dtype=np.float64) / self.spacing_mm + self.offset)
        if self.flip_rows:
            r = self.full_shape[1] - 1 - r
        if self.flip_columns:
            c = self.full_shape[2] - 1 - c
        return (k, c, r) if self.transposed else (k, r, c)


def sagittal_grid(volume: Volume, background: NDArray[Any]) -> SagittalGrid:
    """The canonical grid of a sagittal stack, cropped to where the background probability is below one half.

    Args:
        volume: the stack.
        background: probability of the background class, shape (slice, row, column).

    Raises:
        SeriesRefusal: the slices are not sagittal, or nothing but background was found.
    """
    if volume.plane is not Plane.SAGITTAL:
        raise SeriesRefusal(
            f"the slices are {volume.plane.value}, but vertebral heights are read from sagittal ones",
            code=ReasonCode.ORIENTATION,
        )
    rows, columns = volume.directions[:, 1], volume.directions[:, 2]
    transposed = bool(abs(columns[2]) > abs(rows[2]))
    if transposed:
        rows, columns = columns, rows
    slice_mm, row_mm, column_mm = volume.spacing_mm
    slices, n_rows, n_columns = volume.shape
    foot, back = (-rows if rows[2] > 0 else rows), (-columns if columns[1] < 0 else columns)
    step = volume.directions[:, 0]
    whole = (slices, n_columns, n_rows) if transposed else volume.shape
    grid = SagittalGrid(
        source_shape=volume.shape,
        transposed=transposed,
        flip_rows=bool(rows[2] > 0),
        flip_columns=bool(columns[1] < 0),
        offset=(0, 0, 0),
        shape=whole,
        full_shape=whole,
        spacing_mm=(slice_mm, column_mm, row_mm) if transposed else (slice_mm, row_mm, column_mm),
        shear=(float(step @ foot), float(step @ back)),
    )
    return _cropped(grid, grid.canonical(background))


def _cropped(grid: SagittalGrid, background: NDArray[Any]) -> SagittalGrid:
    """The grid cropped to the structures, with a margin of 3 voxels for edges that end outside them."""
    inside = background < 0.5  # noqa: PLR2004 - another class can only win where background has less than half
    starts, sizes = [], []
    for axis in range(3):
        found = np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))
        if not found.size:
            raise SeriesRefusal("no spine was found: every voxel is background", code=ReasonCode.BODY_PART)
        margin = 0 if axis == 0 else 3
        start = max(int(found[0]) - margin, 0)
        starts.append(start)
        sizes.append(min(int(found[-1]) + margin + 1, grid.full_shape[axis]) - start)
    return SagittalGrid(
        source_shape=grid.source_shape,
        transposed=grid.transposed,
        flip_rows=grid.flip_rows,
        flip_columns=grid.flip_columns,
        offset=(starts[0], starts[1], starts[2]),
        shape=(sizes[0], sizes[1], sizes[2]),
        full_shape=grid.full_shape,
        spacing_mm=grid.spacing_mm,
        shear=grid.shear,
    )


def without_islands(mask: MaskArray, *, smallest_voxels: float = 0.0, smallest_share: float = 0.0) -> MaskArray:
    """The mask without its connected parts that are smaller than a size, or than a share of its largest part."""
    part, count = parts_of(mask)
    if count <= 1:
        return mask
    sizes = np.bincount(part)
    kept = np.zeros_like(mask)
    kept[mask] = (sizes >= max(smallest_voxels, smallest_share * sizes.max()))[part]
    return kept


def parts_of(mask: MaskArray) -> tuple[NDArray[np.int64], int]:
    """The number, from 0, of the connected part (by faces) that each voxel of the mask is in, and how many there are.

    The voxels come in the order of ``mask[mask]`` and ``np.argwhere(mask)``.
    """
    box = bounding_box(mask)
    if box is None:
        return np.zeros(0, dtype=np.int64), 0
    labels, count = ndimage.label(mask[box])
    return labels[mask[box]].astype(np.int64) - 1, int(count)


def bounding_box(mask: MaskArray) -> Box | None:
    """The smallest box around a mask; None for an empty one."""
    rows: MaskArray = np.asarray(mask.any(axis=2))
    if not rows.any():
        return None
    one, two = _reach(rows.any(axis=1)), _reach(rows.any(axis=0))
    return one, two, _reach(mask[one, two].any(axis=0).any(axis=0))


def _reach(occurs: Any) -> slice:
    found = np.flatnonzero(occurs)
    return slice(int(found[0]), int(found[-1]) + 1)


def boxes_of(labels: NDArray[np.int16]) -> dict[int, Box]:
    """The smallest box around every label that occurs."""
    return {number: box for number, box in enumerate(ndimage.find_objects(labels), start=1) if box is not None}


def most_likely(probabilities: NDArray[Any]) -> NDArray[np.uint8]:
    """The class of each voxel, shape of one class; the first of equals, as ``argmax`` over the first axis has it."""
    best = probabilities[0].copy()
    labels = np.zeros(best.shape, dtype=np.uint8)
    for number, probability in enumerate(probabilities[1:], start=1):
        labels[probability > best] = number
        np.maximum(best, probability, out=best)
    return labels


def runs_of(mask: MaskArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last place of each run of true values in a row, in order."""
    edges = np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
