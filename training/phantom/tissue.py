"""Tissues, and how bright each is on T1, T2 and STIR images relative to cerebrospinal fluid on T2.

Priors of models.md 2.4, set side by side with SPIDER's T2 SPACE, T2 TSE and T1 images; the texture columns are the
relative spread at
the scale of one pixel and of a few millimetres.
"""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.phantom.parameters import Contrast


class Tissue(IntEnum):
    """What fills a voxel."""

    AIR = 0
    SKIN = 1
    SUBCUTANEOUS_FAT = 2
    MUSCLE = 3
    VISCERAL_FAT = 4
    BOWEL = 5
    VESSEL = 6
    MARROW = 7
    OEDEMA = 8
    """Marrow of an acute fracture."""
    CORTICAL = 9
    ANNULUS = 10
    NUCLEUS_HEALTHY = 11
    NUCLEUS_MILD = 12
    NUCLEUS_WORN = 13
    FLUID = 14
    """Cerebrospinal fluid."""
    CORD = 15
    ROOTS = 16
    """Cauda equina within its fluid."""
    EPIDURAL_FAT = 17
    LIGAMENT = 18
    INTERSPINOUS = 19
    NERVE = 20
    VEIN = 21
    """Basivertebral."""
    GAS = 22
    SCLEROSIS = 23
    """Marrow of a Modic 3 change."""


_COLUMNS: Final = ("T1", "T2", "STIR", "fine", "coarse")
_TABLE: Final = MappingProxyType(
    {
        Tissue.AIR: (0.0, 0.0, 0.0, 0.0, 0.0),
        Tissue.SKIN: (0.35, 0.30, 0.25, 0.1, 0.1),
        Tissue.SUBCUTANEOUS_FAT: (1.0, 0.80, 0.05, 0.06, 0.12),
        Tissue.MUSCLE: (0.28, 0.075, 0.16, 0.10, 0.25),
        Tissue.VISCERAL_FAT: (0.90, 0.55, 0.06, 0.06, 0.14),
        Tissue.BOWEL: (0.35, 0.33, 0.40, 0.08, 0.22),
        Tissue.VESSEL: (0.12, 0.09, 0.10, 0.3, 0.5),
        Tissue.MARROW: (0.62, 0.36, 0.11, 0.15, 0.13),
        Tissue.OEDEMA: (0.36, 0.46, 0.55, 0.16, 0.12),
        Tissue.CORTICAL: (0.06, 0.03, 0.03, 0.1, 0.1),
        Tissue.ANNULUS: (0.22, 0.08, 0.08, 0.15, 0.15),
        Tissue.NUCLEUS_HEALTHY: (0.30, 0.40, 0.42, 0.10, 0.10),
        Tissue.NUCLEUS_MILD: (0.30, 0.22, 0.25, 0.10, 0.12),
        Tissue.NUCLEUS_WORN: (0.27, 0.13, 0.14, 0.12, 0.15),
        Tissue.FLUID: (0.17, 1.0, 1.0, 0.03, 0.06),
        Tissue.CORD: (0.42, 0.40, 0.38, 0.05, 0.05),
        Tissue.ROOTS: (0.27, 0.74, 0.72, 0.05, 0.05),
        Tissue.EPIDURAL_FAT: (1.0, 0.78, 0.06, 0.05, 0.10),
        Tissue.LIGAMENT: (0.10, 0.05, 0.05, 0.2, 0.2),
        Tissue.INTERSPINOUS: (0.25, 0.06, 0.06, 0.10, 0.25),
        Tissue.NERVE: (0.36, 0.30, 0.30, 0.1, 0.1),
        Tissue.VEIN: (0.55, 0.55, 0.35, 0.1, 0.1),
        Tissue.GAS: (0.03, 0.02, 0.02, 0.1, 0.1),
        Tissue.SCLEROSIS: (0.25, 0.13, 0.06, 0.12, 0.12),
    }
)


def brightness(contrast: Contrast) -> NDArray[np.float32]:
    """Mean signal of each tissue, indexed by its number."""
    column = _COLUMNS.index(contrast.value)
    return np.array([_TABLE[t][column] for t in Tissue], dtype=np.float32)


def texture_strengths() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Relative spread of each tissue at pixel scale and at a scale of millimetres, indexed by its number."""
    fine = np.array([_TABLE[t][3] for t in Tissue], dtype=np.float32)
    coarse = np.array([_TABLE[t][4] for t in Tissue], dtype=np.float32)
    return fine, coarse
