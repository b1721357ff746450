"""An analytic spine: blocks whose heights are known exactly, rasterised with partial volume on any sagittal grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.anatomy import Vertebra
from inference.geometry import FrameReference, Volume
from inference.measure.morphometry import BODY_NORMS

LEVELS = (Vertebra.T11, Vertebra.T12, Vertebra.L1, Vertebra.L2, Vertebra.L3, Vertebra.L4, Vertebra.L5)
DEPTH, DISC, CANAL_GAP, CANAL_AP = 34.0, 8.0, 2.0, 16.0


@dataclass(frozen=True, kw_only=True)
class BlockSpine:
    """Bodies T11..L5 with norm heights at 15 and 85 % of their depth; the axis leans so that discs dip to the front."""

    spacing: tuple[float, float, float] = (3.0, 1.0, 1.0)
    slices: int = 13
    tilt_deg: float = -12.0
    """Negative leans the column so that the front of every disc lies lower, as at L5-S1."""
    lean_deg: float = 0.0
    """Sideways lean of the column against the slices, around L1 (100 mm below the top)."""
    loss: Mapping[Vertebra, float] = field(default_factory=dict)
    """Part of the anterior height (at 15 % of the depth) that a wedge takes, none at 85 %."""
    crush: Mapping[Vertebra, float] = field(default_factory=dict)
    """Part of the whole height that a body has lost, all over."""
    slip_mm: Mapping[Vertebra, float] = field(default_factory=dict)
    """How far a body, with all bodies above it, stands forward of the one below it, along the column's discs."""
    dropped_discs: tuple[Vertebra, ...] = ()
    """Bodies whose disc below is not drawn, so that they touch the next body."""
    above_mm: float = 25.0
    below_mm: float = 40.0
    seed: int = 0

    def height_mm(self, level: Vertebra, share: float) -> float:
        """Height along the column at a share of the depth."""
        front, _, back = BODY_NORMS[level].heights_mm
        left = 1.0 - self.crush.get(level, 0.0)
        front, back = front * left * (1.0 - self.loss.get(level, 0.0)), back * left
        return front + (back - front) * (share - 0.15) / 0.7

    def build(self) -> tuple[Volume, NDArray[np.float32]]:
        """The stack (noise as voxels) and the class probabilities, (class, slice, row, column)."""
        bottoms, length = self._bottoms()
        rows = int((self.above_mm + length + self.below_mm) / self.spacing[1])
        columns = int(
            (170.0 + (length + self.above_mm + self.below_mm) * np.tan(np.radians(abs(self.tilt_deg))))
            / self.spacing[2]
        )
        counts = np.zeros((4, self.slices, rows, columns), dtype=np.uint8)
        steps = (np.arange(3) - 1) / 3
        for dr in steps:
            for dc in steps:
                classes = self._classes(bottoms, rows, columns, (dr, dc))
                for number in range(4):
                    counts[number] += classes == number
        total = (counts / np.float32(9)).astype(np.float32)
        affine = np.eye(4)
        affine[:3, :3] = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]) * np.asarray(self.spacing)
        affine[:3, 3] = (-self.slices * self.spacing[0] / 2, -80.0, 150.0)
        voxels = np.random.default_rng(self.seed).random(total.shape[1:], dtype=np.float32)
        return volume_of(voxels, affine), total

    def _bottoms(self) -> tuple[dict[Vertebra, float], float]:
        place, bottoms = 0.0, {}
        for level in LEVELS:
            place += max(self.height_mm(level, 0.0), self.height_mm(level, 1.0))
            bottoms[level] = place
            place += DISC
        return bottoms, place

    def _classes(
        self, bottoms: Mapping[Vertebra, float], rows: int, columns: int, shift: tuple[float, float]
    ) -> NDArray[np.uint8]:
        """Class at one sub-voxel position of every voxel."""
        z = (np.arange(self.slices) - (self.slices - 1) / 2)[:, None, None] * self.spacing[0]
        y = (np.arange(rows) + shift[0])[None, :, None] * self.spacing[1] - self.above_mm
        x = (np.arange(columns) + shift[1])[None, None, :] * self.spacing[2]
        tilt, lean = np.radians(self.tilt_deg), np.radians(self.lean_deg)
        x = x - 40.0 - max(rows * self.spacing[1] * np.tan(tilt), 0.0)
        along = y * np.cos(tilt) - x * np.sin(tilt) + 8.0 - 100.0
        d = y * np.sin(tilt) + x * np.cos(tilt) - 20.0
        s, across = along + 100.0, np.abs(z)
        if lean:  # otherwise one array for all slices will do, and one number for each
            s = np.cos(lean) * along + np.sin(lean) * z + 100.0
            across = np.abs(z * np.cos(lean) - along * np.sin(lean))
        out = np.zeros(np.broadcast_shapes(s.shape, d.shape, z.shape), dtype=np.uint8)
        forward = 0.0
        canal = (d >= DEPTH + CANAL_GAP) & (d <= DEPTH + CANAL_GAP + CANAL_AP)
        end = max(bottoms.values()) + DISC
        _draw(out, 3, canal & (s > -15.0) & (s < end + 25.0), across < 11.0)
        body = across < 21.0
        for level, bottom in reversed(bottoms.items()):
            place_below = d + forward
            forward += self.slip_mm.get(level, 0.0)
            place = d + forward
            top = (
                bottom
                - self.height_mm(level, 0.0)
                - (self.height_mm(level, 1.0) - self.height_mm(level, 0.0)) * place / DEPTH
            )
            inside = (place >= 0) & (place <= DEPTH)
            _draw(out, 1, inside & (s >= top) & (s <= bottom), body)
            for where, beside in self._arch(s, d, across, bottom):
                _draw(out, 1, where, beside)
            gap = inside & (s > bottom)
            if level in self.dropped_discs:
                _draw(out, 1, gap & (s < bottom + DISC + 1) & (d > 5) & (d < 29), body)
            elif level is LEVELS[-1]:
                _draw(out, 2, gap & (s < bottom + DISC), body)
            else:
                below = LEVELS[LEVELS.index(level) + 1]
                tallest = max(self.height_mm(below, 0.0), self.height_mm(below, 1.0))
                first = bottom + DISC + tallest
                upper = (
                    first
                    - self.height_mm(below, 0.0)
                    - (self.height_mm(below, 1.0) - self.height_mm(below, 0.0)) * place_below / DEPTH
                )
                _draw(out, 2, gap & (s < upper), body)
        return out

    @staticmethod
    def _arch(s: NDArray, d: NDArray, across: NDArray, bottom: float) -> list[tuple[NDArray, NDArray]]:
        """Pedicles beside the canal, a lamina behind it and a spinous process, all in the lower half of the level.

        Of each part the masks of the plane and across it.
        """
        back = DEPTH + CANAL_GAP + CANAL_AP + 1.0
        low = s > bottom - 16
        return [
            ((d > DEPTH) & (d < back + 6) & low & (s < bottom - 6), (across > 12.0) & (across < 18.0)),
            ((d > back) & (d < back + 6) & low & (s < bottom - 2), across < 18.0),
            ((d > back) & (d < back + 28) & (s > bottom - 14) & (s < bottom + 2), across < 4.0),
        ]


