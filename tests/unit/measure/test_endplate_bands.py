"""Bands beside the endplates of generated spines on generated T1 and T2, outlined by their labels, and their type."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from inference.anatomy import Vertebra
from inference.geometry import FrameReference, Volume
from inference.measure import read_sagittal
from inference.measure.endplate_bands import PlacedSeries, read_bands
from inference.measure.reading import Unmeasured
from inference.modic_findings import ModicType, tell_type
from models.disc_crops import Contrast
from models.modic_types import OutlinedSeries, tell_types
from training.phantom import Contrast as Weighting
from training.phantom import PhantomParameters, generate_spine

GRID = {"rows": 320, "columns": 256, "spacing_mm": 0.9375, "slices": 5, "slice_spacing_mm": 4.5}
CHANGES = {"1": "band", "2": "fat", "3": "sclerosis"}


@cache
def spine(weighting, marrow=(), seed=3, **changes):
    """A series with its reading."""
    parameters = PhantomParameters(seed=seed, contrast=weighting, marrow=dict(marrow), **GRID, **changes)
    phantom = generate_spine(parameters)
    classes = [ndimage.gaussian_filter((phantom.labels == n).astype(np.float32), (0, 0.4, 0.4)) for n in range(4)]
    sources = tuple(FrameReference(sop_class_uid="1.2", sop_instance_uid=f"1.2.{i}") for i in range(5))
    volume = Volume(voxels=phantom.voxels, affine=phantom.affine, sources=sources, series_instance_uid=weighting)
    return OutlinedSeries(volume=volume, reading=read_sagittal(volume, np.stack(classes)))


def both(marrow=(), **changes):
    return {Contrast.T1: spine(Weighting.T1, marrow, **changes), Contrast.T2: spine(Weighting.T2, marrow, **changes)}


def around(kind, upper="L3", lower="L4"):
    return ((upper, f"inferior_{CHANGES[kind]}"), (lower, f"superior_{CHANGES[kind]}"))


def types(series, *, fractured=frozenset()):
    t2 = series[Contrast.T2]
    return tell_types(t2.reading.discs, series, t2.volume, fractured)


@pytest.mark.parametrize("kind", list(CHANGES))
def test_each_type_is_told_at_its_disc(kind):
    found = types(both(around(kind)))
    assert found["L3-L4"].type == kind
    assert "differs too little" in found["T12-L1"].sentence


def test_one_changed_endplate_is_enough_and_the_call_says_where_on_both_series():
    series = both((("L4", "superior_fat"),))
    call = types(series)["L3-L4"]
    assert (call.type, call.band.vertebra, call.band.side) == (ModicType.TWO, Vertebra.L4, "superior")
    body = next(v for v in series[Contrast.T2].reading.vertebrae if v.level is Vertebra.L4)
    for n in range(2):
        assert body.body[tuple(np.rint(call.band.place(n, call.window)).astype(int))]


def test_on_the_sacrum_which_is_not_outlined_the_band_is_compared_with_the_body_above():
    series = both((("L5", "inferior_fat"),))
    t1, t2 = series[Contrast.T1], series[Contrast.T2]
    disc = next(d for d in t2.reading.discs if d.level.name == "L5-S1")
    placed = [PlacedSeries(volume=s.volume, motion=None) for s in (t1, t2)]
    bands = read_bands(t2.reading, t2.volume, disc, *placed)
    assert [(band.vertebra.name, band.side.value) for band in bands] == [("L5", "inferior"), ("S1", "superior")]
    assert tell_type(bands).type is ModicType.TWO


def test_two_types_at_one_disc_give_none():
    found = types(both((("L3", "inferior_fat"), ("L4", "superior_sclerosis"))))
    assert "types 2 and 3 at different places" in found["L3-L4"].sentence


def test_beside_a_called_fracture_no_type_is_told():
    found = types(both(around("1")), fractured=frozenset({Vertebra.L4}))
    assert found["L3-L4"].sentence == "L4 has a called fracture, which changes the marrow as well"


def test_a_t1_series_that_has_moved_is_laid_on_the_t2_series():
    series = both(around("3"))
    t1 = series[Contrast.T1]
    affine = t1.volume.affine.copy()
    affine[:3, 3] += (0.0, 12.0, -7.0)
    moved = series | {Contrast.T1: OutlinedSeries(volume=replace(t1.volume, affine=affine), reading=t1.reading)}
    assert types(moved)["L3-L4"].type is ModicType.THREE


def test_the_t1_series_of_another_patient_is_not_used():
    series = both(around("2")) | {Contrast.T1: spine(Weighting.T1, (), 9, size=0.86, lordosis_deg=62.0)}
    found = types(series)["L3-L4"]
    assert isinstance(found, Unmeasured)
    assert found.reason == "E_GEOMETRY"
    assert found.sentence.startswith("the T1 series cannot be used: its vertebral bodies do not lie as those")


def test_no_disc_no_work():
    assert tell_types((), {}, spine(Weighting.T2).volume, frozenset()) == {}
