"""Training of the disc grader: nobody's own grade takes part in what is said about them; the export is the network."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra train")
pytest.importorskip("sklearn", reason="training needs the extra train")
pytest.importorskip("matplotlib", reason="training needs the extra train")

from PIL import Image  # noqa: E402

from models.disc_crops import CHANNELS, SIDE, Contrast  # noqa: E402
from models.disc_grades import OUTPUTS, Sign, Vote  # noqa: E402
from models.disc_slips import slip_size  # noqa: E402
from training.export_grader import (  # noqa: E402
    Ensemble,
    export,
    finished_members,
    networks_of_bundle,
    networks_of_run,
    write_onnx,
)
from training.grader_data import Samples, augment_discs, load_samples, save_samples, target_of  # noqa: E402
from training.grader_network import DiscGrader  # noqa: E402
from training.grader_scores import (  # noqa: E402
    calibration_error,
    cross_scaled,
    fit_scale,
    kappa_quadratic,
    score_discs,
    score_slip,
    with_interval,
)
from training.grader_shipped import OtherFoldsError  # noqa: E402
from training.midsagittal import COLUMNS, FOLDER, draw_folds, read_graded  # noqa: E402
from training.spider import DataAbsentError  # noqa: E402
from training.train_grader import SAMPLES, GraderConfig, member_path, train_member  # noqa: E402

torch.set_num_threads(1)  # tests of small networks gain nothing from more
RNG = np.random.default_rng(5)


def samples(count=60, patients=20):
    names = np.array([str(n % patients + 1) for n in range(count)])
    folds = draw_folds(list(names))
    targets = (RNG.random((count, len(OUTPUTS))) < 0.5).astype(np.float32)
    images = RNG.normal(size=(count, len(Contrast) * len(CHANNELS), SIDE, SIDE)).astype(np.float16)
    return Samples(
        images=images,
        shown=np.ones((count, len(Contrast)), bool),
        targets=targets,
        slips=np.where(RNG.random((count, 2)) < 0.5, np.nan, RNG.normal(size=(count, 2)) * 8).astype(np.float32),
        levels=np.array(["L4-L5"] * count),
        patients=names,
        folds=np.array([folds[name] for name in names]),
        subgroups=np.array(["Philips, 3 T, F" if n % 2 else "Siemens, 1.5 T, M" for n in range(count)]),
    )


def test_outputs_of_a_graded_disc():
    grades = dict.fromkeys(COLUMNS, 0) | {"pfirrmann": 4, "modic": 2, "disc_bulging": 1}
    expected = dict.fromkeys(OUTPUTS, 0.0) | {
        "pfirrmann>=2": 1, "pfirrmann>=3": 1, "pfirrmann>=4": 1, Sign.MODIC: 1, Sign.BULGING: 1,
    }  # fmt: skip
    assert dict(zip(OUTPUTS, target_of(grades), strict=True)) == expected


def test_folds_are_of_patients_and_do_not_depend_on_their_order():
    names = [str(n) for n in range(1, 41)]
    folds = draw_folds(names)
    assert folds == draw_folds(names[::-1] + names)
    assert {list(folds.values()).count(f) for f in range(5)} == {8}


def test_no_patients_own_grade_takes_part_in_its_probability_or_answer():
    data = samples()
    logits = RNG.normal(size=data.targets.shape)
    before = cross_scaled(logits, data)
    mine = data.folds == 2
    changed = data.targets.copy()
    changed[mine] = 1 - changed[mine]
    fields = {name: getattr(data, name) for name in Samples.__slots__}
    after = cross_scaled(logits, Samples(**(fields | {"targets": changed})))
    for part in ("probability", "yes", "sure"):
        assert np.array_equal(getattr(before, part)[mine], getattr(after, part)[mine])
    assert not np.array_equal(before.probability[~mine], after.probability[~mine])


def test_what_the_product_does_not_grade_is_not_scored():
    data = samples()
    data.shown[:12, list(Contrast).index(Contrast.T2)] = False
    logits = RNG.normal(size=data.targets.shape)
    scores = score_discs(cross_scaled(logits, data), data, bootstraps=5)
    assert (scores["pfirrmann"]["graded"], scores["modic"]["graded"], scores["disc_narrowing"]["graded"]) == (
        48,
        48,
        60,
    )
    logits[:12, : OUTPUTS.index(Sign.NARROWING)] += 100  # a grade that nobody is told
    assert score_discs(cross_scaled(logits, data), data, bootstraps=5)["pfirrmann"] == scores["pfirrmann"]


def test_outside_the_band_errors_of_both_kinds_are_as_rare_as_asked():
    truth = (RNG.random(6000) < 0.3).astype(float)
    logit = RNG.normal(size=6000) + 1.5 * truth
    learned, tried = slice(0, 3000), slice(3000, 6000)
    scale = fit_scale(logit[learned], truth[learned], error=0.1)
    found = scale.probability(logit[tried])
    votes = np.array([scale.vote(p) for p in found])
    has, has_not = truth[tried] == 1, truth[tried] == 0
    assert (votes[has] == Vote.NO).mean() == pytest.approx(0.1, abs=0.03)
    assert (votes[has_not] == Vote.YES).mean() == pytest.approx(0.1, abs=0.03)
    assert 0.1 < (votes == Vote.UNSURE).mean() < 0.6


def test_a_scale_makes_a_probability_true():
    logit = RNG.normal(size=4000) * 2
    truth = (RNG.random(4000) < 1 / (1 + np.exp(-(0.5 * logit - 1)))).astype(float)
    scale = fit_scale(logit, truth)
    assert scale.slope == pytest.approx(0.5, abs=0.08)
    assert scale.offset == pytest.approx(-1.0, abs=0.12)
    assert calibration_error(truth, scale.probability(logit)) < 0.03
    assert calibration_error(truth, np.clip(scale.probability(logit) + 0.3, 0, 1)) > 0.2


def test_intervals_come_from_patients_and_hold_the_value():
    truth = np.repeat([1.0, 2, 3, 4, 5], 20)
    grade = np.clip(truth + (RNG.random(100) < 0.3), 1, 5)
    score = with_interval(kappa_quadratic, truth, grade, np.array([str(n // 4) for n in range(100)]))
    assert score["low"] < score["value"] < score["high"]
    assert score["value"] == pytest.approx(kappa_quadratic(truth, grade), abs=1e-3)


def test_augmentation_keeps_a_missing_contrast_missing_and_never_takes_both():
    images = torch.ones(64, len(Contrast) * len(CHANNELS), SIDE, SIDE)
    shown = torch.ones(64, 2, dtype=torch.bool)
    shown[:32, 0] = False
    images[:32, : len(CHANNELS)] = 0
    moved, left = augment_discs(images, shown, torch.Generator().manual_seed(1))
    assert moved.shape == images.shape
    assert left.any(1).all()
    assert not left[:32, 0].any()
    assert (~left[32:]).any()
    for place in range(2):
        block = moved[:, place * len(CHANNELS) : (place + 1) * len(CHANNELS)]
        assert torch.equal(block.abs().amax((1, 2, 3)) > 0, left[:, place])


def test_the_exported_graph_gives_every_members_logits_and_sees_what_is_missing(tmp_path):
    members = [DiscGrader().eval() for _ in range(2)]
    assert write_onnx(Ensemble(members), tmp_path / "model.onnx") < 1e-3
    image = torch.randn(1, len(Contrast) * len(CHANNELS), SIDE, SIDE)
    image[:, : len(CHANNELS)] = 0
    with torch.no_grad():
        logits = Ensemble(members).eval()(image)
        alone = members[1](image, torch.tensor([[0.0, 1.0]]))
    assert logits.shape == (1, 2, len(OUTPUTS))
    assert torch.allclose(logits[:, 1], alone)


def test_a_run_is_kept_scored_and_shipped(tmp_path):
    """Two steps per network on noise: the whole way, not its quality."""
    data = samples()
    save_samples(data, tmp_path / SAMPLES)
    with pytest.raises(FileNotFoundError, match="every fold needs a finished network"):
        finished_members(tmp_path)
    for fold in range(5):
        network = train_member(load_samples(tmp_path / SAMPLES), GraderConfig(fold=fold, member=0, epochs=2))
        torch.save(network.state_dict(), member_path(tmp_path, fold, 0))
    networks = networks_of_run(tmp_path, data)
    metrics = export(networks, data, tmp_path / "bundle", bootstraps=20)
    assert metrics["scores"]["discs"] == 60
    assert metrics["scores"]["modic"]["auc"]["value"] == pytest.approx(0.5, abs=0.3)
    assert set(metrics["subgroups"]) == {"Philips", "Siemens", "3 T", "1.5 T", "F", "M"}
    assert "cross-validation" in (tmp_path / "bundle" / "docs" / "README.md").read_text()
    assert (tmp_path / "bundle" / "docs" / "reliability.png").stat().st_size > 1000
    # The bundle alone tells each fold's networks again: all is written as before, without the run.
    again = networks_of_bundle(tmp_path / "bundle", data)
    assert np.allclose(again.logits, networks.logits, atol=1e-3)
    files = {path: path.read_bytes() for path in (tmp_path / "bundle").rglob("*") if path.suffix in {".onnx", ".md"}}
    export(again, data, tmp_path / "bundle", bootstraps=20)
    assert {path: path.read_bytes() for path in files} == files
    described = tmp_path / "bundle" / "configs" / "metadata.json"
    described.write_text(described.read_text().replace('"fold_seed": 11', '"fold_seed": 12'))
    with pytest.raises(OtherFoldsError, match="seed 12, must be 5 with 11"):
        networks_of_bundle(tmp_path / "bundle", data)


def test_the_slip_is_weighed_where_it_tells_something_and_only_for_the_sign_of_it():
    data, column = samples(count=600, patients=100), OUTPUTS.index(Sign.LISTHESIS)
    data.levels[::2] = "L5-S1"
    data.targets[:, column] = np.nan_to_num(slip_size(data.slips)) > 5
    logits = RNG.normal(size=data.targets.shape)
    scores, known = score_slip(logits, data, bootstraps=5), np.isfinite(data.slips).any(axis=1)
    assert scores["all"]["auc"]["value"] > 0.85
    assert scores["all"]["auc_without"]["value"] == pytest.approx(0.5, abs=0.1)
    assert {name: scores[name]["discs"] for name in ("slip measured, above L5-S1", "slip estimated, L5-S1")} == {
        "slip measured, above L5-S1": (known & (data.levels != "L5-S1")).sum(),
        "slip estimated, L5-S1": (known & (data.levels == "L5-S1")).sum(),
    }
    assert "no slip" not in scores  # none of these has the sign
    blind = replace(data, slips=np.full_like(data.slips, np.nan))
    with_slips, without = (cross_scaled(logits, d).probability for d in (data, blind))
    others = np.arange(len(OUTPUTS)) != column
    assert np.array_equal(with_slips[:, others], without[:, others])


def test_the_weight_of_a_slip_is_what_it_says():
    size = np.where(RNG.random(8000) < 0.3, np.nan, RNG.random(8000) * 20)
    logit = RNG.normal(size=8000)
    true_logit = logit + np.where(np.isnan(size), -1.0, 0.2 * np.nan_to_num(size)) - 2.0
    truth = (RNG.random(8000) < 1 / (1 + np.exp(-true_logit))).astype(float)
    scale = fit_scale(logit, truth, size)
    assert (scale.slope, scale.slip) == (pytest.approx(1.0, abs=0.15), pytest.approx(0.2, abs=0.03))
    assert (scale.offset, scale.no_slip) == (pytest.approx(-2.0, abs=0.25), pytest.approx(-1.0, abs=0.3))
    assert calibration_error(truth, scale.probability(logit, size)) < 0.03


def test_patients_are_read_with_what_they_have(tmp_path):
    folder = tmp_path / FOLDER
    (folder / "images").mkdir(parents=True)
    Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4)).save(folder / "images" / "7_t2.png")
    with (folder / "radiological_gradings.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["Patient", "IVD label", *COLUMNS.values()])
        writer.writeheader()
        writer.writerow({"Patient": 7, "IVD label": 2, **dict.fromkeys(COLUMNS.values(), 1)})
        writer.writerow({"Patient": 8, "IVD label": 1, **dict.fromkeys(COLUMNS.values(), 1)})
    with (folder / "overview.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["new_file_name", "PixelSpacing", "Manufacturer", "MagneticFieldStrength", "sex"])
        writer.writeheader()
        writer.writerow(
            {"new_file_name": "7_t2", "PixelSpacing": "[.5, .25]", "Manufacturer": "SIEMENS",
             "MagneticFieldStrength": "1.5", "sex": "F "}
        )  # fmt: skip
    (patient,) = read_graded(tmp_path)
    assert (patient.name, list(patient.series), list(patient.grades)) == ("7", [Contrast.T2], ["L4-L5"])
    assert patient.series[Contrast.T2].spacing_mm[1:] == (0.5, 0.25)
    assert patient.facts == {"vendor": "Siemens", "field": "1.5 T", "sex": "F"}
    with pytest.raises(DataAbsentError, match="radiological_gradings"):
        read_graded(tmp_path / "nowhere")