def _draw(out: NDArray[np.uint8], value: int, where: NDArray[np.bool_], beside: NDArray[np.bool_]) -> None:
    """Set what lies in both masks, one of the plane and one across it; only rows where it occurs are looked at."""
    rows = np.flatnonzero(where.any(axis=(0, 2)))
    if len(rows):
        at = slice(rows[0], rows[-1] + 1)
        np.copyto(out[:, at], value, where=where[:, at] & (beside if beside.shape[1] == 1 else beside[:, at]))


def volume_of(voxels: NDArray[np.float32], affine: NDArray[np.float64]) -> Volume:
    sources = tuple(FrameReference(sop_class_uid="1.2", sop_instance_uid=f"1.2.{i}") for i in range(len(voxels)))
    return Volume(voxels=voxels, affine=affine, sources=sources, series_instance_uid="1.2.3")


def reindexed(
    volume: Volume, probabilities: NDArray[np.float32], *, flips: tuple[bool, bool, bool], transposed: bool
) -> tuple[Volume, NDArray[np.float32]]:
    """The same patient with the index axes reversed or the in-plane axes exchanged."""
    affine, voxels = volume.affine.copy(), volume.voxels
    for axis, flip in enumerate(flips):
        if flip:
            affine[:3, 3] += affine[:3, axis] * (voxels.shape[axis] - 1)
            affine[:3, axis] *= -1
            voxels, probabilities = np.flip(voxels, axis), np.flip(probabilities, axis + 1)
    if transposed:
        affine[:, [1, 2]] = affine[:, [2, 1]]
        voxels, probabilities = np.swapaxes(voxels, 1, 2), np.swapaxes(probabilities, 2, 3)
    return volume_of(np.ascontiguousarray(voxels), affine), probabilities


@pytest.fixture
def block_spine() -> type[BlockSpine]:
    return BlockSpine


@pytest.fixture
def other_order() -> Callable[..., tuple[Volume, NDArray[np.float32]]]:
    return reindexed
