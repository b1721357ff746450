"""Generated spines as training volumes: random people, contrasts, fractures, slice distances (`training.phantom`).

Seeds below `HELD_OUT_SEED` are for training, from there on for evaluation: no generated person is in both. Figures on
them are reported as synthetic and say nothing about patients.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.measure.reading import FractureShape
from training.phantom import Contrast, Phantom, PhantomParameters, generate_spine

log = logging.getLogger(__name__)
HELD_OUT_SEED = 1_000_000
# Adjacent thoracolumbar levels carry most osteoporotic fractures.
FRACTURE_LEVELS = ("T11", "T12", "L1", "L2", "L3", "L4")
DISCS = ("L1-L2", "L2-L3", "L3-L4", "L4-L5", "L5-S1")


def draw_parameters(seed: int) -> PhantomParameters:
    """Return the parameters of one random generated series; the same seed gives the same series."""
    rng = np.random.default_rng(seed)
    fractures = {
        str(level): (str(rng.choice([shape.value for shape in _SHAPES])), float(rng.uniform(0.1, 0.6)))
        for level in rng.choice(FRACTURE_LEVELS, size=int(rng.choice([0, 0, 1, 2])), replace=False)
    }
    degenerated = {disc: float(rng.uniform(0, 1)) for disc in DISCS if rng.random() < 1 / 2}
    return PhantomParameters(
        seed=seed,
        contrast=Contrast(str(rng.choice(["T2", "T2", "T2", "T1", "STIR"]))),
        slices=9,
        slice_spacing_mm=float(rng.uniform(3.3, 4.8)),
        fractures=fractures,
        slip_mm={"L4-L5": float(rng.uniform(2, 8))} if rng.random() < 1 / 5 else {},
        stenosis_mm={str(rng.choice(DISCS[1:4])): float(rng.uniform(5, 11))} if rng.random() < 1 / 3 else {},
        degeneration=degenerated,
        size=float(rng.uniform(0.85, 1.1)),
        lordosis_deg=float(np.clip(rng.normal(37, 11), 10, 65)),
        tilt_deg=float(rng.uniform(-6, 6)),
        scoliosis_mm=float(rng.uniform(0, 8)),
        noise=float(rng.uniform(0.01, 0.06)),
        bias=float(rng.uniform(0.05, 0.3)),
        saturation=float(rng.uniform(0, 1)),
        coil_mm=float(rng.uniform(55, 120)),
    )


_SHAPES = (FractureShape.WEDGE, FractureShape.BICONCAVE, FractureShape.CRUSH)


def generate(count: int, *, first_seed: int) -> list[Phantom]:
    """Return generated series with consecutive seeds; about 4 s each."""
    return [generate_spine(draw_parameters(first_seed + place)) for place in range(count)]


def generate_cached(count: int, path: Path) -> list[tuple[NDArray[np.float16], NDArray[np.uint8]]]:
    """Return training voxels and labels, generated once and kept in a file: a run that goes on sees the same people."""
    if not path.is_file():
        log.info("generating %d spines", count)
        phantoms = generate(count, first_seed=1)
        arrays: dict[str, Any] = {}
        for n, phantom in enumerate(phantoms):
            arrays |= {f"voxels{n}": phantom.voxels.astype(np.float16), f"labels{n}": phantom.labels}
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".tmp").open("wb") as file:
            np.savez(file, **arrays)
        path.with_suffix(".tmp").replace(path)
    with np.load(path) as arrays_read:
        return [(arrays_read[f"voxels{n}"], arrays_read[f"labels{n}"]) for n in range(len(arrays_read.files) // 2)]
