"""Compare the measured slip with a radiologist's spondylolisthesis on the SPIDER mid-sagittal slices. Only a report.

Usage: ``python -m training.measure_slip --data DIR --out FOLDER``. Every slice is segmented by the installed bundle and
read as the server reads it; the slips are kept in ``FOLDER/slips.csv``, patient by patient, and a second run goes on
from there. ``--overlays`` writes pictures of what was measured.
No constant of the measurement was chosen by these scores.

The AUC is that of the slip's size without its sign, because the radiologists did not tell the direction; one slice
counts alone, and both as the mean of T1 and T2. Discs without a measured slip (L5-S1 always) are counted, not scored.
A second table gives the canal's gap by level (`inference.measure.canal_front`), whose median at L5-S1 is
`models.disc_slips.USUAL_SACRAL_GAP_PERCENT`.
"""

from __future__ import annotations

import csv
import logging
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import track
from rich.table import Table

from inference.errors import SeriesRefusal
from inference.geometry import Volume
from inference.measure.reading import Length, Slip, SpineReading
from models.mr_sagittal import MrSagittalDetector
from training.cases import load_reader
from training.export import NAME
from training.grader_scores import auc, with_interval
from training.midsagittal import GradedPatient, read_graded
from training.spider import default_data_folder

log = logging.getLogger(__name__)
BOTH = "mean of T1 and T2"
ENLARGED = 2
"""Screen pixels per image pixel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlipRow:
    """One graded disc on one slice."""

    patient: str
    contrast: str
    level: str
    truth: int
    """1 where the radiologist saw a spondylolisthesis."""
    mm: float
    """NaN where it was not measured, like the rest."""
    uncertainty_mm: float
    percent: float
    gap: float
    """The canal's gap (`inference.measure.canal_front`), percent; NaN where there is none."""
    why: str
    """Why the slip was not measured; empty where it was."""


def rows_of(patient: GradedPatient, detector: MrSagittalDetector, overlays: Path | None) -> list[SlipRow]:
    """Every graded disc of a patient on every slice."""
    rows: list[SlipRow] = []
    for contrast, volume in patient.series.items():
        try:
            reading = detector.read_spine(volume, lambda _activity, _share: None)
        except SeriesRefusal as refusal:
            rows += [_unmeasured(patient, contrast, level, refusal.sentence) for level in patient.grades]
            continue
        found = {slip.level.name: slip.slip for slip in reading.slips}
        gaps = {slip.level.name: slip.canal_gap_percent for slip in reading.slips}
        for level in patient.grades:
            slip, gap = found.get(level), _rounded(gaps.get(level))
            if isinstance(slip, Slip) and isinstance(slip.offset, Length):
                rows.append(
                    SlipRow(
                        patient=patient.name,
                        contrast=contrast,
                        level=level,
                        truth=_truth(patient, level),
                        mm=round(slip.offset.mm, 3),
                        uncertainty_mm=round(slip.offset.uncertainty_mm, 3),
                        percent=round(slip.percent, 3),
                        gap=gap,
                        why="",
                    )
                )
            elif isinstance(slip, Slip):
                row = _unmeasured(patient, contrast, level, "no millimetres", gap)
                rows.append(SlipRow(**{**asdict(row), "percent": round(slip.percent, 3)}))
            else:
                rows.append(
                    _unmeasured(patient, contrast, level, slip.sentence if slip else "the disc was not found", gap)
                )
        if overlays is not None:
            draw_slips(volume, reading, patient, overlays / f"{patient.name}-{contrast}.png")
    return rows


def _rounded(gap: float | None) -> float:
    return float("nan") if gap is None else round(gap, 3)


def _unmeasured(patient: GradedPatient, contrast: str, level: str, why: str, gap: float = float("nan")) -> SlipRow:
    nan = float("nan")
    return SlipRow(
        patient=patient.name,
        contrast=contrast,
        level=level,
        truth=_truth(patient, level),
        mm=nan,
        uncertainty_mm=nan,
        percent=nan,
        gap=gap,
        why=why,
    )


