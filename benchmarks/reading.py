"""Seconds and memory of reading one whole lumbar study of five series: sagittal T2, T1 and STIR, axial T2, localizer.

``python -m benchmarks.reading`` runs it alone. Each run is a process of its own that loads the models, reads the study
from DICOM files, and writes findings, SR and SEG. The study is generated: it has the size of a real one, and says
nothing about accuracy.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from builders.dicom import STIR, T1_TSE, T2_TSE, SeriesPlan, write_series
from builders.phantom import grid_plan
from models.registry import DetectorSettings, load_detectors
from server.study_run import RunContext, run_study
from training.phantom import Contrast, PhantomParameters, generate_spine
from training.phantom.axial import AxialStack, cut_axial, thick_slices

PERSON = PhantomParameters(
    seed=77, rows=512, columns=448, slices=64, slice_spacing_mm=1.0, subslices=1, fractures={"L1": ("crush", 0.4)}
)
THICK = 4
"""Generated slices of 1 mm in one of the series: 16 slices of 4 mm."""
AXIAL_SLICES = 40
FRAME = "2.25.77"
LOCALIZER = {**T2_TSE, "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One run."""

    load_s: float
    """Until the models are loaded."""
    stages_s: dict[str, float]
    """By what the progress reports said was being done."""
    read_s: float
    """From the first file to the last object."""
    peak_mib: float
    """Largest resident memory of the process."""


def write_study(folder: Path) -> list[Path]:
    """The five series of one generated person as DICOM files."""
    attributes = {Contrast.T2: T2_TSE, Contrast.T1: T1_TSE, Contrast.STIR: STIR}
    phantoms = {contrast: generate_spine(replace(PERSON, contrast=contrast)) for contrast in attributes}
    plans = [
        _plan(*thick_slices(phantoms[contrast], THICK), contrast.value, number, attributes[contrast])
        for number, contrast in enumerate(attributes, start=1)
    ]
    phantom = phantoms[Contrast.T2]
    x, y, z = np.mean([disc.centre_lps_mm for disc in phantom.truth.discs[-5:]], axis=0)
    stack = AxialStack(centre_mm=(x, y + 15, z), slices=AXIAL_SLICES, tilt_deg=0.0, pixel_mm=(0.6, 0.6))
    plans.append(_plan(cut_axial(phantom, stack)[0], stack.affine, "axial", 4, T2_TSE))
    voxels, affine = thick_slices(phantom, THICK)
    plans.append(_plan(voxels[:3], affine, "localizer", 5, LOCALIZER))
    return [path for plan in plans for path in write_series(folder, plan)]


def _plan(
    voxels: NDArray[Any], affine: NDArray[Any], name: str, number: int, attributes: Mapping[str, Any]
) -> SeriesPlan:
    in_one_frame = {**attributes, "FrameOfReferenceUID": FRAME}
    return grid_plan(voxels, affine, study="five series", series=name, number=number, attributes=in_one_frame)


def read_once(paths: Sequence[Path]) -> Reading:
    """Load the models and read the study, in this process."""
    began = time.monotonic()
    detectors = load_detectors(DetectorSettings())
    loaded = time.monotonic()
    marks: list[tuple[str, float]] = []

    def progress(doing: str, _share: float) -> None:
        if not marks or marks[-1][0] != doing:
            marks.append((doing, time.monotonic()))

    run_study(paths, detectors, lambda _name, _data: None, RunContext(created=datetime.now(UTC)), progress)
    ended = time.monotonic()
    stages: dict[str, float] = {"headers": marks[0][1] - loaded}
    for (doing, start), (_, stop) in zip(marks, [*marks[1:], ("", ended)], strict=True):
        stages[doing] = stages.get(doing, 0.0) + stop - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Reading(load_s=loaded - began, stages_s=stages, read_s=ended - loaded, peak_mib=peak)


def measure_reading(folder: Path, *, runs: int, say: Callable[[str], None]) -> list[Reading]:
    """Read the study `runs` times, each time in a fresh process."""
    say("reading: making the study")
    paths = write_study(folder)
    found = []
    for number in range(runs):
        say(f"reading: run {number + 1} of {runs}")
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            found.append(pool.submit(read_once, paths).result())
    return found


def reading_table(readings: Sequence[Mapping[str, Any]]) -> Table:
    """One column for each run."""
    table = Table("whole study of five series (generated)", *[f"run {n + 1}" for n in range(len(readings))])
    table.add_row("loading the models, s", *[f"{r['load_s']:.1f}" for r in readings])
    for stage in readings[0]["stages_s"]:
        table.add_row(f"{stage}, s", *[f"{r['stages_s'].get(stage, 0.0):.1f}" for r in readings])
    table.add_row("reading the study, s", *[f"{r['read_s']:.1f}" for r in readings], style="bold")
    table.add_row("peak memory, MiB", *[f"{r['peak_mib']:.0f}" for r in readings], style="bold")
    return table


def main(*, runs: Annotated[int, typer.Option(min=1, max=10, help="Times that the study is read.")] = 3) -> None:
    """Measure the reading of a whole study."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    with tempfile.TemporaryDirectory(prefix="spine-bench-") as name, console.status("") as status:
        readings = measure_reading(Path(name), runs=runs, say=status.update)
    console.print(reading_table([asdict(reading) for reading in readings]))


if __name__ == "__main__":
    typer.run(main)
