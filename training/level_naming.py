"""How often every disc of a series gets its right name, against names counted on the labels.

Assumption: SPIDER outlines discs down to L5-S1 and neither the sacrum nor the rest of a disc between S1 and S2, so that
the lowest labelled disc is L5-S1. It is the readers' count in a lumbar field of view; with a transitional vertebra it
is one of two right answers. Discs that reach the upper or lower edge of the image are not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.measure.reading import SpineReading
from training.midsagittal import LEVELS
from training.scores import wilson

DISC = 2
SMALLEST_SHARE = 0.2
"""Components of fewer voxels than this share of the median one are crumbs, no discs."""
LEAST_OVERLAP = 0.3
"""Share of the labelled disc that a disc of the reading must cover to be compared with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """How one series was named."""

    discs: int
    """Labelled ones that lie within the image."""
    right: int
    shifted: int
    """Found under another level's name."""
    missed: int
    ambiguous: bool
    read: bool
    """False where no spine was read."""

    @property
    def whole_right(self) -> bool:
        """Every disc was found under its name."""
        return self.read and self.discs > 0 and self.right == self.discs


def number_discs(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Number the labelled discs upwards from 1, the lowest; shape of the labels (slice, row, column)."""
    components, count = ndimage.label(labels == DISC)
    numbered = np.zeros(labels.shape, np.uint8)
    if not count:
        return numbered
    sizes = np.bincount(components.ravel())[1:]
    whole = [place + 1 for place in range(count) if sizes[place] >= SMALLEST_SHARE * np.median(sizes)]
    rows = {label: float(np.nonzero(components == label)[1].mean()) for label in whole}
    for number, label in enumerate(sorted(whole, key=lambda label: -rows[label]), start=1):
        numbered[components == label] = number
    return numbered


def compare_names(levels: NDArray[np.uint8], reading: SpineReading | None) -> Naming:
    """Compare the reading's discs with the labelled ones by overlap.

    Args:
        levels: the numbers of `number_discs` on the grid of the reading.
        reading: None where no spine was read; then every disc is missed.
    """
    edges = set(np.unique(levels[:, [0, -1]]))
    inside = [number for number in range(1, min(int(levels.max()), len(LEVELS)) + 1) if number not in edges]
    inside = [number for number in inside if (levels == number).any()]
    names = [_name_at(levels == number, reading) for number in inside]
    right = sum(name == LEVELS[number - 1] for name, number in zip(names, inside, strict=True))
    missed = names.count(None)
    return Naming(
        discs=len(inside),
        right=right,
        shifted=len(inside) - right - missed,
        missed=missed,
        ambiguous=reading is not None and reading.numbering.ambiguous,
        read=reading is not None,
    )


def _name_at(disc: NDArray[np.bool_], reading: SpineReading | None) -> str | None:
    """The name of the reading's disc that covers most of a labelled one."""
    covered = {} if reading is None else {found.level.name: int((found.mask & disc).sum()) for found in reading.discs}
    name = max(covered, key=lambda level: covered[level], default=None)
    return name if name is not None and covered[name] >= LEAST_OVERLAP * disc.sum() else None


def summarise_names(named: Sequence[tuple[str, Naming]]) -> dict[str, Any]:
    """The share of patients whose whole series is named right, with each series that is not; one series a patient."""
    return {
        "whole_right": wilson(sum(naming.whole_right for _, naming in named), len(named)),
        "discs": sum(naming.discs for _, naming in named),
        "right": sum(naming.right for _, naming in named),
        "shifted": sum(naming.shifted for _, naming in named),
        "missed": sum(naming.missed for _, naming in named),
        "not_read": [patient for patient, naming in named if not naming.read],
        "ambiguous": [patient for patient, naming in named if naming.ambiguous],
        "wrong": [
            {
                "patient": patient,
                "shifted": naming.shifted,
                "missed": naming.missed,
                "of": naming.discs,
                "said_ambiguous": naming.ambiguous,
            }
            for patient, naming in named
            if not naming.whole_right
        ],
    }