def _truth(patient: GradedPatient, level: str) -> int:
    return int(patient.grades[level]["spondylolisthesis"] > 0)


def draw_slips(volume: Volume, reading: SpineReading, patient: GradedPatient, path: Path) -> None:
    """Write a slice with its bodies' edges and every slip's line; discs graded positive are marked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = np.clip(volume.voxels[0] / max(float(np.percentile(volume.voxels, 99.5)), 1.0), 0, 1) * 255
    picture = Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    picture = picture.resize((picture.width * ENLARGED, picture.height * ENLARGED), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    for vertebra in reading.vertebrae:
        mask = vertebra.body[0]
        inner = mask & np.roll(mask, 1, 0) & np.roll(mask, -1, 0) & np.roll(mask, 1, 1) & np.roll(mask, -1, 1)
        for row, column in np.argwhere(mask & ~inner):
            draw.point(((column + 0.5) * ENLARGED, (row + 0.5) * ENLARGED), fill=(90, 165, 255))
    for slip in reading.slips:
        if not isinstance(slip.slip, Slip) or not isinstance(slip.slip.offset, Length):
            continue
        offset = slip.slip.offset
        ends = [((p[2] + 0.5) * ENLARGED, (p[1] + 0.5) * ENLARGED) for p in (offset.start_index, offset.end_index)]
        is_positive = slip.level.name in patient.grades and _truth(patient, slip.level.name)
        colour = (255, 90, 80) if is_positive else (255, 220, 90)
        draw.line(ends, fill=colour, width=2)
        text = f"{slip.level.name} {offset.mm:+.1f} mm {slip.slip.percent:+.0f} %{' LISTHESIS' if is_positive else ''}"
        draw.text((max(ends[0][0], ends[1][0]) + 14, ends[0][1] - 5), text, fill=colour)
    picture.save(path)


def load_rows(path: Path) -> list[SlipRow]:
    """Rows kept by `save_rows`."""
    with path.open(newline="") as lines:
        return [
            SlipRow(
                patient=row["patient"],
                contrast=row["contrast"],
                level=row["level"],
                truth=int(row["truth"]),
                mm=float(row["mm"]),
                uncertainty_mm=float(row["uncertainty_mm"]),
                percent=float(row["percent"]),
                gap=float(row["gap"]),
                why=row["why"],
            )
            for row in csv.DictReader(lines)
        ]


def save_rows(rows: list[SlipRow], path: Path) -> None:
    """Keep rows in a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".tmp").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(SlipRow.__slots__))
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    path.with_suffix(".tmp").replace(path)


def averaged(rows: list[SlipRow]) -> list[SlipRow]:
    """One row a disc: the mean over the slices on which it was measured."""
    discs: defaultdict[tuple[str, str], list[SlipRow]] = defaultdict(list)
    for row in rows:
        discs[row.patient, row.level].append(row)
    return [_mean(mine) for mine in discs.values()]


def _mean(rows: list[SlipRow]) -> SlipRow:
    seen = [row for row in rows if np.isfinite(row.percent)]
    if not seen:
        return rows[0]
    mm, uncertainty, percent = np.mean([(row.mm, row.uncertainty_mm, row.percent) for row in seen], axis=0).tolist()
    changed = {"contrast": BOTH, "mm": mm, "uncertainty_mm": uncertainty, "percent": percent, "why": ""}
    return SlipRow(**{**asdict(seen[0]), **changed})


