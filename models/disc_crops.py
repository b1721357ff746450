"""What a disc grader sees: one upright square around each disc, the outlines beside the signal, for T1 and for T2.

A crop lies in the slice through the disc's centre, a little further back. Its rows run along the disc's axis towards
the feet and its columns towards the back, whatever the disc's tilt, the order of the slices or their pixel spacing. Its
size follows the spine's own bodies, so that neither a person's size nor a wrong pixel spacing changes what is seen.
Each contrast is cut by the outlines of its own series: the patient may have moved between two, and some images lost
their positions.

Words: a *view* is the crops of one series, ``[disc, channel, row, column]``.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.geometry import FloatArray, Volume
from inference.measure.reading import BodySize, DiscReading, SpineReading

SIDE = 96
"""Rows and columns of a crop."""
STEP_MM = 0.7
"""From pixel to pixel in a mean adult: 67 mm in all, the disc (35 mm deep, models.md 2.3), half of both bodies and the
canal."""
BEHIND_MM = 6.0
"""A crop's middle lies this far behind the disc's in a mean adult: the canal ends 35 mm behind the disc's middle."""
CLIP = 5.0
"""Signal further than this many standard deviations from its mean is an artefact."""
CHANNELS = ("signal", "vertebra", "disc", "canal")
"""Order of a view's channels."""
_ADULT = BodySize(height=1.0, depth=1.0)


class Contrast(StrEnum):
    """The series that a disc grader looks at, in the order of its input."""

    T1 = "T1"
    T2 = "T2"


def view_discs(reading: SpineReading, volume: Volume) -> NDArray[np.float32]:
    """The crops of every disc of a series: signal with mean 0 and deviation 1 over all of them, outlines 0 to 1.

    Args:
        reading: discs and outlines.
        volume: the series that was read.
    """
    size = reading.size or _ADULT
    places = np.stack([_places(disc, size) for disc in reading.discs], axis=1)  # (zrc, disc, row, column)
    signal = _sample(volume.voxels, places)
    deviation = float(signal.std()) or 1.0
    scaled = np.clip((signal - float(signal.mean())) / deviation, -CLIP, CLIP)
    vertebrae = np.logical_or.reduce([vertebra.mask for vertebra in reading.vertebrae])
    discs = np.logical_or.reduce([disc.mask for disc in reading.discs])
    outlines = [_sample(mask.astype(np.float32), places) for mask in (vertebrae, discs, reading.canal)]
    return np.stack([scaled, *outlines], axis=1).astype(np.float32)


def _places(disc: DiscReading, size: BodySize) -> FloatArray:
    """Index of each pixel of a disc's crop, (slice/row/column, row, column)."""
    offset = (np.arange(SIDE) - (SIDE - 1) / 2) * STEP_MM
    down = np.multiply.outer(disc.down_index, offset * size.height)[:, :, None]
    back = np.multiply.outer(disc.back_index, (offset + BEHIND_MM) * size.depth)[:, None, :]
    return np.asarray(np.reshape(disc.centre_index, (3, 1, 1)) + down + back)


def _sample(array: NDArray[np.float32], places: FloatArray) -> NDArray[np.float32]:
    """Values at places, between pixels but on the nearest slice: thick slices are not mixed."""
    slices = np.rint(places[0]).clip(0, len(array) - 1)
    return np.asarray(ndimage.map_coordinates(array, [slices, places[1], places[2]], order=1, mode="nearest"))
