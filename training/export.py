"""Export a checkpoint as a model bundle: `python -m training.export --checkpoint FILE --bundle DIR`.

The bundle is a MONAI bundle folder: `models/model.onnx`, `configs/metadata.json` (MONAI's keys and our own under
`spine`) and `LICENSE`. The ONNX graph takes `image` `[batch, 5, row, column]` and gives `logits` `[batch, 4, row,
column]`, rows and columns being multiples of 64. `training.evaluate` then measures the bundle and writes its card.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import onnxruntime
import torch
import typer
from rich.logging import RichHandler
from torch import nn

from training.network import CLASS_NAMES, CONTEXT_SLICES, SPACING_MM, SagittalSegmenter
from training.paired import PAIRS, pair_names
from training.train import load_average, read_checkpoint

log = logging.getLogger(__name__)

NAME = "mr_sagittal_segmentation"
VERSION = "0.3.0"
CHANGES = {
    "0.1.0": "first version",
    "0.2.0": "trained for 13 875 steps in one run instead of 2877 in three, with 32 generated spines instead of 16",
    "0.3.0": "trained further on T1 and T2 TSE slices that the outlines of 0.2.0 on T2 teach",
}
OPSET = 17
# Largest difference between the logits of torch and of onnxruntime that still counts as the same network.
PARITY = 1e-3
# Constants with fewer numbers than this stay float32 in the file.
SMALL = 1024
DATA_LICENCE = "CC BY 4.0: SPIDER, van der Graaf et al., Scientific Data 2024, doi:10.5281/zenodo.10159290"
REFERENCES = [
    "van der Graaf et al., Lumbar spine segmentation in MR images: a dataset and a public benchmark, Sci. Data 2024",
    "Isensee et al., nnU-Net: a self-configuring method for biomedical image segmentation, Nature Methods 2021",
    "Billot et al., SynthSeg: segmentation of brain MRI scans of any contrast and resolution, arXiv 2107.09559",
]


Network = TypeVar("Network", bound=nn.Module)


class ParityError(RuntimeError):
    """The exported graph does not give the network's logits."""


