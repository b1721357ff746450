"""The detector names the levels of a series without the sacrum by a localizer, and reads that only when it must."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inference.geometry import FrameReference, Volume
from inference.policies import Policies
from inference.series.role import SeriesRole
from models.bundle import read_bundle
from models.engines import OnnxEngine
from models.installed import SHIPPED
from models.mr_sagittal import MrSagittalDetector
from models.registry import SEGMENTER
from training.phantom import PhantomParameters, generate_spine

T2, LOCALIZER = SeriesRole.MR_SAGITTAL_T2, SeriesRole.LOCALIZER
LOCALIZER_MM = 1.25


def volume_of(parameters, uid, rows=slice(None)):
    phantom = generate_spine(parameters)
    voxels = phantom.voxels[:, rows].astype(np.float32)
    return Volume(
        voxels=voxels,
        affine=phantom.affine,
        sources=tuple(FrameReference(sop_class_uid="1.2", sop_instance_uid=f"{uid}.{n}") for n in range(len(voxels))),
        series_instance_uid=uid,
        frame_of_reference_uid="2.25.1",
    )


@pytest.fixture(scope="module")
def study():
    """A patient's series, the same without the sacrum, and a coarse localizer of three slices."""
    parameters = PhantomParameters(seed=3, slices=1)
    series = volume_of(parameters, "2.25.2")
    row_mm, column_mm = series.spacing_mm[1:]
    scout = replace(
        parameters,
        slices=3,
        slice_spacing_mm=10.0,
        spacing_mm=LOCALIZER_MM,
        rows=round(series.shape[1] * row_mm / LOCALIZER_MM),
        columns=round(series.shape[2] * column_mm / LOCALIZER_MM),
    )
    return series, volume_of(scout, "2.25.3")


class Recording(MrSagittalDetector):
    """The detector as it ships, keeping the series that its network ran on."""

    def __init__(self, *parts):
        super().__init__(*parts)
        self.outlined = []

    def segment(self, volume, progress):
        self.outlined.append(volume.series_instance_uid)
        return super().segment(volume, progress)


@pytest.fixture(scope="module")
def reader():
    bundle = read_bundle(SHIPPED / SEGMENTER)
    return Recording(bundle, OnnxEngine(bundle.weights, threads=2), Policies())


def silent(_doing, _share):
    """Report progress to nobody."""


def discs(result):
    """Names of the outlined discs with the row each one's middle lies in."""
    segments = [s for s in result.segmentation.segments if s.structure == "disc"]
    return {s.level: round(float(np.argwhere(s.mask)[:, 1].mean())) for s in segments}


def test_levels_of_a_series_without_the_sacrum_are_those_of_the_localizer(reader, study):
    series, localizer = study
    whole = reader.read(series, "1.2", silent, {T2: series, LOCALIZER: localizer})
    assert whole.named_from is None, whole.numbering.note
    end = discs(whole)["L4-L5"] - 30
    cut = replace(series, voxels=np.ascontiguousarray(series.voxels[:, :end]))

    alone = reader.read(cut, "1.2", silent, {T2: cut})
    assert alone.numbering.ambiguous
    assert discs(alone).keys() != {level for level, row in discs(whole).items() if row < end}

    named = reader.read(cut, "1.2", silent, {T2: cut, LOCALIZER: localizer})
    assert named.named_from == localizer.series_instance_uid
    assert not named.numbering.ambiguous
    for level, row in discs(named).items():
        assert abs(row - discs(whole)[level]) <= 4, level
    assert reader.read_spine(cut, silent).numbering == named.numbering, "the graders ask for the same reading"


def test_the_localizer_is_not_read_where_the_count_is_in_no_doubt(reader, study):
    series, localizer = study
    reader.outlined.clear()
    reader.read(replace(series), "1.2", silent, {T2: series, LOCALIZER: localizer})
    assert reader.outlined == [series.series_instance_uid]
