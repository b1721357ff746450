"""The neural foramina: at every disc between two vertebrae with pedicles, on either side, on one parasagittal slice.

A pedicle is seen on a slice where bone goes on behind the body through the depth of the canal. Of the slices that show
the pedicles above and below the foramen, the one in their middle is measured: lateral of the canal's recess, medial of
the foramen's exit. The sacrum is not outlined, so that there is no foramen at L5-S1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.anatomy import Laterality, Vertebra
from inference.errors import ReasonCode
from inference.geometry import FloatArray, MaskArray, Volume
from inference.measure.canal_line import CanalLine
from inference.measure.foramen_cut import ForamenCut, ForamenFrame, cut_foramen
from inference.measure.grid import DISC, VERTEBRA, SagittalGrid
from inference.measure.levels import Levels
from inference.measure.reading import Foramen, ForamenReading, Length, Unmeasured
from inference.measure.separators import Separator

STRIP_MM = (2.0, 8.0)
"""Bone is a pedicle where it fills this depth behind the canal's front wall: past the back of the body, which is
curved, and short of the narrowest canal's back (12 mm, models.md 2.3)."""
LEAST_PEDICLE_MM = 5.0
"""Height of a pedicle on a slice that runs through it: half of the lowest lumbar one (models.md 2.3)."""
HEIGHT_SD_MM, WIDTH_SD_MM = 1.4, 2.5
AREA_SD_MM2 = 19.0
"""Root mean square differences of our outlines against SPIDER's own, by the same code: over the 8 foramina of 30 T2
SPACE patients that both outlines give, 3 of them lumbar, 3 of patients kept back (training.measure_foramina)."""
NO_PEDICLES = Unmeasured(
    reason=ReasonCode.TRUNCATION, sentence="no slice of the series runs through both pedicles on this side"
)
NOT_CLOSED = Unmeasured(
    reason=ReasonCode.UNCERTAIN, sentence="the outlines of bone and disc do not close around the foramen"
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stack:
    """What foramina are looked for in, on the crop."""

    probabilities: NDArray[np.floating]
    """(class, slice, row, column)."""
    owners: NDArray[np.int16]
    """Segment number of each voxel of the vertebra class."""
    line: CanalLine
    grid: SagittalGrid


def measure_foramina(
    stack: Stack, levels: Levels, separators: tuple[Separator, ...], volume: Volume
) -> tuple[ForamenReading, ...]:
    """The foramina head to foot, left before right, or why one could not be measured."""
    pedicles = _Pedicles.of(stack)
    left = 1 if volume.directions[0, 0] > 0 else -1  # LPS: x grows to the patient's left
    return tuple(
        ForamenReading(
            level=levels.discs[separator.disc],
            side=side,
            foramen=_foramen(stack, pedicles, upper, separator, towards=towards),
        )
        for upper, separator in enumerate(separators, start=1)
        if separator.disc in levels.discs and levels.discs[separator.disc].below is not Vertebra.S1
        for side, towards in ((Laterality.LEFT, left), (Laterality.RIGHT, -left))
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Pedicles:
    """Where bone fills the strip behind the bodies."""

    owner: NDArray[np.int16]
    """(slice, row): number of the segment whose pedicle it is, 0 where there is none."""
    middle_mm: FloatArray
    """(row,): x of the strip's middle."""
    aside: FloatArray
    """(slice, row): signed distance from the canal's middle, in slices."""
    row_mm: float

    @classmethod
    def of(cls, stack: Stack) -> _Pedicles:
        _, row_mm, column_mm = stack.grid.spacing_mm
        columns = [(stack.line.anterior_mm + depth) / column_mm for depth in np.arange(*STRIP_MM, column_mm)]
        index = np.clip(np.rint(np.stack(columns, axis=1)).astype(np.int64), 0, stack.grid.shape[2] - 1)
        strip = stack.owners[:, np.arange(stack.grid.shape[1])[:, None], index]  # (slice, row, place in the strip)
        middle = strip[:, :, strip.shape[2] // 2]
        aside = np.arange(stack.grid.shape[0])[:, None] - stack.line.slice_index[None, :]
        return cls(
            owner=np.where((strip > 0).all(axis=2), middle, 0).astype(np.int16),
            middle_mm=stack.line.anterior_mm + sum(STRIP_MM) / 2,
            aside=aside,
            row_mm=row_mm,
        )

    def heights(self, number: int, towards: int) -> FloatArray:
        """(slice,): height in mm of one vertebra's pedicle on a side, 0 where it is not seen."""
        rows: MaskArray = np.asarray((self.owner == number) & (self.aside * towards > 0))
        height = rows.sum(axis=1) * self.row_mm
        return np.where(height >= LEAST_PEDICLE_MM, height, 0.0)

    def middle(self, number: int, index: int) -> FloatArray:
        """(y, x) of the middle of a pedicle on a slice."""
        rows = np.flatnonzero(self.owner[index] == number)
        return np.array([rows.mean() * self.row_mm, self.middle_mm[rows].mean()])


def _foramen(
    stack: Stack, pedicles: _Pedicles, upper: int, separator: Separator, *, towards: int
) -> Foramen | Unmeasured:
    """One foramen between segment ``upper`` and the next, on the side to which slices grow or fall."""
    seen = np.minimum(pedicles.heights(upper, towards), pedicles.heights(upper + 1, towards))
    if not seen.any():
        return NO_PEDICLES
    index = _middle_slice(seen, towards)
    frame = ForamenFrame(upper=pedicles.middle(upper, index), lower=pedicles.middle(upper + 1, index))
    bone, disc = (stack.probabilities[kind][index].astype(np.float32) for kind in (VERTEBRA, DISC))
    z_mm = index * stack.grid.spacing_mm[0]
    cut = cut_foramen(bone, disc, stack.grid.spacing_mm[1:], frame, _disc_place(frame, separator, z_mm))
    return NOT_CLOSED if cut is None else _placed(cut, frame, z_mm, stack.grid)


def _middle_slice(seen: FloatArray, towards: int) -> int:
    """The slice, of those that count, which is nearest to their mean; of two equally near the more medial one."""
    middle = float(np.average(np.arange(len(seen)), weights=seen))
    outwards = np.flatnonzero(seen)[::towards]
    return int(outwards[np.abs(outwards - middle).round(6).argmin()])


def _disc_place(frame: ForamenFrame, separator: Separator, z_mm: float) -> float:
    """How far from the upper pedicle the disc's plane meets the line to the lower one."""
    start = np.array([z_mm, *frame.upper]) - separator.centre_mm
    return float(-(start @ separator.normal) / (frame.axis @ separator.normal[1:]))


def _placed(cut: ForamenCut, frame: ForamenFrame, z_mm: float, grid: SagittalGrid) -> Foramen | Unmeasured:
    if cut.width is None:
        return NOT_CLOSED
    outline = frame.point(cut.outline[:, 0], cut.outline[:, 1])
    return Foramen(
        height=_length(cut.height, HEIGHT_SD_MM, frame, z_mm, grid),
        width=_length(cut.width, WIDTH_SD_MM, frame, z_mm, grid),
        outline_index=tuple(grid.source_index([z_mm, *point]) for point in outline),
        area_uncertainty_mm2=AREA_SD_MM2,
    )


def _length(
    ends: tuple[tuple[float, float], tuple[float, float]],
    uncertainty_mm: float,
    frame: ForamenFrame,
    z_mm: float,
    grid: SagittalGrid,
) -> Length:
    (v0, u0), (v1, u1) = ends
    return Length(
        mm=float(np.hypot(v1 - v0, u1 - u0)),
        uncertainty_mm=uncertainty_mm,
        start_index=grid.source_index([z_mm, *frame.point(v0, u0)]),
        end_index=grid.source_index([z_mm, *frame.point(v1, u1)]),
    )
