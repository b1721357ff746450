"""Mid-sagittal T1 and T2 slices of one person as training images, with the labels that a network gives the T2 slice.

No outlines of SPIDER's T1 and T2 TSE slices exist here. A network trained on T2 SPACE outlines T2 TSE nearly as well as
its own contrast, and T1 much less (canal, see the model card): so its outlines of T2 teach the T1 slice at the same
place, and weighted sums of both, which stand for other contrasts. A pair counts only where both slices share a grid and
the vertebrae found on them lie on each other; patients kept back are never used. Labels of this kind are a network's,
not a reader's: no figure is measured against them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from inference.geometry import Volume
from inference.measure.confidence import LEAST_CONFIDENCE, outline_confidence
from models.disc_crops import Contrast
from models.preprocess import normalise, sagittal_grid, to_network
from training.cases import Reader
from training.midsagittal import GradedPatient
from training.network import SPACING_MM
from training.scores import score_dice

log = logging.getLogger(__name__)
PAIRS = "pairs.npz"
"""The file of a run's folder that keeps them."""
LEAST_OVERLAP = 0.9
"""Dice of the vertebrae found on the two slices: lower where the person moved in between, or where one was misread."""
PERCENTILE = 99.5
SHARES = (0.35, 0.2, 0.25, 0.2)
"""How often a drawn slice is T1, T2, an imitation of fat suppression, an imitation of proton density."""
FAT_SHARE = (0.4, 1.0)
"""Of T1 that is taken from T2 where fat suppression is imitated."""
BLEND = (0.2, 0.8)
"""Of T1 in an imitation of proton density."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The two slices of one person on the network's grid, `[row, column]`, each from 0 to 1, and their labels."""

    patient: str
    t1: NDArray[np.float32]
    t2: NDArray[np.float32]
    labels: NDArray[np.uint8]


def read_pairs(reader: Reader, patients: Sequence[GradedPatient], path: Path) -> list[Pair]:
    """Every usable pair, made once and kept in a file: a run that goes on sees the same labels."""
    if not path.is_file():
        pairs = [
            pair
            for patient in track(patients, description="T1 and T2 pairs")
            if (pair := _pair(reader, patient)) is not None
        ]
        log.info("%d of %d patients have a usable pair", len(pairs), len(patients))
        arrays: dict[str, Any] = {"patients": [pair.patient for pair in pairs]}
        for pair in pairs:
            arrays[f"{pair.patient} images"] = np.stack([pair.t1, pair.t2]).astype(np.float16)
            arrays[f"{pair.patient} labels"] = pair.labels
        with path.with_suffix(".tmp").open("wb") as file:
            np.savez_compressed(file, **arrays)
        path.with_suffix(".tmp").replace(path)
    with np.load(path) as kept:
        return [
            Pair(
                patient=str(name),
                t1=kept[f"{name} images"][0].astype(np.float32),
                t2=kept[f"{name} images"][1].astype(np.float32),
                labels=kept[f"{name} labels"],
            )
            for name in kept["patients"]
        ]


def pair_names(path: Path) -> list[str]:
    """The patients whose pairs a file keeps."""
    with np.load(path) as kept:
        return [str(name) for name in kept["patients"]]


def _pair(reader: Reader, patient: GradedPatient) -> Pair | None:
    if set(patient.series) != {Contrast.T1, Contrast.T2}:
        return None
    t1, t2 = patient.series[Contrast.T1], patient.series[Contrast.T2]
    if t1.shape != t2.shape or not np.allclose(t1.spacing_mm, t2.spacing_mm):
        return None
    told = reader.segment(t2, lambda _doing, _share: None)
    confidence = outline_confidence(told)
    if confidence is None or confidence < LEAST_CONFIDENCE:
        return None
    labels = told.argmax(axis=0).astype(np.uint8)
    if score_dice(reader.outline(t1), labels)["vertebra"] < LEAST_OVERLAP:
        return None
    return Pair(
        patient=patient.name,
        t1=_on_grid(t1, t1.voxels),
        t2=_on_grid(t2, t2.voxels),
        labels=np.stack([_on_grid(t2, (labels == label).astype(np.float32), unit=False) for label in range(4)])
        .argmax(axis=0)
        .astype(np.uint8),
    )


def _on_grid(volume: Volume, values: NDArray[np.float32], *, unit: bool = True) -> NDArray[np.float32]:
    grid = sagittal_grid(volume, (SPACING_MM, SPACING_MM), 1)
    scaled = np.clip(values / max(float(np.percentile(values, PERCENTILE)), 1.0), 0.0, 1.0) if unit else values
    return np.asarray(to_network(scaled.astype(np.float32), grid)[0])


def mix(pair: Pair, rng: np.random.Generator) -> NDArray[np.float32]:
    """One contrast of the pair, normalised, `[1, row, column]`."""
    kind = int(rng.choice(len(SHARES), p=SHARES))
    if kind == 0:
        image = pair.t1
    elif kind == 1:
        image = pair.t2
    elif kind == 2:  # noqa: PLR2004 - place in SHARES
        image = np.clip(pair.t2 - rng.uniform(*FAT_SHARE) * pair.t1, 0.0, None)
    else:
        share = rng.uniform(*BLEND)
        image = share * pair.t1 + (1 - share) * pair.t2
    return normalise(image[None].astype(np.float32))
