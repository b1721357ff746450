"""A sagittal series that runs far beyond the spine on both sides, as 3-D acquisitions do, is read like a narrow one.

It used to be refused, or read with levels shifted by what the network outlined in the muscles and missing its fracture.
"""

from __future__ import annotations

import numpy as np
import pytest

from inference.errors import ReasonCode
from inference.measure.grid import VERTEBRA
from inference.measure.reading import HeightLoss
from inference.spine_findings import FracturePolicy
from training.cases import load_reader, place_volume
from training.phantom import Contrast, PhantomParameters, generate_spine

SLICES, STEP_MM, PIXEL_MM = 49, 2.2, 0.9375


@pytest.mark.parametrize(("contrast", "order"), [(Contrast.T2, -1), (Contrast.T1, 1)])
def test_what_lies_beside_the_spine_changes_nothing(contrast, order):
    phantom = generate_spine(
        PhantomParameters(
            seed=11, contrast=contrast, slices=SLICES, slice_spacing_mm=STEP_MM, subslices=2,
            rows=320, columns=288, spacing_mm=PIXEL_MM, fractures={"L2": ("wedge", 0.4)},
        )
    )  # fmt: skip
    voxels = np.ascontiguousarray(phantom.voxels[::order]).astype(np.float32)
    reading = load_reader().read_spine(place_volume(voxels, (STEP_MM, PIXEL_MM, PIXEL_MM)), lambda _doing, _share: None)
    names = [v.level.name for v in reading.vertebrae]
    assert names[-6:] == ["T12", "L1", "L2", "L3", "L4", "L5"]
    losses = {v.level.name: v.loss for v in reading.vertebrae if isinstance(v.loss, HeightLoss)}
    assert {name for name, loss in losses.items() if FracturePolicy().is_present(loss)} == {"L2"}
    outlined = np.logical_or.reduce([v.mask for v in reading.vertebrae])
    far = np.abs(np.arange(SLICES) - (SLICES - 1) / 2) * STEP_MM > 40.0
    assert not outlined[far].any()
    ((_, sentence),) = [warning for warning in reading.warnings if warning[0] is ReasonCode.LATERAL_SLICES]
    read = outlined.any(axis=(1, 2)).nonzero()[0]
    assert f"of {SLICES} slices were not read (1 to {read[0]} and {read[-1] + 2} to {SLICES}, counted" in sentence
    truth = phantom.labels[::order] == VERTEBRA
    both = (outlined & truth)[~far].sum()
    assert 2 * both / (outlined.sum() + truth[~far].sum()) > 0.85
