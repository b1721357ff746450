"""Train the disc grader: `python -m training.train_grader --data DIR --out DIR [--epochs N] [--members N]`.

Five folds of patients; in each, `members` networks that differ in their seed are trained on the other four. A network
that is finished is kept in its file and not trained again, so that a run that was stopped goes on with the next one.
"""

from __future__ import annotations

import logging
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.logging import RichHandler
from torch import Tensor, nn

from training.cases import load_reader
from training.grader_data import Samples, augment_discs, cut_samples, load_samples, save_samples
from training.grader_network import DiscGrader
from training.midsagittal import FOLDS
from training.network import update_average
from training.spider import default_data_folder

log = logging.getLogger(__name__)
SAMPLES = "discs.npz"


@dataclass(frozen=True, slots=True, kw_only=True)
class GraderConfig:
    """Everything one network depends on besides its data."""

    fold: int
    member: int
    epochs: int = 30
    batch: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 2e-2

    @property
    def seed(self) -> int:
        """Of weights, order and augmentation."""
        return 100 * self.fold + self.member


def member_path(out: Path, fold: int, member: int) -> Path:
    """Where a finished network is kept."""
    return out / f"grader-fold{fold}-member{member}.pt"


def train_member(samples: Samples, config: GraderConfig) -> DiscGrader:
    """The averaged network after training on the patients of the other folds."""
    chosen = samples.chosen(samples.folds != config.fold)
    torch.manual_seed(config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    network, average = DiscGrader(), DiscGrader()
    average.load_state_dict(network.state_dict())
    images, shown = torch.from_numpy(chosen.images), torch.from_numpy(chosen.shown)
    targets = torch.from_numpy(chosen.targets)
    steps = config.epochs * (len(images) // config.batch)
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.learning_rate, total_steps=steps)
    share = targets.mean(0).clamp(0.01, 0.99)
    loss_of = nn.BCEWithLogitsLoss(pos_weight=((1 - share) / share).sqrt())
    network.train()
    order = torch.empty(0, dtype=torch.int64)
    for step in range(steps):
        if len(order) < config.batch:
            order = torch.randperm(len(images), generator=generator)
        places, order = order[: config.batch], order[config.batch :]
        moved, left = augment_discs(images[places].float(), shown[places], generator)
        loss: Tensor = loss_of(network(moved, left.float()), targets[places])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        update_average(average, network, step=step, decay=0.99)
    for mean, value in zip(average.buffers(), network.buffers(), strict=True):
        mean.copy_(value)
    average.eval()
    return average


def predict(network: DiscGrader, samples: Samples) -> NDArray[np.float32]:
    """Logits (disc, output)."""
    with torch.no_grad():
        parts = [
            network(
                torch.from_numpy(samples.images[at : at + 64]).float(),
                torch.from_numpy(samples.shown[at : at + 64]).float(),
            )
            for at in range(0, len(samples.images), 64)
        ]
    return np.asarray(torch.cat(parts).numpy(), dtype=np.float32)


def load_member(path: Path) -> DiscGrader:
    """A finished network."""
    network = DiscGrader()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    network.eval()
    return network


def _train_and_keep(out: Path, config: GraderConfig) -> str:
    torch.set_num_threads(1)
    network = train_member(load_samples(out / SAMPLES), config)
    path = member_path(out, config.fold, config.member)
    torch.save(network.state_dict(), path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)
    return path.name


def prepare_samples(data: Path, out: Path) -> None:
    """Cut the discs with the shipped segmentation, once."""
    if not (out / SAMPLES).is_file():
        save_samples(cut_samples(data, load_reader()), out / SAMPLES)


def main(
    *,
    out: Annotated[Path, typer.Option(help="Folder for samples and finished networks.")],
    data: Annotated[Path | None, typer.Option(help="Folder that holds mr_spider_midsagittal.")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Times that each network sees its discs.")] = 30,
    members: Annotated[int, typer.Option(min=1, help="Networks for each fold.")] = 2,
    processes: Annotated[int, typer.Option(min=1, help="Networks trained side by side, one core each.")] = 2,
) -> None:
    """Train the disc grader on the SPIDER mid-sagittal patients."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[RichHandler(show_path=False)])
    out.mkdir(parents=True, exist_ok=True)
    prepare_samples(data or default_data_folder(), out)
    configs = [GraderConfig(fold=f, member=m, epochs=epochs) for m in range(members) for f in range(FOLDS)]
    left = [c for c in configs if not member_path(out, c.fold, c.member).is_file()]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(partial(_train_and_keep, out), config) for config in left]):
            log.info("finished %s", done.result())


if __name__ == "__main__":
    typer.run(main)
