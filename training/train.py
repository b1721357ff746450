"""Train the sagittal MR segmenter: `python -m training.train --data DIR --out DIR --minutes N --seed S [--resume]`.

A second run can go on from the weights of a first (`--start`), with T1 and T2 TSE slices that a bundle's outlines of T2
teach (`--pair-share`, `training.paired`).

The schedule runs on the clock, not on steps: on a shared CPU the number of steps is not known beforehand, the time is.
`checkpoint.pt` in the output folder is written anew every few minutes (first beside it, then renamed), holds everything
`--resume` needs, and is what `training.export` reads.
"""

from __future__ import annotations

import copy
import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from monai.losses import DiceCELoss
from numpy.typing import NDArray
from rich.logging import RichHandler
from torch import Tensor, nn
from torch.nn import functional

from models.preprocess import normalise
from training.augment import MILD, STRONG, Strength, augment, draw_stack
from training.cases import load_reader
from training.midsagittal import read_graded
from training.network import CLASS_NAMES, NetworkConfig, SagittalSegmenter, count_parameters, update_average
from training.paired import PAIRS, Pair, mix, read_pairs
from training.spider import (
    Patient,
    Split,
    context_indices,
    default_data_folder,
    list_slices,
    read_patients,
    split_patients,
)
from training.start import read_onnx_weights
from training.synthetic import generate_cached

