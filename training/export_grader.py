"""Score and ship the disc grader: `python -m training.export_grader --run DIR [--bundle DIR] [--from-bundle]`.

With ``--from-bundle`` the networks are those of the bundle itself, whose file stays as it is: only their scales,
scores and card are made anew. The run's folder then holds the discs alone, which are cut when they are not there.

Every network of a run grades the patients of its own fold, which it has not seen; from those grades come the scores,
the scales of the probabilities and the thresholds. The bundle then holds all networks together: each disc gets the mean
of their logits. Writes weights, metadata, metrics.json, the model card and its reliability diagram.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime
import torch
import typer
from numpy.typing import NDArray
from rich.logging import RichHandler
from torch import Tensor, nn

from inference.geometry import FloatArray
from models.disc_crops import CHANNELS, SIDE, STEP_MM, Contrast
from models.disc_grades import OUTPUTS
from training.export import (
    DATA_LICENCE,
    OPSET,
    PARITY,
    ParityError,
    channel_format,
    monai_keys,
    round_weights,
    store_half,
    write_json,
)
from training.grader_card import draw_reliability, render_grader_card
from training.grader_data import Samples, load_samples
from training.grader_network import DiscGrader
from training.grader_pictures import draw_mistakes
from training.grader_scores import (
    BOOTSTRAPS,
    cross_scaled,
    fit_scale,
    is_graded,
    score_discs,
    score_slip,
    score_subgroups,
    slip_for,
)
from training.grader_shipped import shipped_logits, training_of
from training.midsagittal import FOLD_SEED, FOLDS
from training.spider import default_data_folder
from training.train_grader import SAMPLES, load_member, member_path, predict, prepare_samples

log = logging.getLogger(__name__)
NAME = "mr_disc_grading"
VERSION = "0.5.0"
CHANGES = {
    "0.1.0": "first version",
    "0.2.0": "crops reach behind the canal; two networks a fold; nothing is said where neither answer is sure",
    "0.3.0": "the networks of 0.2.0; spondylolisthesis weighs the measured slip, too; every scale fitted anew",
    "0.4.0": "the networks of 0.2.0; at L5-S1 spondylolisthesis weighs where the canal runs; its scale fitted anew",
    "0.5.0": "the networks of 0.2.0; levels and slips are read right in more patients; every scale fitted anew",
}
REFERENCES = [
    "van der Graaf et al., Lumbar spine segmentation in MR images: a dataset and a public benchmark, Sci. Data 2024",
    "Pfirrmann et al., Magnetic resonance classification of lumbar intervertebral disc degeneration, Spine 2001",
    "Frank and Hall, A simple approach to ordinal classification, ECML 2001",
    "Vovk, Conditional validity of inductive conformal predictors, ACML 2012",
]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Networks:
    """Networks to ship, and what they say of discs that they have not seen."""

    logits: NDArray[np.float64]
    """(disc, output), each disc by the networks of its fold."""
    weights: bytes
    """The ONNX file."""
    training: dict[str, Any]
    """How they were trained, as it stands in a bundle's metadata."""


