"""Retained views of a procedure, as a C-arm sends them: single-frame XA images, and a key object selection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, XRayAngiographicImageStorage

from builders.dicom import derived_uid
from builders.posted_claims import patient_json

FRONTAL, LATERAL = (2.0, -5.0), (88.0, 0.0)
"""Positioner Primary and Secondary Angle, degrees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One image."""

    angles_deg: tuple[float, float] | None
    """None: the machine records none."""
    study: str = "procedure"
    day: str = "20260601"
    time: str = "101500"
    patient_of: str = ""
    """Seed of the patient; empty: of the study."""
    attributes: dict[str, Any] = field(default_factory=dict)
    """Further attributes by keyword."""

    @property
    def study_instance_uid(self) -> str:
        """Study Instance UID."""
        return derived_uid("study", self.study)


def shot(one: Shot, number: int) -> Dataset:
    """An XA image of a drawn needle (PS3.3 A.14)."""
    dataset = Dataset()
    _set_patient_and_study(dataset, one)
    dataset.SOPClassUID = XRayAngiographicImageStorage
    dataset.SOPInstanceUID = derived_uid("shot", one.study, number)
    dataset.SeriesInstanceUID = derived_uid("series", one.study, "XA")
    dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = "XA", 1, number
    dataset.BodyPartExamined = "LSPINE"
    dataset.Manufacturer, dataset.ManufacturerModelName = "Builder", "C-arm"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "SINGLE PLANE"]
    dataset.AcquisitionDate = dataset.ContentDate = one.day
    dataset.AcquisitionTime = dataset.ContentTime = one.time
    dataset.PatientOrientation = ""
    dataset.PixelIntensityRelationship = "DISP"
    dataset.KVP, dataset.RadiationSetting, dataset.ExposureTime, dataset.XRayTubeCurrent = "75", "SC", "20", "40"
    dataset.PositionerMotion = "" if one.angles_deg is None else "STATIC"
    primary, secondary = ("", "") if one.angles_deg is None else map(str, one.angles_deg)
    dataset.PositionerPrimaryAngle, dataset.PositionerSecondaryAngle = primary, secondary
    _set_pixels(dataset)
    for keyword, value in one.attributes.items():
        setattr(dataset, keyword, value)
    return _with_file_meta(dataset)


def write_shots(folder: Path, shots: Sequence[Shot]) -> list[Path]:
    """One file for each image, in their order; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:03d}.dcm" for number in range(1, len(shots) + 1)]
    for number, (path, one) in enumerate(zip(paths, shots, strict=True), start=1):
        shot(one, number).save_as(path, enforce_file_format=True)
    return paths


def write_selection(path: Path, images: Sequence[Path], title: Any = codes.DCM.ForReportAttachment) -> Path:
    """A key object selection of some images."""
    datasets = [dcmread(image) for image in images]
    hd.ko.KeyObjectSelectionDocument(
        evidence=datasets,
        content=hd.ko.KeyObjectSelection(document_title=title, referenced_objects=datasets),
        series_instance_uid=derived_uid("series", str(path.name), "KO"),
        series_number=90,
        sop_instance_uid=derived_uid("selection", str(path.name), len(images)),
        instance_number=1,
        manufacturer="Builder",
        institution_name=None,
    ).save_as(path, enforce_file_format=True)
    return path


def _set_patient_and_study(dataset: Dataset, one: Shot) -> None:
    patient = patient_json(one.patient_of or one.study)
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.PatientID = patient["medical_record_number"]
    dataset.PatientName = f"{patient['family_name']}^{patient['given_name']}"
    dataset.PatientBirthDate, dataset.PatientSex = patient["birth_date"].replace("-", ""), "O"
    dataset.StudyInstanceUID, dataset.StudyID = one.study_instance_uid, "1"
    dataset.StudyDate, dataset.StudyTime = one.day, "100000"
    dataset.StudyDescription = "Fluoroscopy for an injection"
    dataset.AccessionNumber = dataset.ReferringPhysicianName = ""


def _set_pixels(dataset: Dataset) -> None:
    row, column = np.mgrid[:64, :64]
    values = (120 + 60 * np.sin(row / 9) - 90 * (np.abs(row - column) < 2)).astype(np.uint8)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = values.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PixelData = values.tobytes()


def _with_file_meta(dataset: Dataset) -> Dataset:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset
