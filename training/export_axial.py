"""Measure and ship the axial canal network: `python -m training.export_axial --checkpoint FILE [--bundle DIR]`.

Writes the ONNX file, metadata, metrics.json and the model card. The errors that the detector states as uncertainty are
measured here, on patients that were kept back and on drawn scenes of unseen seeds, and go into the metadata. Without a
checkpoint the bundle is measured again as it is.
"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime
import typer
from rich.logging import RichHandler

from models.axial_crops import SIDE, STEP_MM
from models.mr_axial_canal import LABELS
from training.axial_card import render_axial_card
from training.axial_phantoms import measure_phantoms
from training.axial_pictures import draw_worst_sacs
from training.axial_samples import REAL_SHARE
from training.axial_scene import Field
from training.axial_scores import (
    EVERY_MM,
    SLAB_MM,
    TILTS_DEG,
    Predict,
    agreement,
    cutoff_agreement,
    drawn_cases,
    real_cases,
    score,
    summarise,
)
from training.export import (
    DATA_LICENCE,
    OPSET,
    channel_format,
    measure_parity,
    monai_keys,
    round_weights,
    summarise_run,
    write_json,
    write_onnx,
)
from training.spider import SPLIT_SEED, default_data_folder, list_slices, split_patients
from training.train import load_average, read_checkpoint
from training.train_axial import courses_of

log = logging.getLogger(__name__)
NAME = "mr_axial_canal"
VERSION = "0.1.0"
CHANGES = {"0.1.0": "first version"}
REFERENCES = [
    "van der Graaf et al., Lumbar spine segmentation in MR images: a dataset and a public benchmark, Sci. Data 2024",
    "Schoenstroem et al., The pathomorphology of spinal stenosis as seen on CT scans of the lumbar spine, Spine 1985",
    "Billot et al., SynthSeg: segmentation of brain MRI scans of any contrast and resolution, arXiv 2107.09559",
]
SCENES = 400
PHANTOMS = 8
SMALL_MM2 = 120.0
"""Drawn sacs under this area give the error that is stated for small sacs."""


def onnx_predictor(path: Path) -> Predict:
    """The sac's probability by the exported file."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def predict(crops: Field) -> Field:
        (logits,) = session.run(["logits"], {"image": crops[:, None]})
        return np.asarray(1 / (1 + np.exp(logits[:, 0] - logits[:, 1])), np.float32)

    return predict


def errors_of(real: list[dict[str, Any]], drawn: list[dict[str, Any]]) -> dict[str, float]:
    """Root mean square errors that the detector states: of the area by real strips, of small sacs by drawn scenes."""
    seen = [row for row in real if "area" in row]
    small = [row for row in drawn if row.get("area", np.inf) < SMALL_MM2]
    lengths = [row["ap_error"] for row in seen]
    return {
        "area_fraction": round(_rms([row["area_error"] / row["area"] for row in seen]), 4),
        "smallest_area_mm2": round(_rms([row["area_error"] for row in small]), 2),
        "length_mm": round(_rms(lengths), 2),
    }


