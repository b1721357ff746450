"""Marrow of generated bodies on generated STIR, outlined by their own labels: what is bright, and where."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from inference.anatomy import Vertebra
from inference.errors import ReasonCode
from inference.geometry import FrameReference, Volume
from inference.marrow_findings import MarrowPattern, MarrowPolicy, pattern_of
from inference.measure import read_sagittal
from inference.measure.marrow import BodyMarrow, read_marrow
from inference.measure.outlines import own_outlines
from inference.measure.reading import Unmeasured
from training.phantom import Contrast, Fracture, MarrowChange, PhantomParameters, generate_spine

GRID = {"rows": 320, "columns": 256, "spacing_mm": 0.9375, "slices": 5, "slice_spacing_mm": 4.5}
POLICY = MarrowPolicy()
L1, L3, L5 = Vertebra.L1, Vertebra.L3, Vertebra.L5


@cache
def spine(seed=1, *, marrow=(), fractures=(), **changes):
    """A STIR volume with its class probabilities."""
    parameters = PhantomParameters(
        seed=seed, contrast=Contrast.STIR, marrow=dict(marrow), fractures=dict(fractures), **GRID, **changes
    )
    phantom = generate_spine(parameters)
    classes = [ndimage.gaussian_filter((phantom.labels == n).astype(np.float32), (0, 0.4, 0.4)) for n in range(4)]
    return as_volume(phantom.voxels, phantom.affine), np.stack(classes)


def as_volume(voxels, affine):
    sources = tuple(FrameReference(sop_class_uid="1.2", sop_instance_uid=f"1.2.{i}") for i in range(len(voxels)))
    return Volume(voxels=voxels, affine=affine, sources=sources, series_instance_uid="1.2.3")


def marrow_of(volume, probabilities, fractured=frozenset()):
    outlines = own_outlines(read_sagittal(volume, probabilities), volume)
    return read_marrow(outlines, volume, fractured=fractured, bright_ratio=POLICY.ratio)


def patterns(found):
    return {level: pattern_of(m, POLICY) for level, m in found.items() if isinstance(m, BodyMarrow)}


def changed(found):
    return {level.name: pattern for level, pattern in patterns(found).items() if pattern is not MarrowPattern.ORDINARY}


@pytest.mark.parametrize(
    ("marrow", "fractures", "expected"),
    [
        ((), (("L1", Fracture("crush", 0.45)),), {"L1": MarrowPattern.OEDEMA}),
        ((), (("L1", Fracture("crush", 0.45, acute=False)),), {}),
        ((("L3", MarrowChange.OEDEMA),), (), {"L3": MarrowPattern.OEDEMA}),
        ((("L3", MarrowChange.SUPERIOR_BAND),), (), {"L3": MarrowPattern.BAND}),
        ((("L3", MarrowChange.INFERIOR_BAND),), (), {"L3": MarrowPattern.BAND}),
        ((("L3", MarrowChange.INFERIOR_BAND), ("L4", MarrowChange.SUPERIOR_BAND)), (), {"L3": "band", "L4": "band"}),
        ((("L3", MarrowChange.HAEMANGIOMA),), (), {}),
        ((("L2", MarrowChange.OEDEMA), ("L4", MarrowChange.OEDEMA)), (), {"L2": "oedema", "L4": "oedema"}),
    ],
    ids=["acute", "chronic", "occult", "above", "below", "Modic 1 on both sides", "haemangioma", "two"],
)
def test_each_change_has_its_pattern_and_no_other_body_has_one(marrow, fractures, expected):
    lost = frozenset(Vertebra[level] for level, _ in fractures)
    assert changed(marrow_of(*spine(marrow=marrow, fractures=fractures), lost)) == expected


def test_a_schmorl_node_is_a_focus_or_nothing_and_never_oedema():
    found = marrow_of(*spine(marrow=(("L3", MarrowChange.SCHMORL),)))
    assert set(changed(found)) <= {"L3"}
    assert patterns(found)[L3] in (MarrowPattern.FOCUS, MarrowPattern.ORDINARY)
    assert found[L3].width < 0.5


def test_normal_spines_have_no_oedema():
    """Ordinary marrow of 8 generated people, 52 bodies: not one of them is called anything else."""
    bodies = [pattern for seed in range(1, 9) for pattern in patterns(marrow_of(*spine(seed))).values()]
    assert len(bodies) == 52
    assert set(bodies) == {MarrowPattern.ORDINARY}


def test_where_the_bright_part_lies():
    above = marrow_of(*spine(marrow=(("L3", MarrowChange.SUPERIOR_BAND),)))[L3]
    below = marrow_of(*spine(marrow=(("L3", MarrowChange.INFERIOR_BAND),)))[L3]
    assert above.upper > 0.3 > above.middle
    assert below.lower > 0.3 > below.middle
    assert above.lower < 0.05 > below.upper
    assert min(above.width, below.width) > 0.5


def test_the_mark_lies_in_the_oedema_on_the_slice_that_shows_most_of_it():
    volume, probabilities = spine(marrow=(("L3", MarrowChange.SUPERIOR_BAND),))
    reading = read_sagittal(volume, probabilities)
    body = next(v.body for v in reading.vertebrae if v.level is L3)
    found = marrow_of(volume, probabilities)[L3]
    k, r, c = (round(v) for v in found.brightest_index)
    assert body[k, r, c]
    rows = np.flatnonzero(body[k].any(axis=1))
    assert r < rows[0] + (rows[-1] - rows[0]) / 3
    assert volume.voxels[k, r - 1 : r + 2, c - 1 : c + 2].mean() > 2 * np.median(volume.voxels[body])


@pytest.mark.parametrize("fwhm_mm", [250.0, 180.0])
@pytest.mark.parametrize("fractures", [(), (("L1", Fracture("crush", 0.45)),)])
def test_a_coil_that_sees_the_ends_of_the_spine_badly_makes_no_oedema_and_hides_none(fwhm_mm, fractures):
    volume, probabilities = spine(fractures=fractures)
    rows = np.arange(volume.shape[1]) * volume.spacing_mm[1]
    away = rows - rows.mean()
    profile = np.exp(-4 * np.log(2) * (away / fwhm_mm) ** 2).astype(np.float32)
    faded = as_volume(volume.voxels * profile[None, :, None], volume.affine)
    lost = frozenset(Vertebra[level] for level, _ in fractures)
    wanted = {level: MarrowPattern.OEDEMA for level, _ in fractures}
    found = changed(marrow_of(faded, probabilities, lost))
    assert {level: p for level, p in found.items() if p is MarrowPattern.OEDEMA} == wanted


def test_numbers_do_not_depend_on_the_unit_of_the_signal_or_the_order_of_the_voxels(other_order):
    volume, probabilities = spine(marrow=(("L3", MarrowChange.SUPERIOR_BAND),))
    plain = marrow_of(volume, probabilities)
    other, theirs = other_order(
        as_volume(volume.voxels * 7.0, volume.affine), probabilities, flips=(True, True, False), transposed=True
    )
    turned = marrow_of(other, np.ascontiguousarray(theirs))
    for level, found in plain.items():
        if isinstance(found, BodyMarrow):
            for name in ("ratio", "z", "share", "upper", "middle", "lower"):
                assert getattr(turned[level], name) == pytest.approx(
                    getattr(found, name), abs=0.05 + 0.02 * abs(found.z)
                )


def test_an_oblique_stack_and_oblong_pixels_read_alike():
    band = (("L3", MarrowChange.SUPERIOR_BAND),)
    assert changed(marrow_of(*spine(marrow=band, turn_deg=15.0))) == {"L3": MarrowPattern.BAND}
    volume, probabilities = spine(marrow=band)
    affine = volume.affine.copy()
    affine[:3, 1] *= 2
    oblong = as_volume(np.ascontiguousarray(volume.voxels[:, ::2]), affine)
    assert changed(marrow_of(oblong, np.ascontiguousarray(probabilities[:, :, ::2]))) == {"L3": MarrowPattern.BAND}


def test_a_bright_body_is_no_reference_even_when_it_lost_no_height():
    plain = marrow_of(*spine())
    beside = marrow_of(*spine(marrow=(("L2", MarrowChange.OEDEMA), ("L4", MarrowChange.OEDEMA))))
    assert beside[L3].ratio == pytest.approx(plain[L3].ratio, abs=0.15)


def test_with_too_few_bodies_to_compare_with_nothing_is_said():
    volume, probabilities = spine()
    levels = [v.level for v in read_sagittal(volume, probabilities).vertebrae]
    found = marrow_of(volume, probabilities, frozenset(levels[:-3]))
    reason = found[levels[-2]]
    assert isinstance(reason, Unmeasured)
    assert reason.reason is ReasonCode.UNCERTAIN
    assert "2 of 2 other unfractured bodies" in reason.sentence


@pytest.mark.parametrize(
    ("factors", "says"), [((1.0, 1.5), "from level to level"), ((1.0, 3.0, 9.0), "marrow of like signal")]
)
def test_marrow_that_differs_from_level_to_level_is_no_measure_of_normal(factors, says):
    volume, probabilities = spine()
    voxels = volume.voxels.copy()
    for n, vertebra in enumerate(read_sagittal(volume, probabilities).vertebrae):
        voxels[vertebra.body] *= factors[n % len(factors)]
    found = marrow_of(as_volume(voxels, volume.affine), probabilities)
    for level in (L1, L3):
        reason = found[level]
        assert isinstance(reason, Unmeasured)
        assert says in reason.sentence


def test_a_body_at_the_edge_of_the_image_is_not_looked_at():
    volume, probabilities = spine(lowest="L4")
    found = marrow_of(volume, probabilities)
    assert any(isinstance(m, Unmeasured) and m.reason is ReasonCode.TRUNCATION for m in found.values())
