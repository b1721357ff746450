"""How evenly real marrow is bright from level to level: ten people, T2 without fat suppression, outlined by hand.

No real STIR is at hand. What T2 shows of it is how much marrow differs between the levels of one person, which fat
suppression may change; the yellow marrow and Modic 2 changes that are bright here are dark on STIR.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from builders.spider import T2_SPACE_SPACING_MM, T2_SPACE_STEP_MM, low_levels, t2space_patients, t2space_volume
from inference.anatomy import Vertebra
from inference.geometry import FrameReference, Volume, affine_from_orientation
from inference.marrow_findings import MarrowPattern, MarrowPolicy, pattern_of
from inference.measure import read_sagittal
from inference.measure.marrow import SMALLEST_SPREAD, BodyMarrow, read_marrow
from inference.measure.outlines import own_outlines

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

EVERY = 4
"""Slices of 0.9 mm are thinned to the distance of routine ones."""
POLICY = MarrowPolicy()


@pytest.fixture(scope="module")
def bodies(shared_folder: object, shared_data: Path) -> list[BodyMarrow]:
    """The marrow of every body that can be compared."""
    shared_folder("mr_spider_t2space")  # type: ignore[operator]
    found: list[BodyMarrow] = []
    for patient in t2space_patients(shared_data)[::3]:
        volume, probabilities = thinned(shared_data, patient)
        outlines = own_outlines(read_sagittal(volume, probabilities), volume)
        low = frozenset(Vertebra[name] for name in low_levels(patient))
        marrow = read_marrow(outlines, volume, fractured=low, bright_ratio=POLICY.ratio)
        found += [m for m in marrow.values() if isinstance(m, BodyMarrow)]
    return found


def thinned(shared_data: Path, patient: str) -> tuple[Volume, np.ndarray]:
    images = t2space_volume(shared_data, patient)[::EVERY]
    masks = t2space_volume(shared_data, patient, "masks")[::EVERY]
    step = np.asarray(T2_SPACE_STEP_MM) * EVERY
    affine = affine_from_orientation((0, 0, 0), (0, 1, 0, 0, 0, -1), T2_SPACE_SPACING_MM, step)
    sources = tuple(FrameReference(sop_class_uid="1.2", sop_instance_uid=f"1.2.{n}") for n in range(len(images)))
    volume = Volume(voxels=images.astype(np.float32), affine=affine, sources=sources, series_instance_uid="1.2.3")
    classes = [ndimage.gaussian_filter((masks == n).astype(np.float32), (0, 0.6, 0.6)) for n in range(4)]
    return volume, np.stack(classes)


def test_levels_of_one_person_differ_by_what_is_assumed(bodies: list[BodyMarrow]) -> None:
    assert len(bodies) >= 50
    away = np.log([body.ratio for body in bodies])
    assert 1.4826 * np.median(np.abs(away)) == pytest.approx(SMALLEST_SPREAD, abs=0.03)


def test_no_ordinary_body_is_oedematous(bodies: list[BodyMarrow]) -> None:
    assert all(pattern_of(body, POLICY) is not MarrowPattern.OEDEMA for body in bodies)
