"""Write small, valid DICOM series for tests: any orientation, any spacing, deterministic UIDs, an invented patient."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage

SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
"""Columns anterior to posterior, rows head to foot."""
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
T2_TSE: Mapping[str, Any] = {
    "RepetitionTime": 3500.0,
    "EchoTime": 110.0,
    "FlipAngle": 90.0,
    "EchoTrainLength": 20,
    "ScanningSequence": "SE",
    "SequenceVariant": "SK",
    "ScanOptions": "",
    "MRAcquisitionType": "2D",
}
"""Acquisition attributes of a T2-weighted turbo spin echo."""
T1_TSE: Mapping[str, Any] = {**T2_TSE, "RepetitionTime": 600.0, "EchoTime": 10.0, "EchoTrainLength": 4}
"""Acquisition attributes of a T1-weighted turbo spin echo."""
STIR: Mapping[str, Any] = {**T2_TSE, "EchoTime": 60.0, "ScanningSequence": ["SE", "IR"], "InversionTime": 160.0}
"""Acquisition attributes of a short-TI inversion recovery at 1.5 T."""
T2_FAT_SAT: Mapping[str, Any] = {**T2_TSE, "EchoTime": 80.0, "ScanOptions": "FS"}
"""Acquisition attributes of a T2-weighted turbo spin echo with fat saturation."""


def derived_uid(*parts: object) -> str:
    """A UID that depends on nothing but `parts`: 2.25 and 127 bits of their SHA-256 (PS3.5 B.2)."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big') >> 1}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesPlan:
    """One series to write; everything has a default that makes a small sagittal T2 MR series."""

    voxels: NDArray[Any]
    """Stored values, shape (slice, row, column); int16 or uint16."""
    study: str = "study"
    """Seed of the Study Instance UID: the same seed is the same study."""
    series: str = "series"
    """Seed of the Series Instance UID."""
    modality: str = "MR"
    orientation: Sequence[float] = SAGITTAL
    position_mm: Sequence[float] = (-10.0, -60.0, 80.0)
    """ImagePositionPatient of the first slice."""
    step_mm: Sequence[float] | None = None
    """LPS vector from slice to slice; None: 4 mm along +x, +y or +z, whichever the normal is closest to."""
    pixel_spacing_mm: tuple[float, float] = (1.0, 1.0)
    number: int = 1
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Further attributes by keyword, of every instance; a value of None removes the attribute."""

    @property
    def study_instance_uid(self) -> str:
        """Study Instance UID of the instances."""
        return derived_uid("study", self.study)

    @property
    def series_instance_uid(self) -> str:
        """Series Instance UID of the instances."""
        return derived_uid("series", self.study, self.series)

    def sop_instance_uid(self, index: int) -> str:
        """SOP Instance UID of slice `index`."""
        return derived_uid("instance", self.study, self.series, index)

    @property
    def step(self) -> NDArray[np.float64]:
        """LPS vector from slice to slice, mm, shape (3,)."""
        if self.step_mm is not None:
            return np.asarray(self.step_mm, dtype=np.float64)
        normal = np.abs(np.cross(self.orientation[:3], self.orientation[3:]))
        return np.asarray(4.0 * np.eye(3)[int(np.argmax(normal))])


def small_voxels(slices: int = 3, rows: int = 32, columns: int = 24, *, seed: int = 1) -> NDArray[np.uint16]:
    """Smooth deterministic stored values 0..999, shape (slice, row, column), different in every slice."""
    generator = np.random.default_rng(seed)
    phase = generator.uniform(0, 2 * np.pi, slices)[:, None, None]
    row, column = np.mgrid[:rows, :columns]
    values = 500 + 499 * np.sin(row[None] / 5 + phase) * np.cos(column[None] / 7)
    return np.asarray(values, dtype=np.uint16)


def slice_dataset(plan: SeriesPlan, index: int) -> Dataset:
    """The instance of slice `index` of a series, with its file meta information."""
    dataset = Dataset()
    _set_patient_and_study(dataset, plan)
    _set_series(dataset, plan)
    _set_image(dataset, plan, index)
    for keyword, value in plan.attributes.items():
        if value is None:
            dataset.pop(keyword, None)
        else:
            setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def write_series(folder: Path, plan: SeriesPlan) -> list[Path]:
    """Write one file per slice into `folder` (created), in slice order; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index in range(plan.voxels.shape[0]):
        path = folder / f"{plan.number:03d}-{index:04d}.dcm"
        slice_dataset(plan, index).save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def _set_patient_and_study(dataset: Dataset, plan: SeriesPlan) -> None:
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.PatientName = "Invented^Patient"
    dataset.PatientID = f"TEST-{derived_uid('patient', plan.study)[-8:]}"
    dataset.PatientBirthDate = "19600101"
    dataset.PatientSex = "O"
    dataset.PatientAge = "060Y"
    dataset.StudyInstanceUID = plan.study_instance_uid
    dataset.StudyID = "1"
    dataset.StudyDate = "20200102"
    dataset.StudyTime = "030405"
    dataset.StudyDescription = "Spine"
    dataset.AccessionNumber = f"A{derived_uid('accession', plan.study)[-8:]}"
    dataset.ReferringPhysicianName = ""


def _set_series(dataset: Dataset, plan: SeriesPlan) -> None:
    dataset.Modality = plan.modality
    dataset.SOPClassUID = CTImageStorage if plan.modality == "CT" else MRImageStorage
    dataset.SeriesInstanceUID = plan.series_instance_uid
    dataset.SeriesNumber = plan.number
    dataset.SeriesDate = "20200102"
    dataset.SeriesTime = "030405"
    dataset.AcquisitionNumber = 1
    dataset.BodyPartExamined = "LSPINE"
    dataset.PatientPosition = "HFS"
    dataset.Manufacturer = "Builder"
    dataset.FrameOfReferenceUID = derived_uid("frame", plan.study)
    dataset.PositionReferenceIndicator = ""
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"] if plan.modality == "CT" else ["ORIGINAL", "PRIMARY", "M"]
    if plan.modality == "CT":
        dataset.KVP, dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = 120, -1024, 1, "HU"
    else:
        for keyword, value in T2_TSE.items():
            setattr(dataset, keyword, value)


def _set_image(dataset: Dataset, plan: SeriesPlan, index: int) -> None:
    pixels = plan.voxels[index]
    step = plan.step
    dataset.SOPInstanceUID = plan.sop_instance_uid(index)
    dataset.InstanceNumber = index + 1
    dataset.ContentDate = "20200102"
    dataset.ContentTime = "030405"
    dataset.ImagePositionPatient = [_decimal(v) for v in np.asarray(plan.position_mm, dtype=float) + index * step]
    dataset.ImageOrientationPatient = [_decimal(v) for v in plan.orientation]
    dataset.PixelSpacing = [_decimal(v) for v in plan.pixel_spacing_mm]
    spacing = float(np.linalg.norm(step))
    dataset.SliceThickness = _decimal(spacing)
    if plan.modality == "MR":
        dataset.SpacingBetweenSlices = _decimal(spacing)
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = int(np.issubdtype(pixels.dtype, np.signedinteger))
    dataset.PixelData = np.ascontiguousarray(pixels).astype(pixels.dtype.newbyteorder("<")).tobytes()


def _decimal(value: float) -> str:
    """A number as DS text of at most 16 characters (PS3.5 6.2)."""
    return f"{float(value):.6f}".rstrip("0").rstrip(".")
