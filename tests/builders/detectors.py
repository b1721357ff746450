"""Detectors that say what they were told to say, and a study of series without voxels for them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from inference.anatomy import Site
from inference.errors import SeriesRefusal
from inference.findings import Finding, Present, Question
from inference.geometry import FrameReference, Plane, Volume
from inference.pipeline import DetectorResult, StudyInput, read_study
from inference.provenance import ModelIdentity
from inference.series.eligibility import Reads
from inference.series.facts import SeriesFacts
from inference.series.role import SeriesRole

STUDY = "1.2.3"
T2 = SeriesFacts(
    study_instance_uid=STUDY,
    series_instance_uid="1.2.3.1",
    modality="MR",
    sop_class_uids=("1.2.840.10008.5.1.4.1.1.4",),
    frame_count=15,
    rows=512,
    columns=512,
    plane=Plane.SAGITTAL,
    spacing_mm=(4.0, 0.6, 0.6),
    image_type=("ORIGINAL", "PRIMARY", "M"),
    repetition_time_ms=3500.0,
    echo_time_ms=100.0,
    scanning_sequence=("SE",),
    patient_age_years=70.0,
)
CT = replace(
    T2, series_instance_uid="1.2.3.2", modality="CT", plane=Plane.AXIAL, sop_class_uids=("1.2.840.10008.5.1.4.1.1.2",)
)


class Reader:
    """A detector that says what it was told to say."""

    def __init__(self, name, answer):
        self.identity = ModelIdentity(name=name, version="1", sha256="0" * 64, training_data="synthetic")
        self.reads = Reads(
            name=name, questions=frozenset({Question.COMPRESSION_FRACTURE}), roles=(SeriesRole.MR_SAGITTAL_T2,)
        )
        self._answer = answer

    def read(self, volume, study_instance_uid, progress, by_role):
        progress(f"reading {volume.shape} of {study_instance_uid}", 0.5)
        self.saw = {role: v.series_instance_uid for role, v in by_role.items()}
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def load(series_uid):
    sources = (FrameReference(sop_class_uid="1.2", sop_instance_uid="1.2.9"),)
    return Volume(
        voxels=np.zeros((1, 2, 2), np.float32), affine=np.eye(4), sources=sources, series_instance_uid=series_uid
    )


def study(*series):
    return StudyInput(study_instance_uid=STUDY, series=series, load=load)


def fracture(level):
    site = Site(level=level)
    return Finding(id=f"2.25.{site.order[0]}", question=Question.COMPRESSION_FRACTURE, site=site, assessment=Present())


def read(series, detectors):
    return read_study(study(*series), detectors, software_version="0").findings


class Picky(Reader):
    """A detector that refuses some series."""

    def __init__(self, name, refusals):
        super().__init__(name, DetectorResult(findings=(fracture("L1"),)))
        self._refusals = refusals

    def read(self, volume, study_instance_uid, progress, by_role):
        if volume.series_instance_uid in self._refusals:
            raise SeriesRefusal("no spine", code=self._refusals[volume.series_instance_uid])
        return super().read(volume, study_instance_uid, progress, by_role)
