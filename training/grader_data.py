"""Graded discs as training samples: crops by our own segmentation, cut once and kept in a file.

Words: a *sample* is one disc, ``image[contrast x channel, row, column]`` with ``target[output]`` (NaN where unknown);
outputs as in `models.disc_grades`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor
from torch.nn import functional

from inference.errors import SeriesRefusal
from inference.geometry import Volume
from inference.measure.naming import named_as
from inference.measure.reading import SpineReading, Unmeasured
from models.disc_crops import CHANNELS, SIDE, Contrast, view_discs
from models.disc_grades import PFIRRMANN_STEPS, Sign
from models.disc_slips import slips_of
from models.mr_sagittal import MrSagittalDetector
from training.midsagittal import GradedPatient, draw_folds, read_graded

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Samples:
    """Discs of graded patients; all arrays share their first axis."""

    images: NDArray[np.float16]
    """(disc, contrast x channel, SIDE, SIDE); a contrast that is missing is 0."""
    shown: NDArray[np.bool_]
    """(disc, contrast): which contrasts there are."""
    targets: NDArray[np.float32]
    """(disc, output), see models.disc_grades.OUTPUTS."""
    slips: NDArray[np.float32]
    """(disc, contrast): percent with its sign, NaN where not measured."""
    levels: NDArray[np.str_]
    patients: NDArray[np.str_]
    folds: NDArray[np.int64]
    subgroups: NDArray[np.str_]
    """``Philips, 3 T, F``."""

    def chosen(self, which: NDArray[np.bool_]) -> Samples:
        """Some of them."""
        return Samples(**{name: getattr(self, name)[which] for name in self.__slots__})


def target_of(grades: dict[str, int]) -> list[float]:
    """The outputs that a radiologist's grades of one disc stand for."""
    pfirrmann = [float(grades["pfirrmann"] >= step) for step in PFIRRMANN_STEPS]
    return [*pfirrmann, *(float(grades[sign] > 0) for sign in Sign)]


def cut_samples(data: Path, detector: MrSagittalDetector) -> Samples:
    """Samples of all patients; a series in which no spine is found, and a disc that nobody graded, are left out."""
    patients = read_graded(data)
    folds = draw_folds([patient.name for patient in patients])
    parts = [_of_patient(patient, folds[patient.name], detector) for patient in track(patients, "cutting discs")]
    found = [part for part in parts if part is not None]
    return Samples(**{name: np.concatenate([getattr(part, name) for part in found]) for name in Samples.__slots__})


def _of_patient(patient: GradedPatient, fold: int, detector: MrSagittalDetector) -> Samples | None:
    views: dict[Contrast, dict[str, NDArray[np.float32]]] = {}
    slips: dict[Contrast, dict[str, float | Unmeasured]] = {}
    for contrast, (reading, volume) in paired_readings(patient, detector).items():
        if reading.discs:
            names = [disc.level.name for disc in reading.discs]
            views[contrast] = dict(zip(names, view_discs(reading, volume), strict=True))
            slips[contrast] = slips_of(reading)
    levels = [level for level in patient.grades if any(level in view for view in views.values())]
    if not levels:
        return None
    empty = np.zeros((len(CHANNELS), SIDE, SIDE), np.float32)
    images = [np.concatenate([views.get(c, {}).get(level, empty) for c in Contrast]) for level in levels]
    shown = [[level in views.get(c, {}) for c in Contrast] for level in levels]
    subgroup = f"{patient.facts['vendor']}, {patient.facts['field']}, {patient.facts['sex']}"
    return Samples(
        images=np.stack(images).astype(np.float16),
        shown=np.array(shown),
        targets=np.array([target_of(patient.grades[level]) for level in levels], np.float32),
        slips=np.array([[_percent(slips.get(c, {}).get(level)) for c in Contrast] for level in levels], np.float32),
        levels=np.array(levels),
        patients=np.array([patient.name] * len(levels)),
        folds=np.array([fold] * len(levels)),
        subgroups=np.array([subgroup] * len(levels)),
    )


def paired_readings(
    patient: GradedPatient, detector: MrSagittalDetector
) -> dict[Contrast, tuple[SpineReading, Volume]]:
    """The readings of a patient's slices, their discs named as the server names them: by T2 where it can be read."""
    readings: dict[Contrast, tuple[SpineReading, Volume]] = {}
    for contrast, volume in patient.series.items():
        try:
            readings[contrast] = detector.read_spine(volume, lambda _activity, _share: None), volume
        except SeriesRefusal as refusal:
            log.info("patient %s %s: %s", patient.name, contrast, refusal.sentence)
    if len(readings) == len(Contrast):
        first, (other, volume) = readings[Contrast.T2], readings[Contrast.T1]
        readings[Contrast.T1] = named_as(*first, other, volume, Contrast.T1)[0], volume
    return readings


def _percent(slip: float | Unmeasured | None) -> float:
    return slip if isinstance(slip, float) else np.nan


def load_samples(path: Path) -> Samples:
    """Samples kept by `save_samples`."""
    with np.load(path, allow_pickle=False) as arrays:
        return Samples(**{name: arrays[name] for name in Samples.__slots__})


def save_samples(samples: Samples, path: Path) -> None:
    """Keep samples in a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".tmp").open("wb") as file:
        np.savez(file, **{name: getattr(samples, name) for name in Samples.__slots__})
    path.with_suffix(".tmp").replace(path)


def augment_discs(images: Tensor, shown: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images ``[disc, channel, row, column]`` as another person's might look, and which contrasts are left.

    Moved, turned and scaled a little, with other contrast and noise; some lose T1 or T2.
    """
    count, channels = len(images), len(CHANNELS)

    def draw(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    angle, scale = draw(-0.17, 0.17), draw(0.9, 1.1)
    shift = draw(-0.08, 0.08, 2)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    theta = torch.stack([torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)], 1)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    left = shown & (torch.rand(count, len(Contrast), generator=generator) > 0.15)  # noqa: PLR2004 - one in seven
    left = torch.where(left.any(1, keepdim=True), left, shown)
    for place in range(len(Contrast)):
        signal = moved[:, place * channels]
        signal = signal * draw(0.8, 1.25, 1, 1) + draw(-0.25, 0.25, 1, 1)
        signal = signal + torch.randn(signal.shape, generator=generator) * draw(0, 0.15, 1, 1)
        moved[:, place * channels] = signal
        moved[:, place * channels : (place + 1) * channels] *= left[:, place, None, None, None]
    return moved, left