class Ensemble(nn.Module):  # type: ignore[misc] # torch's types are not read, see pyproject.toml
    """All networks side by side: ``image[disc, channel, row, column]`` to ``logits[disc, member, output]``."""

    def __init__(self, members: list[DiscGrader]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of every member; a contrast whose channels are all 0 counts as missing."""
        parts = image.abs().amax((2, 3)).unflatten(1, (len(Contrast), len(CHANNELS)))
        shown = (parts.amax(2) > 0).float()
        return torch.stack([member(image, shown) for member in self.members], dim=1)


def finished_members(run: Path) -> dict[int, list[Path]]:
    """The files of the finished networks, by fold; every fold has as many as the others, the further ones are left."""
    found = {fold: [p for m in range(100) if (p := member_path(run, fold, m)).is_file()] for fold in range(FOLDS)}
    count = min(len(paths) for paths in found.values())
    if not count:
        raise FileNotFoundError(
            f"every fold needs a finished network, found {[len(p) for p in found.values()]} in {run}"
        )
    return {fold: paths[:count] for fold, paths in found.items()}


def out_of_fold(members: dict[int, list[Path]], samples: Samples) -> NDArray[np.float64]:
    """Mean logits (disc, output) of the networks that have not seen a disc's patient."""
    logits = np.zeros(samples.targets.shape)
    for fold, paths in members.items():
        mine = samples.folds == fold
        unseen = samples.chosen(mine)
        logits[mine] = np.mean([predict(round_weights(load_member(path)), unseen) for path in paths], axis=0)
    return logits


def write_onnx(ensemble: Ensemble, path: Path) -> float:
    """Write the ensemble with a free number of discs; returns the largest difference of logits to torch.

    Raises:
        ParityError: the difference is 1e-3 or more.
    """
    example = torch.zeros(1, len(Contrast) * len(CHANNELS), SIDE, SIDE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that this exporter is the older one
        torch.onnx.export(
            ensemble.eval(), (example,), str(path), input_names=["image"], output_names=["logits"],
            dynamic_axes={"image": {0: "disc"}, "logits": {0: "disc"}}, opset_version=OPSET, dynamo=False,
            training=torch.onnx.TrainingMode.PRESERVE,  # else it folds batch norms into weights that are rounded then
        )  # fmt: skip
    store_half(path)
    image = np.random.default_rng(0).normal(size=(3, *example.shape[1:])).astype(np.float32)
    image[1, : len(CHANNELS)] = 0
    (found,) = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"image": image})
    with torch.no_grad():
        worst = float(np.abs(found - ensemble(torch.from_numpy(image)).numpy()).max())
    if worst >= PARITY:
        raise ParityError(f"logits of {path.name} differ from torch by {worst:.2e}, must be less than {PARITY:.0e}")
    return worst


def describe(digest: str, scales: dict[str, dict[str, float]], run: dict[str, Any]) -> dict[str, Any]:
    """The bundle's metadata: MONAI's keys, and ours under ``spine``."""
    labels = {str(place): name for place, name in enumerate(OUTPUTS)}
    channels = [f"{contrast} {channel}" for contrast in Contrast for channel in CHANNELS]
    image = {str(place): name for place, name in enumerate(channels)}
    return monai_keys(VERSION, CHANGES, REFERENCES) | {
        "task": "Grading of lumbar discs on sagittal MR, T1 and T2",
        "description": "Residual networks on a crop around each disc; the mean of their logits",
        "data_source": "SPIDER, mid-sagittal slices and gradings, doi:10.5281/zenodo.10159290",
        "data_type": "png",
        "image_classes": "one upright crop per disc, T1 and T2, with outlines by mr_sagittal_segmentation",
        "label_classes": ", ".join(OUTPUTS),
        "pred_classes": "logits; spine.scales turns each into a probability and an answer",
        "network_data_format": {
            "inputs": {"image": channel_format("magnitude", image, (SIDE, SIDE), [-5, 5], is_patch=True)},
            "outputs": {"pred": channel_format("logits", labels, (), [], is_patch=True)},
        },
        "spine": {
            "name": NAME,
            "plane": "sagittal",
            "modality": ["MR"],
            "input": "image",
            "output": "logits",
            "spacing_mm": [STEP_MM, STEP_MM],
            "axes": ["rows along the disc's axis to the feet", "columns to the back"],
            "context_slices": 1,
            "multiple_of": SIDE,
            "normalisation": "mean 0, deviation 1 over the crops of a series",
            "labels": labels,
            "scales": scales,
            "sha256": digest,
            "opset": OPSET,
            "training_data": f"real: SPIDER mid-sagittal T1 and T2 ({run['patients']} patients)",
            "data_licence": DATA_LICENCE,
            "training": run,
        },
    }


