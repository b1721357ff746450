"""Axial MR series of several angles or places: each block of slices is a stack; anything else stays refused."""

from __future__ import annotations

import numpy as np
import pytest

from builders.dicom import CORONAL, SAGITTAL, SeriesPlan, small_voxels
from dicom_node.reader import read_volume, source_headers
from inference.errors import ReasonCode
from inference.geometry import Plane
from inference.series.role import SeriesRole, role_of


def turned(tilt_deg: float) -> tuple[float, ...]:
    """Axial, its back turned up by an angle."""
    tilt = np.radians(tilt_deg)
    return (1.0, 0.0, 0.0, 0.0, float(np.cos(tilt)), float(np.sin(tilt)))


def block(seed: int, slices: int, tilt_deg: float = 0.0, z: float = 0.0, **keywords) -> SeriesPlan:
    """Slices at one disc, of the one series that the tests index."""
    orientation = turned(tilt_deg)
    normal = np.cross(orientation[:3], orientation[3:])
    keywords.setdefault("attributes", {})
    keywords["attributes"] = {**keywords["attributes"], "SeriesInstanceUID": "2.25.1"}
    return SeriesPlan(
        **{
            "voxels": small_voxels(slices, 8, 6, seed=seed), "series": f"part {seed}", "number": seed,
            "orientation": orientation, "position_mm": (0.0, 0.0, z), "step_mm": 4.0 * normal, **keywords,
        }
    )  # fmt: skip


def test_blocks_at_several_angles_are_stacks_the_longest_axial_one_first(indexed):
    plans = [block(1, 3), block(2, 4, 12.0, 35.0), block(3, 5, 33.0, -35.0)]
    series = indexed(*plans)
    assert series.facts.fault is None
    assert series.facts.plane is Plane.AXIAL  # 33 degrees alone would be oblique
    assert role_of(series.facts) is SeriesRole.MR_AXIAL_T2
    assert series.facts.frame_count == 12
    assert series.facts.spacing_mm == (4.0, 1.0, 1.0)
    assert series.facts.notes == ("its slices are 3 stacks of several angles or places, of 4, 3, 5 slices",)
    by_hand = [(33.77, 49.42), (-2.0, 10.0), (-34.77, -18.0)]
    assert np.allclose(series.facts.heights_mm, by_hand, atol=0.01)
    volume = read_volume(series)
    for plan, stack in zip((plans[1], plans[0], plans[2]), (volume, *volume.other_stacks), strict=True):
        assert [s.sop_instance_uid for s in stack.sources] == [
            plan.sop_instance_uid(n) for n in range(len(stack.sources))
        ]
        assert np.array_equal(stack.voxels, plan.voxels.astype(np.float32))
        assert stack.to_lps_mm((1, 0, 0)) == pytest.approx(np.asarray(plan.position_mm) + plan.step, abs=1e-4)
        assert stack.series_instance_uid == "2.25.1"
        assert stack.frame_of_reference_uid == volume.frame_of_reference_uid


def test_slices_along_a_steep_disc_alone_are_axial_too(indexed):
    facts = indexed(block(1, 5, 33.0)).facts
    assert (facts.plane, role_of(facts)) == (Plane.OBLIQUE, SeriesRole.MR_AXIAL_T2)
    facts = indexed(block(2, 5, 50.0)).facts
    assert (facts.plane, facts.heights_mm, role_of(facts)) == (Plane.OBLIQUE, (), SeriesRole.MR_OTHER)


def test_the_headers_are_those_of_every_stack(indexed):
    series = indexed(block(1, 3), block(2, 4, 12.0, 35.0))
    assert len({str(header.SOPInstanceUID) for header in source_headers(series)}) == 7


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_order_of_stacks_does_not_depend_on_that_of_files(indexed, order):
    plans = [block(1, 3), block(2, 3, 12.0, 35.0), block(3, 3, -9.0, -35.0)]
    volume = read_volume(indexed(*[plans[n] for n in order]))
    heights = [float(stack.affine[2, 3]) for stack in (volume, *volume.other_stacks)]
    assert heights == [35.0, 0.0, -35.0]


def test_blocks_at_one_angle_are_cut_at_the_gap_between_them(indexed):
    series = indexed(block(1, 4, 8.0), block(2, 5, 8.0, 35.0), block(3, 1, 8.0, 80.0))
    volume = read_volume(series)
    assert [len(stack.sources) for stack in (volume, *volume.other_stacks)] == [5, 4, 1]
    assert volume.other_stacks[1].spacing_mm == pytest.approx((1.0, 1.0, 1.0))


def test_one_missing_slice_is_no_gap_between_blocks(indexed):
    def change(dataset, index):
        dataset.ImagePositionPatient = [0, 0, 4.0 * (index if index < 3 else index + 1)]

    series = indexed(block(1, 6), change=change)
    assert series.stacks == ()
    assert series.facts.fault[0] is ReasonCode.SPACING
    assert series.facts.fault[1].startswith("1 slice(s) are missing")


def test_a_block_that_is_no_stack_refuses_the_series(indexed):
    doubled = block(3, 1, 12.0, 35.0)
    series = indexed(block(1, 3), block(2, 4, 12.0, 35.0), doubled)
    assert series.facts.fault[0] is ReasonCode.DUPLICATE


def test_ct_of_several_angles_stays_refused(indexed):
    series = indexed(block(1, 3, modality="CT"), block(2, 3, 12.0, 35.0, modality="CT"))
    assert series.facts.fault[0] is ReasonCode.MIXED


@pytest.mark.parametrize(
    "others",
    [
        {"orientation": SAGITTAL, "step_mm": None},
        {"orientation": CORONAL, "step_mm": None},
        {"pixel_spacing_mm": (0.5, 0.5)},
        {"attributes": {"RepetitionTime": 600.0, "EchoTime": 10.0}},
    ],
    ids=["sagittal", "coronal", "other pixels", "other times"],
)
def test_what_differs_in_more_than_the_angle_stays_refused(indexed, others):
    series = indexed(block(1, 3), block(2, 3, 12.0, 35.0, **others))
    assert series.facts.fault[0] is ReasonCode.MIXED
    assert series.facts.fault[1].startswith("the series mixes 2 kinds")


def test_sagittal_slices_of_two_orientations_stay_refused(indexed):
    lean = (0.0, 1.0, 0.0, float(np.sin(0.2)), 0.0, -float(np.cos(0.2)))
    plans = [block(n, 3, orientation=o, step_mm=None) for n, o in ((1, SAGITTAL), (2, lean))]
    series = indexed(*plans)
    assert series.facts.fault[0] is ReasonCode.MIXED
    assert series.facts.plane is Plane.SAGITTAL


def test_sagittal_slices_with_a_gap_stay_refused(indexed):
    def change(dataset, index):
        dataset.ImagePositionPatient = [4.0 * (index if index < 3 else index + 5), 0, 0]

    series = indexed(block(1, 6, orientation=SAGITTAL, step_mm=None), change=change)
    assert series.facts.fault[0] is ReasonCode.SPACING
