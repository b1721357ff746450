"""Compare what might be weighed beside a logit, by nested cross-validation over patients. Only a report.

Usage: ``python -m training.measure_evidence --run DIR``, after ``training.export_grader --run DIR --from-bundle``. For
spondylolisthesis and Modic it prints how well a logistic regression on each set of evidence does on patients that took
part neither in the networks nor in its fit. Its penalty is chosen by an inner round over the other folds. The networks
of those folds have seen the patient, as everywhere in `training.grader_scores`: a network of its own for each pair of
folds was not trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from inference.geometry import FloatArray
from models.disc_grades import OUTPUTS, Sign
from models.disc_slips import slip_size
from training.export_grader import NAME
from training.grader_data import Samples, load_samples
from training.grader_scores import BOOTSTRAPS, auc, is_graded, with_interval
from training.grader_shipped import shipped_logits
from training.midsagittal import LEVELS
from training.train_grader import SAMPLES

PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0)
"""Inverse strengths of the L2 penalty to choose from, on evidence with mean 0 and deviation 1."""
SIGNS = (Sign.LISTHESIS, Sign.MODIC)


def evidence_of(samples: Samples, logits: FloatArray, sign: Sign) -> dict[str, FloatArray]:
    """Sets of evidence (disc, number) by name; the first is the logit alone."""
    own = logits[:, [OUTPUTS.index(sign)]]
    size = slip_size(samples.slips.astype(np.float64))
    known, missing = np.nan_to_num(size), np.isnan(size).astype(np.float64)
    is_forwards = np.nansum(samples.slips, axis=1) > 0
    slip = np.column_stack([known, missing])
    signed = np.column_stack([known * is_forwards, known * ~is_forwards, missing])
    neighbours = np.hstack([_at_neighbour(samples, own, step) for step in (1, -1)])
    return {
        "its logit": own,
        "and the slip's size": np.hstack([own, slip]),
        "and the slip with its direction": np.hstack([own, signed]),
        "and the logit at the discs above and below": np.hstack([own, neighbours]),
        "all outputs' logits": logits,
        "all outputs' logits and the slip's size": np.hstack([logits, slip]),
    }


def _at_neighbour(samples: Samples, values: FloatArray, step: int) -> FloatArray:
    """Values of the disc so many levels higher in the same patient, and whether there is none."""
    discs = zip(samples.patients, map(LEVELS.index, samples.levels), strict=True)
    places = {key: place for place, key in enumerate(discs)}
    found = [places.get((patient, level + step)) for patient, level in places]
    nothing = np.zeros(values.shape[1])
    return np.array([[*(nothing if place is None else values[place]), float(place is None)] for place in found])


def nested(evidence: FloatArray, truth: FloatArray, folds: NDArray[np.int64]) -> FloatArray:
    """Probability of each disc by a regression on the other folds, whose penalty was chosen on them alone."""
    found = np.zeros(len(truth))
    for fold in np.unique(folds):
        mine = folds == fold
        losses = [_inner_loss(penalty, evidence[~mine], truth[~mine], folds[~mine]) for penalty in PENALTIES]
        model = _model(PENALTIES[int(np.argmin(losses))]).fit(evidence[~mine], truth[~mine])
        found[mine] = model.predict_proba(evidence[mine])[:, 1]
    return found


def _inner_loss(penalty: float, evidence: FloatArray, truth: FloatArray, folds: NDArray[np.int64]) -> float:
    found = np.zeros(len(truth))
    for fold in np.unique(folds):
        mine = folds == fold
        model = _model(penalty).fit(evidence[~mine], truth[~mine])
        found[mine] = model.predict_proba(evidence[mine])[:, 1]
    return float(log_loss(truth, found, labels=[0, 1]))


def _model(penalty: float) -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=2000))


def _gain(truth: FloatArray, pair: FloatArray) -> float:
    return auc(truth, pair[:, 1]) - auc(truth, pair[:, 0])


def compare(
    samples: Samples, logits: FloatArray, sign: Sign, *, bootstraps: int = BOOTSTRAPS
) -> Mapping[str, dict[str, dict[str, float]]]:
    """By set of evidence: ``auc`` and its ``gain`` over the logit alone, with intervals over patients."""
    graded = is_graded(samples, sign)
    truth = samples.targets[graded, OUTPUTS.index(sign)].astype(np.float64)
    patients, folds = samples.patients[graded], samples.folds[graded]
    sets = evidence_of(samples, logits, sign)
    found = {name: nested(evidence[graded], truth, folds) for name, evidence in sets.items()}
    alone = next(iter(found.values()))
    return {
        name: {
            "auc": with_interval(auc, truth, probability, patients, bootstraps=bootstraps),
            "gain": with_interval(_gain, truth, np.column_stack([alone, probability]), patients, bootstraps=bootstraps),
        }
        for name, probability in found.items()
    }


def main(
    *,
    run: Annotated[Path, typer.Option(help="Folder that holds the discs.")],
    bundle: Annotated[Path, typer.Option(help="Bundle whose networks are asked.")] = Path("models/bundles") / NAME,
) -> None:
    """Print what each set of evidence adds to the logit."""
    samples = load_samples(run / SAMPLES)
    logits = shipped_logits(bundle, samples)
    for sign in SIGNS:
        table = Table("evidence", "AUC", "gain over its logit", title=f"{sign}, nested cross-validation over patients")
        for name, scores in compare(samples, logits, sign).items():
            table.add_row(name, *(f"{s['value']:.3f} ({s['low']:.3f} to {s['high']:.3f})" for s in scores.values()))
        Console().print(table)


if __name__ == "__main__":
    typer.run(main)
