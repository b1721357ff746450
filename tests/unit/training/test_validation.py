"""The parts of the validation report: registration, names, calls, intervals, pictures and the card."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

torch = pytest.importorskip("torch", reason="needs the extra train (torch)")
pytest.importorskip("monai", reason="needs the extra train (monai)")

from inference.measure import read_sagittal  # noqa: E402
from inference.spine_findings import FracturePolicy  # noqa: E402
from models.installed import SHIPPED  # noqa: E402
from training.card import render_card  # noqa: E402
from training.carried_labels import (  # noqa: E402
    Fit,
    Placement,
    Rules,
    carry_labels,
    edge_agreement,
    normalised_information,
    register,
)
from training.cases import Answer, Case, place_volume  # noqa: E402
from training.evaluate import write_report  # noqa: E402
from training.evaluate_generated import analytic_section  # noqa: E402
from training.evaluate_real import (  # noqa: E402
    Outcome,
    carried_section,
    fractures_section,
    levels_section,
    real_section,
)
from training.fracture_calls import count_calls, read_calls  # noqa: E402
from training.level_naming import compare_names, number_discs, summarise_names  # noqa: E402
from training.phantom import PhantomParameters, generate_spine  # noqa: E402
from training.pictures import draw_worst  # noqa: E402
from training.scores import STRUCTURES, bootstrap, intervals, score, wilson  # noqa: E402
from training.spider import SPACING_MM, Patient  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # MONAI 1.6 of itself
BUNDLE = SHIPPED / "mr_sagittal_segmentation"
FIT = Fit(
    placement=Placement(slice_index=0, matrix=(1.0, 0.0, 0.0, 1.0), offset_mm=(0.0, 0.0)),
    scale=1.0,
    aspect=1.0,
    turn_deg=0.0,
    overlap=1.0,
    information=0.5,
    edges=0.9,
)


@pytest.fixture(scope="module")
def phantom():
    return generate_spine(PhantomParameters(seed=3, slices=5, fractures={"L2": ("wedge", 0.45)}))


@pytest.fixture(scope="module")
def patient(phantom):
    """The generated spine on the grid of T2 SPACE, three times the same slice."""
    signal = phantom.voxels[2]
    grey = np.clip(255 * signal / np.percentile(signal, 99.5), 0, 255).astype(np.uint8)
    spacing = np.linalg.norm(phantom.affine[:3, :3], axis=0)[1:]
    zoom = spacing / np.array(SPACING_MM[1:])
    voxels = ndimage.zoom(grey, zoom, order=1, grid_mode=True, mode="nearest")
    labels = ndimage.zoom(phantom.labels[2], zoom, order=0, grid_mode=True, mode="nearest")
    return Patient(name="1", voxels=np.stack([voxels] * 3), labels=np.stack([labels] * 3))


def moved(array, scale, shift_mm, pixel_mm, order):
    """The slice as another scanner window would show it: at its own pixel, with a wrong tag and an offset."""
    step = np.array(pixel_mm) * scale / np.array(SPACING_MM[1:])
    offset = np.array(shift_mm) / np.array(SPACING_MM[1:])
    shape = tuple(int(n / s) for n, s in zip(array.shape, step, strict=True))
    return ndimage.affine_transform(array, step, offset, output_shape=shape, order=order)


@pytest.mark.parametrize(
    ("scale", "shift_mm"), [(1.0, (0.0, 0.0)), (1.0, (25.0, -9.0)), (1.25, (-12.0, 6.0)), (0.8, (8.0, 5.0))]
)
def test_a_known_transform_and_another_contrast_are_recovered(patient, scale, shift_mm):
    pixel_mm = (0.6, 0.6)
    image = 255 - moved(patient.voxels[1], scale, shift_mm, pixel_mm, order=1)
    truth = moved(patient.labels[1], scale, shift_mm, pixel_mm, order=0)
    fit = register(image, pixel_mm, patient)
    assert fit.faults(Rules()) == ()
    assert fit.scale == pytest.approx(scale, rel=0.01)
    found = carry_labels(patient.labels[fit.placement.slice_index], fit, image.shape, pixel_mm)
    assert min(score(found[None], truth[None], (4.0, *pixel_mm))["dice"].values()) > 0.93


def test_registration_is_the_same_every_time(patient):
    image = moved(patient.voxels[1], 1.0, (5.0, 5.0), (0.6, 0.6), order=1)
    assert register(image, (0.6, 0.6), patient) == register(image, (0.6, 0.6), patient)


def test_noise_is_refused(patient):
    noise = np.random.default_rng(0).integers(0, 255, (400, 400)).astype(np.uint8)
    assert register(noise, (0.6, 0.6), patient).faults(Rules())


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"aspect": 1.2}, "stretched"),
        ({"turn_deg": -9.0}, "turned"),
        ({"overlap": 0.3}, "overlaps"),
        ({"edges": 0.01}, "edges"),
    ],
)
def test_each_rule_refuses_by_name(change, word):
    assert FIT.faults(Rules()) == ()
    (fault,) = replace(FIT, **change).faults(Rules())
    assert word in fault


def test_information_is_one_of_an_image_with_itself_and_nothing_of_independent_ones():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 16, 40_000), rng.integers(0, 16, 40_000)
    assert normalised_information(a, (a + 5) % 16) == pytest.approx(1.0)
    assert normalised_information(a, b) < 0.01


def test_edges_agree_whatever_the_contrast_and_not_by_chance(patient):
    image = patient.voxels[1].astype(np.float32)
    inside = np.ones(image.shape, bool)
    assert edge_agreement(image, 255 - image, inside) == pytest.approx(1.0)
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=image.shape), 2).astype(np.float32)
    assert abs(edge_agreement(image, noise, inside)) < 0.1


def test_the_interval_of_a_mean_holds_it_and_narrows_with_more_patients():
    few = bootstrap([0.8, 0.9, 1.0])
    many = bootstrap([0.8, 0.9, 1.0] * 20)
    assert few["low"] <= few["value"] == 0.9 <= few["high"]
    assert many["high"] - many["low"] < (few["high"] - few["low"]) / 3
    assert bootstrap([0.7]) == {"value": 0.7, "low": 0.7, "high": 0.7}


def test_the_interval_of_a_share_is_wilsons():
    """5 of 5 is no certainty: 0.566 to 1 (Newcombe, Stat Med 1998;17:857, method 3 at p = 1 gives n / (n + z^2))."""
    assert wilson(5, 5)["low"] == pytest.approx(5 / (5 + 1.959964**2), abs=1e-4)
    assert wilson(5, 5)["high"] == 1.0
    with pytest.raises(ValueError, match="no share"):
        wilson(0, 0)


def test_a_shift_by_two_millimetres_is_a_distance_of_two():
    truth = np.zeros((1, 60, 60), np.uint8)
    truth[:, 10:30, 10:30], truth[:, 34:50, 10:30], truth[:, 10:50, 40:50] = 1, 2, 3
    found = np.roll(truth, 4, axis=2)
    row = score(found, truth, (4.0, 0.5, 0.5))
    assert row["hd95_mm"] == dict.fromkeys(STRUCTURES, 2.0)
    assert max(row["nsd_1mm"].values()) < 1.0
    assert score(truth, truth, (4.0, 0.5, 0.5))["dice"] == dict.fromkeys(STRUCTURES, 1.0)


@pytest.fixture(scope="module")
def reading(phantom):
    spacing = tuple(float(v) for v in np.linalg.norm(phantom.affine[:3, :3], axis=0))
    exact = np.stack([phantom.labels == label for label in range(4)]).astype(np.float32)
    return read_sagittal(place_volume(phantom.voxels, spacing), exact)


def test_names_agree_where_the_reading_read_the_labels_themselves(phantom, reading):
    naming = compare_names(number_discs(phantom.labels), reading)
    assert naming.whole_right
    assert naming.discs >= 5


def test_a_series_counted_from_one_level_too_high_is_shifted_not_right(phantom, reading):
    levels = number_discs(phantom.labels)
    naming = compare_names(np.where(levels > 1, levels - 1, 0).astype(np.uint8), reading)
    assert (naming.right, naming.shifted) == (0, naming.discs)
    missing = compare_names(levels, replace(reading, discs=reading.discs[:-1]))
    assert (missing.missed, missing.whole_right) == (1, False)


def test_a_series_that_was_not_read_counts_as_wrong(phantom, reading):
    levels = number_discs(phantom.labels)
    part = summarise_names([("1", compare_names(levels, reading)), ("2", compare_names(levels, None))])
    assert (part["whole_right"]["count"], part["whole_right"]["of"], part["not_read"]) == (1, 2, ["2"])


def test_a_fracture_counts_as_a_wrong_call_only_where_none_is_known(reading, phantom):
    policy = FracturePolicy()
    answer = Answer(found=phantom.labels, reading=reading)
    part = count_calls([read_calls("1", answer, policy)], policy)
    assert [call["level"] for call in part["false_calls"]] == ["L2"]
    assert part["called_of_not_fractured"]["count"] == 1
    nothing = count_calls(
        [read_calls("1", answer, policy), read_calls("2", Answer(found=phantom.labels, reading=None), policy)], policy
    )
    assert (nothing["patients"], nothing["refused"]) == (1, {"no spine was read": ["2"]})


def test_the_reading_is_true_on_exact_labels(phantom):
    """The gate of models.md 4.1 is for 1 x 1 x 1 mm; these slices are thicker."""
    section = analytic_section([phantom])
    assert abs(section["height_bias_mm"]) < 0.3
    assert section["heights"] >= 12


def worst(folder, patient):
    found = np.roll(patient.labels, 4, axis=1)
    cases = [
        Case(
            patient=name,
            series="T2 SPACE",
            kept_back=True,
            volume=place_volume(patient.voxels, SPACING_MM),
            labels=patient.labels,
            levels=number_discs(patient.labels),
            spacing_mm=SPACING_MM,
        )
        for name in ("1", "2", "3")
    ]
    scored = [(case, found, {"dice": dict.fromkeys(STRUCTURES, 0.5 + place / 10)}) for place, case in enumerate(cases)]
    return draw_worst(scored, folder)


def test_the_two_worst_patients_of_each_structure_are_drawn_small(tmp_path, patient):
    rows = worst(tmp_path / "failures", patient)
    assert [(row["structure"], row["patient"]) for row in rows] == [(s, p) for s in STRUCTURES for p in ("1", "2")]
    for row in rows:
        path = tmp_path / row["file"]
        assert path.stat().st_size <= 150_000
        pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
        assert (pixels[..., 1] - pixels[..., 0] > 100).any()  # the label's border
        assert (pixels[..., 0] - pixels[..., 1] > 100).any()  # ours


@pytest.fixture(scope="module")
def report(tmp_path_factory, phantom, reading):
    """A bundle's docs as the command writes them, for one generated spine outlined nearly right."""
    bundle = tmp_path_factory.mktemp("report") / "bundle"
    shutil.copytree(BUNDLE, bundle, ignore=shutil.ignore_patterns("*.onnx"))
    spacing = tuple(float(v) for v in np.linalg.norm(phantom.affine[:3, :3], axis=0))
    found = np.roll(phantom.labels, 1, axis=1)
    levels = number_discs(phantom.labels)
    answer = Answer(found=found, reading=reading)
    outcomes = []
    for name, series in (("1", "T2 SPACE"), ("2", "T1")):
        case = Case(
            patient=name,
            series=series,
            kept_back=True,
            volume=place_volume(phantom.voxels, spacing),
            labels=phantom.labels,
            levels=levels,
            spacing_mm=spacing,
            facts={"vendor": "Siemens", "field": "3 T", "sex": "F"},
        )
        row = {"patient": name, "slices": len(found)} | score(found, phantom.labels, spacing)
        calls = read_calls(name, answer, FracturePolicy())
        naming = compare_names(levels, reading)
        outcomes.append(Outcome(case=case, found=found, row=row, naming=naming, calls=calls))
    space, carried = outcomes[:1], outcomes[1:]
    metrics = {
        "schema": "spine-metrics/1",
        "split": {"seed": 7, "training": ["3"], "validation": ["1"]},
        "protocol": "largest probability",
        "real": real_section(space),
        "carried": carried_section(None, [], carried, ["9"]),
        "levels": levels_section(space, carried),
        "fractures": fractures_section(None, space, []),
        "failures": draw_worst([o.scored for o in outcomes], bundle / "docs" / "failures"),
        "simulated": {"thick": row["dice"]},
        "synthetic": {"T2": row["dice"]},
        "analytic": analytic_section([phantom]),
    }
    write_report(bundle, metrics)
    return bundle, metrics


