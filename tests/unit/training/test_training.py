import csv
import hashlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="needs the extra train (torch)")
pytest.importorskip("monai", reason="needs the extra train (monai)")
pytest.importorskip("onnx", reason="needs the extra train (onnx)")

from models.bundle import read_bundle  # noqa: E402
from models.labels import SPINE_CLASSES  # noqa: E402
from training.augment import MILD, STRONG, augment, draw_stack, remap_contrast  # noqa: E402
from training.export import ParityError, earlier_runs, export, measure_parity, round_weights, write_onnx  # noqa: E402
from training.network import NetworkConfig, SagittalSegmenter, update_average  # noqa: E402
from training.spider import (  # noqa: E402
    DataAbsentError,
    Patient,
    context_indices,
    list_slices,
    read_patients,
    split_patients,
)
from training.start import StartError, read_onnx_weights  # noqa: E402
from training.synthetic import draw_parameters, generate_cached  # noqa: E402
from training.train import (  # noqa: E402
    Material,
    Trainer,
    TrainingConfig,
    Volume,
    draw_batch,
    load_average,
    prepare,
    run,
    score_quickly,
)

torch.set_num_threads(1)  # tests of tiny networks gain nothing from more
TINY = NetworkConfig(filters=(8, 16, 16))
# What seed 7 keeps back of the 30 SPIDER T2 SPACE patients; other checks rely on these five being unseen.
VALIDATION = ("34", "69", "81", "166", "239")


def draw_spine(slices=7, rows=160, columns=128):
    """Bright bodies over dark discs, a canal behind them: signal equals 50 times the label plus 20."""
    labels = np.zeros((slices, rows, columns), dtype=np.uint8)
    for top in range(8, rows - 40, 50):
        labels[:, top : top + 38, 30:75] = 1
        labels[:, top + 40 : top + 48, 32:73] = 2
    labels[:, :, 80:92] = 3
    return Patient(name="1", voxels=(labels * 50 + 20).astype(np.uint8), labels=labels)


def write_data(folder: Path, patients: int = 7):
    for kind in ("images", "masks"):
        (folder / "mr_spider_t2space" / kind).mkdir(parents=True)
    spine = draw_spine(slices=3)
    with (folder / "mr_spider_t2space" / "index.csv").open("w", newline="") as lines:
        rows = csv.writer(lines)
        rows.writerow(["file", "patient", "slice"])
        for patient in range(1, patients + 1):
            for index in (2, 1, 0):
                name = f"{patient}_{index:03}.png"
                rows.writerow([name, patient, index])
                Image.fromarray(spine.voxels[index] + index).save(folder / "mr_spider_t2space" / "images" / name)
                Image.fromarray(spine.labels[index]).save(folder / "mr_spider_t2space" / "masks" / name)
    return folder


class TestSplit:
    def test_no_patient_is_on_both_sides_and_none_is_lost(self):
        names = [str(number) for number in range(1, 31)]
        split = split_patients(names)
        assert not set(split.training) & set(split.validation)
        assert sorted(split.training + split.validation) == sorted(names)

    def test_order_of_the_names_does_not_change_the_split(self):
        names = [str(number) for number in range(1, 31)]
        assert split_patients(names) == split_patients(names[::-1] + names)

    def test_keeping_back_everyone_is_refused(self):
        with pytest.raises(ValueError, match="at least one on both sides"):
            split_patients(["1", "2"], validation=2)

    def test_real_patients_are_split_as_the_model_card_says(self, shared_folder):
        data = shared_folder("mr_spider_t2space").parent
        assert split_patients(list(list_slices(data))).validation == VALIDATION


class TestReading:
    def test_slices_come_in_the_order_of_their_index(self, tmp_path):
        (patient,) = read_patients(write_data(tmp_path), ("3",))
        assert patient.voxels.shape == (3, 160, 128)
        assert patient.voxels[:, 0, 0].tolist() == [20, 21, 22]

    def test_absent_data_is_refused_by_name(self, tmp_path):
        with pytest.raises(DataAbsentError, match="SPINE_SHARED_DATA"):
            list_slices(tmp_path)

    def test_end_slices_stand_for_those_beyond(self):
        assert context_indices(0, 4).tolist() == [0, 0, 0, 1, 2]
        assert context_indices(3, 9, stride=2).tolist() == [0, 1, 3, 5, 7]


