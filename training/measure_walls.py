"""Measure slip, angles, retropulsion and canal compromise on generated spines: bias and spread. Synthetic results.

Usage: ``python -m training.measure_walls --spines 12``. The measurement layer reads the labels, their edges softened
as a network's are; what is told is the error of the measurement alone, without a network's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy import ndimage

from inference.geometry import FrameReference, Volume
from inference.measure import read_sagittal
from inference.measure.reading import Angle, CanalCompromise, FractureShape, Length, Slip, SpineReading
from training.phantom import Fracture, LabelMap, PhantomParameters, SpineTruth, generate_labels

EDGE_SIGMA = 0.6
"""Softening of the label's edges in pixels, about one pixel from inside to outside."""
MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"  # PS3.4 B.5
DISCS = ("T12-L1", "L1-L2", "L2-L3", "L3-L4", "L4-L5")
FRACTURED = ("T12", "L1", "L2", "L3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One measurement against its truth."""

    name: str
    found: float
    truth: float
    uncertainty: float


def draw_parameters(seed: int) -> PhantomParameters:
    """A spine with one slip and one fracture, drawn by the seed."""
    rng = np.random.default_rng([seed, 77])
    shape = (FractureShape.WEDGE, FractureShape.BICONCAVE, FractureShape.CRUSH)[seed % 3]
    fracture = Fracture(shape, float(rng.uniform(0.2, 0.45)), retropulsion_mm=float(rng.uniform(0.0, 7.0)))
    return PhantomParameters(
        seed=seed,
        slices=5,
        slip_mm={str(rng.choice(DISCS)): float(rng.uniform(-6.0, 10.0))},
        fractures={str(rng.choice(FRACTURED)): fracture},
    )


def read_labels(label_map: LabelMap) -> SpineReading:
    """What the measurement layer reads from labels."""
    labels = label_map.labels
    sources = tuple(
        FrameReference(sop_class_uid=MR_IMAGE_STORAGE, sop_instance_uid=f"2.25.{n + 1}") for n in range(len(labels))
    )
    voxels: NDArray[np.float32] = np.random.default_rng(0).random(labels.shape, dtype=np.float32)
    volume = Volume(voxels=voxels, affine=label_map.affine, sources=sources, series_instance_uid="2.25.1000")
    soft = (ndimage.gaussian_filter((labels == n).astype(np.float32), (0, EDGE_SIGMA, EDGE_SIGMA)) for n in range(4))
    return read_sagittal(volume, np.stack(list(soft)))


def compare(reading: SpineReading, truth: SpineTruth) -> Iterator[Comparison]:
    """Every measurement that was had and whose truth is known."""
    discs = {disc.level: disc for disc in truth.discs}
    vertebrae = {vertebra.level: vertebra for vertebra in truth.vertebrae}
    for slip in reading.slips:
        known = discs[slip.level.name].slip if slip.level.name in discs else None
        if known is None or not isinstance(slip.slip, Slip):
            continue
        pair = [vertebrae[body.name].shape for body in (slip.level.above, slip.level.below) if body.name in vertebrae]
        which = "whole" if pair == [None, None] else "beside a fracture"
        if isinstance(slip.slip.offset, Length):
            yield _of(f"slip, mm, {which}", slip.slip.offset.mm, known.offset_mm, slip.slip.offset.uncertainty_mm)
        yield _of(f"slip, %, {which}", slip.slip.percent, known.percent, slip.slip.percent_uncertainty)
    for wall in reading.walls:
        vertebra = vertebrae.get(wall.level.name)
        if vertebra is None or vertebra.walls is None:
            continue
        which = "whole" if vertebra.shape is None else "fractured"
        for name, angle, degrees in (
            ("wedge angle, deg", wall.wedge, vertebra.walls.wedge_deg),
            ("local kyphosis, deg", wall.kyphosis, vertebra.walls.kyphosis_deg),
        ):
            if isinstance(angle, Angle):
                yield _of(f"{name}, {which}", angle.degrees, degrees, angle.uncertainty_deg)
        if isinstance(wall.retropulsion, Length):
            found = wall.retropulsion
            yield _of(f"retropulsion, mm, {which}", found.mm, vertebra.walls.retropulsion_mm, found.uncertainty_mm)
        if isinstance(wall.canal, CanalCompromise):
            share = vertebra.walls.canal_compromise
            found_share, spread = 100 * wall.canal.fraction, 100 * wall.canal.uncertainty
            yield _of(f"canal compromise, %, {which}", found_share, 100 * share, spread)


def _of(name: str, found: float, truth: float, uncertainty: float) -> Comparison:
    return Comparison(name=name, found=found, truth=truth, uncertainty=uncertainty)


def print_errors(comparisons: list[Comparison]) -> None:
    """A table of bias, standard deviation and largest error by measurement."""
    table = Table(title="Generated spines: measured minus true", caption="synthetic; no network took part")
    for column in ("measurement", "n", "truth from .. to", "bias", "SD", "largest", "SD of error / stated"):
        table.add_column(column)
    for name in sorted({c.name for c in comparisons}):
        mine = [c for c in comparisons if c.name == name]
        truth, errors = np.array([c.truth for c in mine]), np.array([c.found - c.truth for c in mine])
        stated = errors / np.array([c.uncertainty for c in mine])
        table.add_row(
            name,
            str(len(mine)),
            f"{truth.min():.1f} .. {truth.max():.1f}",
            f"{errors.mean():+.2f}",
            f"{errors.std():.2f}",
            f"{np.abs(errors).max():.2f}",
            f"{stated.std():.2f}",
        )
    Console().print(table)


def main(spines: Annotated[int, typer.Option(help="Generated spines to measure on.")] = 12) -> None:
    """Print how far the measurements lie from the truth of generated spines."""
    comparisons: list[Comparison] = []
    for seed in track(range(1, spines + 1), "measuring"):
        label_map = generate_labels(draw_parameters(seed))
        comparisons += compare(read_labels(label_map), label_map.truth)
    print_errors(comparisons)


if __name__ == "__main__":
    typer.run(main)
