"""The plane of one image in the patient: from image points to LPS millimetres and back.

An image point is ``(column, row)`` with (0, 0) at the upper left corner of the first pixel (inference.geometry), so the
centre of that pixel, whose position ImagePositionPatient is, is the image point (0.5, 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from inference.geometry import FloatArray

Vector: TypeAlias = tuple[float, float, float]
PIXEL_CENTRE = 0.5
"""Image point of the centre of the first pixel, in both directions (PS3.3 C.18.6.1.2)."""
UNIT_TOLERANCE = 1e-3
"""Direction cosines are written with few digits: how far their length may be from 1, and their product from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlane:
    """Position, directions and spacing of one image (PS3.3 C.7.6.2)."""

    position_mm: Vector
    """ImagePositionPatient: LPS, the centre of the first pixel."""
    row_direction: Vector
    """First three of ImageOrientationPatient: the LPS unit vector of a growing column index, along a row."""
    column_direction: Vector
    """Last three: the LPS unit vector of a growing row index, down a column."""
    spacing_mm: tuple[float, float]
    """PixelSpacing: (between rows, between columns), PS3.3 10.7.1.3."""

    def __post_init__(self) -> None:
        """Refuse directions that are not two unit vectors at a right angle, and a spacing that is not above 0."""
        cosines = np.array([self.row_direction, self.column_direction])
        if not np.allclose(cosines @ cosines.T, np.eye(2), atol=UNIT_TOLERANCE):
            raise ValueError(f"directions must be unit vectors at a right angle, got {cosines.tolist()}")
        if not np.all(np.isfinite([*self.position_mm, *self.spacing_mm])) or min(self.spacing_mm) <= 0:
            raise ValueError(
                f"position must be finite and spacing above 0, got {self.position_mm} and {self.spacing_mm}"
            )

    def to_lps_mm(self, points: Any) -> FloatArray:
        """LPS positions, shape (..., 3), of image points (column, row), shape (..., 2)."""
        offsets = np.asarray(points, dtype=np.float64) - PIXEL_CENTRE
        return np.asarray(offsets @ self._steps() + np.array(self.position_mm))

    def to_image_points(self, lps_mm: Any) -> FloatArray:
        """Image points (column, row), shape (..., 2), of LPS positions, shape (..., 3), projected onto the plane."""
        offsets = np.asarray(lps_mm, dtype=np.float64) - np.array(self.position_mm)
        return np.asarray(offsets @ np.linalg.pinv(self._steps()) + PIXEL_CENTRE)

    def _steps(self) -> FloatArray:
        """(2, 3): the LPS steps of one column and of one row, in mm."""
        between_rows, between_columns = self.spacing_mm
        return np.array(
            [np.multiply(self.row_direction, between_columns), np.multiply(self.column_direction, between_rows)]
        )
