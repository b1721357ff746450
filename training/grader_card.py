"""The disc grader's model card and reliability diagram, from what `training.export_grader` measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from inference.geometry import FloatArray
from models.disc_grades import OUTPUTS, PFIRRMANN_STEPS, Sign
from models.disc_slips import LARGEST_PERCENT, USUAL_SACRAL_GAP_PERCENT
from training.grader_scores import BINS, ERROR

mpl.use("Agg")

PUBLISHED = {
    "pfirrmann": "SpineNet external: kappa 0.68, 0.85 % more than one grade off (Spine 2023)",
    Sign.MODIC: "SpineNet external: kappa 0.74 (Spine 2023); human pairs: 0.39 to 0.74",
}
"""Published figures on other data, for orientation only (PMC9990601, PMC7160219)."""

_CARD = """\
# {name} {version}

Grades lumbar discs on sagittal MR: Pfirrmann grade, narrowing, bulging, herniation, spondylolisthesis, Modic change
and endplate change. Research use only: not a medical device; a physician decides.

## What it takes and gives

- Input `image`, float32 `[disc, 8, 96, 96]`: one crop per disc, {step} mm a pixel in a mean adult, scaled by the
  spine's own bodies; rows along the disc's axis to the feet, columns to the back. Channels: signal, vertebra, disc and
  canal on T1, then on T2; all 0 where a contrast is missing. Outlines by mr_sagittal_segmentation.
- Output `logits`, float32 `[disc, member, {outputs}]`; `spine.scales` in the metadata turns the mean over the members
  into a calibrated probability and an answer.
- Beside the logit, spondylolisthesis weighs the slip that is measured on the outlines: the size of its mean over T1 and
  T2 in percent of the endplate below, {largest_slip:g} % at most (`slip` and `no_slip` in its scale). At L5-S1,
  where the sacrum is not outlined, an estimate stands for it: how much farther than usual ({gap:g} % of L5's lower
  endplate) the canal's front stands behind L5's corner. A disc beside a body that is not measured has neither: there
  the probability rests on the image alone. The finding says so of both.
- {members} networks (residual, 0.4 million parameters each). SHA-256 of `models/model.onnx`: `{sha256}`.

## Training

{training_data}: {discs} discs, with SPIDER's radiological gradings of the
whole study; of each patient only the middle slice is at hand. Data: {licence}.
Split by patient into {folds} folds (seed {fold_seed}), networks per fold: {per_fold}. Crops by the shipped
segmentation. Its training patients are partly the same people, on other images of theirs. Levels were counted by our
software, by a rule that was chosen on these patients; where it counts otherwise than the radiologist did, the target
is wrong.

    python -m training.train_grader --data DIR --out RUN --members {per_fold}
    python -m training.export_grader --run RUN

Without the run, from the networks inside the bundle (RUN then holds the discs alone, which are cut again):

    python -m training.export_grader --run RUN --data DIR --from-bundle

## Measured: cross-validation on real patients

{protocol}: {scored} discs of
{patients} patients, as the shipped segmentation cuts them now. Scales and thresholds of each fold come from the other
folds. In brackets: 95 % by bootstrap over patients. Series in which no spine is found are not among the discs; a disc
that lacks a contrast that an answer needs is not graded for it. What ships is the mean of all networks, which was not
measured as such: each patient was seen by some of them.

{table}

Between two probabilities of each sign nothing is said (conformal prediction, made for {error:.0%} of errors among discs
with the sign and among discs without it):

{unsure}

Spondylolisthesis, AUC with the slip weighed and by the logit alone:

{slip}

The stretch of the canal that the estimate at L5-S1 is read on, its usual value and that it has the weight of a
measured slip were chosen on these patients; decision 14 says what was tried.

What else was tried beside the logit helped neither spondylolisthesis nor Modic on held-out patients: the slip's
direction, the other outputs' logits, the same logit at the discs above and below
(`python -m training.measure_evidence --run RUN`).

Networks that read the slip on the image, taught by discs that were displaced on it by a known slip, were tried as well,
weighed in eleven ways: they told L5-S1 better, but over all discs the gain was within chance. They are not shipped
(decision 14).

The discs with a spondylolisthesis that are ranked lowest were looked at, on the slices at hand and not by a
radiologist. Patients 55 and 196, T12-L1, and 63, L1-L2: the slice shows no slip, or not enough of the body above, or
runs beside the middle of a curved spine; what the rest of the study shows is not at hand. Patient 29, L2-L3: a backward
slip no larger than many that were graded 0.

Pfirrmann grades, radiologist (rows I to V) against this model (columns):

{confusion}

![reliability](reliability.png)

Published, on other data: {published}.

By subgroup:

{subgroups}

### Failures

The Pfirrmann grades furthest off, and of each sign the surest false alarm and the surest miss (p: probability of the
sign): T1 on the left, T2 on the right, the disc's outline in green. Who is right was not looked into: the grade is one
reader's, of the whole study. Images: SPIDER, van der Graaf et al., Scientific Data 2024, doi:10.5281/zenodo.10159290,
CC BY 4.0; cropped, scaled and drawn on.

{failures}

## Limits

- Measured on single mid-sagittal slices only. Of a series with more slices it sees the one through the disc's centre,
  which was not measured.
- One data set, one grader; not tested on another hospital's images. The crops come from single mid-sagittal slices, so
  a herniation beside the midline is not seen.
- Modic: the data holds 4 discs of type 1 and 6 of type 3; what is learned is type 2 against none. The type is told by
  an uncalibrated rule beside this network (`python -m training.measure_modic_types`): of 273 discs graded type 2 it
  tells 45 as 2, 7 as 3, 6 as 1 and the rest not; of the 4 of type 1 and 6 of type 3 none rightly (one as 3, the rest
  not). Nothing is claimed.