def _rms(values: list[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def describe(digest: str, errors: dict[str, float], training: dict[str, Any], multiple_of: int) -> dict[str, Any]:
    """The bundle's metadata: MONAI's keys, and ours under `spine`."""
    shape = (SIDE, SIDE)
    return monai_keys(VERSION, CHANGES, REFERENCES) | {
        "task": "Segmentation of the dural sac on axial T2 MR around the lumbar canal",
        "description": "2-D U-Net on one crop around the canal",
        "data_source": "SPIDER T2 SPACE, doi:10.5281/zenodo.10159290, cut axially; drawn scenes",
        "data_type": "numpy",
        "image_classes": "axial T2 crop, mean 0 and deviation 1",
        "label_classes": ", ".join(f"{index} {name}" for index, name in LABELS.items()),
        "pred_classes": "two channels of logits in the order of the labels",
        "network_data_format": {
            "inputs": {"image": channel_format("magnitude", {"0": "axial T2"}, shape, [-5, 5], is_patch=True)},
            "outputs": {"pred": channel_format("logits", LABELS, shape, [], is_patch=True)},
        },
        "spine": {
            "name": NAME,
            "plane": "axial",
            "modality": ["MR"],
            "input": "image",
            "output": "logits",
            "spacing_mm": [STEP_MM, STEP_MM],
            "axes": ["rows front to back", "columns right to left"],
            "context_slices": 1,
            "multiple_of": multiple_of,
            "normalisation": "zscore_of_crop_clip_5",
            "padding_value": 0.0,
            "labels": LABELS,
            "errors": errors,
            "sha256": digest,
            "opset": OPSET,
            "training_data": (
                f"real: axial reformats of sagittal SPIDER T2 SPACE (25 patients, {REAL_SHARE:.0%} of the samples, "
                f"sides drawn), synthetic: drawn scenes ({1 - REAL_SHARE:.0%}); no axial acquisition"
            ),
            "data_licence": DATA_LICENCE,
            "training": training,
        },
    }


def measure(predict: Predict, data: Path, pictures: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """The tiers that need the network alone, with pictures of the worst, and the errors that the detector states."""
    split = split_patients(list(list_slices(data)))
    reformats, scenes = real_cases(courses_of(data, split.validation)), drawn_cases(SCENES)
    real, drawn = score(predict, reformats), score(predict, scenes)
    by_patient = {name: summarise([row for row in real if row["patient"] == name]) for name in split.validation}
    metrics = {
        "split": {"seed": SPLIT_SEED, "training": list(split.training), "validation": list(split.validation)},
        "real": {
            "data": "SPIDER T2 SPACE, axial reformats of the patients kept back, inside the strip of their own slices",
            "protocol": f"every {EVERY_MM:g} mm of the canal, tilts {TILTS_DEG} degrees, {SLAB_MM:g} mm thick; "
            "crops whose sac the strip cuts off too far are left out",
            "patients": by_patient,
            "summary": summarise(real),
        },
        "drawn": {"summary": summarise(drawn), "cutoffs": cutoff_agreement(drawn)},
        "failures": draw_worst_sacs(predict, [(reformats, real), (scenes, drawn)], pictures),
    }
    return metrics, errors_of(real, drawn)


def summarise_phantoms(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Bias, deviation and agreement at the cut-offs on generated spines."""
    seen = [row for row in rows if "area" in row]
    area, error = (np.array([row[name] for row in seen]) for name in ("area", "area_error"))
    depth = np.array([row["ap_error"] for row in seen])
    within = np.abs(error) <= 2 * np.array([row["uncertainty"] for row in seen])
    return {
        "people": len({row["patient"] for row in rows}),
        "discs": len(rows),
        "measured": len(seen),
        "not_measured": sorted(f"{row['level']} {row['reason']}" for row in rows if "area" not in row),
        "area": {"bias": round(float(error.mean()), 1), "sd": round(float(error.std()), 1)},
        "area_percent": {
            "bias": round(float((100 * error / area).mean()), 1),
            "sd": round(float((100 * error / area).std()), 1),
        },
        "ap": {"bias": round(float(depth.mean()), 2), "sd": round(float(depth.std()), 2)},
        "within_two_deviations": round(float(within.mean()), 3),
        "cutoffs": agreement(area, area + error),
    }


def export(checkpoint: Path, bundle: Path, data: Path) -> dict[str, Any]:
    """Write the bundle and measure it; returns the metrics.

    Raises:
        ParityError: the exported graph does not give the network's logits.
    """
    network, state = round_weights(load_average(checkpoint)), read_checkpoint(checkpoint)
    for folder in ("configs", "models", "docs"):
        (bundle / folder).mkdir(parents=True, exist_ok=True)
    weights = bundle / "models" / "model.onnx"
    write_onnx(network, weights)
    parity = measure_parity(network, weights, sizes=((1, SIDE, SIDE), (5, SIDE, SIDE)))
    measured, errors = measure(onnx_predictor(weights), data, bundle / "docs" / "failures")
    training = summarise_run(state, network.config.filters, parity)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    metadata = describe(digest, errors, training, network.config.multiple_of)
    metadata["eval_metrics"] = {"mean_dice_validation": measured["real"]["summary"]["dice"]}
    write_json(metadata, bundle / "configs" / "metadata.json")
    (bundle / "docs" / "README.md").write_text(f"# {NAME} {VERSION}\n\nBeing measured.\n")
    metrics = {
        "schema": "spine-sac-metrics/1",
        "model": {"name": NAME, "version": VERSION, "sha256": digest},
        **measured,
        "generated": summarise_phantoms(measure_phantoms(PHANTOMS, bundle)),
    }
    write_json(metrics, bundle / "docs" / "metrics.json")
    (bundle / "docs" / "README.md").write_text(render_axial_card(metadata, metrics))
    return metrics


def measure_again(bundle: Path, data: Path) -> dict[str, Any]:
    """Measure a bundle as it is, as when the sagittal reading changed; metadata stays. Returns the metrics."""
    metadata, metrics = (
        json.loads((bundle / name).read_text()) for name in ("configs/metadata.json", "docs/metrics.json")
    )
    measured, _ = measure(onnx_predictor(bundle / "models" / "model.onnx"), data, bundle / "docs" / "failures")
    metrics |= {**measured, "generated": summarise_phantoms(measure_phantoms(PHANTOMS, bundle))}
    write_json(metrics, bundle / "docs" / "metrics.json")
    (bundle / "docs" / "README.md").write_text(render_axial_card(metadata, metrics))
    return dict(metrics)


def main(
    *,
    checkpoint: Annotated[
        Path | None, typer.Option(help="checkpoint.pt of a training run; none: measure again.")
    ] = None,
    bundle: Annotated[Path, typer.Option(help="Bundle folder to write.")] = Path("models/bundles") / NAME,
    data: Annotated[Path | None, typer.Option(help="Folder that holds mr_spider_t2space.")] = None,
) -> None:
    """Export a checkpoint as an ONNX model bundle and measure it."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[RichHandler(show_path=False)])
    folder = data or default_data_folder()
    metrics = export(checkpoint, bundle, folder) if checkpoint else measure_again(bundle, folder)
    log.info("real %s", metrics["real"]["summary"])
    log.info("drawn %s", metrics["drawn"])
    log.info("generated %s", metrics["generated"])


if __name__ == "__main__":
    typer.run(main)
