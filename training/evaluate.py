"""Measure a bundle on the patients kept back: `python -m training.evaluate --bundle DIR --data DIR`.

The bundle is run as the server runs it (`models.mr_sagittal`: ONNX, onnxruntime, the source's own grid), the largest
probability wins, nothing is cleaned up. Dice is of a whole patient's volume at native resolution; NSD is the share of
both surfaces that lie within 1 mm of each other. Results go to `docs/metrics.json`, and from there into the metadata
and the model card, so that every number of the card was measured.

Three kinds of figures, never mixed (models.md 4.1): *real* images as they are; *simulated* changes to the same images
(thick slices, one slice, inverted contrast), which tell what the network tolerates; *synthetic* images of generated
spines.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from monai.metrics.surface_dice import compute_surface_dice
from numpy.typing import NDArray
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import track
from rich.table import Table

from inference.geometry import FrameReference, Volume
from inference.policies import Policies
from models.bundle import read_bundle
from models.engines import OnnxEngine
from models.mr_sagittal import MrSagittalDetector
from training.card import render_card
from training.export import NAME, write_json
from training.network import CLASS_NAMES
from training.spider import (
    SPACING_MM,
    SPLIT_SEED,
    Patient,
    default_data_folder,
    list_slices,
    read_patients,
    split_patients,
)
from training.synthetic import HELD_OUT_SEED, generate

log = logging.getLogger(__name__)
STRUCTURES = CLASS_NAMES[1:]
MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"  # PS3.4 B.5
NSD_TOLERANCE_MM = 1.0

Segment = Callable[[Volume], NDArray[np.uint8]]


def load_segmenter(bundle: Path, *, threads: int = 2) -> Segment:
    """Return what turns a volume into labels `[slice, row, column]`, run as the server runs it."""
    described = read_bundle(bundle)
    described.verify()
    engine = OnnxEngine(described.weights, threads=threads)
    detector = MrSagittalDetector(described, engine, Policies())

    def segment(volume: Volume) -> NDArray[np.uint8]:
        probabilities = detector.segment(volume, lambda _activity, _share: None)
        return np.asarray(probabilities.argmax(axis=0), dtype=np.uint8)

    return segment


def place_volume(voxels: NDArray[Any], spacing_mm: tuple[float, float, float]) -> Volume:
    """Return slices as a sagittal volume: slices go to the left, rows to the feet, columns to the back."""
    slice_mm, row_mm, column_mm = spacing_mm
    affine = np.eye(4)
    affine[:3, :3] = [[slice_mm, 0, 0], [0, 0, column_mm], [0, -row_mm, 0]]
    sources = tuple(
        FrameReference(sop_class_uid=MR_IMAGE_STORAGE, sop_instance_uid=f"2.25.{number + 1}")
        for number in range(len(voxels))
    )
    return Volume(voxels=voxels.astype(np.float32), affine=affine, sources=sources, series_instance_uid="2.25.1000")


def score_dice(found: NDArray[np.uint8], truth: NDArray[np.uint8]) -> dict[str, float]:
    """Return the Dice coefficient of each structure over a whole volume; 1 where neither has the structure."""
    scores = {}
    for label, name in enumerate(STRUCTURES, start=1):
        a, b = found == label, truth == label
        total = int(a.sum()) + int(b.sum())
        scores[name] = round(2 * int((a & b).sum()) / total, 4) if total else 1.0
    return scores


def score_surfaces(
    found: NDArray[np.uint8], truth: NDArray[np.uint8], spacing_mm: tuple[float, float, float]
) -> dict[str, float]:
    """Return, for each structure, the share of both surfaces that lie within 1 mm of each other."""
    pair = [
        torch.from_numpy(np.stack([labels == label for label in range(len(CLASS_NAMES))]))[None]
        for labels in (found, truth)
    ]
    tolerances = [NSD_TOLERANCE_MM] * len(STRUCTURES)
    scores = compute_surface_dice(pair[0], pair[1], class_thresholds=tolerances, spacing=list(spacing_mm))[0]
    return {name: round(float(score), 4) for name, score in zip(STRUCTURES, scores, strict=True)}


def evaluate_real(segment: Segment, patients: list[Patient]) -> list[dict[str, Any]]:
    """Return one row for each patient: Dice and NSD on the images as they are."""
    rows = []
    for patient in track(patients, description="real images"):
        found = segment(place_volume(patient.voxels, SPACING_MM))
        rows.append(
            {
                "patient": patient.name,
                "slices": len(patient.voxels),
                "dice": score_dice(found, patient.labels),
                "nsd_1mm": score_surfaces(found, patient.labels, SPACING_MM),
            }
        )
    return rows


def evaluate_simulated(segment: Segment, patients: list[Patient]) -> dict[str, dict[str, float]]:
    """Return the mean Dice of each structure under changes of slices and contrast that stand in for other protocols."""
    slice_mm, *in_plane_mm = SPACING_MM
    rows: dict[str, list[dict[str, float]]] = {}
    for patient in track(patients, description="simulated changes"):
        voxels, middle = patient.voxels.astype(np.float32), len(patient.voxels) // 2
        centres = range(1, len(voxels) - 1, 4)
        thick = np.stack([voxels[z - 1 : z + 2].mean(axis=0) for z in centres])
        changes: dict[str, tuple[NDArray[np.float32], NDArray[np.uint8], float]] = {
            "2.7 mm slices every 3.6 mm": (thick, patient.labels[list(centres)], 4 * slice_mm),
            "middle slice alone": (voxels[[middle]], patient.labels[[middle]], slice_mm),
            "contrast inverted": (255 - voxels, patient.labels, slice_mm),
        }
        for name, (changed, truth, step_mm) in changes.items():
            found = segment(place_volume(changed, (step_mm, in_plane_mm[0], in_plane_mm[1])))
            rows.setdefault(name, []).append(score_dice(found, truth))
    return {name: _mean(scores) for name, scores in rows.items()}


def evaluate_synthetic(segment: Segment, count: int) -> dict[str, dict[str, float]]:
    """Return the mean Dice of each structure on generated spines of unseen seeds, by contrast."""
    rows: dict[str, list[dict[str, float]]] = {}
    for phantom in track(generate(count, first_seed=HELD_OUT_SEED), description="generated spines"):
        volume = place_volume(phantom.voxels, _spacing_mm(phantom.affine))
        rows.setdefault(phantom.parameters.contrast, []).append(score_dice(segment(volume), phantom.labels))
    return {f"{contrast} ({len(scores)} series)": _mean(scores) for contrast, scores in sorted(rows.items())}


def _spacing_mm(affine: NDArray[np.float64]) -> tuple[float, float, float]:
    slice_mm, row_mm, column_mm = (float(length) for length in np.linalg.norm(affine[:3, :3], axis=0))
    return slice_mm, row_mm, column_mm


def _mean(scores: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(float(np.mean([score[name] for score in scores])), 4) for name in STRUCTURES}


def summarise(rows: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Return mean and lowest value over patients of each measure and structure."""
    summary: dict[str, dict[str, dict[str, float]]] = {}
    for measure in ("dice", "nsd_1mm"):
        scores = [row[measure] for row in rows]
        lowest = {name: min(score[name] for score in scores) for name in STRUCTURES}
        summary[measure] = {"mean": _mean(scores), "min": lowest}
    return summary


