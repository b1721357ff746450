"""Letters in the pixels are found, and anatomy is not taken for letters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from builders.spider import t2space_patients, t2space_volume
from inference.burned_text import burned_lines, text_lines

NAME = "EXAMPLE ERNA 1948"


def tissue(seed: int = 1) -> np.ndarray:
    """Smooth grey values of about a spine's contrast, with noise, shape (5, 200, 240)."""
    generator = np.random.default_rng(seed)
    row, column = np.mgrid[:200, :240]
    smooth = 400 + 200 * np.sin(row / 17) * np.cos(column / 23)
    return np.asarray(smooth + generator.normal(0, 25, (5, 200, 240)), dtype=np.float32)


def written(plane: np.ndarray, value: float, size: int, at: tuple[int, int] = (10, 60)) -> np.ndarray:
    picture = Image.fromarray(plane.astype(np.float32))
    ImageDraw.Draw(picture).text(at, NAME, fill=value, font=ImageFont.load_default(size))
    return np.asarray(picture)


def test_tissue_has_no_letters():
    assert burned_lines(tissue(), 2) == ()


@pytest.mark.parametrize("size", [10, 12, 16, 20])
@pytest.mark.parametrize("value", [1500.0, -700.0], ids=["bright", "dark"])
def test_a_line_on_one_slice_is_found_where_it_is(size, value):
    lines = text_lines(written(tissue()[0], value, size))
    assert lines
    assert all(55 <= line.rows[0] <= line.rows[1] <= 60 + 2 * size for line in lines)
    assert min(line.columns[0] for line in lines) >= 9


@pytest.mark.parametrize("size", [9, 12, 20])
@pytest.mark.parametrize("value", [1500.0, 500.0, 300.0])
def test_what_is_the_same_on_every_slice_is_found_even_if_it_is_as_bright_as_tissue(size, value):
    voxels = np.stack([written(plane, value, size) for plane in tissue()])
    assert burned_lines(voxels, 2)


def test_what_is_the_same_on_two_slices_tells_nothing():
    voxels = tissue()
    assert burned_lines(np.stack([voxels[0], voxels[0]]), 0) == ()


@pytest.mark.parametrize("pixels", [np.zeros((0, 0)), np.zeros((5, 5)), np.full((9, 9), np.nan)])
def test_an_image_without_contrast_has_no_letters(pixels):
    assert text_lines(pixels.astype(np.float32)) == ()


@pytest.mark.parametrize("scale", [0.1, 1.0, 1e4])
def test_noise_is_hardly_ever_text_whatever_its_scale(scale):
    generator = np.random.default_rng(1)
    taken = [bool(text_lines(generator.normal(0, scale, (64, 64)).astype(np.float32))) for _ in range(100)]
    assert sum(taken) <= 3


def test_real_spines_have_no_letters(shared_data: Path):
    for patient in t2space_patients(shared_data)[::10]:
        voxels = t2space_volume(shared_data, patient).astype(np.float32)[:, 150:450, 120:360]
        assert burned_lines(voxels, len(voxels) // 2) == (), patient
