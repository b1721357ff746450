"""Classes that a network tells apart.

SPINE_CLASSES is the output order of the sagittal segmentation bundles: a vertebra is body *and* posterior elements (as
in the SPIDER label maps, where the sacrum is not labelled); the body is told apart later, by geometry.
"""

from __future__ import annotations

from enum import IntEnum


class SpineClass(IntEnum):
    """Output channel of a sagittal segmentation network."""

    BACKGROUND = 0
    VERTEBRA = 1
    DISC = 2
    SPINAL_CANAL = 3


SPINE_CLASSES: dict[str, str] = {
    str(int(SpineClass.BACKGROUND)): "background",
    str(int(SpineClass.VERTEBRA)): "vertebra",
    str(int(SpineClass.DISC)): "disc",
    str(int(SpineClass.SPINAL_CANAL)): "spinal canal",
}
