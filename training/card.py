"""The model card, rendered from the bundle's metadata and from what `training.evaluate` measured."""

from __future__ import annotations

from typing import Any

from training.card_validation import (
    Metrics,
    carried_section,
    failures_section,
    fractures_section,
    generated_section,
    levels_section,
    mean_table,
    published_table,
    real_tables,
)

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
{taught}{note}
{commands}
    python -m training.evaluate --data DIR

The schedule follows the clock, so another machine takes another number of steps and gives other weights.

## How it was validated

Tiers are kept apart: real images, simulated changes to real images, generated images (synthetic), exact labels
(analytic). {protocol}. Dice; NSD: share of both surfaces within 1 mm of each other; HD95: 95 % distance between
surfaces. Brackets: 95 % intervals, of means by bootstrap over patients, of shares by Wilson. Everything is one source
(SPIDER), so that no interval covers another scanner, protocol or population.

### Real: T2 SPACE, {count} patients kept back

They took no part in training; the scores during training were watched on them, so expect new patients of this source
to score a little lower. Five patients give a weak interval: it says how they differ, not what a sixth would do.

{real}

### Real: T1 and T2 TSE, labels carried over

One mid-sagittal slice of each patient and contrast, with the labels of the same person's T2 SPACE volume carried over
by registration of the images (`training.carried_labels`); no carried label was trained on. The borders hold the
registration's error and that of a 0.9 mm slice standing for a thicker one, so that these figures are lower than
against a reader's own outline, by an unknown amount. Distances are in the millimetres of T2 SPACE, because the
spacing tag of some slices is wrong. "Trained on" means that the same person's T2 SPACE images were trained
on{and_pairs}.

{carried}

### Real: names of the levels

The lowest labelled disc is taken for L5-S1, as SPIDER's readers outline neither the sacrum nor a rest of S1-S2; discs
that reach the edge of the image are not counted. With a transitional vertebra it is one of two right answers.

{levels}

### Real: vertebrae called fractured that are not

Operating point: {operating_point}. Fractured bodies were looked at by this project on T2 SPACE, not graded by a
radiologist; the single slices were not looked at in full, so that a true fracture there counts as a wrong call.

{fractures}

### The worst cases

For each structure the two patients of the lowest Dice, over T2 SPACE kept back and all believed carried labels, on
the slice where most pixels differ: label green, ours red. Images: SPIDER, van der Graaf et al., Scientific Data 2024,
doi:10.5281/zenodo.10159290, CC BY 4.0; cropped, scaled and drawn on.

{failures}

### Simulated: changed images (not clinical accuracy)

The same {count} patients, their T2 SPACE images changed. Mean Dice.

{simulated}
{generated}
### Published figures

Of other people on other images, most of them larger and more varied sets: to know the range, not to compare methods.

{published}

## Limits

- Adult lumbar spine; all training images are from one source (SPIDER), and those with a reader's outlines are T2 SPACE.
  T1 and T2 TSE were measured on single slices with carried labels, as said above; no real STIR was seen or measured.
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
_AND_PAIRS = """, or the slice itself with a network's labels; the simulated STIR below is of the kind that was
trained on"""


def render_card(metadata: dict[str, Any], metrics: dict[str, Any]) -> str:
    """Return the model card in Markdown."""
    spine, split = metadata["spine"], metrics["split"]
    run = spine["training"]
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
        commands=_commands(run),
        taught=_taught(run),
        note=f"- {run['note']}\n" if run.get("note") else "",
        remap="about three samples of ten (one of ten in the last quarter)",
        split_seed=split["seed"],
        training_patients=", ".join(split["training"]),
        validation_patients=", ".join(split["validation"]),
        protocol=_begin(metrics["protocol"]),
        count=len(metrics["real"]["patients"]),
        real=real_tables(metrics["real"]),
        carried=carried_section(metrics["carried"]),
        and_pairs=_AND_PAIRS if run["pair_patients"] else "",
        levels=levels_section(metrics["levels"]),
        operating_point=next(iter(metrics["fractures"].values()))["operating_point"],
        fractures=fractures_section(metrics["fractures"]),
        failures=failures_section(metrics["failures"]),
        simulated=mean_table("change", metrics["simulated"]),
        generated=generated_section(metrics),
        published=published_table(),
    )


def _commands(run: Metrics) -> str:
    """The command of each run in turn, and of the export."""
    runs = [*run["earlier"], {**run, "minutes": run["budget_minutes"]}]
    lines, earlier = [], ""
    for number, one in enumerate(runs, start=1):
        folder = f"RUN{number}" if len(runs) > 1 else "RUN"
        options = f"--out {folder} --minutes {one['minutes']:g} --seed {one['seed']}"
        options += f" --learning-rate {one['learning_rate']:g}"
        options += f" --phantom-share {one['phantom_share']:g}" if one.get("phantom_share") else ""
        options += f" --pair-share {one['pair_share']:g}" if one.get("pair_share") else ""
        lines.append(f"    python -m training.train --data DIR {options}" + (f" --start {earlier}" if earlier else ""))
        exported = f"    python -m training.export --checkpoint {folder}/checkpoint.pt"
        lines.append(exported + (f" --earlier {earlier}" if earlier else ""))
        earlier = f"{folder}/checkpoint.pt"
    return "\n".join(lines)


def _taught(run: Metrics) -> str:
    """How T1 and T2 TSE were learnt."""
    if not run["pair_patients"]:
        return ""
    first = ", then ".join(f"{one['steps']} steps on T2 SPACE and generated spines" for one in run["earlier"])
    return (
        f"- In turn: {first}, then the steps above, of which {run['pair_share']:.0%} on mid-sagittal T1 and T2 TSE "
        f"slices of {len(run['pair_patients'])} patients and on weighted sums of both (imitations of fat suppression "
        "and proton density), labelled by the outlines that the weights before gave the T2 slice (`training.paired`; "
        f"patients {', '.join(run['pair_patients'])}).\n"
    )


def _begin(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
