"""Slip, angles and posterior walls on blocks of known place, and on generated bodies with waist and fragment."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inference.anatomy import Disc, Vertebra
from inference.errors import ReasonCode
from inference.geometry import Volume
from inference.measure import read_sagittal
from inference.measure.reading import (
    Angle,
    Length,
    Slip,
    SpineReading,
    Unmeasured,
    WallReading,
    without_lengths,
)
from training.measure_walls import compare, read_labels
from training.phantom import Fracture, PhantomParameters, generate_labels

DEPTH = 34.0
L3_L4, L4_L5 = Disc.under(Vertebra.L3), Disc.under(Vertebra.L4)


def slips(reading: SpineReading) -> dict[Disc, Slip]:
    return {s.level: s.slip for s in reading.slips if isinstance(s.slip, Slip)}


def wall(reading: SpineReading, level: Vertebra) -> WallReading:
    return next(w for w in reading.walls if w.level is level)


def slope_deg(spine, level: Vertebra) -> float:
    """Angle between a block's endplates, positive where the front is lower."""
    return float(np.degrees(np.arctan((spine.height_mm(level, 1.0) - spine.height_mm(level, 0.0)) / DEPTH)))


def expected_slip_mm(spine, lower: Vertebra, forward_mm: float) -> float:
    """Along the slanted superior endplate of the lower block."""
    return forward_mm / float(np.cos(np.radians(slope_deg(spine, lower))))


@pytest.mark.parametrize(
    "spacing", [(1.0, 1.0, 1.0), (4.0, 0.6, 0.6), (4.4, 0.5, 0.9), (3.0, 1.1, 0.6)], ids=lambda s: "x".join(map(str, s))
)
@pytest.mark.parametrize("tilt_deg", [-15.0, 10.0])
@pytest.mark.parametrize("forward_mm", [-4.0, 0.0, 8.0])
def test_a_slip_is_what_it_is_at_any_voxel_size_and_tilt(block_spine, spacing, tilt_deg, forward_mm):
    slices = max(5, round(15 / spacing[0]))
    spine = block_spine(spacing=spacing, slices=slices, tilt_deg=tilt_deg, slip_mm={Vertebra.L3: forward_mm})
    found = slips(read_sagittal(*spine.build()))
    assert set(found) >= {L3_L4, L4_L5}
    for disc, slip in found.items():
        expected = expected_slip_mm(spine, disc.below, forward_mm if disc == L3_L4 else 0.0)
        assert isinstance(slip.offset, Length)
        assert slip.offset.mm == pytest.approx(expected, abs=0.5)
        depth = DEPTH / np.cos(np.radians(slope_deg(spine, disc.below)))
        assert slip.percent == pytest.approx(100 * expected / depth, abs=1.5)


def test_a_slip_lies_between_its_ends_and_points_forwards(block_spine):
    volume, probabilities = block_spine(spacing=(3.0, 1.1, 0.6), slip_mm={Vertebra.L3: 6.0}).build()
    offset = slips(read_sagittal(volume, probabilities))[L3_L4].offset
    assert isinstance(offset, Length)
    start, end = (volume.affine @ [*index, 1.0] for index in (offset.start_index, offset.end_index))
    assert np.linalg.norm(end - start) == pytest.approx(offset.mm)
    assert offset.start_index[0] == offset.end_index[0]
    assert start[1] < end[1]  # the upper body's corner lies in front of the lower body's wall


