"""How well the canal's diameter is measured: `python -m training.measure_canal --data DIR`.

The diameter at each lumbar disc from the network's outlines against the one from SPIDER's own outlines, by the same
code, on the T2 SPACE patients: so it is the outlines' error, and what it does to the answer. The patients kept back are
told apart from those that the network was trained on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from inference.errors import SeriesRefusal
from inference.measure import read_sagittal
from inference.measure.reading import Length, SpineReading
from inference.stenosis import LOWEST, LUMBAR, StenosisPolicy
from models.mr_sagittal import MrSagittalDetector
from training.cases import load_reader, place_volume
from training.network import CLASS_NAMES
from training.spider import SPACING_MM, Patient, default_data_folder, list_slices, read_patients, split_patients

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One canal level measured twice."""

    ours: Length
    manual: Length


def measure_pairs(patient: Patient, detector: MrSagittalDetector) -> Iterator[Pair]:
    """The lumbar levels above L5-S1 of a patient that both outlines give a diameter of."""
    volume = place_volume(patient.voxels, SPACING_MM)
    labels = np.stack([patient.labels == label for label in range(len(CLASS_NAMES))]).astype(np.float32)
    try:
        ours, manual = detector.read_spine(volume, lambda _activity, _share: None), read_sagittal(volume, labels)
    except SeriesRefusal as refusal:
        log.warning("patient %s: %s", patient.name, refusal.sentence)
        return
    mine, theirs = _diameters(ours), _diameters(manual)
    yield from (Pair(ours=mine[level], manual=theirs[level]) for level in mine if level in theirs)


def _diameters(reading: SpineReading) -> dict[str, Length]:
    levels = set(LUMBAR) - {LOWEST}
    return {
        canal.level.name: canal.ap_diameter
        for canal in reading.canal_levels
        if canal.level in levels and isinstance(canal.ap_diameter, Length)
    }


def summarise(pairs: list[Pair], policy: StenosisPolicy) -> dict[str, float]:
    """Error of the diameter, and how the answers agree where ours is given."""
    error = np.array([pair.ours.mm - pair.manual.mm for pair in pairs])
    narrow = np.array([[p.ours.mm < policy.absolute_mm, p.manual.mm < policy.absolute_mm] for p in pairs])
    sure = np.array([abs(p.ours.mm - policy.absolute_mm) > p.ours.uncertainty_mm for p in pairs])
    return {
        "levels": len(pairs),
        "bias mm": float(error.mean()),
        "deviation mm": float(error.std()),
        "stated uncertainty mm": float(np.mean([pair.ours.uncertainty_mm for pair in pairs])),
        "left open": float(1 - sure.mean()),
        "both narrow": int((sure & narrow.all(axis=1)).sum()),
        "only ours narrow": int((sure & narrow[:, 0] & ~narrow[:, 1]).sum()),
        "only manual narrow": int((sure & ~narrow[:, 0] & narrow[:, 1]).sum()),
        "neither": int((sure & ~narrow.any(axis=1)).sum()),
    }


def main(*, data: Annotated[Path | None, typer.Option(help="Folder that holds mr_spider_t2space.")] = None) -> None:
    """Measure the canal of every T2 SPACE patient by our outlines and by SPIDER's."""
    folder = data or default_data_folder()
    split = split_patients(list(list_slices(folder)))
    detector = load_reader()
    parts = {"kept back": split.validation, "trained on": split.training}
    found = {
        part: summarise(
            [pair for name in names for pair in measure_pairs(read_patients(folder, (name,))[0], detector)],
            StenosisPolicy(),
        )
        for part, names in parts.items()
    }
    table = Table("", *parts)
    for row in found["kept back"]:
        table.add_row(row, *[f"{found[part][row]:.3g}" for part in parts])
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
