"""Detector: vertebrae, discs and canal on a sagittal MR series of any contrast, and what can be measured on them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inference.errors import BundleRefusal, ReasonCode, SeriesRefusal
from inference.findings import Question
from inference.geometry import Plane, Volume
from inference.measure import read_sagittal
from inference.pipeline import DetectorResult, Progress
from inference.provenance import ModelIdentity
from inference.series.eligibility import Reads
from inference.series.role import SeriesRole
from inference.spine_findings import FracturePolicy, Subject, findings_of, segmentation_of
from models.bundle import Bundle
from models.engines import Engine
from models.labels import SPINE_CLASSES
from models.preprocess import from_network, neighbours, normalise, sagittal_grid, to_network

QUESTIONS = frozenset({Question.COMPRESSION_FRACTURE})
ROLES = (
    SeriesRole.MR_SAGITTAL_T2,
    SeriesRole.MR_SAGITTAL_T2_FS,
    SeriesRole.MR_SAGITTAL_T1,
    SeriesRole.MR_SAGITTAL_STIR,
    SeriesRole.MR_SAGITTAL_T1_FS,
    SeriesRole.MR_SAGITTAL_OTHER,
)
"""In order of preference: the network was trained on T2; the others only look alike to it by augmentation."""


class MrSagittalDetector:
    """Segments each slice with its neighbours as context, then measures."""

    def __init__(self, bundle: Bundle, engine: Engine, policy: FracturePolicy) -> None:
        """Refuse a bundle whose classes are not the spine's."""
        if bundle.labels != SPINE_CLASSES:
            raise BundleRefusal(f"bundle {bundle.identity.name}: labels must be {SPINE_CLASSES}, got {bundle.labels}")
        self._bundle, self._engine, self._policy = bundle, engine, policy

    @property
    def identity(self) -> ModelIdentity:
        """The bundle's name, version and digest."""
        return self._bundle.identity

    @property
    def reads(self) -> Reads:
        """Sagittal MR; answers fracture, and measures discs and canal without grading them."""
        return Reads(name=self.identity.name, questions=QUESTIONS, roles=ROLES)

    def read(self, volume: Volume, study_instance_uid: str, progress: Progress) -> DetectorResult:
        """Findings and outlines of a sagittal series; SeriesRefusal when no spine can be read on it."""
        if volume.plane is not Plane.SAGITTAL:
            raise SeriesRefusal(
                f"{self.identity.name} reads sagittal series, got a {volume.plane} one", code=ReasonCode.ORIENTATION
            )
        probabilities = self.segment(volume, progress)
        progress("measuring", 0.9)
        reading = read_sagittal(volume, probabilities)
        subject = Subject(study_instance_uid=study_instance_uid, volume=volume, model=self.identity)
        return DetectorResult(
            findings=findings_of(reading, subject, self._policy),
            numbering=reading.numbering,
            segmentation=segmentation_of(reading, subject),
            warnings=reading.warnings,
        )

    def segment(self, volume: Volume, progress: Progress) -> NDArray[np.float32]:
        """Class probabilities on the source grid, shape (class, slice, row, column)."""
        grid = sagittal_grid(volume, self._bundle.spacing_mm, self._bundle.multiple_of)
        image = to_network(normalise(volume.voxels), grid)
        probabilities = np.empty((len(SPINE_CLASSES), *volume.shape), np.float32)
        for index in range(volume.shape[0]):
            progress("segmenting", 0.9 * index / volume.shape[0])
            logits = self._engine.run(neighbours(image, index, self._bundle.context_slices))[0]
            probabilities[:, index] = from_network(_softmax(logits), grid)
        return probabilities


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities over the first axis."""
    exponentials = np.exp(logits - logits.max(axis=0, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=0, keepdims=True), dtype=np.float32)
