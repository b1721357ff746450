"""Train the axial canal network: `python -m training.train_axial --data DIR --out RUN --minutes N [--resume]`.

No axial label exists in the data: half of the samples are axial reformats of sagittal SPIDER T2 SPACE volumes with
drawn surroundings (training.axial_strips), half are drawn (training.axial_scene). The schedule runs on the clock, as in
training.train, whose loop, checkpoints and averaging this uses; `training.export_axial` reads the checkpoint.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from monai.losses import DiceCELoss
from rich.logging import RichHandler
from torch import Tensor, nn

from models.axial_crops import SIDE
from training.axial_samples import draw_batch
from training.axial_scene import Field
from training.axial_scores import Case, Predict, drawn_cases, real_cases, score, summarise
from training.axial_strips import Course, course_of
from training.network import NetworkConfig, SagittalSegmenter, count_parameters
from training.spider import default_data_folder, list_slices, read_patients, split_patients
from training.train import CHECKPOINT, Trainer, TrainingConfig, run

log = logging.getLogger(__name__)
NETWORK = NetworkConfig(filters=(16, 32, 64, 96), fold=2, context_slices=1, classes=2)
WATCHED_SCENES = 64
WATCHED_EVERY = 8
"""Of the reformats of the patients kept back: all of them would take a tenth of the run."""


class SacLoss(nn.Module):  # type: ignore[misc] # torch's types are not read, see pyproject.toml
    """Dice and cross-entropy against shares of pixels, so that the sum of probabilities learns to be the area."""

    def __init__(self) -> None:
        super().__init__()
        self.loss = DiceCELoss(include_background=False, softmax=True)

    def forward(self, logits: Tensor, sac: Tensor) -> Tensor:
        """Loss of logits `[batch, 2, row, column]` against shares `[batch, 1, row, column]`."""
        loss: Tensor = self.loss(logits, torch.cat([1 - sac, sac], dim=1))
        return loss


def predictor(network: nn.Module) -> Predict:
    """The sac's probability by a network."""

    def predict(crops: Field) -> Field:
        with torch.no_grad():
            found: Field = network.eval()(torch.from_numpy(crops)[:, None]).softmax(1)[:, 1].numpy()
        return found

    return predict


def courses_of(data: Path, names: tuple[str, ...]) -> list[Course]:
    """The named patients with their canals' course."""
    return [course_of(patient) for patient in read_patients(data, names)]


def watch(network: nn.Module, cases: dict[str, Sequence[Case]]) -> dict[str, Any]:
    """Figures to watch during training."""
    found = {name: summarise(score(predictor(network), each)) for name, each in cases.items()}
    return {name: {k: figures[k] for k in ("dice", "area", "ap")} for name, figures in found.items()}


def main(
    *,
    out: Annotated[Path, typer.Option(help="Folder for checkpoint and progress.")],
    minutes: Annotated[float, typer.Option(help="Time to train, all sittings together.")],
    data: Annotated[Path | None, typer.Option(help="Folder that holds mr_spider_t2space.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights and samples.")] = 1,
    resume: Annotated[bool, typer.Option(help="Go on from the checkpoint in the output folder.")] = False,
) -> None:
    """Train the axial canal network on reformatted and drawn crops."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[RichHandler(show_path=False)])
    config = TrainingConfig(minutes=minutes, seed=seed, batch=8, crop=(SIDE, SIDE), validate_s=420, checkpoint_s=60)
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    folder = data or default_data_folder()
    split = split_patients(list(list_slices(folder)))
    courses = courses_of(folder, split.training)
    cases: dict[str, Sequence[Case]] = {
        "held_back": real_cases(courses_of(folder, split.validation))[::WATCHED_EVERY],
        "drawn": drawn_cases(WATCHED_SCENES),
    }
    out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(config, SagittalSegmenter(NETWORK))
    trainer.loss = SacLoss()
    if resume:
        trainer.load(out / CHECKPOINT)
    size = count_parameters(trainer.network)
    log.info("%d parameters, %d patients, kept back %s", size, len(courses), split.validation)
    run(trainer, partial(draw_batch, courses), lambda network: watch(network, cases), out)


if __name__ == "__main__":
    typer.run(main)
