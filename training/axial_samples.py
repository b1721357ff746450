"""Random training samples of the axial canal network: real strips and drawn scenes, deformed and degraded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from models.axial_crops import SIDE, STEP_MM, normalise_crop
from training.augment import MILD, STRONG, corrupt
from training.axial_scene import BACK, LEFT, Field, draw_scene, place_of
from training.axial_strips import Course, complete, reformat, surround

REAL_SHARE = 0.5
"""Share of samples with real signal in the middle."""
TILT_DEG = 25.0
SLAB_MM = (2.0, 5.0)
TRIES = 20


def draw_batch(
    courses: Sequence[Course], _progress: float, count: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Images `[count, 1, row, column]`, normalised, and sacs `[count, row, column]`, each pixel's share."""
    drawn = [_draw(courses, rng) for _ in range(count)]
    return torch.from_numpy(np.stack([i for i, _ in drawn]))[:, None], torch.from_numpy(np.stack([s for _, s in drawn]))


def _draw(courses: Sequence[Course], rng: np.random.Generator) -> tuple[Field, Field]:
    real = draw_real(courses, rng) if rng.random() < REAL_SHARE else None
    if real is None:
        scene = draw_scene(rng)
        real = scene.signal, scene.sac
    signal, sac = deform(*real, rng)
    strength = MILD if rng.random() < 0.5 else STRONG  # noqa: PLR2004
    degraded = corrupt(torch.from_numpy(signal)[None].clone(), strength, rng)[0].numpy()
    return normalise_crop(degraded), sac


def draw_real(courses: Sequence[Course], rng: np.random.Generator) -> tuple[Field, Field] | None:
    """Signal and sac of a random reformat with its sides drawn; None when none of TRIES was usable."""
    for _ in range(TRIES):
        course = courses[int(rng.integers(len(courses)))]
        offset = tuple(float(v) for v in rng.normal(0, 2.0, 2))
        cut = reformat(
            course,
            int(rng.choice(course.rows)),
            tilt_deg=float(rng.uniform(-TILT_DEG, TILT_DEG)),
            slab_mm=float(rng.uniform(*SLAB_MM)),
            offset_mm=(offset[0], offset[1]),
        )
        sac = complete(cut, rng)
        if sac is not None:
            return surround(cut, sac, rng), sac
    return None


def deform(signal: Field, sac: Field, rng: np.random.Generator) -> tuple[Field, Field]:
    """Turn, scale, shift and mirror a crop; in four of ten the sac is pinched, as stenosis does."""
    angle, scale = np.radians(rng.uniform(-20, 20)), float(np.exp(rng.uniform(-0.2, 0.2)))
    flip = float(rng.choice([-1, 1]))
    c, s = np.cos(angle) / scale, np.sin(angle) / scale
    y, x = c * BACK + s * LEFT, flip * (c * LEFT - s * BACK)
    if rng.random() < 0.4:  # noqa: PLR2004
        y, x = _pinched(y, x, sac, rng)
    shift = rng.normal(0, 1.5, 2)
    places = [(y + shift[0]) / STEP_MM + (SIDE - 1) / 2, (x + shift[1]) / STEP_MM + (SIDE - 1) / 2]
    moved: list[NDArray[np.float32]] = [
        ndimage.map_coordinates(values, places, order=1, mode=mode)
        for values, mode in ((signal, "reflect"), (sac, "constant"))
    ]
    return moved[0], moved[1]


def _pinched(y: Field, x: Field, sac: Field, rng: np.random.Generator) -> tuple[Field, Field]:
    """Read faster around the sac's middle, so that the sac becomes narrower; nothing moves two radii away."""
    place = place_of(sac)
    radius = 2.2 * max(place.half_depth, place.half_width, 2.0)
    near = np.exp(-((np.hypot(y - place.back, x - place.left) / radius) ** 4))
    slower = 1 + near * (1 / float(rng.uniform(0.45, 1)) - 1)
    wider = 1 + near * (1 / float(rng.uniform(0.6, 1)) - 1)
    return place.back + (y - place.back) * slower, place.left + (x - place.left) * wider
