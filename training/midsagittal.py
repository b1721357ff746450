"""Reading of the SPIDER mid-sagittal slices with their gradings (van der Graaf et al., Sci. Data 2024, CC BY 4.0).

Words: a *patient* has one T1 and one T2 slice, each ``[row, column]`` of 8-bit signal scaled by its own range, rows
head to foot, columns anterior to posterior. SPIDER counts discs upwards: 1 is L5-S1. Patients are split into folds,
never discs, and the people of the T2 SPACE folder are partly the same.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.geometry import FrameReference, Volume
from models.disc_crops import Contrast
from training.spider import DataAbsentError

FOLDER = "mr_spider_midsagittal"
FOLDS = 5
FOLD_SEED = 11
SLICE_MM = 4.0
"""Stands for the slice thickness; a single slice has no distance."""
MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"  # PS3.4 B.5
LEVELS = ("L5-S1", "L4-L5", "L3-L4", "L2-L3", "L1-L2", "T12-L1", "T11-T12", "T10-T11", "T9-T10")
"""SPIDER's disc 1, 2, ..."""
COLUMNS = {
    "pfirrmann": "Pfirrman grade",
    "disc_narrowing": "Disc narrowing",
    "disc_bulging": "Disc bulging",
    "disc_herniation": "Disc herniation",
    "spondylolisthesis": "Spondylolisthesis",
    "modic": "Modic",
    "upper_endplate": "UP endplate",
    "lower_endplate": "LOW endplate",
}
"""Our names of the columns of ``radiological_gradings.csv``."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GradedPatient:
    """The slices of one patient and what a radiologist graded on the whole study."""

    name: str
    series: dict[Contrast, Volume]
    grades: dict[str, dict[str, int]]
    """By level (``L4-L5``), then by name of COLUMNS."""
    facts: dict[str, str]
    """Vendor, field strength and sex."""


def read_graded(data: Path) -> list[GradedPatient]:
    """All patients that have gradings and at least one of the two slices, in the order of their numbers.

    Raises:
        DataAbsentError: the gradings are not there.
    """
    folder = data / FOLDER
    if not (folder / "radiological_gradings.csv").is_file():
        raise DataAbsentError(f"no {FOLDER}/radiological_gradings.csv in {data}: set SPINE_SHARED_DATA or pass --data")
    grades: defaultdict[str, dict[str, dict[str, int]]] = defaultdict(dict)
    for row in _rows(folder / "radiological_gradings.csv"):
        level = LEVELS[int(row["IVD label"]) - 1]
        grades[row["Patient"]][level] = {name: int(row[column]) for name, column in COLUMNS.items()}
    tags = {row["new_file_name"]: row for row in _rows(folder / "overview.csv")}
    return [
        GradedPatient(
            name=name,
            series={c: _read_slice(folder, f"{name}_{c.lower()}", tags) for c in contrasts},
            grades=grades[name],
            facts=_facts(tags[f"{name}_{contrasts[0].lower()}"]),
        )
        for name in sorted(grades, key=int)
        if (contrasts := [c for c in Contrast if _image(folder, f"{name}_{c.lower()}").is_file()])
    ]


def draw_folds(names: list[str], *, seed: int = FOLD_SEED, folds: int = FOLDS) -> dict[str, int]:
    """The fold of each patient; the order of the argument does not matter."""
    ordered = sorted(set(names), key=int)
    shuffled = np.random.default_rng(seed).permutation(len(ordered))
    return {ordered[place]: int(position % folds) for position, place in enumerate(shuffled)}


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def _image(folder: Path, name: str) -> Path:
    return folder / "images" / f"{name}.png"


def _read_slice(folder: Path, name: str, tags: dict[str, dict[str, str]]) -> Volume:
    voxels: NDArray[np.float32] = np.asarray(Image.open(_image(folder, name)), dtype=np.float32)[None]
    row_mm, column_mm = json.loads(tags[name]["PixelSpacing"].replace("[.", "[0.").replace(" .", " 0."))
    affine = np.eye(4)
    affine[:3, :3] = [[SLICE_MM, 0, 0], [0, 0, column_mm], [0, -row_mm, 0]]
    source = FrameReference(sop_class_uid=MR_IMAGE_STORAGE, sop_instance_uid="2.25.1")
    return Volume(voxels=voxels, affine=affine, sources=(source,), series_instance_uid="2.25.1000")


def _facts(row: dict[str, str]) -> dict[str, str]:
    vendor = "Siemens" if row["Manufacturer"].upper().startswith("SIEMENS") else "Philips"
    return {"vendor": vendor, "field": f"{float(row['MagneticFieldStrength']):g} T", "sex": row["sex"].strip()}
