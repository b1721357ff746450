"""Voxels and their place in the patient.

World is the DICOM patient system: x to the patient's left, y to the back, z to the head (LPS), millimetres.
Arrays are indexed ``(slice, row, column)``, and so are the columns of ``affine``: ``affine @ (slice, row, column, 1)``
is the LPS position of the *centre* of a voxel (PS3.3 C.7.6.2.1-1, which gives ImagePositionPatient as the centre of
the first voxel). The affine comes from positions and orientations, never from SliceThickness.

An image point, as SR and overlays use it, is ``(column, row)`` with (0, 0) at the *upper left corner* of the first
pixel, so the centre of pixel (row r, column c) is ``(c + 0.5, r + 0.5)`` (PS3.3 C.18.6.1.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
VoxelArray: TypeAlias = NDArray[np.float32]
"""Voxels, shape (slice, row, column)."""
MaskArray: TypeAlias = NDArray[np.bool_]
"""One structure, shape (slice, row, column)."""
LabelArray: TypeAlias = NDArray[np.uint8]
"""Class index of each voxel, shape (slice, row, column)."""

PLANE_TOLERANCE_DEG = 25.0
"""A stack belongs to a plane while its normal is this close to the plane's: 20 and a margin for scoliosis planning."""


class Plane(StrEnum):
    """The anatomical plane of a stack of slices."""

    SAGITTAL = "sagittal"
    CORONAL = "coronal"
    AXIAL = "axial"
    OBLIQUE = "oblique"
    """More than PLANE_TOLERANCE_DEG from all three."""
    UNKNOWN = "unknown"
    """No orientation is known (projection images)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameReference:
    """The instance, and the frame in it (from 1; None for a single-frame instance), that holds one slice."""

    sop_class_uid: str
    sop_instance_uid: str
    frame: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Volume:
    """A stack of parallel, evenly spaced slices with its place in the patient."""

    voxels: VoxelArray
    affine: FloatArray
    """(4, 4): (slice, row, column, 1) to LPS millimetres."""
    sources: tuple[FrameReference, ...]
    """Where each slice came from, in the order of the slice axis."""
    series_instance_uid: str
    frame_of_reference_uid: str | None = None
    other_stacks: tuple[Volume, ...] = ()
    """Further stacks at other angles or places, of the same series or of one that is read with it; only axial series
    have any, one for each disc."""

    def __post_init__(self) -> None:
        """Refuse shapes that do not belong together and an affine that is not a right parallelepiped's."""
        if self.voxels.ndim != 3 or self.affine.shape != (4, 4):  # noqa: PLR2004
            msg = f"voxels must be (slice, row, column) and affine (4, 4), got {self.voxels.shape}, {self.affine.shape}"
            raise ValueError(msg)
        if len(self.sources) != self.voxels.shape[0]:
            msg = f"one source per slice is needed, got {len(self.sources)} for {self.voxels.shape[0]} slices"
            raise ValueError(msg)
        if not np.all(np.isfinite(self.affine)) or abs(np.linalg.det(self.affine[:3, :3])) < 1e-9:  # noqa: PLR2004
            msg = "the affine must be finite and invertible"
            raise ValueError(msg)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slices, rows, columns)."""
        slices, rows, columns = self.voxels.shape
        return slices, rows, columns

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbours along (slice, row, column)."""
        slice_mm, row_mm, column_mm = (float(v) for v in np.linalg.norm(self.affine[:3, :3], axis=0))
        return slice_mm, row_mm, column_mm

    @property
    def directions(self) -> FloatArray:
        """(3, 3): unit LPS vectors of growing slice, row and column index, one per column."""
        return np.asarray(self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def plane(self) -> Plane:
        """The anatomical plane of the slices."""
        row_direction, column_direction = self.directions[:, 2], self.directions[:, 1]
        return plane_of(row_direction, column_direction)

    def to_lps_mm(self, index: Any) -> FloatArray:
        """LPS positions, shape (..., 3), of indices (slice, row, column), shape (..., 3)."""
        return np.asarray(np.asarray(index, dtype=np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3])

    def to_index(self, lps_mm: Any) -> FloatArray:
        """Indices (slice, row, column), shape (..., 3), of LPS positions, shape (..., 3)."""
        inverse = np.linalg.inv(self.affine)
        return np.asarray(np.asarray(lps_mm, dtype=np.float64) @ inverse[:3, :3].T + inverse[:3, 3])


def plane_of(row_cosines: Any, column_cosines: Any) -> Plane:
    """The plane spanned by ImageOrientationPatient's two unit vectors (each shape (3,))."""
    normal = np.abs(np.cross(np.asarray(row_cosines, dtype=np.float64), np.asarray(column_cosines, dtype=np.float64)))
    length = float(np.linalg.norm(normal))
    if not np.isfinite(length) or length < 0.5:  # noqa: PLR2004 - far from two unit vectors at a right angle
        return Plane.UNKNOWN
    axis = int(np.argmax(normal))
    if normal[axis] / length < np.cos(np.radians(PLANE_TOLERANCE_DEG)):
        return Plane.OBLIQUE
    return (Plane.SAGITTAL, Plane.CORONAL, Plane.AXIAL)[axis]


def affine_from_orientation(
    position_mm: Any, orientation: Any, pixel_spacing_mm: tuple[float, float], slice_step_mm: Any
) -> FloatArray:
    """Affine (4, 4) of a stack, from its first slice's ImagePositionPatient and ImageOrientationPatient.

    Args:
        position_mm: ImagePositionPatient of slice 0, shape (3,).
        orientation: ImageOrientationPatient, shape (6,): direction of growing column index, then of growing row index.
        pixel_spacing_mm: PixelSpacing: (between rows, between columns), PS3.3 10.7.1.3.
        slice_step_mm: LPS vector from slice 0 to slice 1, shape (3,).
    """
    cosines = np.asarray(orientation, dtype=np.float64)
    affine = np.eye(4)
    affine[:3, 0] = slice_step_mm
    affine[:3, 1] = cosines[3:] * pixel_spacing_mm[0]
    affine[:3, 2] = cosines[:3] * pixel_spacing_mm[1]
    affine[:3, 3] = position_mm
    return affine
