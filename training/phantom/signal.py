"""From tissues to MR signal: texture, partial volume, coil, bias field, blur and Rician noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates, zoom

from training.phantom.background import Surroundings, paint_background
from training.phantom.grid import Canvas, Grid
from training.phantom.parameters import Contrast, PhantomParameters
from training.phantom.tissue import Tissue, brightness, texture_strengths

Field = NDArray[np.float32]

FULL_SCALE = 900.0
"""Stored value of cerebrospinal fluid on T2 near the coil."""
BLUR_MM = 0.33
"""Standard deviation of the in-plane point spread."""
COARSE_MM = 2.0
STREAK = (2.0, 0.8)
STREAK_FROM = 1.0
"""Grain of fat streaks in muscle and of uneven marrow, longer from head to foot as muscle fibres run, and the level
(in standard deviations) above which muscle turns to fat."""
SATURATION_FROM_MM = 6.0
SATURATION_EDGE_MM = 5.0
"""Place of the saturation band's edge in front of the bodies, and its softness."""
ROOT_SPACING_MM = 0.9
ROOT_LENGTH_MM = 14.0


def render_signal(canvas: Canvas, grid: Grid, surroundings: Surroundings, parameters: PhantomParameters) -> Field:
    """Voxels (slice, row, column), at least 0; tissue 0 on the canvas shows the surroundings."""
    rng = np.random.default_rng([parameters.seed, 3, list(Contrast).index(parameters.contrast)])
    gain = _gain(surroundings, parameters, rng)
    mean = brightness(parameters.contrast)
    roots = _root_pattern(surroundings, np.random.default_rng([parameters.seed, 4]))
    voxels = np.empty((parameters.slices, parameters.rows, parameters.columns), dtype=np.float32)
    for index, x in enumerate(grid.slice_x):
        behind = paint_background(surroundings, index, float(x))
        texture = _texture(parameters, index)
        planes = slice(index * grid.subslices, (index + 1) * grid.subslices)
        signal = _average(canvas.tissue[planes], behind, mean, texture, roots)
        signal = gaussian_filter(signal, BLUR_MM / parameters.spacing_mm) * gain
        voxels[index] = _rician(signal, parameters.noise, rng) * np.float32(FULL_SCALE)
    return voxels


def _average(
    planes: NDArray[np.uint8], behind: NDArray[np.uint8], mean: Field, texture: tuple[Field, Field], roots: Field
) -> Field:
    """Mean signal of the subslices of one slice."""
    fine, coarse = texture_strengths()
    total = np.zeros(behind.shape, dtype=np.float32)
    for plane in planes:
        tissue = np.where(plane == Tissue.AIR, behind, plane)
        grain = 1 + fine[tissue] * texture[0] + coarse[tissue] * texture[1]
        total += mean[tissue] * np.maximum(grain, np.float32(0.1))
        streak = ((tissue == Tissue.MUSCLE) | (tissue == Tissue.INTERSPINOUS)) & (texture[1] > STREAK_FROM)
        total[streak] += mean[Tissue.VISCERAL_FAT] * np.minimum((texture[1][streak] - STREAK_FROM) * 1.5, 1)
        nerve = tissue == Tissue.ROOTS
        total[nerve] += np.float32(mean[Tissue.FLUID] - mean[Tissue.CORD]) * roots[nerve]
    return total / np.float32(len(planes))


def _texture(parameters: PhantomParameters, index: int) -> tuple[Field, Field]:
    """Unit noise at pixel scale and at COARSE_MM: anatomy, so the same for every contrast."""
    rng = np.random.default_rng([parameters.seed, 5, index])
    shape = (parameters.rows, parameters.columns)
    fine = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), 0.45 / parameters.spacing_mm)
    step = max(1, round(COARSE_MM / parameters.spacing_mm / 2))
    small = rng.standard_normal((shape[0] // step + 2, shape[1] // step + 2), dtype=np.float32)
    coarse = zoom(gaussian_filter(small, STREAK), step, order=1)[: shape[0], : shape[1]]
    return fine / max(float(fine.std()), 1e-6), coarse / max(float(coarse.std()), 1e-6)


def _root_pattern(surroundings: Surroundings, rng: np.random.Generator) -> Field:
    """Streaks that run along the sac, -0.5..0.5, (row, column)."""
    field = surroundings.field
    across = (field.behind + 40) / ROOT_SPACING_MM
    along = np.maximum(field.along, 0) / ROOT_LENGTH_MM
    table = gaussian_filter(rng.standard_normal((64, 128)), (0.6, 0.7))
    table = np.clip(table / table.std() * 0.45, -0.7, 0.7)
    return np.asarray(map_coordinates(table, [along, across], order=1, mode="wrap"), dtype=np.float32)


def _gain(surroundings: Surroundings, parameters: PhantomParameters, rng: np.random.Generator) -> Field:
    """Sensitivity of a coil under the back, times a smooth random field, (row, column)."""
    shape = surroundings.skin.shape
    small = gaussian_filter(rng.normal(size=(12, 10)), 2.0)
    small *= parameters.bias / max(float(small.std()), 1e-6)
    field = np.exp(zoom(small, (shape[0] / 12, shape[1] / 10), order=3, grid_mode=True, mode="nearest"))
    ahead = surroundings.front - surroundings.field.behind - SATURATION_FROM_MM
    field *= 1 - parameters.saturation / (1 + np.exp(np.clip(-ahead / SATURATION_EDGE_MM, -30, 30)))
    if parameters.coil_mm > 0:
        depth = np.maximum(surroundings.skin - surroundings.field.behind, 0)
        reference = 60.0
        field *= np.exp(np.clip((reference - depth) / parameters.coil_mm, -3.0, 0.7))
    return np.asarray(field, dtype=np.float32)


def _rician(signal: Field, noise: float, rng: np.random.Generator) -> Field:
    """Magnitude of the signal with complex Gaussian noise (Gudbjartsson 1995)."""
    real = signal + np.float32(noise) * rng.standard_normal(signal.shape, dtype=np.float32)
    imaginary = np.float32(noise) * rng.standard_normal(signal.shape, dtype=np.float32)
    return np.asarray(np.sqrt(real * real + imaginary * imaginary), dtype=np.float32)