def print_scores(rows: list[SlipRow]) -> None:
    """AUC of the slip's size with its interval over patients, for each contrast and both."""
    table = Table(title="|slip %| against a radiologist's spondylolisthesis")
    for column in ("slice", "discs measured", "positives measured", "AUC", "95 % by patients"):
        table.add_column(column)
    kinds = {name: [row for row in rows if row.contrast == name] for name in sorted({row.contrast for row in rows})}
    for name, mine in {**kinds, BOTH: averaged(rows)}.items():
        seen = [row for row in mine if np.isfinite(row.percent)]
        truth: NDArray[np.float64] = np.array([row.truth for row in seen], dtype=np.float64)
        size = np.abs([row.percent for row in seen])
        score = with_interval(auc, truth, size, np.array([row.patient for row in seen]))
        positives = f"{int(truth.sum())} of {sum(row.truth for row in mine)}"
        interval = f"{score['low']:.3f} .. {score['high']:.3f}"
        table.add_row(name, f"{len(seen)} of {len(mine)}", positives, f"{score['value']:.3f}", interval)
    Console().print(table)
    _print_agreement(rows)
    _print_gaps(rows)


def _print_agreement(rows: list[SlipRow]) -> None:
    """How far T1 and T2 of one patient differ, against what is stated."""
    by_disc: defaultdict[tuple[str, str], list[SlipRow]] = defaultdict(list)
    for row in rows:
        if np.isfinite(row.mm):
            by_disc[row.patient, row.level].append(row)
    pairs = [mine for mine in by_disc.values() if len(mine) == 2]  # noqa: PLR2004 - T1 and T2
    gaps = np.array([one.mm - other.mm for one, other in pairs])
    stated = np.array([np.hypot(one.uncertainty_mm, other.uncertainty_mm) for one, other in pairs])
    robust = 1.4826 * float(np.median(np.abs(gaps - np.median(gaps))))
    Console().print(
        f"T1 against T2, {len(pairs)} discs: SD of the difference {gaps.std():.2f} mm (robust {robust:.2f}), "
        f"root mean square of what is stated {np.sqrt((stated**2).mean()):.2f} mm"
    )


def _print_gaps(rows: list[SlipRow]) -> None:
    """The canal's gap by level: its spread, how far it follows the measured slip, and its AUC around its own median."""
    table = Table(title="canal's gap, percent")
    for column in ("disc", "slices", "median", "robust SD", "robust SD against the slip", "AUC, both slices"):
        table.add_column(column)
    for level in sorted({row.level for row in rows}):
        mine = [row for row in rows if row.level == level and np.isfinite(row.gap)]
        if not mine:
            continue
        gaps, slips = np.array([row.gap for row in mine]), np.array([row.percent for row in mine])
        discs: defaultdict[str, list[SlipRow]] = defaultdict(list)
        for row in mine:
            discs[row.patient].append(row)
        size = np.abs([np.mean([row.gap for row in disc]) - np.median(gaps) for disc in discs.values()])
        truth = np.array([disc[0].truth for disc in discs.values()], dtype=np.float64)
        values = (float(np.median(gaps)), _robust(gaps), _robust((gaps - slips)[np.isfinite(slips)]))
        table.add_row(level, str(len(mine)), *(f"{value:.1f}" for value in values), f"{auc(truth, size):.3f}")
    Console().print(table)


def _robust(values: NDArray[np.float64]) -> float:
    return 1.4826 * float(np.median(np.abs(values - np.median(values)))) if len(values) else float("nan")


def main(
    *,
    data: Annotated[Path | None, typer.Option(help="Folder that holds mr_spider_midsagittal.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for slips.csv; outside of the repository.")],
    bundle: Annotated[Path, typer.Option(help="Bundle that segments.")] = Path("models/bundles") / NAME,
    overlays: Annotated[bool, typer.Option(help="Write a picture of every slice, too.")] = False,
) -> None:
    """Print how well the measured slip tells a radiologist's spondylolisthesis."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[RichHandler(show_path=False)])
    path = out / "slips.csv"
    rows = load_rows(path) if path.is_file() else []
    known = {row.patient for row in rows}
    detector = load_reader(bundle)
    for patient in track(read_graded(data or default_data_folder()), "measuring slips"):
        if patient.name not in known:
            rows += rows_of(patient, detector, out / "overlays" if overlays else None)
            save_rows(rows, path)
    print_scores(rows)


if __name__ == "__main__":
    typer.run(main)