log = logging.getLogger(__name__)
CHECKPOINT = "checkpoint.pt"
Draw = Callable[[float, int, np.random.Generator], tuple[Tensor, Tensor]]
Score = Callable[[nn.Module], dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """Everything a run depends on besides its data."""

    minutes: float
    seed: int
    batch: int = 2
    crop: tuple[int, int] = (384, 320)  # 180 x 150 mm: four to five lumbar levels
    learning_rate: float = 2e-3
    warm_up_steps: int = 100
    weight_decay: float = 1e-4
    mild_share: float = 0.5  # share of samples that stay close to the real contrast
    last_mild_share: float = 0.8  # the same over the last part of the run
    last_part: float = 0.75  # where the last part begins
    checkpoint_s: float = 150
    validate_s: float = 600
    report_s: float = 30
    # Samples of a step run side by side, one thread each: on a CPU that others use too, threads that wait for each
    # other inside every operation lose most of their time (measured at a load of 8: 2.5 s a sample against 0.3 s).
    threads: int = 2
    phantom_share: float = 0.0  # share of samples that are generated spines
    phantoms: int = 32
    pair_share: float = 0.0  # share of samples that are T1 and T2 TSE slices with a network's labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """One training volume: normalised signal and labels, both `[slice, row, column]`."""

    voxels: NDArray[np.float32]
    labels: NDArray[np.uint8]


def prepare(patient: Patient) -> Volume:
    """Return the patient normalised (30 patients take 0.8 GB)."""
    return Volume(voxels=normalise(patient.voxels.astype(np.float32)), labels=patient.labels)


def read_phantoms(count: int, out: Path) -> list[Volume]:
    """Return generated training volumes, normalised, kept in the run's folder."""
    arrays = generate_cached(count, out / "phantoms.npz")
    return [Volume(voxels=normalise(voxels.astype(np.float32)), labels=labels) for voxels, labels in arrays]


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Volumes to train on."""

    real: list[Volume]
    synthetic: list[Volume]
    pairs: list[Pair]

    def draw(self, config: TrainingConfig, rng: np.random.Generator) -> Volume:
        """One volume of a kind drawn by the shares of the configuration."""
        kind = rng.random()
        if kind < config.phantom_share:
            return self.synthetic[int(rng.integers(len(self.synthetic)))]
        if kind < config.phantom_share + config.pair_share:
            pair = self.pairs[int(rng.integers(len(self.pairs)))]
            return Volume(voxels=mix(pair, rng), labels=pair.labels[None])
        return self.real[int(rng.integers(len(self.real)))]


def draw_batch(
    material: Material, config: TrainingConfig, progress: float, count: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Return images `[count, 5, *crop]` and labels `[count, *crop]` of random slices, one augmentation each."""
    share = config.last_mild_share if progress > config.last_part else config.mild_share
    strengths: list[Strength] = []
    stacks, labels = [], []
    for _ in range(count):
        volume = material.draw(config, rng)
        strength = MILD if rng.random() < share else STRONG
        index = int(rng.integers(len(volume.voxels)))
        stack, classes = draw_stack(volume.voxels, volume.labels, index, strength, rng)
        strengths.append(strength)
        stacks.append(torch.from_numpy(stack))
        labels.append(torch.from_numpy(classes))
    return augment(_pad_together(stacks), _pad_together(labels), config.crop, strengths, rng)


def _pad_together(stacks: list[Tensor]) -> Tensor:
    """Return stacks `[5, row, column]` as one batch, the smaller ones padded with 0 below and to the right."""
    rows, columns = (max(stack.shape[axis] for stack in stacks) for axis in (1, 2))
    return torch.stack(
        [functional.pad(stack, (0, columns - stack.shape[2], 0, rows - stack.shape[1])) for stack in stacks]
    )


class Trainer:
    """The state of one run: network, averaged network, optimiser, steps and seconds so far."""

    def __init__(self, config: TrainingConfig, network: SagittalSegmenter) -> None:
        self.config = config
        self.network = network
        self.average = copy.deepcopy(network)
        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.loss = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)
        self.parameters = list(network.parameters())
        self.pool = ThreadPoolExecutor(config.threads, initializer=torch.set_num_threads, initargs=(1,))
        self.step = 0
        self.seconds = 0.0

    @property
    def progress(self) -> float:
        """The share of the run's time that is spent, 0 to 1."""
        return min(1.0, self.seconds / (60 * self.config.minutes))

    def train_step(self, draws: Sequence[Callable[[], tuple[Tensor, Tensor]]]) -> float:
        """Move the weights one step; return the loss. Each draw gives images and labels, and runs in its own thread."""
        warm_up = min(1.0, (self.step + 1) / self.config.warm_up_steps)
        rate = self.config.learning_rate * warm_up * (0.005 + 0.995 * 0.5 * (1 + math.cos(math.pi * self.progress)))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.network.train()
        found = list(self.pool.map(self._find_gradients, draws))
        for parameter, *gradients in zip(self.parameters, *[gradients for _, gradients in found], strict=True):
            parameter.grad = sum(gradients[1:], start=gradients[0]) / len(gradients)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        if not torch.isfinite(norm):  # one bad sample must not undo the run: its step is left out
            log.warning("step %d left out: its gradient is not finite", self.step)
            return math.nan
        self.optimiser.step()
        self.step += 1
        update_average(self.average, self.network, step=self.step)
        return float(np.mean([loss for loss, _ in found]))

    def _find_gradients(self, draw: Callable[[], tuple[Tensor, Tensor]]) -> tuple[float, tuple[Tensor, ...]]:
        images, labels = draw()
        loss: Tensor = self.loss(self.network(images), labels[:, None])
        return loss.item(), torch.autograd.grad(loss, self.parameters)

    def save(self, path: Path) -> None:
        """Write a checkpoint so that a crash never leaves half a file."""
        state = {
            "network_config": asdict(self.network.config),
            "training_config": asdict(self.config),
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        torch.save(state, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)

    def load(self, path: Path) -> None:
        """Go on where a checkpoint stopped, under this run's settings."""
        state = read_checkpoint(path)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint; only tensors and plain values are unpickled."""
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def load_average(path: Path) -> SagittalSegmenter:
    """Return the averaged network of a checkpoint, ready to infer."""
    state = read_checkpoint(path)
    config = dict(state["network_config"])
    network = SagittalSegmenter(NetworkConfig(**{**config, "filters": tuple(config["filters"])}))
    network.load_state_dict(state["average"])
    network.eval()
    return network


def load_start(path: Path) -> SagittalSegmenter:
    """Return the network to go on from: a checkpoint's averaged weights, or those of a bundle's ONNX file."""
    return read_onnx_weights(path) if path.suffix == ".onnx" else load_average(path)


def score_quickly(network: SagittalSegmenter, volumes: list[Volume], *, every: int = 3) -> dict[str, float]:
    """Return the mean Dice of each class over patients, on every third slice: a progress figure, not the evaluation."""
    network.eval()
    multiple = network.config.multiple_of
    scores = []
    for volume in volumes:
        overlap, sizes = np.zeros(len(CLASS_NAMES)), np.zeros(len(CLASS_NAMES))
        _, rows, columns = volume.voxels.shape
        for index in range(0, len(volume.voxels), every):
            stack = volume.voxels[context_indices(index, len(volume.voxels))]
            image = functional.pad(torch.from_numpy(stack)[None], (0, -columns % multiple, 0, -rows % multiple))
            with torch.no_grad():
                found = network(image)[0].argmax(0).numpy()[:rows, :columns]
            truth = volume.labels[index]
            for label in range(1, len(CLASS_NAMES)):
                overlap[label] += 2 * np.count_nonzero((found == label) & (truth == label))
                sizes[label] += np.count_nonzero(found == label) + np.count_nonzero(truth == label)
        scores.append(overlap[1:] / np.maximum(sizes[1:], 1))
    return dict(zip(CLASS_NAMES[1:], np.mean(scores, axis=0).round(4).tolist(), strict=True))


def run(trainer: Trainer, draw: Draw, score: Score, out: Path) -> None:
    """Train until the time is spent, with checkpoints and a line of JSON for each report in `progress.jsonl`.

    Args:
        trainer: the state to go on from.
        draw: images and labels of a batch, from the share of the time that is spent, the batch's size and a generator.
        score: figures of the averaged network to watch.
        out: folder of the run.
    """
    config = trainer.config
    generators = np.random.default_rng((config.seed, trainer.step)).spawn(config.threads)
    count = max(1, config.batch // config.threads)
    saved = validated = reported = time.monotonic()
    losses: list[float] = []
    while trainer.progress < 1:
        start = time.monotonic()
        draws = [partial(draw, trainer.progress, count, rng) for rng in generators]
        losses.append(trainer.train_step(draws))
        now = time.monotonic()
        trainer.seconds += now - start
        if now - reported > config.report_s:
            log.info("step %d loss %.4f at %.0f s", trainer.step, float(np.nanmean(losses)), trainer.seconds)
            losses, reported = [], now
        if now - saved > config.checkpoint_s:
            trainer.save(out / CHECKPOINT)
            saved = now
        if now - validated > config.validate_s:
            _report(trainer, score, out)
            validated = time.monotonic()
    trainer.save(out / CHECKPOINT)
    _report(trainer, score, out)


def _report(trainer: Trainer, score: Score, out: Path) -> None:
    entry = {"step": trainer.step, "seconds": round(trainer.seconds), **score(trainer.average)}
    with (out / "progress.jsonl").open("a") as lines:
        lines.write(json.dumps(entry) + "\n")
    log.info("validation %s", entry)


def main(
    *,
    out: Annotated[Path, typer.Option(help="Folder for checkpoint and progress.")],
    minutes: Annotated[float, typer.Option(help="Time to train, all sittings together.")],
    data: Annotated[Path | None, typer.Option(help="Folder that holds mr_spider_t2space.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights and augmentation.")] = 1,
    phantom_share: Annotated[float, typer.Option(min=0, max=1, help="Share of samples from generated spines.")] = 0.0,
    pair_share: Annotated[float, typer.Option(min=0, max=1, help="Share of samples from T1 and T2 TSE slices.")] = 0.0,
    teacher: Annotated[Path | None, typer.Option(help="Bundle whose outlines of T2 TSE teach.")] = None,
    learning_rate: Annotated[float, typer.Option(min=0, help="Highest learning rate.")] = 2e-3,
    start: Annotated[
        Path | None, typer.Option(help="Checkpoint, or a bundle's ONNX file, to take weights from.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the checkpoint in the output folder.")] = False,
) -> None:
    """Train the sagittal MR segmenter on the SPIDER T2 SPACE patients."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[RichHandler(show_path=False)])
    config = TrainingConfig(
        minutes=minutes, seed=seed, phantom_share=phantom_share, pair_share=pair_share, learning_rate=learning_rate
    )
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    folder = data or default_data_folder()
    split = split_patients(list(list_slices(folder)))
    out.mkdir(parents=True, exist_ok=True)
    training = Material(
        real=[prepare(patient) for patient in read_patients(folder, split.training)],
        synthetic=read_phantoms(config.phantoms, out) if phantom_share else [],
        pairs=_teach(folder, teacher, split, out / PAIRS) if pair_share else [],
    )
    validation = [prepare(patient) for patient in read_patients(folder, split.validation)]
    trainer = Trainer(config, load_start(start) if start else SagittalSegmenter())
    if resume:
        trainer.load(out / CHECKPOINT)
    log.info(
        "%d parameters, %d patients, validation %s",
        count_parameters(trainer.network),
        len(training.real),
        split.validation,
    )
    run(
        trainer,
        partial(draw_batch, training, config),
        lambda network: {"validation_dice": score_quickly(network, validation)},
        out,
    )


def _teach(folder: Path, teacher: Path | None, split: Split, path: Path) -> list[Pair]:
    patients = [patient for patient in read_graded(folder) if patient.name not in split.validation]
    return read_pairs(load_reader(teacher), patients, path)


if __name__ == "__main__":
    typer.run(main)