def write_onnx(network: SagittalSegmenter, path: Path) -> None:
    """Write the network, its weights rounded, as ONNX with free batch, rows and columns, and check the file."""
    multiple = network.config.multiple_of
    example = torch.zeros(1, network.config.context_slices, 2 * multiple, 2 * multiple)
    free = {0: "batch", 2: "rows", 3: "columns"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that this exporter is the older one, and of constants it folds
        torch.onnx.export(
            network.eval(),
            (example,),
            str(path),
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes={"image": free, "logits": free},
            opset_version=OPSET,
            dynamo=False,
        )
    store_half(path)


def round_weights(network: Network) -> Network:
    """Round the convolutions' weights to half precision, which halves the file; all arithmetic stays float32."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.numel() >= SMALL:
                parameter.copy_(parameter.half().float())
    return network


def store_half(path: Path) -> None:
    """Replace large float32 constants by float16 ones and a cast, which the runtime folds away; then check the file."""
    model = onnx.load(str(path))
    graph: Any = model.graph
    for constant in [c for c in graph.initializer if c.data_type == onnx.TensorProto.FLOAT]:
        values = onnx.numpy_helper.to_array(constant)
        if values.size < SMALL:
            continue
        name, stored = constant.name, f"{constant.name}.half"
        constant.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), stored))
        graph.node.insert(0, onnx.helper.make_node("Cast", [stored], [name], to=onnx.TensorProto.FLOAT))
    onnx.save(model, str(path))
    onnx.checker.check_model(str(path), full_check=True)


def monai_keys(version: str, changes: dict[str, str], references: list[str]) -> dict[str, Any]:
    """What every bundle's metadata says alike: MONAI's schema, the versions of its making, authors, use."""
    return {
        "schema": "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json",
        "version": version,
        "changelog": changes,
        "monai_version": importlib.metadata.version("monai"),
        "pytorch_version": torch.__version__.split("+")[0],
        "numpy_version": np.__version__,
        "required_packages_version": {"onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__},
        "authors": "spine imaging AI inference server",
        "copyright": "Apache-2.0 (weights and configuration)",
        "eval_metrics": {},
        "intended_use": "Research use only. Not a medical device; no diagnosis or claim may rest on it alone.",
        "references": references,
    }


def measure_parity(
    network: SagittalSegmenter, path: Path, *, sizes: tuple[tuple[int, int, int], ...] | None = None
) -> float:
    """Return the largest difference of logits between torch and onnxruntime, over (batch, rows, columns) sizes.

    Raises:
        ParityError: the difference is 1e-3 or more.
    """
    multiple = network.config.multiple_of
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    worst = 0.0
    for batch, rows, columns in sizes or ((1, 2 * multiple, 3 * multiple), (3, 4 * multiple, 2 * multiple)):
        image = rng.normal(size=(batch, network.config.context_slices, rows, columns)).astype(np.float32)
        (found,) = session.run(["logits"], {"image": image})
        with torch.no_grad():
            expected = network.eval()(torch.from_numpy(image)).numpy()
        worst = max(worst, float(np.abs(found - expected).max()))
    if worst >= PARITY:
        message = f"logits of {path.name} differ from torch by {worst:.2e}, must be less than {PARITY:.0e}"
        raise ParityError(message)
    return worst


def describe(network: SagittalSegmenter, digest: str, run: dict[str, Any], *, synthetic: str) -> dict[str, Any]:
    """Return the bundle's metadata: MONAI's keys, and ours under `spine`."""
    multiple = network.config.multiple_of
    labels = {str(index): name for index, name in enumerate(CLASS_NAMES)}
    context = [f"slice {offset:+d}" if offset else "slice to segment" for offset in range(-2, 3)]
    shape = [f"{multiple}*n", f"{multiple}*n"]
    return monai_keys(VERSION, CHANGES, REFERENCES) | {
        "task": "Segmentation of vertebrae, discs and spinal canal on sagittal lumbar MR",
        "description": "2.5-D U-Net: five neighbouring sagittal slices in, labels of the middle one out",
        "data_source": "SPIDER T2 SPACE and mid-sagittal T1 and T2, doi:10.5281/zenodo.10159290",
        "data_type": "nibabel",
        "image_classes": "sagittal MR, 5 slices as channels, mean 0 and deviation 1 over the volume",
        "label_classes": ", ".join(f"{index} {name}" for index, name in labels.items()),
        "pred_classes": "four channels of logits in the order of the labels; the largest wins",
        "network_data_format": {
            "inputs": {"image": channel_format("magnitude", dict(zip("01234", context, strict=True)), shape, [-6, 12])},
            "outputs": {"pred": channel_format("logits", labels, shape, [])},
        },
        "spine": {
            "name": NAME,
            "plane": "sagittal",
            "modality": ["MR"],
            "input": "image",
            "output": "logits",
            "spacing_mm": [SPACING_MM, SPACING_MM],
            "axes": ["rows head to foot", "columns anterior to posterior"],
            "context_slices": CONTEXT_SLICES,
            "multiple_of": multiple,
            "normalisation": "clip_p0.5_p99.5_zscore",
            "padding_value": 0.0,
            "labels": labels,
            "sha256": digest,
            "opset": OPSET,
            "training_data": f"real: {_real_data(run)}, synthetic: {synthetic}",
            "data_licence": DATA_LICENCE,
            "training": run,
        },
    }


def _real_data(run: Mapping[str, Any]) -> str:
    pairs = run["pair_patients"]
    taught = f" and mid-sagittal T1 and T2 of {len(pairs)} patients with a network's labels" if pairs else ""
    return f"SPIDER T2 SPACE (25 patients){taught}"


def export(checkpoint: Path, bundle: Path, *, earlier: Path | None = None, note: str = "") -> dict[str, Any]:
    """Write ONNX file and metadata of a checkpoint's averaged network into the bundle; return the metadata.

    Args:
        checkpoint: of the run; `pairs.npz` of its folder tells which T1 and T2 slices taught.
        bundle: folder to write.
        earlier: the checkpoint, or the bundle's ONNX file, whose weights the run started from.
        note: for the card.

    Raises:
        ParityError: the exported graph does not give the network's logits; the bundle is then left as it was.
    """
    network, state = round_weights(load_average(checkpoint)), read_checkpoint(checkpoint)
    for folder in ("configs", "models", "docs"):
        (bundle / folder).mkdir(parents=True, exist_ok=True)
    new = bundle / "models" / "model.onnx.new"
    write_onnx(network, new)
    parity = measure_parity(network, new)
    digest = hashlib.sha256(new.read_bytes()).hexdigest()
    settings = state["training_config"]
    run = summarise_run(state, network.config.filters, parity) | {
        "crop": list(settings["crop"]),
        "phantom_share": settings.get("phantom_share", 0.0),
        "pair_share": settings.get("pair_share", 0.0),
        "pair_patients": pair_names(checkpoint.parent / PAIRS) if settings.get("pair_share") else [],
        "learning_rate": settings["learning_rate"],
        "earlier": earlier_runs(earlier) if earlier else [],
        "note": note,
    }
    share = settings.get("phantom_share", 0)
    synthetic = f"{share:.0%} of the samples from training.phantom" if share else "none"
    metadata = describe(network, digest, run, synthetic=synthetic)
    new.replace(bundle / "models" / "model.onnx")
    write_json(metadata, bundle / "configs" / "metadata.json")
    (bundle / "docs" / "metrics.json").unlink(missing_ok=True)
    (bundle / "docs" / "README.md").write_text(f"# {NAME} {VERSION}\n\nNot measured yet: run `training.evaluate`.\n")
    return metadata


def earlier_runs(path: Path) -> list[dict[str, Any]]:
    """What the card says of the runs before, oldest first.

    Args:
        path: the checkpoint, or the ONNX file of the bundle, that the run started from. A bundle that is to be
            overwritten is read before.
    """
    if path.suffix == ".onnx":
        run: dict[str, Any] = json.loads((path.parents[1] / "configs" / "metadata.json").read_text())["spine"][
            "training"
        ]
        return [*run["earlier"], _kept({**run, "minutes": run["budget_minutes"]})]
    state = read_checkpoint(path)
    return [_kept({"steps": state["step"], **state["training_config"]})]


def _kept(run: Mapping[str, Any]) -> dict[str, Any]:
    return {name: run[name] for name in ("steps", "seed", "minutes", "phantom_share", "learning_rate")}


def channel_format(
    kind: str, names: Mapping[str, str], shape: Sequence[Any], value_range: Sequence[float], *, is_patch: bool = False
) -> dict[str, Any]:
    """One input or output of a network in MONAI's ``network_data_format``.

    Args:
        kind: ``magnitude``, or ``logits``.
        names: of the channels, by their place.
        shape: of one channel; empty where each channel is one number.
        value_range: smallest and largest value, empty where open.
        is_patch: whether it is a crop of an image.
    """
    formats = {"magnitude": "magnitude", "logits": "segmentation" if shape else "classes"}
    return {
        "type": kind,
        "format": formats[kind],
        "modality": "MR",
        "num_channels": len(names),
        "spatial_shape": list(shape),
        "dtype": "float32",
        "value_range": list(value_range),
        "is_patch_data": is_patch,
        "channel_def": dict(names),
    }


def summarise_run(state: Mapping[str, Any], filters: Sequence[int], parity: float) -> dict[str, Any]:
    """What a bundle's metadata says of every run that follows the clock, from its checkpoint."""
    settings = state["training_config"]
    return {
        "seed": settings["seed"],
        "minutes": round(state["seconds"] / 60, 1),
        "budget_minutes": round(settings["minutes"]),
        "steps": state["step"],
        "batch": settings["batch"],
        "filters": list(filters),
        "parity_max_abs_logit": float(f"{parity:.1e}"),
    }


def write_json(content: dict[str, Any], path: Path) -> None:
    """Write JSON with a fixed layout, so that the same content gives the same bytes."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def main(
    *,
    checkpoint: Annotated[Path, typer.Option(help="checkpoint.pt of a training run.")],
    bundle: Annotated[Path, typer.Option(help="Bundle folder to write.")] = Path("models/bundles") / NAME,
    earlier: Annotated[Path | None, typer.Option(help="checkpoint.pt or model.onnx that the run started from.")] = None,
    note: Annotated[str, typer.Option(help="What the model card should say about how the run went.")] = "",
) -> None:
    """Export a checkpoint as an ONNX model bundle."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[RichHandler(show_path=False)])
    spine = export(checkpoint, bundle, earlier=earlier, note=note)["spine"]
    log.info("%s sha256 %s parity %s", bundle, spine["sha256"], spine["training"]["parity_max_abs_logit"])


if __name__ == "__main__":
    typer.run(main)
