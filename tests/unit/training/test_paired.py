"""T1 and T2 slices of one person as training images."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra train (torch)")
pytest.importorskip("monai", reason="needs the extra train (monai)")

from models.disc_crops import Contrast  # noqa: E402
from training.cases import load_reader, place_volume  # noqa: E402
from training.midsagittal import GradedPatient  # noqa: E402
from training.network import SPACING_MM  # noqa: E402
from training.paired import Pair, mix, pair_names, read_pairs  # noqa: E402
from training.phantom import PhantomParameters, generate_spine  # noqa: E402
from training.phantom.parameters import Contrast as PhantomContrast  # noqa: E402
from training.scores import score_dice  # noqa: E402
from training.train import Material, TrainingConfig, draw_batch  # noqa: E402

COLUMN_MM = 0.6
"""Columns of the slices, with rows of the network's own spacing: pixels that are not square."""


def slice_of(phantom, values):
    """The middle slice, columns resampled."""
    _, _, column_mm = np.linalg.norm(phantom.affine[:3, :3], axis=0)
    columns = np.arange(0, values.shape[2] * column_mm - COLUMN_MM, COLUMN_MM) / column_mm
    return values[len(values) // 2][:, np.rint(columns).astype(int)][None]


def person(name, **voxels):
    spacing_mm = (4.0, SPACING_MM, COLUMN_MM)
    series = {Contrast[contrast]: place_volume(values, spacing_mm) for contrast, values in voxels.items()}
    return GradedPatient(name=name, series=series, grades={}, facts={})


@pytest.fixture(scope="module")
def slices():
    """T1, T2 and labels of one generated person."""
    parameters = PhantomParameters(seed=5, slices=5, contrast=PhantomContrast.T2)
    t2 = generate_spine(parameters)
    t1 = generate_spine(replace(parameters, contrast=PhantomContrast.T1))
    assert np.array_equal(t1.labels, t2.labels)
    return slice_of(t1, t1.voxels), slice_of(t2, t2.voxels), slice_of(t2, t2.labels)


@pytest.fixture(scope="module")
def pairs(slices, tmp_path_factory):
    """What is kept of persons that can and cannot teach, read twice."""
    t1, t2, _ = slices
    path = tmp_path_factory.mktemp("pairs") / "pairs.npz"
    persons = [
        person("1", T1=t1, T2=t2),
        person("2", T2=t2),
        person("3", T1=t1[:, :-8], T2=t2),
        person("4", T1=np.roll(t1, 24, axis=1), T2=t2),
        person("5", T1=t1, T2=np.full_like(t2, 7.0) + np.arange(t2.shape[2]) % 2),
    ]
    reader = load_reader()
    first = read_pairs(reader, persons, path)
    again = read_pairs(reader, [], path)
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one.labels, other.labels)
    assert pair_names(path) == [pair.patient for pair in first]
    return first


def test_only_slices_that_lie_on_each_other_teach(pairs):
    """One slice alone, another grid, a person who moved by 11 mm, and a slice without a spine teach nothing."""
    assert [pair.patient for pair in pairs] == ["1"]


def test_labels_are_the_ones_of_the_spine_on_the_networks_grid(pairs, slices):
    (pair,), (_, _, labels) = pairs, slices
    rows, columns = pair.labels.shape
    assert (rows, columns) == (labels.shape[1], round(labels.shape[2] * COLUMN_MM / SPACING_MM))
    places = np.clip(np.rint((np.arange(columns) + 0.5) * SPACING_MM / COLUMN_MM - 0.5).astype(int), 0, None)
    dice = score_dice(pair.labels, labels[0][:, places])
    assert min(dice.values()) > 0.8, dice


def test_a_mixture_is_one_of_four_contrasts_of_mean_0_and_deviation_1():
    rng = np.random.default_rng(0)
    t1, t2 = (rng.random((32, 32)).astype(np.float32) for _ in range(2))
    pair = Pair(patient="1", t1=t1, t2=t2, labels=np.zeros((32, 32), np.uint8))
    images = [mix(pair, rng)[0] for _ in range(60)]
    shares = [tuple(abs(np.corrcoef(image.ravel(), part.ravel())[0, 1]) for part in (t1, t2)) for image in images]
    assert all(abs(image.mean()) < 1e-4 and abs(image.std() - 1) < 1e-3 for image in images)
    plain_t1 = sum(first > 0.99 for first, _ in shares)
    plain_t2 = sum(second > 0.99 for _, second in shares)
    assert plain_t1 > 5
    assert plain_t2 > 5
    assert len(images) - plain_t1 - plain_t2 > 10


def test_batches_are_drawn_from_pairs_by_their_share(pairs):
    """Material without anything else cannot be drawn from, so every sample came from the pair."""
    config = TrainingConfig(minutes=1, seed=0, pair_share=1.0, crop=(128, 128))
    material = Material(real=[], synthetic=[], pairs=pairs)
    images, labels = draw_batch(material, config, 0.0, 3, np.random.default_rng(2))
    assert images.shape == (3, 5, 128, 128)
    assert labels.shape == (3, 128, 128)
    assert bool(torch.isfinite(images).all())
    assert {1, 2, 3} <= set(labels.unique().tolist())
