"""read_sagittal on blocks of known size (models.md 4.1: height bias below 0.3 mm, loss error below 3 %)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inference.anatomy import Disc, Vertebra
from inference.errors import ReasonCode, SeriesRefusal
from inference.geometry import Volume
from inference.measure import read_sagittal
from inference.measure.reading import FractureShape, HeightLoss, Heights, Length, SpineReading, Unmeasured
from inference.measure.separators import Separator, direction_between

MEASURED = (Vertebra.T12, Vertebra.L1, Vertebra.L2, Vertebra.L3, Vertebra.L4, Vertebra.L5)


def height_errors(reading: SpineReading, spine) -> np.ndarray:
    """(body, 2): measured minus true anterior and posterior height."""
    errors = []
    for vertebra in reading.vertebrae:
        if isinstance(vertebra.heights, Heights):
            true = [spine.height_mm(vertebra.level, share) for share in (0.15, 0.85)]
            errors.append([vertebra.heights.anterior.mm - true[0], vertebra.heights.posterior.mm - true[1]])
    return np.array(errors)


@pytest.mark.parametrize(
    "spacing", [(1.0, 1.0, 1.0), (3.0, 0.7, 0.7), (4.4, 0.5, 0.9), (3.0, 1.1, 0.6)], ids=lambda s: "x".join(map(str, s))
)
@pytest.mark.parametrize("tilt_deg", [-20.0, -7.0, 15.0])
def test_heights_have_no_bias_at_any_voxel_size_and_tilt(block_spine, spacing, tilt_deg):
    slices = max(5, round(15 / spacing[0]))
    spine = block_spine(spacing=spacing, slices=slices, tilt_deg=tilt_deg)
    errors = height_errors(read_sagittal(*spine.build()), spine)
    assert len(errors) >= 6
    assert np.abs(errors.mean(axis=0)).max() < 0.3
    assert np.abs(errors).max() < 0.6


@pytest.mark.parametrize("lean_deg", [-8.0, 8.0])
def test_a_sideways_lean_does_not_raise_heights(block_spine, lean_deg):
    spine = block_spine(lean_deg=lean_deg, slices=19)
    errors = height_errors(read_sagittal(*spine.build()), spine)
    assert len(errors) >= 4
    assert np.abs(errors.mean(axis=0)).max() < 0.3


def test_numbering_is_ambiguous_where_the_column_leaves_the_stack_sideways(block_spine):
    """Used to name L4 "L5" without a doubt: L5 lay beside the last slice."""
    reading = read_sagittal(*block_spine(lean_deg=14.0, slices=13).build())
    assert reading.numbering.ambiguous
    assert "leaves the stack" in reading.numbering.note


@pytest.mark.parametrize("loss", [0.0, 0.15, 0.25, 0.30, 0.45])
def test_loss_of_a_wedge_is_within_three_percent(block_spine, loss):
    spine = block_spine(spacing=(1.0, 1.0, 1.0), slices=15, loss={Vertebra.L2: loss})
    reading = read_sagittal(*spine.build())
    found = next(v.loss for v in reading.vertebrae if v.level is Vertebra.L2)
    assert isinstance(found, HeightLoss)
    assert found.fraction == pytest.approx(loss, abs=0.03)
    if loss >= 0.3:
        assert found.shape is FractureShape.WEDGE
        assert found.genant == (3 if loss > 0.4 else 2)
        assert found.z < -3.0
        assert found.probability_moderate > 0.7
    others = [v.loss for v in reading.vertebrae if v.level is not Vertebra.L2 and isinstance(v.loss, HeightLoss)]
    assert others
    assert all(other.genant == 0 for other in others)


@pytest.mark.parametrize("flips", [(False, True, False), (True, False, True)])
@pytest.mark.parametrize("transposed", [False, True])
def test_any_index_order_gives_the_same_reading_in_its_own_indices(block_spine, other_order, flips, transposed):
    volume, probabilities = block_spine(spacing=(3.0, 1.1, 0.8)).build()
    plain = read_sagittal(volume, probabilities)
    turned_volume, turned_probabilities = other_order(volume, probabilities, flips=flips, transposed=transposed)
    turned = read_sagittal(turned_volume, turned_probabilities)
    assert [v.level for v in turned.vertebrae] == [v.level for v in plain.vertebrae]
    for a, b in zip(plain.vertebrae, turned.vertebrae, strict=True):
        restored = np.flip(b.mask.swapaxes(1, 2) if transposed else b.mask, [i for i, f in enumerate(flips) if f])
        assert np.array_equal(a.mask, restored)
        np.testing.assert_allclose(volume.to_lps_mm(a.centre_index), turned_volume.to_lps_mm(b.centre_index), atol=1e-6)
        if isinstance(a.heights, Heights):
            assert isinstance(b.heights, Heights)
            assert b.heights.anterior.mm == pytest.approx(a.heights.anterior.mm, abs=0.02)
            np.testing.assert_allclose(
                volume.to_lps_mm(a.heights.posterior.start_index),
                turned_volume.to_lps_mm(b.heights.posterior.start_index),
                atol=0.3,
            )


def test_ends_of_a_length_are_as_far_apart_as_it_says(block_spine):
    volume, probabilities = block_spine().build()
    reading = read_sagittal(volume, probabilities)
    lengths = [v.heights.anterior for v in reading.vertebrae if isinstance(v.heights, Heights)]
    lengths += [c.ap_diameter for c in reading.canal_levels if isinstance(c.ap_diameter, Length)]
    assert len(lengths) > 8
    for length in lengths:
        ends = volume.to_lps_mm([length.start_index, length.end_index])
        assert np.linalg.norm(ends[1] - ends[0]) == pytest.approx(length.mm, abs=0.01)
        assert length.start_index[0] == length.end_index[0]
        assert length.uncertainty_mm >= 0.3 * min(volume.spacing_mm[1:]) - 1e-9


def test_every_voxel_of_the_vertebra_class_belongs_to_exactly_one_vertebra(block_spine):
    volume, probabilities = block_spine(spacing=(2.0, 1.0, 1.0), slices=20).build()
    reading = read_sagittal(volume, probabilities)
    owners = sum(v.mask.astype(int) for v in reading.vertebrae)
    assert np.array_equal(owners, (probabilities.argmax(axis=0) == 1).astype(int))
    discs = sum(d.mask.astype(int) for d in reading.discs)
    assert np.array_equal(discs, (probabilities.argmax(axis=0) == 2).astype(int))


def test_body_stops_at_the_posterior_wall_and_the_arch_goes_to_its_own_body(block_spine):
    volume, probabilities = block_spine(spacing=(2.0, 1.0, 1.0), slices=20).build()
    reading = read_sagittal(volume, probabilities)
    for vertebra in reading.vertebrae[1:]:
        arch = np.argwhere(vertebra.mask & ~vertebra.body)
        body = np.argwhere(vertebra.body)
        assert len(arch) > 200
        assert 0.45 < len(body) / (len(body) + len(arch)) < 0.95
        lower = volume.to_lps_mm(arch.mean(axis=0))[2] - volume.to_lps_mm(body.mean(axis=0))[2]
        assert -20.0 < lower < 25.0


def test_disc_heights_and_canal_diameter(block_spine):
    reading = read_sagittal(*block_spine(spacing=(3.0, 0.6, 0.6)).build())
    lowest = reading.discs[-1]
    assert lowest.level == Disc(above=Vertebra.L5, below=Vertebra.S1)
    assert isinstance(lowest.height, Length)
    assert lowest.height.mm == pytest.approx(8.0, abs=0.3)
    found = [c.ap_diameter.mm for c in reading.canal_levels if isinstance(c.ap_diameter, Length)]
    assert len(found) >= 6
    assert np.median(found) == pytest.approx(16.0, abs=0.4)


def test_levels_are_counted_from_the_sacrum_and_say_so(block_spine):
    reading = read_sagittal(*block_spine().build())
    assert [v.level.name for v in reading.vertebrae] == ["T11", "T12", "L1", "L2", "L3", "L4", "L5"]
    assert [d.level.name for d in reading.discs][-2:] == ["L4-L5", "L5-S1"]
    assert reading.numbering.method == "counted_from_sacrum"
    assert not reading.numbering.ambiguous
    assert "transitional vertebra cannot be excluded" in reading.numbering.note


def test_numbering_is_ambiguous_where_the_image_ends_below_the_last_disc(block_spine):
    reading = read_sagittal(*block_spine(below_mm=-12.0).build())
    assert reading.numbering.ambiguous
    assert "image ends" in reading.numbering.note
    assert any(code is ReasonCode.NUMBERING for code, _ in reading.warnings)


def test_numbering_is_ambiguous_without_a_disc_under_the_last_body(block_spine):
    volume, probabilities = block_spine(below_mm=30.0).build()
    lowest = read_sagittal(volume, probabilities).discs[-1].mask
    probabilities[2][lowest], probabilities[0][lowest] = 0.0, 1.0
    reading = read_sagittal(volume, probabilities)
    assert reading.numbering.ambiguous
    assert "No disc was found under the lowest" in reading.numbering.note
    heights = reading.vertebrae[-1].heights
    assert isinstance(heights, Unmeasured)
    assert "piece of the sacrum" in heights.sentence
    assert isinstance(reading.vertebrae[-2].heights, Heights)


def test_numbering_is_ambiguous_where_the_last_disc_does_not_dip_to_the_front(block_spine):
    reading = read_sagittal(*block_spine(tilt_deg=10.0).build())
    assert reading.numbering.ambiguous
    assert "inclined by -10 degrees" in reading.numbering.note


def test_two_bodies_that_touch_are_told_apart(block_spine):
    reading = read_sagittal(*block_spine(dropped_discs=(Vertebra.L2,)).build())
    assert [v.level.name for v in reading.vertebrae] == ["T11", "T12", "L1", "L2", "L3", "L4", "L5"]
    assert "L2-L3" not in [d.level.name for d in reading.discs]
    assert "told apart without a disc" in reading.numbering.note


def test_fragments_of_a_disc_are_one_disc(block_spine):
    volume, probabilities = block_spine().build()
    disc = read_sagittal(volume, probabilities).discs[3].mask
    columns = np.flatnonzero(disc.any(axis=(0, 1)))
    hole = np.zeros_like(disc)
    hole[:, :, columns[len(columns) // 2] : columns[len(columns) // 2] + 4] = True
    hole &= disc
    probabilities[2][hole], probabilities[0][hole] = 0.0, 1.0
    reading = read_sagittal(volume, probabilities)
    assert [v.level.name for v in reading.vertebrae] == ["T11", "T12", "L1", "L2", "L3", "L4", "L5"]
    assert len(reading.discs) == 7


def test_a_body_cut_by_the_image_is_named_but_not_measured(block_spine):
    reading = read_sagittal(*block_spine(above_mm=-8.0).build())
    top = reading.vertebrae[0]
    assert top.level is Vertebra.T11
    assert top.mask.any()
    assert top.touches_edge
    assert isinstance(top.heights, Unmeasured)
    assert top.heights.reason is ReasonCode.TRUNCATION
    assert isinstance(top.loss, Unmeasured)
    assert isinstance(reading.vertebrae[2].heights, Heights)


def test_a_body_cut_by_the_front_edge_is_not_measured(block_spine):
    """Used to be measured 8 mm too low: only the first and last rows were looked at."""
    volume, probabilities = block_spine(spacing=(4.0, 1.0, 1.0), slices=5).build()
    first = int(np.flatnonzero(read_sagittal(volume, probabilities).vertebrae[-1].body.any(axis=(0, 1)))[0])
    affine = volume.affine.copy()
    affine[:3, 3] = volume.to_lps_mm((0, 0, first + 8))
    cut = Volume(
        voxels=volume.voxels[:, :, first + 8 :], affine=affine, sources=volume.sources, series_instance_uid="1.2.3"
    )
    lowest = read_sagittal(cut, probabilities[..., first + 8 :]).vertebrae[-1]
    assert lowest.touches_edge
    assert isinstance(lowest.heights, Unmeasured)
    assert lowest.heights.reason is ReasonCode.TRUNCATION


def test_one_slice_is_read_with_a_warning(block_spine):
    spine = block_spine(spacing=(4.0, 0.8, 0.8), slices=1)
    reading = read_sagittal(*spine.build())
    assert [v.level.name for v in reading.vertebrae] == ["T11", "T12", "L1", "L2", "L3", "L4", "L5"]
    assert np.abs(height_errors(reading, spine).mean(axis=0)).max() < 0.3
    assert ReasonCode.FEW_SLICES in [code for code, _ in reading.warnings]


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_noisy_probabilities_keep_levels_and_heights(block_spine, kind):
    spine = block_spine(spacing=(3.0, 0.8, 0.8))
    volume, probabilities = spine.build()
    noise = np.random.default_rng(3).normal(0.0, 0.2, probabilities.shape)
    noisy = np.clip(0.8 * probabilities + 0.05 + noise, 1e-3, None)
    reading = read_sagittal(volume, (noisy / noisy.sum(axis=0)).astype(kind))
    assert [v.level.name for v in reading.vertebrae] == ["T11", "T12", "L1", "L2", "L3", "L4", "L5"]
    assert np.abs(height_errors(reading, spine).mean(axis=0)).max() < 0.6
    assert all(v.loss.genant == 0 for v in reading.vertebrae if isinstance(v.loss, HeightLoss))


def test_coarse_voxels_along_the_spine_carry_no_height(block_spine):
    reading = read_sagittal(*block_spine(spacing=(4.0, 3.2, 1.5)).build())
    assert {v.heights.reason for v in reading.vertebrae if isinstance(v.heights, Unmeasured)} >= {ReasonCode.SPACING}
    assert not any(isinstance(v.heights, Heights) for v in reading.vertebrae)


def test_the_same_input_gives_the_same_reading(block_spine):
    volume, probabilities = block_spine().build()
    first, second = read_sagittal(volume, probabilities), read_sagittal(volume, probabilities.copy())
    assert [v.heights for v in first.vertebrae] == [v.heights for v in second.vertebrae]
    assert [v.loss for v in first.vertebrae] == [v.loss for v in second.vertebrae]


def refused(volume: Volume, probabilities: np.ndarray) -> SeriesRefusal:
    with pytest.raises(SeriesRefusal) as caught:
        read_sagittal(volume, probabilities)
    return caught.value


def test_background_everywhere_is_refused(block_spine):
    volume, probabilities = block_spine().build()
    probabilities[:], probabilities[0] = 0.0, 1.0
    assert refused(volume, probabilities).code is ReasonCode.BODY_PART


def test_bones_without_a_canal_are_refused(block_spine):
    volume, probabilities = block_spine().build()
    probabilities[0] += probabilities[3]
    probabilities[3] = 0.0
    refusal = refused(volume, probabilities)
    assert refusal.code is ReasonCode.BODY_PART
    assert "0 mm of spinal canal" in refusal.sentence


def test_a_spine_of_impossible_size_is_refused(block_spine):
    volume, probabilities = block_spine().build()
    small = Volume(
        voxels=volume.voxels,
        affine=volume.affine @ np.diag([0.5, 0.5, 0.5, 1.0]),
        sources=volume.sources,
        series_instance_uid="1.2.3",
    )
    refusal = refused(small, probabilities)
    assert refusal.code is ReasonCode.BODY_PART
    assert "standard deviations" in refusal.sentence


def test_axial_slices_are_refused(block_spine):
    volume, probabilities = block_spine().build()
    axial = Volume(
        voxels=volume.voxels,
        affine=volume.affine[[1, 2, 0, 3]],
        sources=volume.sources,
        series_instance_uid="1.2.3",
    )
    assert refused(axial, probabilities).code is ReasonCode.ORIENTATION


def test_probabilities_of_another_shape_are_a_mistake(block_spine):
    volume, probabilities = block_spine().build()
    with pytest.raises(ValueError, match="probabilities must have the shape"):
        read_sagittal(volume, probabilities[:3])


def moved(mask: np.ndarray, rows: int, columns: int) -> np.ndarray:
    return np.roll(mask, (rows, columns), axis=(1, 2))


def painted(probabilities: np.ndarray, mask: np.ndarray, number: int) -> np.ndarray:
    changed = probabilities.copy()
    changed[:, mask] = 0.0
    changed[number, mask] = 1.0
    return changed


def test_bone_far_in_front_of_the_spine_belongs_to_no_vertebra(block_spine):
    """Used to be kept, and to spoil the heights of the level that it lies at."""
    volume, probabilities = block_spine().build()
    plain = read_sagittal(volume, probabilities)
    body = plain.vertebrae[3].body
    columns = np.flatnonzero(body.any(axis=(0, 1)))
    island = moved(body, 0, -int(columns[-1] - columns[0] + 10)) & (probabilities[0] == 1.0)
    reading = read_sagittal(volume, painted(probabilities, island, 1))
    assert island.sum() > 1000
    assert not any((v.mask & island).any() for v in reading.vertebrae)
    heights = [[v.heights.anterior.mm for v in r.vertebrae if isinstance(v.heights, Heights)] for r in (plain, reading)]
    assert len(heights[0]) >= 6
    assert heights[1] == pytest.approx(heights[0], abs=0.1)


@pytest.mark.parametrize("places_mm", [(68.0, 102.0), (34.0, 68.0, 102.0)])
def test_discs_far_above_the_topmost_body_get_no_name(block_spine, places_mm):
    """Used to end in a KeyError (three discs: no body is next to the first), or to halve the topmost body (two)."""
    volume, probabilities = block_spine(above_mm=110.0).build()
    plain = read_sagittal(volume, probabilities)
    disc = plain.discs[0].mask
    for up_mm in places_mm:
        lean = np.radians(-12.0)
        there = moved(disc, -round(up_mm * np.cos(lean)), round(up_mm * np.sin(lean)))
        probabilities = painted(probabilities, there, 2)
    reading = read_sagittal(volume, probabilities)
    assert [v.level for v in reading.vertebrae] == [v.level for v in plain.vertebrae]
    assert [d.level.name for d in reading.discs][-7:] == [d.level.name for d in plain.discs]
    assert len(reading.discs) < 7 + len(places_mm)


def test_two_pieces_of_noise_at_one_place_have_the_direction_of_the_spine():
    one = Separator(arc_mm=10.0, centre_mm=np.array([5.0, 40.0, 30.0]), normal=np.array([0.0, 0.8, 0.6]), disc=1)
    other = replace(one, centre_mm=np.array([7.0, 40.0, 30.0]), disc=2)  # apart across slices alone
    for below in (one, other):
        assert direction_between(one, below) == pytest.approx(one.normal)
    apart = replace(one, centre_mm=np.array([5.0, 43.0, 34.0]), disc=2)
    assert direction_between(one, apart) == pytest.approx([0.0, 0.6, 0.8])
