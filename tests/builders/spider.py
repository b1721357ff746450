"""Write the SPIDER images of the shared data folder as DICOM MR studies.

SPIDER: van der Graaf et al., Scientific Data 2024, CC BY 4.0. Geometry as the data's README states it: rows head to
foot, columns anterior to posterior, 0.9 mm along +x from slice index to slice index.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from builders.dicom import SeriesPlan, derived_uid, write_series

T2_SPACE_SPACING_MM = (0.46875, 0.46875)
T2_SPACE_STEP_MM = (0.9, 0.0, 0.0)
FRACTURED: dict[str, set[str]] = {"55": {"T12"}, "166": {"T12"}, "241": {"L1"}}
"""Bodies that anyone calls fractured on the images, by patient."""
ALSO_LOW = {
    "55": {"T11", "L4"},  # Schmorl's node in the upper endplate of T11; L4 lower than its neighbours all over
    "142": {"L5"},  # under a slipped L4
    "209": {"L4"},  # above a slipped L5
}
"""Bodies that are low for other visible reasons."""


SMALL = "162"
"""All bodies of this person are low for their depth, which is said as W_OOD."""


def low_levels(patient: str) -> set[str]:
    """The levels of a patient that may be called low."""
    return FRACTURED.get(patient, set()) | ALSO_LOW.get(patient, set())


def t2space_patients(shared_data: Path) -> list[str]:
    """The patients that have a T2 SPACE volume, in the order of their numbers."""
    names = {path.name.split("_")[0] for path in (shared_data / "mr_spider_t2space" / "images").glob("*.png")}
    return sorted(names, key=int)


def t2space_volume(shared_data: Path, patient: str, kind: str = "images") -> NDArray[np.uint16]:
    """One patient's images or masks (1 vertebra, 2 disc, 3 canal), shape (slice, row, column)."""
    paths = sorted((shared_data / "mr_spider_t2space" / kind).glob(f"{patient}_*.png"))
    if not paths:
        raise FileNotFoundError(f"patient {patient} is not in mr_spider_t2space")
    return np.stack([np.asarray(Image.open(path)).astype(np.uint16) for path in paths])


def spider_plan(shared_data: Path, patient: str) -> SeriesPlan:
    """The series that `spider_study` writes."""
    voxels = t2space_volume(shared_data, patient)
    slices, rows, columns = voxels.shape
    row_mm, column_mm = T2_SPACE_SPACING_MM
    return SeriesPlan(
        voxels=voxels,
        study=f"spider-t2space-{patient}",
        series="T2 SPACE",
        position_mm=(-0.9 * (slices - 1) / 2, -column_mm * columns / 2, row_mm * rows / 2),
        step_mm=T2_SPACE_STEP_MM,
        pixel_spacing_mm=T2_SPACE_SPACING_MM,
        attributes=_acquisition(_overview(shared_data)[f"{patient}_t2_SPACE"]) | anonymous(f"SPIDER-{patient}"),
    )


def spider_study(shared_data: Path, patient: str, out_dir: Path) -> list[Path]:
    """Write every T2 SPACE slice of one patient as an MR series into `out_dir`; returns the files in slice order."""
    return write_series(out_dir, spider_plan(shared_data, patient))


def spider_midsagittal_study(shared_data: Path, patient: str, out_dir: Path) -> list[Path]:
    """Write one patient's mid-sagittal T1 and T2 images as a study of two one-slice series; returns the files.

    TR, TE and pixel spacing come from overview.csv; a patient may have only one of the two images.
    """
    overview = _overview(shared_data)
    files: list[Path] = []
    for number, contrast in enumerate(("t1", "t2"), start=1):
        path = shared_data / "mr_spider_midsagittal" / "images" / f"{patient}_{contrast}.png"
        if not path.is_file():
            continue
        files += write_series(out_dir, _midsagittal_plan(path, overview[path.stem], patient, number))
    if not files:
        raise FileNotFoundError(f"patient {patient} is not in mr_spider_midsagittal")
    return files


def anonymous(patient_id: str) -> dict[str, Any]:
    """Patient attributes without an identity."""
    return {
        "PatientName": "Anonymous",
        "PatientID": patient_id,
        "PatientBirthDate": "",
        "PatientSex": "",
        "PatientAge": None,
        "AccessionNumber": derived_uid("accession", patient_id)[-12:],
    }


def _midsagittal_plan(path: Path, row: dict[str, str], patient: str, number: int) -> SeriesPlan:
    pixels = np.asarray(Image.open(path)).astype(np.uint16)
    row_mm, column_mm = (float(value) for value in row["PixelSpacing"].strip("[]").split(","))
    return SeriesPlan(
        voxels=pixels[None],
        study=f"spider-midsagittal-{patient}",
        series=path.stem,
        position_mm=(0.0, -column_mm * pixels.shape[1] / 2, row_mm * pixels.shape[0] / 2),
        step_mm=(float(row["SpacingBetweenSlices"]), 0.0, 0.0),
        pixel_spacing_mm=(row_mm, column_mm),
        number=number,
        attributes=_acquisition(row) | anonymous(f"SPIDER-{patient}"),
    )


def _acquisition(row: dict[str, str]) -> dict[str, Any]:
    """The acquisition attributes of one line of overview.csv."""
    return {
        "RepetitionTime": f"{float(row['RepetitionTime']):.3f}",
        "EchoTime": f"{float(row['EchoTime']):.3f}",
        "FlipAngle": row["FlipAngle"],
        "EchoTrainLength": row["EchoTrainLength"],
        "MagneticFieldStrength": row["MagneticFieldStrength"],
        "MRAcquisitionType": row["MRAcquisitionType"],
        "ScanningSequence": row["ScanningSequence"].strip("[]'").split("', '"),
        "SequenceName": row["SequenceName"] or None,
        "SeriesDescription": row["SeriesDescription"] or None,
        "SliceThickness": f"{float(row['SliceThickness']):.3f}",
    }


def _overview(shared_data: Path) -> dict[str, dict[str, str]]:
    with (shared_data / "mr_spider_midsagittal" / "overview.csv").open(newline="") as file:
        return {row["new_file_name"]: row for row in csv.DictReader(file)}
