"""Agreement of outlines with labels, and how sure its mean is.

Dice over a whole volume; NSD, the share of both surfaces within 1 mm of each other; HD95, the larger of the two
directed 95 % distances between surfaces (MONAI). Intervals of means are by bootstrap over patients, because the slices
and discs of one person are alike; intervals of shares of patients are Wilson's (models.md 4.2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.surface_dice import compute_surface_dice
from numpy.typing import NDArray

from training.network import CLASS_NAMES

STRUCTURES = CLASS_NAMES[1:]
NSD_TOLERANCE_MM = 1.0
BOOTSTRAPS = 2000
"""models.md 4.2."""
BOOTSTRAP_SEED = 17
LEVEL = 0.95
Z = 1.959964
"""97.5 % point of the standard normal."""
MEASURES = ("dice", "nsd_1mm", "hd95_mm")

Scores = dict[str, float]
Row = dict[str, Any]


def score(found: NDArray[np.uint8], truth: NDArray[np.uint8], spacing_mm: Sequence[float]) -> dict[str, Scores]:
    """All measures of each structure; a single slice is scored in its plane."""
    if len(truth) == 1:
        found, truth, spacing_mm = found[0], truth[0], spacing_mm[1:]
    pair = [
        torch.from_numpy(np.stack([labels == label for label in range(len(CLASS_NAMES))]))[None]
        for labels in _cropped(found, truth)
    ]
    near = compute_surface_dice(
        pair[0], pair[1], class_thresholds=[NSD_TOLERANCE_MM] * len(STRUCTURES), spacing=list(spacing_mm)
    )[0]
    far = compute_hausdorff_distance(pair[0], pair[1], percentile=95, spacing=list(spacing_mm))[0]
    return {
        "dice": score_dice(found, truth),
        "nsd_1mm": {name: round(float(value), 4) for name, value in zip(STRUCTURES, near, strict=True)},
        "hd95_mm": {name: round(float(value), 2) for name, value in zip(STRUCTURES, far, strict=True)},
    }


def _cropped(*arrays: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """The arrays on the box that holds all their labels and one more pixel."""
    inside = np.argwhere(np.any([array > 0 for array in arrays], axis=0))
    if not len(inside):
        return list(arrays)
    box = tuple(slice(max(0, low - 1), high + 2) for low, high in zip(inside.min(0), inside.max(0), strict=True))
    return [array[box] for array in arrays]


def score_dice(found: NDArray[np.uint8], truth: NDArray[np.uint8]) -> Scores:
    """Return the Dice coefficient of each structure over a whole volume; 1 where neither has the structure."""
    scores = {}
    for label, name in enumerate(STRUCTURES, start=1):
        a, b = found == label, truth == label
        total = int(a.sum()) + int(b.sum())
        scores[name] = round(2 * int((a & b).sum()) / total, 4) if total else 1.0
    return scores


def mean_scores(scores: Sequence[Scores]) -> Scores:
    """Mean of each structure."""
    return {name: round(float(np.mean([row[name] for row in scores])), 4) for name in STRUCTURES}


def bootstrap(values: Sequence[float]) -> dict[str, float]:
    """Mean of one value for each patient, with its 95 % interval; patients are drawn with repetition."""
    drawn = np.random.default_rng(BOOTSTRAP_SEED).integers(0, len(values), (BOOTSTRAPS, len(values)))
    low, high = np.quantile(np.asarray(values)[drawn].mean(axis=1), ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return {"value": round(float(np.mean(values)), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def wilson(count: int, total: int) -> dict[str, float]:
    """A share with Wilson's 95 % interval.

    Raises:
        ValueError: there is nothing to count.
    """
    if total < 1 or not 0 <= count <= total:
        raise ValueError(f"no share can be had of {count} of {total}")
    share, spread = count / total, Z * Z / total
    middle = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    return {
        "count": count,
        "of": total,
        "value": round(share, 4),
        "low": round(max(middle - half, 0.0), 4),
        "high": round(min(middle + half, 1.0), 4),
    }


def intervals(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, float]]]:
    """By measure and structure: mean over rows with its interval; one row for each patient."""
    return {m: {name: bootstrap([row[m][name] for row in rows]) for name in STRUCTURES} for m in MEASURES}


def summarise(rows: Sequence[Row]) -> dict[str, dict[str, Scores]]:
    """Return mean and lowest value over patients of Dice and NSD by structure."""
    summary: dict[str, dict[str, Scores]] = {}
    for measure in ("dice", "nsd_1mm"):
        scores = [row[measure] for row in rows]
        lowest = {name: min(row[name] for row in scores) for name in STRUCTURES}
        summary[measure] = {"mean": mean_scores(scores), "min": lowest}
    return summary
