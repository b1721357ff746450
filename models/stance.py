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
"""By how much the turned slice must be outlined more surely, by what was exchanged. SPIDER patient 57, whose images are
upside down, gains 0.008 (T1) and 0.018 (T2); patient 15, whose pixel spacing is wrong, gains 0.018 from front and back
though nothing is exchanged."""


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
    for exchanged, confidence in turned:
        if as_it_is is not None and confidence is not None and confidence > as_it_is + SURER[exchanged]:
            raise SeriesRefusal(
                f"the image contradicts its orientation: with {exchanged} exchanged its outlines have a mean "
                f"probability of {confidence:.3f}, as it is {as_it_is:.3f}, and the larger one should be that as it is",
                code=ReasonCode.ORIENTATION,
            )
