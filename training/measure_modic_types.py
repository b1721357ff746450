"""Compare the rule for the Modic type with a radiologist's on the SPIDER mid-sagittal slices. Only a report.

Usage: ``python -m training.measure_modic_types --data DIR --out FOLDER``. Every patient's slices are outlined by the
installed bundle and read as the server reads them, whether or not the grader would call a change there; what each disc
shows is kept in ``FOLDER/modic_types.csv``, patient by patient, and a second run goes on from there.

It prints where the spread and the limits of `inference.modic_findings` come from, discs graded Modic 0, and what the
rule says of the others. Of types 1 and 3 there is a handful: nothing can be claimed.
"""

from __future__ import annotations

import csv
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import track
from rich.table import Table

from inference.errors import SeriesRefusal
from inference.measure.endplate_bands import EndplateBand, read_bands
from inference.measure.reading import Unmeasured
from inference.modic_findings import LIMITS, ModicType, TypeCall, tell_type, type_scores
from models.disc_crops import Contrast
from models.modic_types import OutlinedSeries, place_series
from models.mr_sagittal import MrSagittalDetector
from training.cases import load_reader
from training.export import NAME
from training.midsagittal import GradedPatient, read_graded
from training.spider import default_data_folder

log = logging.getLogger(__name__)
NOT_READ = "not read"
NOT_TOLD = "not told"
CSV = "modic_types.csv"
QUANTILES = (95, 99)
MAD_TO_SD = 1.4826


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeRow:
    """One graded disc."""

    patient: str
    level: str
    truth: int
    """Modic 0 to 3 by the radiologist, on the whole study."""
    said: str
    """``1``, ``2``, ``3``, NOT_TOLD or NOT_READ."""
    why: str
    """Why no type is told; empty where one is."""
    score_1: float
    """Largest over the windows, in standard deviations; NaN where not read, like the rest."""
    score_2: float
    score_3: float
    spread_t1: float
    """Median distance of the windows' log ratios from 0, on T1."""
    spread_t2: float


def rows_of(patient: GradedPatient, detector: MrSagittalDetector) -> list[TypeRow]:
    """Every graded disc of a patient."""
    return [_row(patient, level, found) for level, found in _discs(patient, detector)]


def _discs(
    patient: GradedPatient, detector: MrSagittalDetector
) -> Iterator[tuple[str, tuple[EndplateBand, ...] | Unmeasured | str]]:
    """The bands at each graded disc, or why there are none."""
    series: dict[Contrast, OutlinedSeries] = {}
    for contrast, volume in patient.series.items():
        try:
            reading = detector.read_spine(volume, lambda _activity, _share: None)
        except SeriesRefusal as refusal:
            log.info("patient %s %s: %s", patient.name, contrast, refusal.sentence)
        else:
            series[contrast] = OutlinedSeries(volume=volume, reading=reading)
    if set(series) != set(Contrast):
        yield from ((level, "T1 or T2 is missing or shows no spine") for level in patient.grades)
        return
    outlined = series[Contrast.T2]
    placed = place_series(outlined, series)
    discs = {disc.level.name: disc for disc in outlined.reading.discs}
    for level in patient.grades:
        if isinstance(placed, Unmeasured):
            yield level, placed.sentence
        elif level not in discs:
            yield level, "the disc was not found"
        else:
            yield (
                level,
                read_bands(outlined.reading, outlined.volume, discs[level], placed[Contrast.T1], placed[Contrast.T2]),
            )


def _row(patient: GradedPatient, level: str, found: tuple[EndplateBand, ...] | Unmeasured | str) -> TypeRow:
    truth, nan = patient.grades[level]["modic"], float("nan")
    if isinstance(found, str | Unmeasured):
        numbers = dict.fromkeys(("score_1", "score_2", "score_3", "spread_t1", "spread_t2"), nan)
        why = found if isinstance(found, str) else found.sentence
        return TypeRow(patient=patient.name, level=level, truth=truth, said=NOT_READ, why=why, **numbers)
    call = tell_type(found)
    scores = {kind: float(np.nanmax(score)) for kind, score in type_scores(found).items()}
    t1, t2 = np.nanmedian(np.abs(np.concatenate([band.logs for band in found], axis=1)), axis=1)
    return TypeRow(
        patient=patient.name,
        level=level,
        truth=truth,
        said=call.type.value if isinstance(call, TypeCall) else NOT_TOLD,
        why="" if isinstance(call, TypeCall) else call.sentence,
        score_1=round(scores[ModicType.ONE], 3),
        score_2=round(scores[ModicType.TWO], 3),
        score_3=round(scores[ModicType.THREE], 3),
        spread_t1=round(float(t1), 4),
        spread_t2=round(float(t2), 4),
    )


def load_rows(path: Path) -> list[TypeRow]:
    """Rows kept by `save_rows`."""
    text = ("patient", "level", "said", "why")
    with path.open(newline="") as lines:
        return [
            TypeRow(**{k: v if k in text else int(v) if k == "truth" else float(v) for k, v in row.items()})  # type: ignore[arg-type]
            for row in csv.DictReader(lines)
        ]


def save_rows(rows: list[TypeRow], path: Path) -> None:
    """Keep rows in a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".tmp").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(TypeRow.__slots__))
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    path.with_suffix(".tmp").replace(path)


def confusion(rows: list[TypeRow]) -> dict[int, Counter[str]]:
    """How often each answer was given, by the radiologist's type."""
    return {truth: Counter(row.said for row in rows if row.truth == truth) for truth in range(4)}


def print_report(rows: list[TypeRow]) -> None:
    """The spread and the limits by discs graded 0, and the answers by type."""
    quiet = [row for row in rows if row.truth == 0 and row.said != NOT_READ]
    spread = [
        MAD_TO_SD * float(np.median([getattr(row, name) for row in quiet])) for name in ("spread_t1", "spread_t2")
    ]
    limits = Table("type", *(f"{q} % of them reach no more than" for q in QUANTILES), "limit", title="Discs graded 0")
    for kind in ModicType:
        found = np.percentile([getattr(row, f"score_{kind}") for row in quiet], QUANTILES)
        limits.add_row(kind, *(f"{value:.2f}" for value in found), f"{LIMITS[kind]:g}")
    answers = (*ModicType, NOT_TOLD, NOT_READ)
    table = Table("graded", *answers, title="What the rule says, in discs")
    for truth, said in confusion(rows).items():
        table.add_row(str(truth), *(str(said[answer]) for answer in answers))
    console = Console()
    console.print(f"Spread of the log ratio at {len(quiet)} discs graded 0: T1 {spread[0]:.3f}, T2 {spread[1]:.3f}")
    console.print(limits)
    console.print(table)


def main(
    *,
    data: Annotated[Path | None, typer.Option(help="Folder that holds mr_spider_midsagittal.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for modic_types.csv; outside of the repository.")],
    bundle: Annotated[Path, typer.Option(help="Bundle that segments.")] = Path("models/bundles") / NAME,
) -> None:
    """Print what the rule for the Modic type says of discs that a radiologist graded."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[RichHandler(show_path=False)])
    path = out / CSV
    rows = load_rows(path) if path.is_file() else []
    known = {row.patient for row in rows}
    detector = load_reader(bundle)
    for patient in track(read_graded(data or default_data_folder()), "telling types"):
        if patient.name not in known:
            rows += rows_of(patient, detector)
            save_rows(rows, path)
    print_report(rows)


if __name__ == "__main__":
    typer.run(main)
