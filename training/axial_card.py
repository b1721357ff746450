"""The axial canal network's model card, from its metadata and what `training.export_axial` measured."""

from __future__ import annotations

from typing import Any

_CARD = """\
# {name} {version}

Outlines the dural sac on a crop of an axial T2 slice around the lumbar canal. Research use only: not a medical device;
a physician decides.

**No axial acquisition with labels was at hand.** It was trained and measured on axial reformats of sagittal T2 SPACE
volumes and on drawn and generated images. Nothing is claimed for axial T2 TSE.

## What it takes and gives

- Input `image`, float32 `[crop, 1, {side}, {side}]`: {spacing} mm a pixel, rows front to back, columns right to left,
  mean 0 and deviation 1 over the crop, clipped at 5.
- Output `logits`, float32 `[crop, 2, {side}, {side}]`: background, dural sac. The sum of the sac's probabilities times
  the pixel's area is its area; partial volume counts in part.
- Network: 2 x 2 pixel-unshuffle, U-Net (MONAI DynUNet, widths {filters}, instance norm), pixel-shuffle. ONNX opset
  {opset}. SHA-256 of `models/model.onnx`: `{sha256}`.

## Training

{training_data}.
Data: {licence}.

- Real samples: oblique slabs of 2 to 5 mm at tilts up to 25 degrees. The volumes are 12 to 27 mm wide, so most sacs are
  cut off at their sides: the outline is closed by a drawn cap, what lies beyond is a drawn scene, and levels where more
  than a quarter of the sac would have to be drawn are left out. In four of ten samples the sac is pinched, as by
  stenosis. Label: SPIDER's *spinal canal*, whose outline follows the dural sac on these images.
- Drawn samples: a sac of 25 to 300 mm2, oval to trefoil, with roots or crowded, among disc or body, fat, ligament,
  facets, arch and muscles of random place and brightness.
- {steps} steps of {batch} crops in {minutes} minutes on two CPU cores, seed {seed}; soft Dice and cross-entropy against
  shares of pixels; weights averaged. The schedule follows the clock, so another machine gives other weights.
- Split by patient, seed {split_seed}, the same as the sagittal segmentation's. Kept back: {validation}.

    python -m training.train_axial --data DIR --out RUN --minutes {budget} --seed {seed}
    python -m training.export_axial --checkpoint RUN/checkpoint.pt --data DIR

## Measured on the patients kept back (real signal, reformatted, inside the strip)

{protocol}. Area, front-to-back
diameter and outline count only inside the strip; its width is no real width of the sac and is not measured here. The
scores were watched during training.

{real}

## Measured on drawn scenes of unseen seeds (synthetic)

The same generator as in training: what the network can do at best, not clinical accuracy.

{drawn}

{drawn_cutoffs}

## Measured on generated spines (synthetic, another generator, whole detector)

{people} generated people, {discs} discs, {measured} measured; sagittal and axial series of one phantom, levels and
canal from the sagittal segmentation. True area: the phantom's canal on the same slice, at right angles to its course.

| | bias | standard deviation |
| --- | --- | --- |
| area, mm2 | {generated[area][bias]} | {generated[area][sd]} |
| area, % | {generated[area_percent][bias]} | {generated[area_percent][sd]} |
| front-to-back diameter, mm | {generated[ap][bias]} | {generated[ap][sd]} |

Within two stated deviations: {generated[within_two_deviations]:.0%}.

{generated_cutoffs}

## Failures

The crops on which the area is furthest off, of three patients kept back and of three drawn scenes: truth green, ours
red; what lies beside the strip is dimmed and not counted. Real images: SPIDER, van der Graaf et al., Scientific Data
2024, doi:10.5281/zenodo.10159290, CC BY 4.0; reformatted, cropped, scaled and drawn on.

{failures}

## Uncertainty that is stated

One standard deviation of an area: {percent:.1f} % of it (root mean square error on the real strips), at least
{smallest} mm2 (on drawn sacs under 120 mm2), and a tenth of a pixel all round; of a diameter: {length} mm and a tenth
of a pixel. The differences between readers, and between SPACE and an axial TSE, are not in it.

## Limits

- Adult lumbar spine, T2 without fat saturation. Postoperative scars, metal, tumour, epidural abscess and lipomatosis:
  not seen.
- One series is read, with all its stacks where it has several angles; a disc is measured in the stack that is turned
  least against it. Of several axial series, the others are not looked at.
- Levels come from a sagittal T2 series in the same Frame of Reference; movement between the two shifts them.
- Schizas grades (roots against fluid) are not given.

Weights: Apache-2.0 (see `LICENSE`). Please cite van der Graaf et al., Scientific Data 2024 (SPIDER, CC BY 4.0,
https://doi.org/10.5281/zenodo.10159290).
"""


