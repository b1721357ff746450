"""Axial slices cut from a finely sliced phantom, and the thick sagittal slices of the same voxels.

Both series show the same anatomy in the same patient coordinates, as an examination does: generate the phantom with
1 mm slices, then take `thick_slices` for the sagittal and `cut_axial` for the axial series; for a series of several
angles, cut a `stack_along` each disc.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from training.phantom.generate import LabelMap, Phantom

CANAL = 3
SAMPLES = 6
"""Planes that are averaged into one slice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AxialStack:
    """How axial slices lie."""

    centre_mm: tuple[float, float, float]
    """LPS middle of the stack."""
    slices: int
    tilt_deg: float = 0.0
    """Turn about the patient's left-right axis: positive raises the front."""
    side_mm: float = 100.0
    pixel_mm: tuple[float, float] = (0.6, 0.6)
    """Between rows, between columns."""
    thickness_mm: float = 3.5
    step_mm: float = 4.0

    @property
    def affine(self) -> NDArray[np.float64]:
        """(slice, row, column, 1) to LPS mm; slices grow to the head, rows to the back, columns to the left."""
        c, s = np.cos(np.radians(self.tilt_deg)), np.sin(np.radians(self.tilt_deg))
        affine = np.eye(4)
        affine[:3, 0] = np.array([0, s, c]) * self.step_mm
        affine[:3, 1] = np.array([0, c, -s]) * self.pixel_mm[0]
        affine[:3, 2] = (self.pixel_mm[1], 0, 0)
        rows, columns = self.shape[1:]
        middle = np.array([(self.slices - 1) / 2, (rows - 1) / 2, (columns - 1) / 2])
        affine[:3, 3] = np.asarray(self.centre_mm) - affine[:3, :3] @ middle
        return affine

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slices, rows, columns)."""
        row_mm, column_mm = self.pixel_mm
        return self.slices, round(self.side_mm / row_mm), round(self.side_mm / column_mm)


def stack_along(
    found: LabelMap, level: str, *, slices: int = 4, pixel_mm: tuple[float, float] = (0.6, 0.6)
) -> AxialStack:
    """The stack of one disc of a multi-angle series: around its canal, at right angles to the sac's course there."""
    front, back = np.asarray(found.truth.disc(level).canal_ends_lps_mm)
    x, y, z = (front + back) / 2
    _, to_back, up = back - front
    tilt_deg = float(np.degrees(np.arctan2(-up, to_back)))
    return AxialStack(centre_mm=(x, y, z), slices=slices, tilt_deg=tilt_deg, pixel_mm=pixel_mm)


def cut_axial(phantom: Phantom, stack: AxialStack) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Signal, and the share of each voxel that the canal fills, both (slice, row, column)."""
    canal = (phantom.labels == CANAL).astype(np.float32)
    inverse = np.linalg.inv(phantom.affine) @ stack.affine
    offsets = ((np.arange(SAMPLES) + 0.5) / SAMPLES - 0.5) * stack.thickness_mm / stack.step_mm
    signal, sac = np.zeros(stack.shape, np.float32), np.zeros(stack.shape, np.float32)
    _, rows, columns = np.indices((1, *stack.shape[1:]), dtype=np.float64)
    for index in range(stack.slices):
        for offset in offsets:
            place = [
                step[0] * (index + offset) + step[1] * rows[0] + step[2] * columns[0] + step[3] for step in inverse[:3]
            ]
            signal[index] += map_coordinates(phantom.voxels, place, order=1, mode="nearest") / SAMPLES
            sac[index] += map_coordinates(canal, place, order=1, mode="constant") / SAMPLES
    return signal, sac


def thick_slices(phantom: Phantom, count: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Voxels and affine of slices that average `count` neighbours each; a rest at the end is left out."""
    groups = len(phantom.voxels) // count
    voxels = phantom.voxels[: groups * count].reshape(groups, count, *phantom.voxels.shape[1:]).mean(axis=1)
    affine = phantom.affine.copy()
    affine[:3, 3] += affine[:3, 0] * (count - 1) / 2
    affine[:3, 0] *= count
    return voxels.astype(np.float32), affine


def course_at(found: LabelMap, level: str) -> NDArray[np.float64]:
    """Unit LPS vector along the sac at a disc, from the truth's front and back end of its diameter."""
    front, back = (np.asarray(end) for end in found.truth.disc(level).canal_ends_lps_mm)
    across = (back - front) / np.linalg.norm(back - front)
    return np.asarray(np.cross([1.0, 0.0, 0.0], across))
