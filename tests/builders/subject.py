"""A study that is read, without anything in its voxels: for findings that are made of readings."""

from __future__ import annotations

import numpy as np

from inference.geometry import FrameReference, Volume, affine_from_orientation
from inference.provenance import ModelIdentity
from inference.subject import Subject

ROW_MM, COLUMN_MM = 0.8, 0.5


def empty_subject() -> Subject:
    """Three sagittal slices of 60 x 50 pixels, 4 mm apart."""
    sources = tuple(FrameReference(sop_class_uid="1.2", sop_instance_uid=f"1.2.{i}") for i in range(3))
    affine = affine_from_orientation((0, 0, 0), (0, 1, 0, 0, 0, -1), (ROW_MM, COLUMN_MM), (4, 0, 0))
    volume = Volume(voxels=np.zeros((3, 60, 50), np.float32), affine=affine, sources=sources, series_instance_uid="1.3")
    model = ModelIdentity(name="m", version="1", sha256="0" * 64, training_data="synthetic")
    return Subject(study_instance_uid="1.2.3", volume=volume, model=model)
