"""What is scored: images with their labels, and what the shipped bundle makes of them, run as the server runs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.errors import SeriesRefusal
from inference.geometry import FrameReference, Volume
from inference.measure.reading import SpineReading
from inference.pipeline import Progress
from inference.policies import Policies
from models.bundle import read_bundle
from models.engines import OnnxEngine
from models.installed import SHIPPED
from models.mr_sagittal import MrSagittalDetector
from models.registry import SEGMENTER

MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"  # PS3.4 B.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """One image series of a patient with its labels."""

    patient: str
    series: str
    """`T2 SPACE`, `T1`, `T2` ..."""
    kept_back: bool
    """No image of this patient took part in training."""
    volume: Volume
    labels: NDArray[np.uint8]
    """Shape of the volume: 0 background, 1 vertebra, 2 disc, 3 spinal canal."""
    levels: NDArray[np.uint8]
    """Same shape: 1 is the disc L5-S1, 2 L4-L5 ...; 0 elsewhere (`training.level_naming.number_discs`)."""
    spacing_mm: tuple[float, float, float]
    """True spacing, in which distances are given; not the volume's where that is stated wrong."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Vendor, field strength, sex."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """What the bundle made of one volume."""

    found: NDArray[np.uint8]
    """Labels, largest probability."""
    reading: SpineReading | None
    """None where no spine could be read."""
    refusal: str | None = None


class Reader(MrSagittalDetector):
    """The server's detector, keeping the last probabilities: outlines and reading come from one run of the network."""

    _kept: tuple[Volume, NDArray[np.float32]] | None = None

    def segment(self, volume: Volume, progress: Progress) -> NDArray[np.float32]:
        """Class probabilities on the source grid, shape (class, slice, row, column)."""
        if self._kept is None or self._kept[0] is not volume:
            self._kept = (volume, super().segment(volume, progress))
        return self._kept[1]

    def outline(self, volume: Volume) -> NDArray[np.uint8]:
        """Labels of the largest probability, shape of the volume."""
        return np.asarray(self.segment(volume, _quiet).argmax(axis=0), dtype=np.uint8)

    def answer(self, volume: Volume) -> Answer:
        """Labels and reading of a volume."""
        found = self.outline(volume)
        try:
            return Answer(found=found, reading=self.read_spine(volume, _quiet))
        except SeriesRefusal as refusal:
            return Answer(found=found, reading=None, refusal=refusal.sentence)


def load_reader(bundle: Path | None = None, *, threads: int = 2) -> Reader:
    """The segmenter of a bundle's folder (the shipped one when None) with the default policies.

    Raises:
        BundleRefusal: the bundle is not what its metadata says.
    """
    described = read_bundle(bundle or SHIPPED / SEGMENTER)
    described.verify()
    return Reader(described, OnnxEngine(described.weights, threads=threads), Policies())


def place_volume(voxels: NDArray[Any], spacing_mm: tuple[float, float, float]) -> Volume:
    """Return slices as a sagittal volume: slices go to the left, rows to the feet, columns to the back."""
    slice_mm, row_mm, column_mm = spacing_mm
    affine = np.eye(4)
    affine[:3, :3] = [[slice_mm, 0, 0], [0, 0, column_mm], [0, -row_mm, 0]]
    sources = tuple(
        FrameReference(sop_class_uid=MR_IMAGE_STORAGE, sop_instance_uid=f"2.25.{number + 1}")
        for number in range(len(voxels))
    )
    return Volume(voxels=voxels.astype(np.float32), affine=affine, sources=sources, series_instance_uid="2.25.1000")


def _quiet(_activity: str, _share: float) -> None:
    pass
