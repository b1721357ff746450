"""Training material of the axial canal network: what is real, what is drawn, and that areas stay areas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra train")
pytest.importorskip("monai", reason="training needs the extra train")
pytest.importorskip("onnx", reason="training needs the extra train")

from models.axial_crops import SIDE, STEP_MM  # noqa: E402
from training.axial_samples import deform, draw_batch  # noqa: E402
from training.axial_scene import AREA_MM2, draw_scene  # noqa: E402
from training.axial_scores import agreement, drawn_cases, score, summarise  # noqa: E402
from training.axial_strips import complete, course_of, reformat, surround  # noqa: E402
from training.network import NetworkConfig, SagittalSegmenter  # noqa: E402
from training.spider import SPACING_MM, Patient  # noqa: E402
from training.train import Trainer, TrainingConfig, run  # noqa: E402
from training.train_axial import SacLoss, predictor, watch  # noqa: E402

torch.set_num_threads(1)
HALF_DEPTH, HALF_WIDTH = 7.0, 9.0


def tube(slices=16, lean=0.0):
    """A patient whose canal is an elliptical tube, lit inside, leaning by columns a row."""
    k, r, c = np.indices((slices, 240, 160)).astype(np.float64)
    x = (k - (slices - 1) / 2) * SPACING_MM[0] / HALF_WIDTH
    y = (c - 80 - lean * (r - 120)) * SPACING_MM[2] / HALF_DEPTH
    inside = x * x + y * y < 1
    return Patient(
        name="1", voxels=np.where(inside, 200, 40).astype(np.uint8), labels=np.where(inside, 3, 0).astype(np.uint8)
    )


def area_of(sac):
    return float(sac.sum()) * STEP_MM**2


@pytest.mark.parametrize("lean", [0.0, 0.3])
def test_a_reformat_at_right_angles_to_the_canal_has_the_tubes_area(lean):
    course = course_of(tube(slices=24, lean=lean))
    cut = reformat(course, 120, tilt_deg=0, slab_mm=3.0, offset_mm=(0.0, 0.0))
    assert area_of(cut.sac) == pytest.approx(np.pi * HALF_DEPTH * HALF_WIDTH * np.cos(np.arctan(lean)), rel=0.03)
    tilted = reformat(course, 120, tilt_deg=25, slab_mm=3.0, offset_mm=(0.0, 0.0))
    assert area_of(tilted.sac) == pytest.approx(area_of(cut.sac) / np.cos(np.radians(25)), rel=0.05)


def test_a_sac_that_the_strip_cuts_off_is_closed_to_about_its_own_size():
    cut = reformat(course_of(tube(slices=16)), 120, tilt_deg=0, slab_mm=3.0, offset_mm=(0.0, 0.0))
    areas = [area_of(complete(cut, np.random.default_rng(seed))) for seed in range(20)]
    assert area_of(cut.sac) < 0.97 * np.pi * HALF_DEPTH * HALF_WIDTH
    assert np.mean(areas) == pytest.approx(np.pi * HALF_DEPTH * HALF_WIDTH, rel=0.05)


def test_a_sac_of_which_too_little_is_seen_is_left_out():
    cut = reformat(course_of(tube(slices=7)), 120, tilt_deg=0, slab_mm=3.0, offset_mm=(0.0, 0.0))
    assert complete(cut, np.random.default_rng(0)) is None


def test_inside_the_strip_the_signal_stays_the_patients_own():
    cut = reformat(course_of(tube()), 120, tilt_deg=0, slab_mm=3.0, offset_mm=(0.0, 0.0))
    rng = np.random.default_rng(0)
    sac = complete(cut, rng)
    mixed = surround(cut, sac, rng)
    own = mixed[:, cut.strip] / cut.signal[:, cut.strip]
    assert own.std() == pytest.approx(0, abs=1e-6)
    assert np.array_equal(sac[:, cut.strip], cut.sac[:, cut.strip])
    assert mixed[:, ~cut.strip].std() > 0.01


def test_a_drawn_sac_has_the_area_that_was_drawn_for_it_and_shapes_differ():
    scenes = [draw_scene(np.random.default_rng(seed)) for seed in range(40)]
    areas = np.array([scene.area_mm2 for scene in scenes])
    assert areas.min() > 0.85 * AREA_MM2[0]
    assert areas.max() < 1.1 * AREA_MM2[1]
    assert np.median(areas) == pytest.approx(np.sqrt(np.prod(AREA_MM2)), rel=0.4)
    again = draw_scene(np.random.default_rng(7))
    assert np.array_equal(again.signal, scenes[7].signal)


def test_deforming_moves_signal_and_sac_together():
    scene = draw_scene(np.random.default_rng(3))
    signal, sac = deform(scene.sac * 2, scene.sac, np.random.default_rng(5))
    middle = slice(20, SIDE - 20)
    assert np.allclose(signal[middle, middle], 2 * sac[middle, middle], atol=1e-4)


def test_a_batch_is_normalised_and_its_truth_is_a_share():
    images, sacs = draw_batch([course_of(tube())], 0.0, 4, np.random.default_rng(0))
    assert images.shape == (4, 1, SIDE, SIDE)
    assert sacs.shape == (4, SIDE, SIDE)
    assert float(sacs.min()) >= 0
    assert float(sacs.max()) <= 1.001
    assert float(images.mean()) == pytest.approx(0, abs=0.2)


def test_the_truth_itself_scores_without_error():
    cases = drawn_cases(6)
    rows = score(lambda _: np.stack([case.sac for case in cases]), cases)
    summary = summarise(rows)
    assert summary["dice"] == 1.0
    assert summary["area"] == {"bias": 0.0, "sd": 0.0}
    half = score(lambda _: np.stack([case.sac * 0.9 for case in cases]), cases)
    assert summarise(half)["area_percent"]["bias"] == pytest.approx(-10, abs=1)


def test_agreement_counts_both_sides_of_a_cut_off():
    table = agreement(np.array([50.0, 90.0, 120.0, 130.0]), np.array([60.0, 110.0, 80.0, 140.0]))
    assert table["100 mm2"] == {"under": 2, "not_under": 2, "sensitivity": 0.5, "specificity": 0.5}
    assert table["75 mm2"] == {"under": 1, "not_under": 3, "sensitivity": 1.0, "specificity": 1.0}


def test_a_short_run_learns_and_can_be_gone_on_with(tmp_path):
    config = NetworkConfig(filters=(8, 16, 16), fold=2, context_slices=1, classes=2)
    settings = TrainingConfig(minutes=0.04, seed=1, batch=2, crop=(SIDE, SIDE), threads=1, warm_up_steps=2)
    torch.manual_seed(0)
    trainer = Trainer(settings, SagittalSegmenter(config))
    trainer.loss = SacLoss()
    courses = [course_of(tube())]

    def draw(progress, count, rng):
        return draw_batch(courses, progress, count, rng)

    run(trainer, draw, lambda network: watch(network, {"drawn": drawn_cases(2)}), tmp_path)
    assert trainer.step >= 1
    later = Trainer(replace(settings, minutes=0.08), SagittalSegmenter(config))
    later.load(tmp_path / "checkpoint.pt")
    assert later.step == trainer.step
    found = predictor(later.average)(np.zeros((1, SIDE, SIDE), np.float32))
    assert found.shape == (1, SIDE, SIDE)
