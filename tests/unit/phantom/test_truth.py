"""The stated answers against the label maps, measured by counting voxels along each body's own axis."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from training.phantom import LabelMap, PhantomParameters, VertebraTruth, generate_labels

FINE = PhantomParameters(rows=920, columns=370, spacing_mm=0.35, slices=3, slice_spacing_mm=1.0, variation=0.5)
STEP_MM = 0.05


def _profile(
    found: LabelMap,
    origin: np.ndarray,
    direction: np.ndarray,
    half_mm: float,
    *,
    label: int,
    instance: int | None = None,
) -> float:
    """Length (mm) of a structure along a line, read from the labels by linear interpolation at 0.5."""
    steps = np.arange(-half_mm, half_mm, STEP_MM)
    points = origin + steps[:, None] * direction
    inverse = np.linalg.inv(found.affine)
    index = points @ inverse[:3, :3].T + inverse[:3, 3]
    mask = found.labels == label if instance is None else (found.labels == label) & (found.instances == instance)
    values = map_coordinates(mask.astype(np.float32), index.T, order=1)
    return float((values > 0.5).sum() * STEP_MM)


def _axes(vertebra: VertebraTruth) -> tuple[np.ndarray, np.ndarray]:
    lean = np.radians(vertebra.lean_deg)
    return np.array([0, np.cos(lean), np.sin(lean)]), np.array([0, -np.sin(lean), np.cos(lean)])


def _heights(found: LabelMap, vertebra: VertebraTruth) -> list[float]:
    back, up = _axes(vertebra)
    centre = np.array(vertebra.centre_lps_mm)
    return [
        _profile(
            found, centre + back * (depth - 0.5) * vertebra.depth_mm, up, 22.0, label=1, instance=vertebra.instance
        )
        for depth in (0.15, 0.5, 0.85)
    ]


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(
    "fractures",
    [{}, {"L1": ("crush", 0.45), "L3": ("wedge", 0.30)}, {"T12": ("biconcave", 0.35), "L2": ("wedge", 0.5)}],
)
def test_heights_of_the_truth_are_those_of_the_labels(seed: int, fractures: dict) -> None:
    found = generate_labels(replace(FINE, seed=seed, fractures=fractures))
    checked = [v for v in found.truth.vertebrae if v.complete]
    assert len(checked) >= 7
    stated = np.array([(v.anterior_mm, v.middle_mm, v.posterior_mm) for v in checked])
    errors = np.array([_heights(found, v) for v in checked]) - stated
    assert np.abs(errors).max() < FINE.spacing_mm  # half a pixel at either end
    assert abs(errors.mean()) < 0.08


@pytest.mark.parametrize(("shape", "place"), [("wedge", 0), ("biconcave", 1), ("crush", 2)])
@pytest.mark.parametrize("loss", [0.1, 0.25, 0.6])
def test_a_fracture_loses_the_stated_fraction_at_its_place(shape: str, place: int, loss: float) -> None:
    close = replace(FINE, lowest="L2", rows=640, columns=420, spacing_mm=0.18, slices=1)
    whole = generate_labels(close)
    broken = generate_labels(replace(close, fractures={"L1": (shape, loss)}))
    before, after = (_heights(f, f.truth.vertebra("L1"))[place] for f in (whole, broken))
    assert broken.truth.vertebra("L1").loss == pytest.approx(loss, abs=1e-4)
    assert 1 - after / before == pytest.approx(loss, abs=0.012)
    assert broken.truth.vertebra("L1").whole_mm == whole.truth.vertebra("L1").whole_mm


def test_normal_wedging_is_drawn_and_is_not_a_loss() -> None:
    truth = generate_labels(replace(FINE, variation=0.0)).truth
    t11, l5 = truth.vertebra("T11"), truth.vertebra("L5")
    assert t11.anterior_mm / t11.posterior_mm < 0.93
    assert l5.posterior_mm / l5.anterior_mm < 0.93
    assert t11.loss == l5.loss == 0


@pytest.mark.parametrize("seed", [1, 2])
def test_disc_heights_of_the_truth_are_those_of_the_labels(seed: int) -> None:
    found = generate_labels(replace(FINE, seed=seed))
    for disc in (d for d in found.truth.discs if d.complete):
        names = disc.level.split("-")
        lean = np.radians(_lean_of_disc(found, names))
        up = np.array([0, -np.sin(lean), np.cos(lean)])
        measured = _profile(found, np.array(disc.centre_lps_mm), up, 12.0, label=2)
        assert measured == pytest.approx(disc.middle_mm, abs=FINE.spacing_mm), disc.level


def _lean_of_disc(found: LabelMap, names: list[str]) -> float:
    upper = found.truth.vertebra(names[0])
    if names[1] == "S1":
        return upper.lean_deg + 8.0  # the cosine of a few degrees changes the height by less than a tenth
    return (upper.lean_deg + found.truth.vertebra(names[1]).lean_deg) / 2


@pytest.mark.parametrize("stenosis", [{}, {"L4-L5": 6.0}, {"L2-L3": 8.0, "L3-L4": 5.0}])
def test_canal_diameters_of_the_truth_are_those_of_the_labels(stenosis: dict) -> None:
    found = generate_labels(replace(FINE, stenosis_mm=stenosis))
    for disc in (d for d in found.truth.discs if d.complete):
        front, back = np.array(disc.canal_ends_lps_mm)
        direction = (back - front) / np.linalg.norm(back - front)
        measured = _profile(found, (front + back) / 2, direction, 14.0, label=3)
        assert measured == pytest.approx(disc.canal_ap_mm, abs=FINE.spacing_mm), disc.level
        if disc.level in stenosis:
            assert disc.canal_ap_mm == pytest.approx(stenosis[disc.level], abs=0.05)


def test_centres_lie_inside_their_bodies_also_when_the_patient_is_turned() -> None:
    found = generate_labels(replace(FINE, turn_deg=12.0, scoliosis_mm=0.0))
    for vertebra in found.truth.vertebrae:
        index = np.linalg.inv(found.affine) @ [*vertebra.centre_lps_mm, 1]
        place = tuple(np.round(index[:3]).astype(int))
        assert found.labels[place] == 1
        assert found.instances[place] == vertebra.instance


def test_slip_moves_the_upper_vertebra_forward_by_the_stated_length() -> None:
    straight, slipped = (generate_labels(replace(FINE, slip_mm=slip)) for slip in ({}, {"L4-L5": 7.0}))
    moved = np.subtract(slipped.truth.vertebra("L4").centre_lps_mm, straight.truth.vertebra("L4").centre_lps_mm)
    assert np.linalg.norm(moved) == pytest.approx(7.0, abs=1e-6)
    assert moved[1] < -6.0
    assert slipped.truth.vertebra("L5").centre_lps_mm == straight.truth.vertebra("L5").centre_lps_mm


def test_lordosis_follows_the_parameter() -> None:
    flat, curved = (
        generate_labels(replace(FINE, variation=0.0, lordosis_deg=v)).truth.lordosis_deg for v in (25.0, 50.0)
    )
    assert flat == pytest.approx(25.0, abs=1.0)
    assert curved == pytest.approx(50.0, abs=1.0)
