"""Heights, levels and height loss on the real outlines of SPIDER T2 SPACE (readers' label maps, not a network's).

Where builders.spider lists a body as fractured it must be called, and nothing else that is not listed as low there.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from builders.spider import FRACTURED, SMALL, low_levels, spider_plan, t2space_volume
from inference.anatomy import Vertebra
from inference.geometry import FrameReference, Volume, affine_from_orientation
from inference.measure import read_sagittal
from inference.measure.reading import HeightLoss, Heights, Length, SpineReading

LEAVING = {"50"}
"""Scoliosis: the lower lumbar spine lies beside the slices that there are."""
PATIENTS = ("5", "22", "41", "50", "55", "65", "98", "142", "162", "166", "209", "241")


def reading_of(folder: Path, patient: str) -> tuple[SpineReading, np.ndarray]:
    labels = t2space_volume(folder.parent, patient, "masks")
    voxels = t2space_volume(folder.parent, patient).astype(np.float32)
    plan = spider_plan(folder.parent, patient)
    volume = Volume(
        voxels=voxels,
        affine=affine_from_orientation(plan.position_mm, (0, 1, 0, 0, 0, -1), plan.pixel_spacing_mm, plan.step_mm),
        sources=tuple(FrameReference(sop_class_uid="1.2", sop_instance_uid=f"1.2.{i}") for i in range(len(labels))),
        series_instance_uid="1.2.3",
    )
    smooth = [ndimage.gaussian_filter((labels == number).astype(np.float32), (0, 0.6, 0.6)) for number in range(4)]
    probabilities = np.stack(smooth)
    return read_sagittal(volume, probabilities), probabilities.argmax(axis=0)


@pytest.mark.parametrize("patient", PATIENTS)
def test_levels_heights_and_losses_of_real_outlines(shared_folder: Callable[[str], Path], patient: str) -> None:
    reading, labels = reading_of(shared_folder("mr_spider_t2space"), patient)
    assert reading.vertebrae[-1].level is Vertebra.L5
    assert reading.discs[-1].level.name == "L5-S1"
    assert reading.numbering.ambiguous == (patient in LEAVING)
    owners = sum(v.mask.astype(int) for v in reading.vertebrae)
    assert owners.max() == 1
    assert ((labels == 1) & (owners == 0)).sum() < 0.002 * (labels == 1).sum()
    expected_low = low_levels(patient)
    called = {v.level.name for v in reading.vertebrae if isinstance(v.loss, HeightLoss) and is_called(v.loss)}
    assert FRACTURED.get(patient, set()) <= called <= expected_low
    if patient != SMALL:
        whole = [v for v in reading.vertebrae if v.level.name[0] == "L" and v.level.name not in expected_low]
        middle = [v.heights.posterior.mm for v in whole if isinstance(v.heights, Heights)]
        assert len(middle) >= 2
        assert min(middle) > 19.0
        assert max(middle) < 31.0
    discs = [d.height.mm for d in reading.discs if isinstance(d.height, Length)]
    assert len(discs) >= 5
    assert min(discs) > 1.0
    assert max(discs) < 17.0


def is_called(loss: HeightLoss) -> bool:
    """The default operating point (models.md 1.3): grade 2 and more, three standard deviations low."""
    return loss.genant >= 2 and loss.z <= -3.0


def test_a_person_whose_bodies_are_all_low_is_said_to_be_unusual(shared_folder: Callable[[str], Path]) -> None:
    reading, _ = reading_of(shared_folder("mr_spider_t2space"), SMALL)
    assert [code.value for code, _ in reading.warnings] == ["W_OOD"]