def networks_of_run(run_folder: Path, samples: Samples) -> Networks:
    """The finished networks of a run, written as one graph into the run's folder."""
    members = finished_members(run_folder)
    networks = [round_weights(load_member(path)) for paths in members.values() for path in paths]
    new = run_folder / "model.onnx"
    parity = write_onnx(Ensemble(networks), new)
    training = {
        "patients": len(np.unique(samples.patients)), "discs": len(samples.targets), "folds": FOLDS,
        "fold_seed": FOLD_SEED, "members_per_fold": len(members[0]), "parity_max_abs_logit": float(f"{parity:.1e}"),
    }  # fmt: skip
    return Networks(logits=out_of_fold(members, samples), weights=new.read_bytes(), training=training)


def networks_of_bundle(bundle: Path, samples: Samples) -> Networks:
    """The networks inside a bundle as they are."""
    weights = (bundle / "models" / "model.onnx").read_bytes()
    return Networks(logits=shipped_logits(bundle, samples), weights=weights, training=training_of(bundle))


def fit_scales(logits: FloatArray, samples: Samples) -> dict[str, dict[str, float]]:
    """The scale of each output, from all discs that are graded for it."""
    scales = {}
    for place, name in enumerate(OUTPUTS):
        shown, slip = is_graded(samples, name), slip_for(samples, name)
        truth = samples.targets[shown, place].astype(np.float64)
        scale = fit_scale(logits[shown, place], truth, None if slip is None else slip[shown])
        scales[name] = {key: round(value, 4) for key, value in asdict(scale).items()}
    return scales


def export(networks: Networks, samples: Samples, bundle: Path, *, bootstraps: int = BOOTSTRAPS) -> dict[str, Any]:
    """Score the networks and write the bundle; returns the metrics."""
    logits = networks.logits
    answers = cross_scaled(logits, samples)
    scores = score_discs(answers, samples, bootstraps=bootstraps)
    digest = hashlib.sha256(networks.weights).hexdigest()
    metadata = describe(digest, fit_scales(logits, samples), networks.training)
    metadata["eval_metrics"] = {"pfirrmann_kappa_quadratic": scores["pfirrmann"]["kappa_quadratic"]["value"]}
    metrics = {
        "schema": "spine-grading-metrics/1",
        "model": {"name": NAME, "version": VERSION, "sha256": metadata["spine"]["sha256"]},
        "protocol": "five folds of patients; each disc graded by the networks that have not seen its patient",
        "data": "SPIDER mid-sagittal slices (real)",
        "scores": scores,
        "slip": score_slip(logits, samples, bootstraps=bootstraps),
        "subgroups": score_subgroups(answers, samples),
        "failures": draw_mistakes(answers, samples, bundle / "docs" / "failures"),
    }
    for folder in ("configs", "models", "docs"):
        (bundle / folder).mkdir(parents=True, exist_ok=True)
    new = bundle / "models" / "model.onnx.new"
    new.write_bytes(networks.weights)
    new.replace(bundle / "models" / "model.onnx")
    write_json(metadata, bundle / "configs" / "metadata.json")
    write_json(metrics, bundle / "docs" / "metrics.json")
    (bundle / "docs" / "README.md").write_text(render_grader_card(metadata, metrics))
    truth = samples.targets.astype(np.float64)
    draw_reliability(answers.probability, truth, bundle / "docs" / "reliability.png")
    return metrics


def main(
    *,
    run: Annotated[Path, typer.Option(help="Output folder of training.train_grader.")],
    bundle: Annotated[Path, typer.Option(help="Bundle folder to write.")] = Path("models/bundles") / NAME,
    from_bundle: Annotated[bool, typer.Option(help="Keep the bundle's own networks, not the run's.")] = False,
    data: Annotated[Path | None, typer.Option(help="Folder that holds mr_spider_midsagittal.")] = None,
) -> None:
    """Score the disc grader on unseen patients and write its bundle."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[RichHandler(show_path=False)])
    if from_bundle:
        run.mkdir(parents=True, exist_ok=True)
        prepare_samples(data or default_data_folder(), run)
    samples = load_samples(run / SAMPLES)
    networks = networks_of_bundle(bundle, samples) if from_bundle else networks_of_run(run, samples)
    metrics = export(networks, samples, bundle)
    for name, scores in metrics["scores"].items():
        log.info("%s %s", name, scores)


if __name__ == "__main__":
    typer.run(main)
