"""A body of which only a part is outlined is not measured; it used to be called crushed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inference.anatomy import Vertebra
from inference.errors import ReasonCode
from inference.geometry import Volume
from inference.measure import read_sagittal
from inference.measure.reading import HeightLoss, SpineReading, Unmeasured

BACKGROUND, VERTEBRA, DISC = 0, 1, 2


def body_rows(reading: SpineReading, level: Vertebra) -> tuple[int, int]:
    """First and last row of a body on the mid-sagittal slice."""
    body = next(v.body for v in reading.vertebrae if v.level is level)[reading.midsagittal_slice]
    rows = np.flatnonzero(body.any(axis=1))
    return int(rows[0]), int(rows[-1])


def losses(reading: SpineReading) -> dict[Vertebra, HeightLoss | Unmeasured]:
    return {v.level: v.loss for v in reading.vertebrae}


@pytest.mark.parametrize(("end", "words"), [("upper", "above"), ("lower", "below")])
@pytest.mark.parametrize("order", [1, -1])
def test_bone_missing_between_the_outline_and_the_disc(block_spine, end, words, order):
    volume, probabilities = block_spine(tilt_deg=0.0).build()
    first, last = body_rows(read_sagittal(volume, probabilities), Vertebra.L2)
    lost = slice(first, first + 10) if end == "upper" else slice(last - 9, last + 1)
    front = slice(0, int(np.flatnonzero(probabilities[3].any(axis=(0, 1)))[0]))  # the canal and the arch stay
    missing = probabilities.copy()
    missing[BACKGROUND, :, lost, front] += missing[VERTEBRA, :, lost, front]
    missing[VERTEBRA, :, lost, front] = 0
    affine = volume.affine.copy()
    if order < 0:
        affine[:3, 3] += affine[:3, 0] * (volume.shape[0] - 1)
        affine[:3, 0] *= -1
    turned = replace(volume, affine=affine, voxels=volume.voxels[::order])
    found = losses(read_sagittal(turned, missing[:, ::order]))
    reason = found[Vertebra.L2]
    assert isinstance(reason, Unmeasured)
    assert reason.reason is ReasonCode.UNCERTAIN
    assert f"before the disc {words} it" in reason.sentence
    assert all(isinstance(found[level], HeightLoss) for level in (Vertebra.L1, Vertebra.L3, Vertebra.L4))


def test_a_whole_body_beside_a_disc_at_the_edge_is_measured(block_spine):
    volume, probabilities = cut(*block_spine(tilt_deg=0.0).build(), rows_into_body=-3)
    assert isinstance(losses(read_sagittal(volume, probabilities))[Vertebra.T12], HeightLoss)


def test_a_rim_at_the_edge_that_is_called_disc_hides_no_cut(block_spine):
    """As it was on a slice whose edge cut T11: the network called the back half of the cut rim a disc."""
    volume, probabilities = cut(*block_spine(tilt_deg=0.0).build(), rows_into_body=5)
    columns = np.flatnonzero((probabilities[VERTEBRA, 6] > 0).any(axis=0) & (probabilities[3, 6] == 0).all(axis=0))
    body = columns[columns < np.flatnonzero(probabilities[3, 6].any(axis=0))[0]]
    probabilities[VERTEBRA, :, :3, body] = 0
    probabilities[DISC, :, :3, body[len(body) // 2 :]] = 1
    probabilities[BACKGROUND, :, :3, body[: len(body) // 2]] = 1
    reason = losses(read_sagittal(volume, probabilities))[Vertebra.T12]
    assert isinstance(reason, Unmeasured)
    assert reason.reason is ReasonCode.TRUNCATION
    assert "the edge of the field of view cuts the disc above it" in reason.sentence


def cut(volume: Volume, probabilities: np.ndarray, *, rows_into_body: int) -> tuple[Volume, np.ndarray]:
    """The image without what lies above so many rows within T12."""
    first = body_rows(read_sagittal(volume, probabilities), Vertebra.T12)[0] + rows_into_body
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, 1] * first
    return replace(volume, affine=affine, voxels=volume.voxels[:, first:]), probabilities[:, :, first:].copy()