def render_axial_card(metadata: dict[str, Any], metrics: dict[str, Any]) -> str:
    """The model card in Markdown."""
    spine, real, drawn, generated = metadata["spine"], metrics["real"], metrics["drawn"], metrics["generated"]
    run, errors = spine["training"], spine["errors"]
    protocol = str(real["protocol"])
    return _CARD.format(
        name=spine["name"],
        version=metadata["version"],
        side=metadata["network_data_format"]["inputs"]["image"]["spatial_shape"][0],
        spacing=spine["spacing_mm"][0],
        filters="-".join(map(str, run["filters"])),
        opset=spine["opset"],
        sha256=spine["sha256"],
        training_data=spine["training_data"][:1].upper() + spine["training_data"][1:],
        licence=spine["data_licence"],
        steps=run["steps"],
        batch=run["batch"],
        minutes=run["minutes"],
        budget=run["budget_minutes"],
        seed=run["seed"],
        split_seed=metrics["split"]["seed"],
        validation=", ".join(metrics["split"]["validation"]),
        protocol=protocol[:1].upper() + protocol[1:],
        real=_summaries({**real["patients"], "all": real["summary"]}),
        drawn=_summaries({"scenes": drawn["summary"]}),
        drawn_cutoffs=_cutoffs(drawn["cutoffs"]),
        people=generated["people"],
        discs=generated["discs"],
        measured=generated["measured"],
        generated=generated,
        generated_cutoffs=_cutoffs(generated["cutoffs"]),
        percent=100 * errors["area_fraction"],
        smallest=errors["smallest_area_mm2"],
        length=errors["length_mm"],
        failures=_failures(metrics["failures"]),
    )


def _failures(rows: list[dict[str, Any]]) -> str:
    lines = ["| | area, mm2 | error, mm2 | Dice | |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {row['patient']} | {row['area']} | {row['error']:+} | {row['dice']:.3f} "
        f"| ![{row['patient']}]({row['file']}) |"
        for row in rows
    ]
    return "\n".join(lines)


def _summaries(summaries: dict[str, dict[str, Any]]) -> str:
    lines = [
        "| | crops | found | area, mm2 | Dice | area error, mm2 | area error, % | front-to-back error, mm |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, s in summaries.items():
        sizes = s["area_mm2"]
        cells = [name, s["crops"], s["found"], f"{sizes['smallest']:.0f} to {sizes['largest']:.0f}", f"{s['dice']:.3f}"]
        cells += [f"{s[key]['bias']:+.1f} (SD {s[key]['sd']:.1f})" for key in ("area", "area_percent")]
        cells.append(f"{s['ap']['bias']:+.2f} (SD {s['ap']['sd']:.2f})")
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def _cutoffs(table: dict[str, dict[str, Any]]) -> str:
    lines = ["| cut-off | truly under / not under | sensitivity | specificity |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {name} | {row['under']} / {row['not_under']} | {row['sensitivity']:.3f} | {row['specificity']:.3f} |"
        for name, row in table.items()
    ]
    return "\n".join(lines)
