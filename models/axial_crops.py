"""What the axial canal network sees: one upright square around the canal on an axial slice.

Rows run to the patient's back and columns to the left, whatever the slice's own rows and columns do, in the plane of
the slice; nothing is resampled across slices.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.geometry import FloatArray, Volume

SIDE = 112
"""Rows and columns of a crop."""
STEP_MM = 0.55
"""From pixel to pixel: 62 mm in all, the canal (25 mm wide, models.md 2.3) with disc, facets and muscle around it."""
CLIP = 5.0
"""Signal further than this many standard deviations from its mean is an artefact."""


def crop_places(centre_mm: FloatArray, back: FloatArray, left: FloatArray) -> FloatArray:
    """LPS positions of a crop's pixels, (row, column, 3).

    Args:
        centre_mm: of the crop, on the plane of the slice.
        back: unit vector in the plane, towards the back.
        left: the same towards the left.
    """
    line = (np.arange(SIDE) - (SIDE - 1) / 2) * STEP_MM
    return centre_mm + line[:, None, None] * back + line[None, :, None] * left


def sample_slice(volume: Volume, slice_index: int, places_mm: FloatArray) -> NDArray[np.float32]:
    """Signal of one slice at LPS positions on its plane, linear in the slice; the edge goes on outside."""
    _, rows, columns = np.moveaxis(volume.to_index(places_mm), -1, 0)
    plane = volume.voxels[slice_index]
    return np.asarray(ndimage.map_coordinates(plane, [rows, columns], order=1, mode="nearest"), dtype=np.float32)


def normalise_crop(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Signal with mean 0 and deviation 1 over the crop, clipped: a coil's fall-off between levels is left out."""
    deviation = float(signal.std()) or 1.0
    return np.asarray(np.clip((signal - float(signal.mean())) / deviation, -CLIP, CLIP), dtype=np.float32)