class TestAugment:
    @pytest.mark.parametrize("strength", [MILD, STRONG])
    def test_labels_move_with_the_signal(self, strength):
        """Signal is a function of the label here, so without new contrast each label keeps its own range of signal."""
        rng = np.random.default_rng(3)
        strength = type(strength)(
            **{
                **{field: getattr(strength, field) for field in strength.__dataclass_fields__},
                "remap": 0,
                "degrade": 0,
                "bias": 0,
                "gamma": 0,
                "noise": 0,
                "squeeze": 1.0,
            }
        )
        patient = draw_spine()
        stacks, labels = draw_stack(patient.labels.astype(np.float32), patient.labels, 3, strength, rng)
        images, targets = augment(
            torch.from_numpy(stacks)[None], torch.from_numpy(labels)[None], (128, 96), [strength], rng
        )
        signal = images[0, 2].numpy()
        means = [signal[targets[0].numpy() == label].mean() for label in range(4)]
        steps = np.diff(means) / (means[3] - means[0])
        assert steps == pytest.approx([1 / 3] * 3, abs=0.1)

    def test_shapes_and_classes_stay_valid_under_the_strongest_changes(self):
        rng = np.random.default_rng(0)
        volume = prepare(draw_spine())
        for index in range(7):
            stack, labels = draw_stack(volume.voxels, volume.labels, index, STRONG, rng)
            images, targets = augment(
                torch.from_numpy(stack)[None], torch.from_numpy(labels)[None], (96, 64), [STRONG], rng
            )
            assert images.shape == (1, 5, 96, 64)
            assert targets.shape == (1, 96, 64)
            assert bool(torch.isfinite(images).all())
            assert set(targets.unique().tolist()) <= {0, 1, 2, 3}

    def test_a_single_pixel_of_a_class_gives_no_nan(self):
        image = torch.from_numpy(np.random.default_rng(1).normal(size=(5, 16, 16)).astype(np.float32))
        one = torch.zeros(5, 16, 16)
        one[2, 4, 4] = 1
        for seed in range(20):
            changed = remap_contrast(image.clone(), one, np.random.default_rng(seed))
            assert bool(torch.isfinite(changed).all())


class TestSynthetic:
    def test_a_seed_gives_the_same_person_again(self):
        assert draw_parameters(5) == draw_parameters(5)
        assert draw_parameters(5) != draw_parameters(6)

    def test_generated_volumes_are_kept(self, tmp_path):
        arrays = {"voxels0": np.ones((1, 2, 2), np.float16), "labels0": np.ones((1, 2, 2), np.uint8)}
        np.savez(tmp_path / "phantoms.npz", **arrays)
        ((voxels, labels),) = generate_cached(1, tmp_path / "phantoms.npz")
        assert (voxels.dtype, labels.dtype) == (np.float16, np.uint8)


class TestTraining:
    def test_a_tiny_network_learns_one_batch(self):
        torch.manual_seed(0)
        trainer = Trainer(
            TrainingConfig(minutes=1, seed=0, learning_rate=1e-2, warm_up_steps=5), SagittalSegmenter(TINY)
        )
        volume = prepare(draw_spine())
        images = torch.from_numpy(volume.voxels[None, 1:6, :64, 24:104])
        labels = torch.from_numpy(volume.labels[3:4, :64, 24:104].astype(np.int64))
        losses = [trainer.train_step([lambda: (images, labels)]) for _ in range(60)]
        assert losses[-1] < 0.3 * losses[0]
        patch = Volume(voxels=volume.voxels[:, :64, 24:104], labels=volume.labels[:, :64, 24:104])
        assert min(score_quickly(trainer.average, [patch]).values()) > 0.8

    def test_a_bad_sample_does_not_undo_the_run(self):
        """Used to turn all weights to nan at once: one pixel of a class has no deviation."""
        trainer = Trainer(TrainingConfig(minutes=1, seed=0), SagittalSegmenter(TINY))
        images, labels = torch.full((1, 5, 32, 32), float("nan")), torch.zeros(1, 32, 32, dtype=torch.int64)
        assert np.isnan(trainer.train_step([lambda: (images, labels)]))
        assert trainer.step == 0
        assert all(bool(torch.isfinite(weights).all()) for weights in trainer.network.parameters())

    def test_a_run_goes_on_from_its_checkpoint(self, tmp_path):
        volumes = [prepare(draw_spine())]
        config = TrainingConfig(minutes=1 / 60, seed=0, crop=(64, 64), phantom_share=0.5)
        first = Trainer(config, SagittalSegmenter(TINY))
        material = Material(real=volumes, synthetic=volumes, pairs=[])
        run(
            first,
            partial(draw_batch, material, config),
            lambda network: {"validation_dice": score_quickly(network, volumes)},
            tmp_path,
        )
        second = Trainer(config, SagittalSegmenter(TINY))
        second.load(tmp_path / "checkpoint.pt")
        assert (second.step, second.progress) == (first.step, 1.0)
        image = torch.zeros(1, 5, 32, 32)
        assert torch.equal(second.average.eval()(image), first.average.eval()(image))

    def test_average_starts_near_the_network_and_then_lags(self):
        network, average = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
        torch.nn.init.constant_(network.weight, 1.0)
        torch.nn.init.constant_(average.weight, 0.0)
        update_average(average, network, step=0)
        assert average.weight.item() == pytest.approx(0.9)


