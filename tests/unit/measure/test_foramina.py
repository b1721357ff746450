"""Neural foramina on blocks of known size in any order and direction, and on a generated spine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inference.anatomy import Disc, Laterality, Vertebra
from inference.errors import ReasonCode
from inference.measure import read_sagittal
from inference.measure.foramen_fat import fat_shares, inside_outline
from inference.measure.foramina import NO_PEDICLES
from inference.measure.reading import Foramen, SpineReading, Unmeasured, without_lengths
from training.measure_foramina import compare_generated, sizes_of
from training.measure_walls import read_labels
from training.phantom import PhantomParameters, generate_labels

WIDTH, WALL, PEDICLE = 12.0, 34.0, 10.0
LUMBAR = [Disc.under(level) for level in (Vertebra.L1, Vertebra.L2, Vertebra.L3, Vertebra.L4)]


@pytest.fixture
def facet_spine(block_spine):
    """Blocks whose pedicles stand 12 mm in front of a wall of articular processes."""

    class FacetSpine(block_spine):
        @staticmethod
        def _arch(s, d, across, bottom):
            joint = (d > WALL + WIDTH) & (d < WALL + 25.0) & (s > bottom - 16) & (s < bottom + 30)
            return [*block_spine._arch(s, d, across, bottom), (joint, (across > 12.0) & (across < 18.0))]

        def foramen_height_mm(self, disc: Disc) -> float:
            bottoms, _ = self._bottoms()
            return bottoms[disc.below] - bottoms[disc.above] - PEDICLE

    return FacetSpine


def foramina(reading: SpineReading) -> dict[tuple[Disc, Laterality], Foramen]:
    return {(f.level, f.side): f.foramen for f in reading.foramina if isinstance(f.foramen, Foramen)}


def lps(volume, index):
    return np.asarray(volume.affine @ [*index, 1.0])[:3]


@pytest.mark.parametrize(
    ("spacing", "tilt_deg"), [((1.5, 0.8, 0.8), -15.0), ((3.0, 0.6, 0.9), 10.0), ((3.0, 1.1, 0.6), 0.0)], ids=str
)
def test_height_width_and_area_are_those_of_the_blocks(facet_spine, spacing, tilt_deg):
    spine = facet_spine(spacing=spacing, slices=round(39 / spacing[0]), tilt_deg=tilt_deg)
    volume, probabilities = spine.build()
    reading = read_sagittal(volume, probabilities)
    found = foramina(reading)
    assert {level for level, _ in found} >= set(LUMBAR)
    for (level, side), foramen in found.items():
        if level in LUMBAR:
            height = spine.foramen_height_mm(level)
            assert foramen.height.mm == pytest.approx(height, abs=0.8)
            assert foramen.width.mm == pytest.approx(WIDTH, abs=0.5)
            area = sizes_of(reading, volume.spacing_mm)[level.name, side].area_mm2
            assert area == pytest.approx(height * WIDTH, rel=0.06)


def test_lines_are_as_long_as_they_say_and_lie_within_the_pedicles(facet_spine):
    volume, probabilities = facet_spine(slices=13).build()
    found = foramina(read_sagittal(volume, probabilities))
    for foramen in found.values():
        for line in (foramen.height, foramen.width):
            start, end = lps(volume, line.start_index), lps(volume, line.end_index)
            assert np.linalg.norm(end - start) == pytest.approx(line.mm)
            assert 12.0 < abs(start[0] - volume.affine[0, 3] - 18.0) < 18.0  # the middle slice of 13, 3 mm apart


def test_there_is_none_at_the_sacrum(facet_spine):
    reading = read_sagittal(*facet_spine().build())
    assert Disc.under(Vertebra.L5) not in {f.level for f in reading.foramina}


@pytest.mark.parametrize(
    ("flips", "transposed", "turn_deg"),
    [
        ((True, False, False), False, 0.0),
        ((True, False, False), True, 25.0),
        ((False, True, True), False, -25.0),
        ((True, True, True), True, 0.0),
    ],
)
def test_sides_are_the_patients_in_any_index_order_and_direction(facet_spine, other_order, flips, transposed, turn_deg):
    """Left lies at larger x (LPS), and every foramen is at the same place of the patient."""
    volume, probabilities = facet_spine(lean_deg=2.0).build()
    plain = foramina(read_sagittal(volume, probabilities))
    other, other_probabilities = other_order(volume, probabilities, flips=flips, transposed=transposed)
    c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    turn = np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    other = replace(other, affine=turn @ other.affine)
    turned = foramina(read_sagittal(other, other_probabilities))
    assert turned.keys() == plain.keys()
    for level in LUMBAR:
        left, right = (turned[level, side] for side in (Laterality.LEFT, Laterality.RIGHT))
        assert lps(other, left.height.start_index)[0] > lps(other, right.height.start_index)[0] + 20.0
    for place, foramen in turned.items():
        assert foramen.height.mm == pytest.approx(plain[place].height.mm, abs=0.2)  # bone is given out in another order
        there = (turn @ [*lps(volume, plain[place].height.start_index), 1.0])[:3]
        assert lps(other, foramen.height.start_index) == pytest.approx(there, abs=0.5)


def test_half_precision_probabilities_give_the_same(facet_spine):
    volume, probabilities = facet_spine().build()
    whole, half = (foramina(read_sagittal(volume, p)) for p in (probabilities, probabilities.astype(np.float16)))
    assert whole.keys() == half.keys()
    for place, foramen in half.items():
        assert foramen.width.mm == pytest.approx(whole[place].width.mm, abs=0.05)


@pytest.mark.parametrize("slices", [1, 5])
def test_slices_that_do_not_reach_the_pedicles_give_none(facet_spine, slices):
    reading = read_sagittal(*facet_spine(slices=slices).build())
    assert {f.foramen for f in reading.foramina} == {NO_PEDICLES}


def test_a_stack_that_ends_on_one_side_says_why_the_other_is_missing(facet_spine):
    volume, probabilities = facet_spine(slices=13).build()
    cut = replace(volume, voxels=volume.voxels[3:], sources=volume.sources[3:])
    reading = read_sagittal(cut, probabilities[:, 3:])
    sides = {side for _, side in foramina(reading)}
    assert sides == {Laterality.LEFT}  # slices grow to the left
    missing = [f.foramen for f in reading.foramina if f.side is Laterality.RIGHT]
    assert missing
    assert {m.reason for m in missing if isinstance(m, Unmeasured)} == {ReasonCode.TRUNCATION}


def test_a_foramen_without_bone_behind_it_is_not_measured(block_spine):
    """The plain blocks have no articular processes."""
    reading = read_sagittal(*block_spine().build())
    assert reading.foramina
    assert {f.foramen.reason for f in reading.foramina if isinstance(f.foramen, Unmeasured)} == {ReasonCode.UNCERTAIN}
    assert foramina(reading) == {}


def test_a_wrong_spacing_leaves_no_size(facet_spine):
    reason = Unmeasured(reason=ReasonCode.SPACING, sentence="the pixel spacing cannot be right")
    left = without_lengths(read_sagittal(*facet_spine().build()), reason)
    assert {f.foramen for f in left.foramina} == {reason}


def painted(volume, reading, *, fat: float, dark: float, level: Disc, share: float):
    """Marrow 100 times the coil, foramina fat but for one, of which only the upper part is."""
    coil = np.linspace(0.5, 2.0, volume.shape[1])[None, :, None]
    voxels = np.full(volume.shape, 100.0, np.float32)
    for found in reading.foramina:
        outline = np.asarray(found.foramen.outline_index)
        inside = inside_outline(outline[:, 1:], volume.shape[1:])
        plane = voxels[round(float(outline[0, 0]))]
        rows = np.nonzero(inside)[0]
        limit = np.quantile(rows, share if found.level == level else 0.8)
        plane[inside] = np.where(rows <= limit, fat, dark)
    return replace(volume, voxels=np.asarray(voxels * coil, np.float32))


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_the_fat_share_is_that_which_was_painted_under_an_uneven_coil(facet_spine, share):
    volume, probabilities = facet_spine(spacing=(3.0, 0.6, 0.6)).build()
    reading = read_sagittal(volume, probabilities)
    level = LUMBAR[2]
    shares = fat_shares(reading, painted(volume, reading, fat=180.0, dark=60.0, level=level, share=share))
    assert shares[level, Laterality.LEFT].share == pytest.approx(share, abs=0.05)
    assert shares[LUMBAR[0], Laterality.RIGHT].share == pytest.approx(0.8, abs=0.05)


def test_without_contrast_between_fat_and_the_rest_there_is_no_share(facet_spine):
    volume, probabilities = facet_spine().build()
    reading = read_sagittal(volume, probabilities)
    assert fat_shares(reading, painted(volume, reading, fat=80.0, dark=60.0, level=LUMBAR[0], share=0.5)) == {}


def test_few_foramina_give_no_share(facet_spine):
    volume, probabilities = facet_spine().build()
    reading = read_sagittal(volume, probabilities)
    few = replace(reading, foramina=reading.foramina[:3])
    assert fat_shares(few, painted(volume, reading, fat=180.0, dark=60.0, level=LUMBAR[0], share=0.5)) == {}


def test_pixels_inside_an_outline_are_those_whose_middle_is():
    triangle = np.array([[0.5, 0.5], [0.5, 4.5], [4.5, 0.5]])
    inside = inside_outline(triangle, (6, 6))
    expected = {(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (3, 1)}
    assert {tuple(p) for p in np.argwhere(inside).tolist()} == expected


def test_errors_on_a_generated_spine():
    """Pedicles, facets, lordosis and slices of 4 mm, against the formulas; synthetic."""
    parameters = PhantomParameters(seed=2)
    label_map = generate_labels(parameters)
    spacing = (parameters.slice_spacing_mm, parameters.spacing_mm, parameters.spacing_mm)
    found = list(compare_generated(read_labels(label_map), label_map.truth, spacing))
    errors = {
        name: np.array([c.found - c.reference for c in found if c.name == name]) for name in {c.name for c in found}
    }
    assert {name: len(e) for name, e in errors.items()} == {"height, mm": 8, "width, mm": 8}
    assert np.abs(errors["height, mm"]).max() < 1.5
    assert np.abs(errors["width, mm"]).max() < 2.5
