"""Whether a spine stands as its series says it does: a network outlines it most surely the way it was trained on.

Headers can state a wrong orientation. A spine on its head, or with its back in front, is outlined all the same, its
levels are counted from the wrong end and normal wedges look like fractures; the shapes alone do not tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from inference.errors import ReasonCode, SeriesRefusal
from inference.geometry import Volume

SURER = {"head and foot": 0.0, "front and back": 0.02}
"""By how much the turned slice must be outlined more surely, by what was exchanged. SPIDER's upside-down T1 slices
(patients 52, 55 and 57) gain 0.008 to 0.037; patient 15, whose pixel spacing is wrong, gains 0.018 from front and back
though nothing is exchanged."""
SURE = 0.93
"""The turned slice must also be outlined this surely (0.951 to 0.957 on those three): under heavy noise, sound slices
gain up to 0.02 but stay below (`training.measure_quality`)."""


def turned_slices(volume: Volume, index: int) -> Iterator[tuple[str, Volume]]:
    """One slice alone with head and foot exchanged, then with front and back exchanged, in words and as a volume."""
    one = replace(volume, voxels=volume.voxels[index : index + 1], sources=volume.sources[index : index + 1])
    along = 1 if abs(volume.directions[2, 1]) > abs(volume.directions[2, 2]) else 2
    for words, axis in (("head and foot", along), ("front and back", 3 - along)):
        yield words, replace(one, voxels=np.ascontiguousarray(np.flip(one.voxels, axis)))


def check_stance(as_it_is: float | None, turned: tuple[tuple[str, float | None], ...]) -> None:
    """Refuse a series of which a slice is outlined more surely when it is turned over.

    Args:
        as_it_is: mean probability of what is outlined on the slice (inference.measure.confidence).
        turned: the same of each turned slice, with what was exchanged.

    Raises:
        SeriesRefusal: the image contradicts ImageOrientationPatient.
    """
    if as_it_is is None:
        return
    for exchanged, confidence in turned:
        if confidence is not None and confidence >= SURE and confidence > as_it_is + SURER[exchanged]:
            raise SeriesRefusal(
                f"the image contradicts its orientation: its outlines are surer with {exchanged} exchanged "
                f"(mean probability {confidence:.3f}) than as it is ({as_it_is:.3f})",
                code=ReasonCode.ORIENTATION,
            )