- Series with fat saturation are not graded. Without T2 there is no Pfirrmann grade; without T1 or T2 no Modic answer.
- Children, tumour, infection, metal, operated spines: not seen, or not known to be in the data.
"""


def render_grader_card(metadata: dict[str, Any], metrics: dict[str, Any]) -> str:
    """The model card."""
    spine = metadata["spine"]
    training = spine["training"]
    confusion = metrics["scores"]["pfirrmann"]["confusion"]
    return _CARD.format(
        name=spine["name"],
        version=metadata["version"],
        step=spine["spacing_mm"][0],
        outputs=len(OUTPUTS),
        members=training["folds"] * training["members_per_fold"],
        sha256=spine["sha256"],
        training_data=_sentence(spine["training_data"]),
        discs=training["discs"],
        licence=spine["data_licence"],
        folds=training["folds"],
        fold_seed=training["fold_seed"],
        per_fold=training["members_per_fold"],
        scored=metrics["scores"]["discs"],
        patients=metrics["scores"]["patients"],
        protocol=_sentence(metrics["protocol"]),
        largest_slip=LARGEST_PERCENT,
        gap=USUAL_SACRAL_GAP_PERCENT,
        slip=_slip_table(metrics["slip"]),
        table=_table(metrics["scores"]),
        error=ERROR,
        unsure=_unsure_table(metrics["scores"]),
        confusion="\n".join(["| I | II | III | IV | V |", "|---|---|---|---|---|", *map(_row, confusion)]),
        published="; ".join(PUBLISHED.values()),
        subgroups=_subgroups(metrics["subgroups"]),
        failures=_failures(metrics["failures"]),
    )


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _row(cells: list[Any]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _interval(score: dict[str, float]) -> str:
    return f"{score['value']:.2f} ({score['low']:.2f} to {score['high']:.2f})"


def _table(scores: dict[str, Any]) -> str:
    rows = [
        "| answer | discs graded | with the sign | AUC | kappa | balanced accuracy | calibration error |",
        "|---|---|---|---|---|---|---|",
    ]
    grades = scores["pfirrmann"]
    within = f"within one grade {_interval(grades['within_one_grade'])}"
    rows.append(_row(["Pfirrmann", grades["graded"], within, "", f"quadratic {_interval(grades['kappa_quadratic'])}",
                      f"{grades['balanced_accuracy']:.2f}", ""]))  # fmt: skip
    for sign in Sign:
        score = scores[sign.value]
        rows.append(
            _row([_words(sign), score["graded"], score["positives"], _interval(score["auc"]),
                  _interval(score["kappa"]), f"{score['balanced_accuracy']:.2f}", f"{score['calibration_error']:.3f}"])
        )  # fmt: skip
    return "\n".join(rows)


def _unsure_table(scores: dict[str, Any]) -> str:
    rows = ["| answer | left open | kappa of the rest | sensitivity | specificity |", "|---|---|---|---|---|"]
    for sign in Sign:
        score = scores[sign.value]
        rows.append(
            _row([_words(sign), f"{score['unsure']:.0%}", _interval(score["kappa_when_sure"]),
                  f"{score['sensitivity_when_sure']:.2f}", f"{score['specificity_when_sure']:.2f}"])
        )  # fmt: skip
    return "\n".join(rows)


def _slip_table(groups: dict[str, Any]) -> str:
    rows = ["| discs | number | with the sign | AUC with the slip | AUC without |", "|---|---|---|---|---|"]
    rows += [
        _row([name, g["discs"], g["positives"], _interval(g["auc"]), _interval(g["auc_without"])])
        for name, g in groups.items()
    ]
    return "\n".join(rows)


def _words(sign: Sign) -> str:
    return sign.value.replace("_", " ")


def _subgroups(groups: dict[str, Any]) -> str:
    rows = ["| subgroup | discs | Pfirrmann kappa | Modic AUC |", "|---|---|---|---|"]
    return "\n".join(
        [
            *rows,
            *(_row([name, g["discs"], g["pfirrmann_kappa_quadratic"], g["modic_auc"]]) for name, g in groups.items()),
        ]
    )


def _failures(rows: list[dict[str, str]]) -> str:
    lines = ["| answer | patient, disc | radiologist | model | |", "|---|---|---|---|---|"]
    for row in rows:
        words, place = row["answer"].replace("_", " "), f"{row['patient']} {row['level']}"
        lines.append(_row([words, place, row["truth"], row["said"], f"![{words} {place}]({row['file']})"]))
    return "\n".join(lines)


def draw_reliability(probability: FloatArray, targets: FloatArray, path: Path) -> None:
    """Reliability diagram of the signs: share of positives against the mean probability, in bins of equal size."""
    import matplotlib.pyplot as plt  # noqa: PLC0415 - after the backend is chosen

    figure, axes = plt.subplots(figsize=(5, 5), dpi=100)
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for column, sign in enumerate(Sign, start=len(PFIRRMANN_STEPS)):
        graded = np.flatnonzero(np.isfinite(probability[:, column]))
        parts = np.array_split(graded[np.argsort(probability[graded, column])], BINS)
        shown = [(probability[p, column].mean(), targets[p, column].mean()) for p in parts]
        axes.plot(*zip(*shown, strict=True), marker="o", markersize=3, linewidth=1, label=_words(sign))
    axes.set(xlabel="mean probability", ylabel="share of positives", xlim=(0, 1), ylim=(0, 1))
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)