def evaluate(bundle: Path, data: Path, *, phantoms: int = 6) -> dict[str, Any]:
    """Measure the bundle on the validation patients; return the content of `metrics.json`."""
    split = split_patients(list(list_slices(data)))
    segment = load_segmenter(bundle)
    patients = read_patients(data, split.validation)
    rows = evaluate_real(segment, patients)
    identity = read_bundle(bundle).identity
    return {
        "schema": "spine-metrics/1",
        "model": {"name": identity.name, "version": identity.version, "sha256": identity.sha256},
        "split": {"seed": SPLIT_SEED, "training": list(split.training), "validation": list(split.validation)},
        "protocol": "largest probability, no clean-up, native grid, whole volume of each patient",
        "real": {"data": "SPIDER T2 SPACE", "patients": rows, "summary": summarise(rows)},
        "simulated": evaluate_simulated(segment, patients),
        "synthetic": evaluate_synthetic(segment, phantoms) if phantoms else {},
    }


def print_table(metrics: dict[str, Any]) -> None:
    """Print Dice and NSD of each patient, and their mean and minimum."""
    table = Table("patient", *[f"{measure} {name}" for measure in ("Dice", "NSD") for name in STRUCTURES])
    real = metrics["real"]
    for row in real["patients"]:
        table.add_row(row["patient"], *[f"{row[m][name]:.3f}" for m in ("dice", "nsd_1mm") for name in STRUCTURES])
    for kind in ("mean", "min"):
        figures = [real["summary"][m][kind][name] for m in ("dice", "nsd_1mm") for name in STRUCTURES]
        table.add_row(kind, *[f"{figure:.3f}" for figure in figures], style="bold")
    Console().print(table)


def main(
    *,
    bundle: Annotated[Path, typer.Option(help="Bundle folder to measure.")] = Path("models/bundles") / NAME,
    data: Annotated[Path | None, typer.Option(help="Folder that holds mr_spider_t2space.")] = None,
    phantoms: Annotated[int, typer.Option(help="Generated spines to measure on as well.")] = 6,
) -> None:
    """Measure a bundle on the validation patients; write metrics.json, metadata's metrics and the model card."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[RichHandler(show_path=False)])
    metrics = evaluate(bundle, data or default_data_folder(), phantoms=phantoms)
    print_table(metrics)
    for name, scores in metrics["simulated"].items():
        log.info("simulated, %s: %s", name, scores)
    for name, scores in metrics["synthetic"].items():
        log.info("synthetic, %s: %s", name, scores)
    write_json(metrics, bundle / "docs" / "metrics.json")
    path = bundle / "configs" / "metadata.json"
    metadata = json.loads(path.read_text())
    metadata["eval_metrics"] = {"mean_dice_validation": metrics["real"]["summary"]["dice"]["mean"]}
    write_json(metadata, path)
    (bundle / "docs" / "README.md").write_text(render_card(metadata, metrics))


if __name__ == "__main__":
    typer.run(main)