def turned_about(volume: Volume, degrees: float) -> Volume:
    """The same image of a patient who lies turned about the head-foot axis."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return replace(volume, affine=np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) @ volume.affine)


@pytest.mark.parametrize("flips", [(False, True, False), (True, False, True), (True, True, True)])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("turn_deg", [0.0, 25.0])
def test_any_index_order_and_direction_gives_the_same_values(block_spine, other_order, flips, transposed, turn_deg):
    volume, probabilities = block_spine(spacing=(3.0, 1.1, 0.8), slip_mm={Vertebra.L2: 5.0}).build()
    plain = read_sagittal(volume, probabilities)
    other, other_probabilities = other_order(volume, probabilities, flips=flips, transposed=transposed)
    other = turned_about(other, turn_deg)
    turned = read_sagittal(other, other_probabilities)
    assert list(slips(turned)) == list(slips(plain))
    assert len(slips(plain)) >= 5
    for one, two in zip(slips(plain).values(), slips(turned).values(), strict=True):
        assert isinstance(one.offset, Length)
        assert isinstance(two.offset, Length)
        assert two.offset.mm == pytest.approx(one.offset.mm, abs=1e-6)
        place = turned_about(volume, turn_deg).affine @ [*one.offset.start_index, 1.0]
        assert other.affine @ [*two.offset.start_index, 1.0] == pytest.approx(place, abs=1e-6)
    for one_wall, two_wall in zip(plain.walls, turned.walls, strict=True):
        for name in ("wedge", "kyphosis"):
            angle = getattr(one_wall, name)
            if isinstance(angle, Angle):
                assert getattr(two_wall, name).degrees == pytest.approx(angle.degrees, abs=1e-6)


def test_slices_that_are_set_off_against_each_other_give_the_same_slip(block_spine):
    """A stack whose slices each lie 1 mm further back than the one before, as an angled sagittal stack has."""
    spine = block_spine(spacing=(1.0, 1.0, 1.0), slices=15, slip_mm={Vertebra.L3: 6.0})
    volume, probabilities = spine.build()
    middle = volume.shape[0] // 2
    moved = np.stack([np.roll(probabilities[:, k], -(k - middle), axis=2) for k in range(volume.shape[0])], axis=1)
    affine = volume.affine.copy()
    affine[:3, 0] += affine[:3, 2]
    affine[:3, 3] -= middle * affine[:3, 2]
    plain = slips(read_sagittal(volume, probabilities))[L3_L4]
    angled = slips(read_sagittal(replace(volume, affine=affine), moved))[L3_L4]
    assert isinstance(plain.offset, Length)
    assert isinstance(angled.offset, Length)
    assert angled.offset.mm == pytest.approx(plain.offset.mm, abs=0.2)


@pytest.mark.parametrize("loss", [0.0, 0.3, 0.45])
def test_wedge_and_kyphosis_are_those_of_the_blocks(block_spine, loss):
    spine = block_spine(spacing=(1.0, 0.8, 0.6), slices=15, loss={Vertebra.L2: loss})
    reading = read_sagittal(*spine.build())
    wedge, above, below = (wall(reading, level) for level in (Vertebra.L2, Vertebra.L1, Vertebra.L3))
    assert isinstance(wedge.wedge, Angle)
    assert wedge.wedge.degrees == pytest.approx(slope_deg(spine, Vertebra.L2), abs=1.0)
    for reading_of, upper in ((wedge, Vertebra.L1), (above, Vertebra.T12), (below, Vertebra.L2)):
        assert isinstance(reading_of.kyphosis, Angle)
        # Every block stands on a level inferior endplate, so that the upper one's slope is the whole angle.
        assert reading_of.kyphosis.degrees == pytest.approx(slope_deg(spine, upper), abs=1.0)


def test_there_is_no_slip_on_the_sacrum_and_no_kyphosis_at_the_ends(block_spine):
    reading = read_sagittal(*block_spine().build())
    last = reading.slips[-1]
    assert last.level == Disc.under(Vertebra.L5)
    assert isinstance(last.slip, Unmeasured)
    assert last.slip.reason is ReasonCode.NO_MODEL
    for found in (wall(reading, Vertebra.L5).kyphosis, wall(reading, Vertebra.L5).retropulsion):
        assert isinstance(found, Unmeasured)
        assert found.reason is ReasonCode.TRUNCATION
    assert isinstance(wall(reading, Vertebra.L5).wedge, Angle)


@pytest.mark.parametrize(("tilt_deg", "forward_mm"), [(-25.0, -4.0), (-25.0, 8.0), (10.0, 0.0)])
def test_the_canal_stands_behind_a_body_slipped_on_the_sacrum_by_as_much(block_spine, tilt_deg, forward_mm):
    """The blocks' canal runs straight, 2 mm behind what is not slipped."""
    spine = block_spine(spacing=(4.0, 0.8, 0.8), slices=5, tilt_deg=tilt_deg, slip_mm={Vertebra.L5: forward_mm})
    reading = read_sagittal(*spine.build())
    last = reading.slips[-1]
    assert isinstance(last.slip, Unmeasured)
    assert last.canal_gap_percent is not None
    assert last.canal_gap_percent * DEPTH / 100 == pytest.approx(2.0 + forward_mm, abs=0.8)


def test_the_canal_tells_nothing_where_it_is_not_outlined_below_the_disc(block_spine):
    volume, probabilities = block_spine(spacing=(4.0, 0.8, 0.8), slices=5).build()
    lowest = int(np.flatnonzero((probabilities[2] > 0.5).any(axis=(0, 2)))[-1])
    probabilities[0, :, lowest - 12 :] += probabilities[3, :, lowest - 12 :]
    probabilities[3, :, lowest - 12 :] = 0.0
    assert read_sagittal(volume, probabilities).slips[-1].canal_gap_percent is None


