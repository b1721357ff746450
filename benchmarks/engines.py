"""Seconds per slice of the shipped segmentation network: ONNX Runtime, OpenVINO in float32, and eager PyTorch.

``python -m benchmarks.engines`` runs this comparison alone. The engines take turns, run by run, so that what else the
machine does meets all of them alike; only the ratios carry over. PyTorch gets the weights of the ONNX file, and all
three must agree before anything is timed.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import numpy as np
import onnx
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from models.engine_choice import LARGEST_LOGIT_DIFFERENCE, parity_image
from models.engines import OnnxEngine, OpenVinoEngine
from models.installed import find_bundle
from models.registry import SEGMENTER
from training.network import SagittalSegmenter

Image: TypeAlias = NDArray[np.float32]
Run: TypeAlias = Callable[[Image], Image]

REFERENCE = "ONNX Runtime"
INPUT_SHAPE = (1, 5, 640, 512)
"""A slice of SPIDER T2 SPACE (640 x 512 pixels of 0.469 mm, the network's own grid) with its neighbours."""


def measure_engines(*, runs: int, threads: int, say: Callable[[str], None]) -> dict[str, list[float]]:
    """Seconds of each run by engine, after one run of each that is not counted.

    Raises:
        RuntimeError: an engine does not give ONNX Runtime's logits.
    """
    bundle = find_bundle(SEGMENTER)
    say("engines: loading")
    engines: Mapping[str, Run] = {
        REFERENCE: OnnxEngine(bundle.weights, threads=threads).run,
        "OpenVINO f32": OpenVinoEngine(bundle.weights, threads=threads).run,
        "PyTorch eager": _torch_network(bundle.weights, threads),
    }
    image = parity_image(INPUT_SHAPE, bundle.multiple_of)
    _check_agreement(engines, image)
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for number in range(runs):
        say(f"engines: run {number + 1} of {runs}")
        for name, run in engines.items():
            began = time.perf_counter()
            run(image)
            seconds[name].append(time.perf_counter() - began)
    return seconds


def _torch_network(weights: Path, threads: int) -> Run:
    """The network as it was trained, with the numbers of the ONNX file."""
    torch.set_num_threads(threads)
    network = SagittalSegmenter().eval()
    stored = {
        constant.name.removesuffix(".half"): torch.from_numpy(onnx.numpy_helper.to_array(constant).astype(np.float32))
        for constant in onnx.load(str(weights)).graph.initializer
    }
    with torch.no_grad():
        for name, parameter in network.named_parameters():  # each once, although MONAI knows some by two names
            parameter.copy_(stored[name])

    def run(image: Image) -> Image:
        with torch.inference_mode():
            return network(torch.from_numpy(image)).numpy()

    return run


def _check_agreement(engines: Mapping[str, Run], image: Image) -> None:
    expected = engines[REFERENCE](image)
    for name, run in engines.items():
        difference = float(np.abs(run(image) - expected).max())
        if not difference <= LARGEST_LOGIT_DIFFERENCE:
            raise RuntimeError(f"{name} differs from {REFERENCE} by {difference:.3g} in a logit")


def engines_as_json(seconds: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Every figure by engine; ``ratio`` is how many slices it does while ONNX Runtime does one (of medians)."""
    median = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        name: {
            "seconds": [round(value, 4) for value in values],
            "median_s": round(median[name], 4),
            "ratio": round(median[REFERENCE] / median[name], 2),
        }
        for name, values in seconds.items()
    }


def engine_table(results: Mapping[str, Any]) -> Table:
    """The comparison for people."""
    table = Table("segmentation network, one slice of 640 x 512", "s (median)", f"to {REFERENCE}")
    for name, row in results.items():
        table.add_row(name, f"{row['median_s']:.3f}", f"{row['ratio']:.2f} x")
    return table


def main(
    *,
    runs: Annotated[int, typer.Option(min=1, help="Timed runs of each engine.")] = 20,
    threads: Annotated[int, typer.Option(min=0, help="Threads of each engine; 0: as many as cores.")] = 0,
) -> None:
    """Compare the engines, and print the ratios."""
    console = Console()
    with console.status("") as status:
        seconds = measure_engines(runs=runs, threads=threads or os.cpu_count() or 1, say=status.update)
    console.print(engine_table(engines_as_json(seconds)))


if __name__ == "__main__":
    typer.run(main)