class TestExport:
    def test_onnx_gives_the_same_logits_at_other_sizes(self, tmp_path):
        network = round_weights(SagittalSegmenter(TINY))
        write_onnx(network, tmp_path / "model.onnx")
        assert measure_parity(network, tmp_path / "model.onnx", sizes=((1, 64, 64), (2, 32, 96))) < 1e-3

    def test_another_networks_graph_is_refused(self, tmp_path):
        write_onnx(SagittalSegmenter(TINY), tmp_path / "model.onnx")
        with pytest.raises(ParityError, match="differ from torch"):
            measure_parity(SagittalSegmenter(TINY), tmp_path / "model.onnx", sizes=((1, 64, 64),))

    def test_bundle_is_one_that_the_server_accepts(self, tmp_path):
        trainer = Trainer(TrainingConfig(minutes=1, seed=5), SagittalSegmenter(TINY))
        trainer.save(tmp_path / "checkpoint.pt")
        assert load_average(tmp_path / "checkpoint.pt").config == TINY
        export(tmp_path / "checkpoint.pt", tmp_path / "bundle")
        (tmp_path / "bundle" / "LICENSE").write_text("Apache-2.0")
        bundle = read_bundle(tmp_path / "bundle")
        bundle.verify()
        assert bundle.identity.sha256 == hashlib.sha256(bundle.weights.read_bytes()).hexdigest()
        assert bundle.labels == SPINE_CLASSES
        assert (bundle.context_slices, bundle.multiple_of) == (5, TINY.multiple_of)

    def test_a_run_may_start_from_the_weights_of_a_bundle(self, tmp_path):
        network = SagittalSegmenter(TINY)
        with torch.no_grad():
            for weight in network.parameters():  # the exporter keeps weights that are alike once, under one name
                weight.add_(0.1 * torch.randn_like(weight))
        write_onnx(round_weights(network), tmp_path / "model.onnx")
        start = read_onnx_weights(tmp_path / "model.onnx", TINY)
        for name, weight in network.named_parameters():
            assert torch.equal(dict(start.named_parameters())[name], weight), name

    def test_weights_of_another_network_are_no_start(self, tmp_path):
        write_onnx(SagittalSegmenter(TINY), tmp_path / "model.onnx")
        with pytest.raises(StartError, match=r"model.onnx lacks \d+ of the network's 73 weights"):
            read_onnx_weights(tmp_path / "model.onnx")

    def test_the_card_knows_the_runs_before(self, tmp_path):
        for name, steps in (("first", 3), ("second", 2)):
            trainer = Trainer(TrainingConfig(minutes=steps, seed=steps), SagittalSegmenter(TINY))
            trainer.step = steps
            trainer.save(tmp_path / f"{name}.pt")
        export(tmp_path / "second.pt", tmp_path / "bundle", earlier=tmp_path / "first.pt")
        runs = earlier_runs(tmp_path / "bundle" / "models" / "model.onnx")
        assert [(run["steps"], run["seed"], run["minutes"]) for run in runs] == [(3, 3, 3), (2, 2, 2)]
        assert earlier_runs(tmp_path / "first.pt") == runs[:1]
