"""Validation report of the segmentation and its reading: `python -m training.evaluate --bundle DIR --data DIR`.

The bundle is run as the server runs it (`models.mr_sagittal`: ONNX, onnxruntime, the source's own grid), the largest
probability wins, nothing is cleaned up before scoring. Results go to `docs/metrics.json`, and from there into the
metadata and the model card, so that every number of the card was measured.

Tiers, never mixed (models.md 4.1): *analytic*, the reading on exact labels of generated spines; *synthetic*, generated
images of unseen seeds; *simulated*, changes to real images; *real*, images as they are. In the real tier the patients
whose T2 SPACE images were trained on are told from those kept back.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table

from models.bundle import read_bundle
from training.card import render_card
from training.cases import load_reader
from training.evaluate_generated import analytic_section, simulated_section, synthetic_section
from training.evaluate_real import (
    carried_section,
    find_registrations,
    fractures_section,
    levels_section,
    read_carried,
    read_space,
    real_section,
)
from training.export import NAME, write_json
from training.midsagittal import read_graded
from training.pictures import draw_worst
from training.scores import STRUCTURES
from training.spider import SPLIT_SEED, default_data_folder, list_slices, split_patients
from training.synthetic import HELD_OUT_SEED, generate


def evaluate(bundle: Path, data: Path, cache: Path, *, phantoms: int = 6) -> dict[str, Any]:
    """Measure the bundle; return the content of `metrics.json`, and draw the worst cases into its docs folder.

    Args:
        bundle: the bundle's folder; only `docs/failures` is written to.
        data: holds `mr_spider_t2space` and `mr_spider_midsagittal`.
        cache: where registrations are kept.
        phantoms: generated spines to measure on; none of the two generated tiers with 0.
    """
    names = list(list_slices(data))
    split = split_patients(names)
    graded = read_graded(data)
    reader = load_reader(bundle)
    generated = generate(phantoms, first_seed=HELD_OUT_SEED)
    kept_back, trained = read_space(reader, data)
    registered = find_registrations(data, graded, cache)
    carried = read_carried(reader, registered)
    without_slice = sorted(set(names) - {patient.name for patient in graded}, key=int)
    identity = read_bundle(bundle).identity
    return {
        "schema": "spine-metrics/1",
        "model": {"name": identity.name, "version": identity.version, "sha256": identity.sha256},
        "split": {"seed": SPLIT_SEED, "training": list(split.training), "validation": list(split.validation)},
        "protocol": "largest probability, no clean-up, native grid, whole volume of each patient",
        "real": real_section(kept_back),
        "carried": carried_section(reader, registered, carried, without_slice),
        "levels": levels_section([*kept_back, *trained], carried),
        "fractures": fractures_section(reader, [*kept_back, *trained], graded),
        "failures": draw_worst([o.scored for o in (*kept_back, *carried)], bundle / "docs" / "failures"),
        "simulated": simulated_section(reader, [outcome.case for outcome in kept_back]),
        "synthetic": synthetic_section(reader, generated) if generated else {},
        "analytic": analytic_section(generated) if generated else {},
    }


def write_report(bundle: Path, metrics: dict[str, Any]) -> None:
    """Write metrics.json, the metadata's metrics and the model card; the weights are not touched."""
    write_json(metrics, bundle / "docs" / "metrics.json")
    path = bundle / "configs" / "metadata.json"
    metadata = json.loads(path.read_text())
    metadata["eval_metrics"] = {
        "mean_dice_validation": metrics["real"]["summary"]["dice"]["mean"],
        "mean_dice_carried_labels": {name: group["mean_dice"] for name, group in metrics["carried"]["scores"].items()},
    }
    write_json(metadata, path)
    (bundle / "docs" / "README.md").write_text(render_card(metadata, metrics))


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
    data: Annotated[Path | None, typer.Option(help="Folder that holds the two SPIDER folders.")] = None,
    phantoms: Annotated[int, typer.Option(help="Generated spines to measure on as well.")] = 6,
    cache: Annotated[Path, typer.Option(help="Folder that keeps the registrations.")] = Path("build/evaluate"),
) -> None:
    """Measure a bundle; write metrics.json, metadata's metrics, the pictures and the model card."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[RichHandler(show_path=False)])
    metrics = evaluate(bundle, data or default_data_folder(), cache, phantoms=phantoms)
    print_table(metrics)
    write_report(bundle, metrics)


if __name__ == "__main__":
    typer.run(main)
