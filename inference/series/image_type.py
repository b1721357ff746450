"""What ImageType says about an image: the anatomy itself, a scout, a map, one of the Dixon images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum


class ImageKind(StrEnum):
    """What an image shows, by ImageType or FrameType (PS3.3 C.7.6.1.1.2, C.8.3.1.1.1, C.8.13.3.1)."""

    IMAGE = "image"
    LOCALIZER = "localizer"
    DERIVED = "derived"
    """Reformatted, projected, subtracted or computed from other images."""
    PHASE_MAP = "phase map"
    """Phase, real or imaginary part of the MR signal: not the anatomy."""
    DIXON_WATER = "Dixon water"
    DIXON_FAT = "Dixon fat"
    DIXON_IN_PHASE = "Dixon in-phase"
    DIXON_OPPOSED_PHASE = "Dixon opposed-phase"


KIND_WORDS: Mapping[ImageKind, frozenset[str]] = {
    ImageKind.LOCALIZER: frozenset({"LOCALIZER"}),
    ImageKind.DERIVED: frozenset(
        {
            "MPR", "REFORMATTED", "CPR", "MIP", "MINIP", "MAX_IP", "MIN_IP", "MEAN_IP", "PROJECTION",
            "PROJECTION IMAGE", "SUBTRACTION", "SUBTRACT", "ADC", "FA", "TRACE", "TRACEW", "EADC", "T1 MAP", "T2 MAP",
            "T2_STAR MAP", "VOLUME_RENDERING", "SURFACE_RENDERING",
        }
    ),
    ImageKind.PHASE_MAP: frozenset({"P", "R", "I", "PHASE", "REAL", "IMAGINARY", "PHASE MAP", "PHASE_MAP"}),
    ImageKind.DIXON_IN_PHASE: frozenset({"IN_PHASE", "IP", "INPHASE", "IN"}),
    ImageKind.DIXON_OPPOSED_PHASE: frozenset({"OUT_PHASE", "OPP_PHASE", "OP", "OUTPHASE", "OPP"}),
    ImageKind.DIXON_WATER: frozenset({"WATER", "W"}),
    ImageKind.DIXON_FAT: frozenset({"FAT", "F"}),
}  # fmt: skip
"""Words in ImageType (values 3 and on) and what they make of an image, in order of precedence. Defined terms of
PS3.3 C.8.3.1.1.1, C.8.13.3.1, C.8.16.1; ``W, F, IP, OP`` and ``IN, OPP, OUT_PHASE`` are what Philips, Siemens and GE
write for Dixon images."""

MR_KINDS = frozenset(KIND_WORDS) - {ImageKind.LOCALIZER, ImageKind.DERIVED}
"""Kinds that only an MR image can be; the same letters mean other things elsewhere."""


def kind_of_image(image_type: Sequence[str], *, mr: bool) -> ImageKind:
    """What an image shows, by the words of its ImageType (upper case).

    DERIVED in value 1 alone does not make a derived image: scanners write it for filtered, combined and Dixon
    images too.
    """
    words = set(image_type[2:])
    kinds = (kind for kind, names in KIND_WORDS.items() if words & names and (mr or kind not in MR_KINDS))
    return next(kinds, ImageKind.IMAGE)
