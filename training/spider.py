"""Reading of the SPIDER T2 SPACE slices (van der Graaf et al., Scientific Data 2024, Zenodo 10159290, CC BY 4.0).

Words: a *patient* is one volume `[slice, row, column]` of 8-bit signal with labels on the same grid; slices run from
one side to the other (which one is unknown), rows head to foot, columns anterior to posterior; 0.46875 mm in plane,
0.9 mm from slice to slice. Labels: 0 background, 1 vertebra (body and posterior elements), 2 disc, 3 spinal canal; the
sacrum is not labelled. Patients are split, never slices: neighbouring slices of one person are nearly the same image.
"""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FOLDER = "mr_spider_t2space"
SPLIT_SEED = 7
VALIDATION_COUNT = 5
SPACING_MM = (0.9, 0.46875, 0.46875)  # slice, row, column


class DataAbsentError(FileNotFoundError):
    """The folder with the training images is not where it was looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """One patient's contiguous central sagittal slices with their labels."""

    name: str
    voxels: NDArray[np.uint8]  # [slice, row, column]
    labels: NDArray[np.uint8]  # [slice, row, column], 0..3

    def __post_init__(self) -> None:
        shape = self.voxels.shape
        if len(shape) != len(SPACING_MM) or shape != self.labels.shape:
            message = f"patient {self.name}: voxels and labels must share a 3-D shape, got {shape}, {self.labels.shape}"
            raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Patients to train on and patients kept back."""

    training: tuple[str, ...]
    validation: tuple[str, ...]


def default_data_folder() -> Path:
    """Return the folder of shared real images: `SPINE_SHARED_DATA`, else `../shared/data`."""
    return Path(os.environ.get("SPINE_SHARED_DATA", "../shared/data"))


def list_slices(data: Path) -> dict[str, list[tuple[int, str]]]:
    """Return, for each patient, its (slice index, file name) pairs in the order of the index.

    Raises:
        DataAbsentError: the index is not there.
    """
    index = data / FOLDER / "index.csv"
    if not index.is_file():
        message = (
            f"no {FOLDER}/index.csv in {data}: set SPINE_SHARED_DATA or pass --data with the folder that holds {FOLDER}"
        )
        raise DataAbsentError(message)
    slices: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    with index.open(newline="") as lines:
        for row in csv.DictReader(lines):
            slices[row["patient"]].append((int(row["slice"]), row["file"]))
    return {patient: sorted(files) for patient, files in sorted(slices.items(), key=lambda item: int(item[0]))}


def split_patients(patients: list[str], *, seed: int = SPLIT_SEED, validation: int = VALIDATION_COUNT) -> Split:
    """Return the split of the patients that the seed gives; the order of the argument does not matter."""
    ordered = sorted(set(patients), key=int)
    if not 0 < validation < len(ordered):
        message = f"cannot keep back {validation} of {len(ordered)} patients: need at least one on both sides"
        raise ValueError(message)
    drawn = np.random.default_rng(seed).permutation(len(ordered))[:validation]
    held_back = {ordered[place] for place in drawn}
    return Split(
        training=tuple(name for name in ordered if name not in held_back),
        validation=tuple(name for name in ordered if name in held_back),
    )


def read_patients(data: Path, names: tuple[str, ...]) -> list[Patient]:
    """Read the named patients' slices into memory."""
    slices = list_slices(data)
    return [_read_patient(data / FOLDER, name, [file for _, file in slices[name]]) for name in names]


def _read_patient(folder: Path, name: str, files: list[str]) -> Patient:
    voxels = np.stack([np.asarray(Image.open(folder / "images" / file), dtype=np.uint8) for file in files])
    labels = np.stack([np.asarray(Image.open(folder / "masks" / file), dtype=np.uint8) for file in files])
    return Patient(name=name, voxels=voxels, labels=labels)


def context_indices(index: int, count: int, *, slices: int = 5, stride: int = 1) -> NDArray[np.intp]:
    """Return the indices of the slices around one slice, the volume's end slices repeated where it ends."""
    reach = slices // 2
    return np.clip(index + stride * np.arange(-reach, reach + 1), 0, count - 1)