def test_the_card_shows_what_the_files_hold(report):
    bundle, metrics = report
    card = (bundle / "docs" / "README.md").read_text()
    written = json.loads((bundle / "docs" / "metrics.json").read_text())
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    assert card == render_card(metadata, written)
    assert f"{metrics['real']['summary']['dice']['mean']['disc']:.3f}" in card
    assert "1 L2" in card
    assert "arXiv 2402.16368" in card
    for row in metrics["failures"]:
        assert f"]({row['file']})" in card
        assert (bundle / "docs" / row["file"]).is_file()
    assert metadata["eval_metrics"]["mean_dice_validation"] == metrics["real"]["summary"]["dice"]["mean"]


def test_the_weights_and_their_digest_are_left_alone(report):
    before, after = (json.loads((folder / "configs" / "metadata.json").read_text()) for folder in (BUNDLE, report[0]))
    assert {**before, "eval_metrics": None} == {**after, "eval_metrics": None}


class TestCommittedReport:
    """The card that ships is the one that its own files give, and shows what is there."""

    @pytest.fixture
    def files(self):
        return json.loads((BUNDLE / "configs" / "metadata.json").read_text()), json.loads(
            (BUNDLE / "docs" / "metrics.json").read_text()
        )

    def test_the_card_is_rendered_from_its_files(self, files):
        assert (BUNDLE / "docs" / "README.md").read_text() == render_card(*files)

    def test_figures_are_of_the_weights_that_ship(self, files):
        metadata, metrics = files
        assert metrics["model"]["sha256"] == metadata["spine"]["sha256"]

    def test_every_registration_is_either_scored_or_named_as_refused(self, files):
        _, metrics = files
        carried = metrics["carried"]
        scored = {(row["patient"], row["series"]) for row in carried["patients"]}
        registered = {(row["patient"], row["contrast"]): row for row in carried["registrations"]}
        assert scored == {key for key, row in registered.items() if row["accepted"]}
        assert all(bool(row["faults"]) != row["accepted"] for row in registered.values())

    def test_means_and_intervals_follow_from_the_rows(self, files):
        _, metrics = files
        assert metrics["real"]["intervals"] == intervals(metrics["real"]["patients"])

    def test_every_picture_is_there_and_named_with_its_source(self, files):
        _, metrics = files
        card = (BUNDLE / "docs" / "README.md").read_text()
        assert len(metrics["failures"]) == 2 * len(STRUCTURES)
        for row in metrics["failures"]:
            assert (BUNDLE / "docs" / row["file"]).stat().st_size <= 150_000
            assert f"]({row['file']})" in card
        assert "CC BY 4.0" in card
