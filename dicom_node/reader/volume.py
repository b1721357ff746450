"""A series as a Volume, and its source headers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_node.reader.index import IndexedSeries
from dicom_node.reader.pixels import read_pixels
from dicom_node.reader.stack import Stack
from inference.errors import ReasonCode, SeriesRefusal
from inference.geometry import FrameReference, Volume

MAX_VOXELS = 1 << 30
"""4 GiB as float32: ten times a CT of the whole spine."""
PROJECTION = "projection images have no place in the patient: they are not read as a volume"


def read_volume(series: IndexedSeries) -> Volume:
    """The stacks of a series in modality values (CT: Hounsfield units), float32, in the slice order of reader.stack.

    The first stack is the volume, the others are its ``other_stacks``. ``frame_of_reference_uid`` is None where the
    instances name several or none.

    Raises:
        SeriesRefusal: the series is no stack, or its pixels cannot be read.
    """
    first, *others = (_volume(stack, series) for stack in _stacks_of(series))
    return replace(first, other_stacks=tuple(others))


def source_headers(series: IndexedSeries) -> list[Dataset]:
    """The whole headers, without pixel data, of the instances in the Volume: each once, in the order of its sources.

    Raises:
        SeriesRefusal: the series is no stack.
    """
    paths = dict.fromkeys(frame.header.path for stack in _stacks_of(series) for frame in stack.frames)
    return [dcmread(path, stop_before_pixels=True, force=True) for path in paths]


def _stacks_of(series: IndexedSeries) -> tuple[Stack, ...]:
    if not series.stacks:
        code, sentence = series.facts.fault or (ReasonCode.GEOMETRY, PROJECTION)
        raise SeriesRefusal(sentence, code=code)
    return series.stacks


def _volume(stack: Stack, series: IndexedSeries) -> Volume:
    first = stack.frames[0]
    count = len(stack.frames) * (first.rows or 0) * (first.columns or 0)
    if count > MAX_VOXELS:
        raise SeriesRefusal(
            f"the series says that it has {count} voxels, at most {MAX_VOXELS} are read", code=ReasonCode.PIXEL_DATA
        )
    voxels = np.empty((len(stack.frames), first.rows or 0, first.columns or 0), dtype=np.float32)
    read_pixels(stack.frames, voxels)
    references = series.facts.frame_of_reference_uids
    return Volume(
        voxels=voxels,
        affine=stack.affine,
        sources=tuple(
            FrameReference(
                sop_class_uid=frame.header.sop_class_uid,
                sop_instance_uid=frame.header.sop_instance_uid,
                frame=frame.number,
            )
            for frame in stack.frames
        ),
        series_instance_uid=series.facts.series_instance_uid,
        frame_of_reference_uid=references[0] if len(references) == 1 else None,
    )
