"""Bodies of one series on the grid of another: where the patient's motion puts them, and what is not shown."""

from __future__ import annotations

import numpy as np
import pytest

from inference.errors import ReasonCode
from inference.geometry import FrameReference, Volume
from inference.measure import read_sagittal
from inference.measure.matching import RigidMotion
from inference.measure.outlines import moved_outlines, own_outlines

STILL = RigidMotion(turn=np.eye(3), shift_mm=np.zeros(3), residual_mm=0.0)


def dice(one, two):
    return 2 * (one & two).sum() / (one.sum() + two.sum())


def volume(shape, affine):
    sources = tuple(FrameReference(sop_class_uid="1.2", sop_instance_uid=f"1.2.{i}") for i in range(shape[0]))
    return Volume(voxels=np.zeros(shape, np.float32), affine=affine, sources=sources, series_instance_uid="1.2.4")


def test_a_still_patient_on_the_same_grid_keeps_every_voxel(block_spine):
    here, probabilities = block_spine().build()
    reading = read_sagittal(here, probabilities)
    own, moved = own_outlines(reading, here), moved_outlines(reading, here, here, STILL)
    assert list(moved) == [v.level for v in reading.vertebrae]
    for level, outline in own.items():
        assert np.array_equal(outline.mask, moved[level].mask)
        assert outline.cut == moved[level].cut


def test_another_order_of_slices_and_axes_holds_the_same_bodies(block_spine, other_order):
    here, probabilities = block_spine().build()
    there, theirs = other_order(here, probabilities, flips=(True, True, False), transposed=True)
    moved = moved_outlines(read_sagittal(here, probabilities), here, there, STILL)
    for level, outline in own_outlines(read_sagittal(there, np.ascontiguousarray(theirs)), there).items():
        assert dice(outline.mask, moved[level].mask) > 0.98


def test_a_motion_moves_the_bodies_and_oblong_voxels_keep_their_volume(block_spine):
    here, probabilities = block_spine().build()
    reading = read_sagittal(here, probabilities)
    angle = np.radians(5)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    motion = RigidMotion(turn=turn, shift_mm=np.array([0.0, 4.0, -7.0]), residual_mm=0.0)
    affine = motion.matrix @ here.affine
    affine[:3, 1:3] *= (0.5, 0.8)
    there = volume((here.shape[0], here.shape[1] * 2, int(here.shape[2] / 0.8) + 1), affine)
    for level, outline in moved_outlines(reading, here, there, motion).items():
        own = own_outlines(reading, here)[level]
        assert outline.cut == own.cut
        assert outline.mask.sum() * 0.4 == pytest.approx(own.mask.sum(), rel=0.02)
        assert outline.centre_lps_mm == pytest.approx(turn @ own.centre_lps_mm + motion.shift_mm)
        centre = there.to_lps_mm(np.argwhere(outline.mask).mean(axis=0))
        before = here.to_lps_mm(np.argwhere(own.mask).mean(axis=0))
        assert centre == pytest.approx(turn @ before + motion.shift_mm, abs=0.6)


def test_a_body_that_the_other_series_shows_in_part_says_so(block_spine):
    here, probabilities = block_spine().build()
    reading = read_sagittal(here, probabilities)
    wanted = reading.vertebrae[3]
    row = round(wanted.centre_index[1])
    there = volume((here.shape[0], row, here.shape[2]), here.affine)
    cut = moved_outlines(reading, here, there, STILL)[wanted.level].cut
    assert cut is not None
    assert cut.reason is ReasonCode.TRUNCATION
    assert "of the body" in cut.sentence
