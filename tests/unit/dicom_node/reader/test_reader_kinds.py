"""Series that hold several kinds of images: one is read by a stated rule, or all are refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from builders.dicom import AXIAL, CORONAL, SAGITTAL, SeriesPlan, small_voxels
from dicom_node.reader import read_volume, source_headers
from inference.errors import ReasonCode
from inference.geometry import Plane
from inference.series.facts import Contrast
from inference.series.role import SeriesRole, contrast_of, role_of


def stack(seed: int, slices: int = 4, **keywords) -> SeriesPlan:
    """Slices of the one series that the tests index; ``seed`` keeps the SOP Instance UIDs apart."""
    keywords.setdefault("attributes", {})
    keywords["attributes"] = {**keywords["attributes"], "SeriesInstanceUID": "2.25.1"}
    keywords.setdefault("voxels", small_voxels(slices, 8, 6, seed=seed))
    return SeriesPlan(series=f"part {seed}", number=seed, **keywords)


def refused(series, code):
    assert series.facts.fault is not None
    assert series.facts.fault[0] is code
    return series.facts.fault[1]


def test_a_scout_in_front_of_the_slices_is_set_aside(indexed):
    scout = stack(
        1,
        1,
        modality="CT",
        orientation=CORONAL,
        voxels=small_voxels(1, 20, 30),
        attributes={"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
    )
    series = indexed(scout, stack(2, 6, modality="CT", orientation=AXIAL))
    assert series.facts.fault is None
    assert series.facts.plane is Plane.AXIAL
    assert series.facts.frame_count == 6
    assert role_of(series.facts) is SeriesRole.CT_AXIAL
    assert "set aside: 1 localizer frame(s) coronal 20x30" in series.facts.notes[0]
    assert len(series.files) == 7
    assert read_volume(series).shape == (6, 8, 6)
    assert len(source_headers(series)) == 6


SCOUT = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}


def test_of_a_three_plane_localizer_the_sagittal_slices_are_read(indexed):
    planes = [stack(n, n, orientation=o, attributes=SCOUT) for n, o in enumerate((AXIAL, SAGITTAL, CORONAL), start=3)]
    series = indexed(*planes)
    assert series.facts.fault is None
    assert (role_of(series.facts), series.facts.plane) == (SeriesRole.LOCALIZER, Plane.SAGITTAL)
    assert "the stack of 4 localizer frame(s) sagittal" in series.facts.notes[0]
    assert "set aside: 5 localizer frame(s) coronal" in series.facts.notes[0]
    sources = {source.sop_instance_uid for source in read_volume(series).sources}
    assert sources == {planes[1].sop_instance_uid(n) for n in range(4)}


@pytest.mark.parametrize("kinds", [(AXIAL, CORONAL), (SAGITTAL, AXIAL)])
def test_planes_without_a_sagittal_one_and_planes_of_no_localizer_are_refused(indexed, kinds):
    attributes = {} if SAGITTAL in kinds else SCOUT
    series = indexed(*[stack(n, 3, orientation=o, attributes=attributes) for n, o in enumerate(kinds, start=1)])
    assert "2 kinds" in refused(series, ReasonCode.MIXED)


def test_of_two_echoes_the_longer_is_read(indexed):
    first = stack(1, attributes={"EchoTime": 20.0})
    second = stack(2, attributes={"EchoTime": 100.0})
    series = indexed(first, second)
    assert series.facts.fault is None
    assert series.facts.echo_time_ms == 100.0
    assert "set aside: 4 image frame(s) sagittal 8x6 TR 3500 TE 20 ms" in series.facts.notes[0].replace("  ", " ") or (
        "TE 20" in series.facts.notes[0]
    )
    assert contrast_of(series.facts) is Contrast.T2
    assert np.array_equal(np.sort(read_volume(series).voxels.ravel()), np.sort(second.voxels.ravel()))


@pytest.mark.parametrize(
    ("words", "read", "contrast"),
    [
        (("W", "F", "IP", "OP"), "IP", Contrast.T2),
        (("WATER", "FAT"), "WATER", Contrast.T2_FAT_SAT),
        (("OUT_PHASE", "IN_PHASE"), "IN_PHASE", Contrast.T2),
    ],
)
def test_of_dixon_images_in_phase_is_read_else_water(indexed, words, read, contrast):
    parts = [
        stack(n, attributes={"ImageType": ["DERIVED", "PRIMARY", "DIXON", word], "EchoTime": 100.0 + n})
        for n, word in enumerate(words, start=1)
    ]
    series = indexed(*parts)
    assert series.facts.fault is None
    assert series.facts.image_type[-1] == read
    assert contrast_of(series.facts) is contrast
    expected = parts[words.index(read)].voxels
    assert np.array_equal(np.sort(read_volume(series).voxels.ravel()), np.sort(expected.ravel()))


def test_fat_and_opposed_phase_alone_are_refused(indexed):
    parts = [stack(n, attributes={"ImageType": ["DERIVED", "PRIMARY", "DIXON", w]}) for n, w in enumerate(("F", "OP"))]
    assert "Dixon fat" in refused(indexed(*parts), ReasonCode.MIXED)


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"RepetitionTime": 600.0, "EchoTime": 10.0}, "TR 600 TE 10"),
        ({"ContrastBolusAgent": "Gd"}, "with contrast agent"),
        ({"PixelSpacing": [0.5, 0.5]}, "sagittal 8x6"),
        ({"DiffusionBValue": 800.0}, "b 800"),
    ],
)
def test_other_differences_are_refused_with_what_differs(indexed, attributes, words):
    sentence = refused(indexed(stack(1), stack(2, 2, attributes=attributes)), ReasonCode.MIXED)
    assert words in sentence
    assert sentence.startswith("the series mixes 2 kinds of images that are not one stack: 4 image frame(s)")


def test_other_sizes_are_refused(indexed):
    sentence = refused(indexed(stack(1), stack(2, voxels=small_voxels(3, 16, 12))), ReasonCode.MIXED)
    assert "3 image frame(s) sagittal 16x12" in sentence


def test_time_points_are_refused(indexed):
    parts = [stack(n, attributes={"TemporalPositionIdentifier": n}) for n in (1, 2, 3)]
    assert "3 time points at the same positions (12 frames, 4 positions)" in refused(indexed(*parts), ReasonCode.MIXED)


def test_small_variations_of_times_are_one_kind(indexed):
    def change(dataset, index):
        dataset.RepetitionTime = 3500.0 + 10 * index
        dataset.EchoTime = 110.0 + 0.5 * index

    series = indexed(stack(1), change=change)
    assert series.facts.fault is None
    assert series.facts.repetition_time_ms == 3515.0
    assert series.facts.echo_time_ms == 110.75


def test_the_facts_are_those_of_all_instances_and_not_of_the_first(indexed):
    """One slice with another TR and TE used to be invisible where the first file spoke for the series."""

    def change(dataset, index):
        if index == 3:
            dataset.RepetitionTime, dataset.EchoTime = 500.0, 9.0

    assert "1 image frame(s) sagittal 8x6 TR 500 TE 9" in refused(indexed(stack(1), change=change), ReasonCode.MIXED)