def test_there_is_no_slip_where_a_corner_is_not_outlined(block_spine):
    """Used to give a retrolisthesis of half the endplate where the rim had broken off L5."""
    volume, probabilities = block_spine(spacing=(3.0, 0.7, 0.7), slices=9).build()
    body = next(v.body for v in read_sagittal(volume, probabilities).vertebrae if v.level is Vertebra.L5)
    rows, columns = (np.flatnonzero(body.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    row, column = np.arange(body.shape[1])[:, None], np.arange(body.shape[2])
    is_corner = (column - columns[-1]) / (0.5 * len(columns)) - (row - rows[0]) / len(rows) > -1.0
    corner = body & is_corner[None]
    probabilities[1][corner], probabilities[0][corner] = 0.0, 1.0
    cut = {s.level.name: s.slip for s in read_sagittal(volume, probabilities).slips}
    assert isinstance(cut["L4-L5"], Unmeasured)
    assert "a corner of the body is not outlined" in cut["L4-L5"].sentence
    assert isinstance(cut["L3-L4"], Slip)


def test_a_body_that_is_cut_off_gives_neither_slip_nor_angle(block_spine):
    reading = read_sagittal(*block_spine(above_mm=-8.0).build())
    first = next(v for v in reading.vertebrae if v.touches_edge)
    assert isinstance(first.heights, Unmeasured)
    assert wall(reading, first.level).wedge == first.heights
    assert next(s.slip for s in reading.slips if s.level.above is first.level) == first.heights


def test_a_wrong_spacing_leaves_percentages_alone(block_spine):
    reading = read_sagittal(*block_spine(slip_mm={Vertebra.L3: 6.0}).build())
    reason = Unmeasured(reason=ReasonCode.SPACING, sentence="the pixel spacing cannot be right")
    left = without_lengths(reading, reason)
    assert slips(left)[L3_L4].percent == slips(reading)[L3_L4].percent
    assert slips(left)[L3_L4].offset == reason
    assert {w.wedge for w in left.walls} == {w.kyphosis for w in left.walls} == {reason}
    assert left.slips[-1] == reading.slips[-1]  # what was not measured keeps its own reason


@pytest.mark.parametrize("scale", [(1.0, 1.15), (0.85, 0.85)])
def test_a_percentage_is_the_same_at_any_spacing(block_spine, scale):
    """So that a spacing that is wrong, in one direction or both, does not change it."""
    volume, probabilities = block_spine(spacing=(3.0, 1.0, 1.0), slip_mm={Vertebra.L3: 7.0}).build()
    affine = volume.affine.copy()
    affine[:3, 1] *= scale[0]
    affine[:3, 2] *= scale[1]
    right = slips(read_sagittal(volume, probabilities))
    wrong = slips(read_sagittal(replace(volume, affine=affine), probabilities))
    assert wrong[L3_L4].percent == pytest.approx(right[L3_L4].percent, abs=1.0)


@pytest.fixture(scope="module")
def generated() -> dict[str, np.ndarray]:
    """Errors by measurement on four generated spines; synthetic."""
    errors: dict[str, list[float]] = {}
    drawn = (
        ({"L4-L5": 7.0}, Fracture("wedge", 0.4, retropulsion_mm=5.0)),
        ({"L3-L4": -4.0}, Fracture("crush", 0.3, retropulsion_mm=3.0)),
        ({"L4-L5": 3.0}, Fracture("biconcave", 0.3, retropulsion_mm=0.0)),
    )
    for seed, (slip_mm, fracture) in enumerate(drawn, start=1):
        parameters = PhantomParameters(seed=seed, slices=5, slip_mm=slip_mm, fractures={"L1": fracture})
        label_map = generate_labels(parameters)
        for found in compare(read_labels(label_map), label_map.truth):
            errors.setdefault(found.name, []).append(found.found - found.truth)
    return {name: np.array(values) for name, values in errors.items()}


@pytest.mark.parametrize(
    ("name", "count", "bias", "largest"),
    [
        ("slip, mm, whole", 8, 0.3, 1.0),
        ("wedge angle, deg, whole", 12, 0.5, 2.0),
        ("wedge angle, deg, fractured", 3, 2.0, 3.5),
        ("local kyphosis, deg, fractured", 3, 1.0, 2.0),
        ("retropulsion, mm, fractured", 3, 0.8, 1.5),
        ("canal compromise, %, fractured", 3, 2.0, 4.0),
    ],
)
def test_errors_on_generated_spines(generated, name, count, bias, largest):
    """Bodies with waist, rounded edges, hollow endplates and a fragment; synthetic."""
    errors = generated[name]
    assert len(errors) >= count
    assert abs(errors.mean()) < bias
    assert np.abs(errors).max() < largest
