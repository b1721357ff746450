"""How well neural foramina are measured: `python -m training.measure_foramina --data DIR`.

Two tables. Generated spines: the measurement from their labels on slices of a clinical distance against the formulas'
truth; synthetic, no network took part. SPIDER: from the network's outlines against SPIDER's own, by the same code, on
the T2 SPACE patients, whose slices reach few pedicles; the patients kept back are told apart from those trained on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from inference.anatomy import Laterality
from inference.errors import SeriesRefusal
from inference.measure import read_sagittal
from inference.measure.foramina import AREA_SD_MM2, HEIGHT_SD_MM, WIDTH_SD_MM
from inference.measure.reading import Foramen, SpineReading
from inference.stenosis import LUMBAR
from models.mr_sagittal import MrSagittalDetector
from training.cases import load_reader, place_volume
from training.measure_walls import read_labels
from training.network import CLASS_NAMES
from training.phantom import PhantomParameters, SpineTruth, generate_labels
from training.spider import SPACING_MM, Patient, default_data_folder, list_slices, read_patients, split_patients

log = logging.getLogger(__name__)
LUMBAR_NAMES = frozenset(disc.name for disc in LUMBAR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """One measured foramen."""

    height_mm: float
    width_mm: float
    area_mm2: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One number of one foramen against its reference."""

    name: str
    level: str
    part: str
    """Which spines: generated, kept back, trained on."""
    found: float
    reference: float


def sizes_of(reading: SpineReading, spacing_mm: tuple[float, float, float]) -> dict[tuple[str, Laterality], Size]:
    """The measured foramina by level and side.

    Args:
        reading: of a volume.
        spacing_mm: the volume's, (slice, row, column).
    """
    found = ((f.level.name, f.side, f.foramen) for f in reading.foramina)
    return {(level, side): _size(f, spacing_mm) for level, side, f in found if isinstance(f, Foramen)}


def _size(foramen: Foramen, spacing_mm: tuple[float, float, float]) -> Size:
    rows, columns = (np.asarray(foramen.outline_index)[:, 1:] * spacing_mm[1:]).T
    area = abs(float(columns @ np.roll(rows, -1) - rows @ np.roll(columns, -1))) / 2
    return Size(height_mm=foramen.height.mm, width_mm=foramen.width.mm, area_mm2=area)


def compare_generated(
    reading: SpineReading, truth: SpineTruth, spacing_mm: tuple[float, float, float]
) -> Iterator[Comparison]:
    """Heights and widths of the lumbar foramina of a generated spine against its formulas."""
    known = {disc.level: disc.foramen for disc in truth.discs}
    for (level, _), size in sizes_of(reading, spacing_mm).items():
        foramen = known.get(level)
        if foramen is not None and level in LUMBAR_NAMES:
            yield _of("height, mm", level, "generated", size.height_mm, foramen.height_mm)
            yield _of("width, mm", level, "generated", size.width_mm, foramen.width_mm)


def compare_outlines(patient: Patient, detector: MrSagittalDetector, part: str) -> Iterator[Comparison]:
    """The foramina of a patient that both our outlines and SPIDER's give."""
    volume = place_volume(patient.voxels, SPACING_MM)
    labels: NDArray[np.float32] = np.stack([patient.labels == n for n in range(len(CLASS_NAMES))]).astype(np.float32)
    try:
        ours, manual = detector.read_spine(volume, lambda _activity, _share: None), read_sagittal(volume, labels)
    except SeriesRefusal as refusal:
        log.warning("patient %s: %s", patient.name, refusal.sentence)
        return
    mine, theirs = sizes_of(ours, SPACING_MM), sizes_of(manual, SPACING_MM)
    for place in mine.keys() & theirs.keys():
        for name, found, reference in (
            ("height, mm", mine[place].height_mm, theirs[place].height_mm),
            ("width, mm", mine[place].width_mm, theirs[place].width_mm),
            ("area, mm2", mine[place].area_mm2, theirs[place].area_mm2),
        ):
            yield _of(name, place[0], part, found, reference)


def _of(name: str, level: str, part: str, found: float, reference: float) -> Comparison:
    return Comparison(name=name, level=level, part=part, found=found, reference=reference)


def print_errors(title: str, comparisons: list[Comparison]) -> None:
    """A table of bias, standard deviation, root mean square and largest error by measurement and part."""
    table = Table(title=title)
    for column in ("measurement", "spines", "n", "of them lumbar", "from .. to", "bias", "SD", "RMS", "largest"):
        table.add_column(column)
    for name, part in sorted({(c.name, c.part) for c in comparisons}):
        mine = [c for c in comparisons if (c.name, c.part) == (name, part)]
        references = np.array([c.reference for c in mine])
        errors = np.array([c.found for c in mine]) - references
        table.add_row(
            name,
            part,
            str(len(mine)),
            str(sum(c.level in LUMBAR_NAMES for c in mine)),
            f"{references.min():.1f} .. {references.max():.1f}",
            f"{errors.mean():+.2f}",
            f"{errors.std():.2f}",
            f"{np.sqrt(np.mean(errors**2)):.2f}",
            f"{np.abs(errors).max():.2f}",
        )
    Console().print(table)


def main(
    *,
    data: Annotated[Path | None, typer.Option(help="Folder that holds mr_spider_t2space.")] = None,
    spines: Annotated[int, typer.Option(help="Generated spines to measure on.")] = 8,
) -> None:
    """Print how far measured foramina lie from the truth of generated spines, and our outlines' from SPIDER's."""
    generated: list[Comparison] = []
    for seed in track(range(1, spines + 1), "generated spines"):
        label_map = generate_labels(PhantomParameters(seed=seed))
        parameters = PhantomParameters(seed=seed)
        spacing = (parameters.slice_spacing_mm, parameters.spacing_mm, parameters.spacing_mm)
        generated += compare_generated(read_labels(label_map), label_map.truth, spacing)
    print_errors("Measured minus true, from labels; synthetic", generated)
    folder = data or default_data_folder()
    split, detector = split_patients(list(list_slices(folder))), load_reader()
    real = [
        comparison
        for part, names in {"kept back": split.validation, "trained on": split.training}.items()
        for name in track(names, part)
        for comparison in compare_outlines(read_patients(folder, (name,))[0], detector, part)
    ]
    both = [_of(c.name, c.level, "all", c.found, c.reference) for c in real]
    print_errors(
        f"Our outlines minus SPIDER's; stated: {HEIGHT_SD_MM}, {WIDTH_SD_MM} mm, {AREA_SD_MM2} mm2", [*real, *both]
    )


if __name__ == "__main__":
    typer.run(main)
