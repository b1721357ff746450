"""The tiers that are not real images: analytic (the reading on exact labels), synthetic, and simulated changes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from inference.measure import read_sagittal
from inference.measure.reading import HeightLoss, Heights, SpineReading
from training.cases import Case, Reader, place_volume
from training.network import CLASS_NAMES
from training.phantom import Phantom
from training.scores import Scores, mean_scores, score_dice

PLACES = ("anterior", "middle", "posterior")


def simulated_section(reader: Reader, cases: Sequence[Case]) -> dict[str, Scores]:
    """Return the mean Dice of each structure under changes of slices and contrast that stand in for other protocols."""
    rows: dict[str, list[Scores]] = {}
    for case in track(cases, description="simulated changes"):
        slice_mm, row_mm, column_mm = case.spacing_mm
        voxels, middle = case.volume.voxels, len(case.labels) // 2
        centres = range(1, len(voxels) - 1, 4)
        thick = np.stack([voxels[z - 1 : z + 2].mean(axis=0) for z in centres])
        changes: dict[str, tuple[NDArray[np.float32], NDArray[np.uint8], float]] = {
            "2.7 mm slices every 3.6 mm": (thick, case.labels[list(centres)], 4 * slice_mm),
            "middle slice alone": (voxels[[middle]], case.labels[[middle]], slice_mm),
            "contrast inverted": (255 - voxels, case.labels, slice_mm),
        }
        for name, (changed, truth, step_mm) in changes.items():
            found = reader.outline(place_volume(changed, (step_mm, row_mm, column_mm)))
            rows.setdefault(name, []).append(score_dice(found, truth))
    return {name: mean_scores(scores) for name, scores in rows.items()}


def synthetic_section(reader: Reader, phantoms: Sequence[Phantom]) -> dict[str, Scores]:
    """Return the mean Dice of each structure on generated spines of unseen seeds, by contrast."""
    rows: dict[str, list[Scores]] = {}
    for phantom in track(phantoms, description="generated spines"):
        volume = place_volume(phantom.voxels, _spacing_mm(phantom.affine))
        rows.setdefault(phantom.parameters.contrast, []).append(score_dice(reader.outline(volume), phantom.labels))
    return {f"{contrast} ({len(scores)} series)": mean_scores(scores) for contrast, scores in sorted(rows.items())}


def analytic_section(phantoms: Sequence[Phantom]) -> dict[str, float]:
    """Error of heights and losses that are read on the exact labels of generated spines: the reading's own error."""
    heights: list[float] = []
    losses: list[float] = []
    for phantom in phantoms:
        exact = np.stack([phantom.labels == label for label in range(len(CLASS_NAMES))]).astype(np.float32)
        reading = read_sagittal(place_volume(phantom.voxels, _spacing_mm(phantom.affine)), exact)
        height, loss = height_errors(reading, phantom)
        heights += height
        losses += loss
    return {
        "heights": len(heights),
        "height_bias_mm": round(float(np.mean(heights)), 3),
        "height_deviation_mm": round(float(np.std(heights)), 3),
        "losses": len(losses),
        "loss_bias_percent": round(100 * float(np.mean(losses)), 2),
        "loss_deviation_percent": round(100 * float(np.std(losses)), 2),
    }


def height_errors(reading: SpineReading, phantom: Phantom) -> tuple[list[float], list[float]]:
    """Measured less true heights in mm, and losses as fractions, of the bodies that lie within the field of view."""
    truths = {truth.level: truth for truth in phantom.truth.vertebrae if truth.complete}
    heights, losses = [], []
    for vertebra in reading.vertebrae:
        truth = truths.get(vertebra.level.name)
        if truth is None:
            continue
        if isinstance(vertebra.heights, Heights):
            heights += [getattr(vertebra.heights, place).mm - getattr(truth, f"{place}_mm") for place in PLACES]
        if isinstance(vertebra.loss, HeightLoss):
            losses.append(vertebra.loss.fraction - truth.loss)
    return heights, losses


def _spacing_mm(affine: NDArray[np.float64]) -> tuple[float, float, float]:
    slice_mm, row_mm, column_mm = (float(length) for length in np.linalg.norm(affine[:3, :3], axis=0))
    return slice_mm, row_mm, column_mm
