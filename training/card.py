"""The model card, rendered from the bundle's metadata and from what `training.evaluate` measured."""

from __future__ import annotations

from typing import Any

from training.network import CLASS_NAMES

STRUCTURES = CLASS_NAMES[1:]

_CARD = """\
# {name} {version}

Segments vertebrae (body and posterior elements as one class), intervertebral discs and the spinal canal on sagittal
lumbar MR. Research use only: not a medical device; a physician decides.

## What it takes and gives

- Input `image`, float32 `[batch, 5, row, column]`: the slice to segment with its two neighbours on each side (the
  series' end slices repeated), rows head to foot, columns anterior to posterior, {spacing} mm a pixel, rows and
  columns multiples of {multiple_of} (padded with 0).
- Normalisation over the whole series: clipped to its 0.5 and 99.5 percentiles, then mean 0 and deviation 1.
- Output `logits`, float32 `[batch, 4, row, column]`: background, vertebra, disc, spinal canal.
- Network: 2 x 2 pixel-unshuffle, U-Net (MONAI DynUNet, widths {filters}, instance norm), pixel-shuffle.
  ONNX opset {opset}. SHA-256 of `models/model.onnx`: `{sha256}`.

## Training

{training_data}.
Data: {data_licence}; slices were deformed and changed in contrast.

- Weights: averaged over steps (decay 0.998); {steps} steps of {batch} crops of {crop} pixels, {minutes} minutes on
  two CPU cores, seed {seed}. Loss: Dice (three structures) + cross-entropy; AdamW with a cosine schedule.
- Augmentation: rotation, scale, elastic, one vertebra squeezed (as by a fracture), neighbour distance 1 to 5 slices,
  averaged slices, one slice repeated, coil bias, gamma, noise, low resolution, ghosts, bands; in
  {remap} a new random contrast between tissues.
- Split by patient, seed {split_seed}. Trained on: {training_patients}.
  Kept back: {validation_patients}.
{note}
    python -m training.train --data DIR --out RUN --minutes {budget} --seed {seed}{phantom_option}
    python -m training.export --checkpoint RUN/checkpoint.pt
    python -m training.evaluate --data DIR

The schedule follows the clock, so another machine takes another number of steps and gives other weights.

## Measured on the patients kept back (real images)

{protocol}. NSD: share of both
surfaces within 1 mm of each other. The patients kept back took no part in training; the scores during training were
watched on them, so expect new patients of this source to score a little lower.

{table}

With {count} patients this says that the network works on this source; it gives no confidence interval.

## Measured on changed images (simulated; not clinical accuracy)

The same patients, their images changed. Mean Dice.

{simulated}
{synthetic}
## Limits

- Adult lumbar spine; all training images are T2 SPACE from one source (SPIDER). T1, STIR and T2 TSE were met only as
  random contrast; no labelled T1 or STIR was at hand, so no accuracy is claimed for them.
- The sacrum is background by definition of the data; so are ribs, cord and nerve roots.
- Fractured vertebrae were imitated by squeezing, not seen with labels. Metal, cement, tumour and infection: not seen.
- Children, cervical spine, axial and coronal planes: not trained, do not use.

## Known failures

- Lateral slices, where bodies end and facets, ribs and processes begin, are the least certain: partial volume decides.
- S1 can be taken for a vertebra, or L5 be missed, where the lumbosacral junction is transitional.
- False islands of all classes in front of the spine and in empty borders, seen on T1 and T2 images with a black frame
  (2 of 6 unlabelled SPIDER mid-sagittal images looked at): keep only what hangs together along the canal.
- Vertebrae cut off by the image's edge are outlined but cannot be measured.

## What is not claimed

No fracture, Modic change, stenosis or level number comes from this network: it outlines. What is measured on its
outlines, and how far that is validated, is the server's documentation.

Weights: Apache-2.0 (see `LICENSE`). Please cite van der Graaf et al., Scientific Data 2024 (SPIDER, CC BY 4.0,
https://doi.org/10.5281/zenodo.10159290).
"""


def render_card(metadata: dict[str, Any], metrics: dict[str, Any]) -> str:
    """Return the model card in Markdown."""
    spine, split = metadata["spine"], metrics["split"]
    run = spine["training"]
    share = run.get("phantom_share", 0)
    return _CARD.format(
        name=spine["name"],
        version=metadata["version"],
        spacing=spine["spacing_mm"][0],
        multiple_of=spine["multiple_of"],
        filters="-".join(map(str, run["filters"])),
        opset=spine["opset"],
        sha256=spine["sha256"],
        training_data=_begin(spine["training_data"]),
        data_licence=spine["data_licence"],
        steps=run["steps"],
        batch=run["batch"],
        crop=" x ".join(map(str, run["crop"])),
        minutes=run["minutes"],
        budget=run["budget_minutes"],
        seed=run["seed"],
        phantom_option=f" --phantom-share {share}" if share else "",
        note=f"- {run['note']}\n" if run.get("note") else "",
        remap="about three samples of ten (one of ten in the last quarter)",
        split_seed=split["seed"],
        training_patients=", ".join(split["training"]),
        validation_patients=", ".join(split["validation"]),
        protocol=_begin(metrics["protocol"]),
        table=_real_table(metrics["real"]),
        count=len(metrics["real"]["patients"]),
        simulated=_mean_table("change", metrics["simulated"]),
        synthetic=_synthetic_section(metrics.get("synthetic")),
    )


def _real_table(real: dict[str, Any]) -> str:
    heads = [f"{measure} {name}" for measure in ("Dice", "NSD") for name in STRUCTURES]
    lines = [_row("patient", "slices", *heads), _row(*["---"] * 8)]
    lines += [
        _row(row["patient"], str(row["slices"]), *_figures(row["dice"], row["nsd_1mm"])) for row in real["patients"]
    ]
    summary = real["summary"]
    lines += [_row(kind, "", *_figures(summary["dice"][kind], summary["nsd_1mm"][kind])) for kind in ("mean", "min")]
    return "\n".join(lines)


def _mean_table(head: str, scores: dict[str, dict[str, float]]) -> str:
    lines = [_row(head, *STRUCTURES), _row(*["---"] * 4)]
    return "\n".join(lines + [_row(name, *_figures(means)) for name, means in scores.items()])


def _synthetic_section(scores: dict[str, dict[str, float]] | None) -> str:
    if not scores:
        return ""
    return (
        "\n## Measured on generated spines (synthetic; not clinical accuracy)\n\n"
        "Generated people that training did not see, of the same generator. Mean Dice.\n\n"
        + _mean_table("generator", scores)
        + "\n"
    )


def _begin(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _figures(*scores: dict[str, float]) -> list[str]:
    return [f"{score[name]:.3f}" for score in scores for name in STRUCTURES]


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"
