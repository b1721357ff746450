"""How well discs are graded, on patients that the grader has not seen: cross-validated scores with intervals.

Everything that is chosen (the scale of the probabilities, the threshold of a sign) is chosen on the other folds, so
that no patient's own answer takes part in it. Intervals: 95 % by bootstrap over patients, not over discs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, roc_auc_score

from inference.geometry import FloatArray
from models.disc_grades import OUTPUTS, PFIRRMANN_STEPS, Scale, Sign, pfirrmann_of
from training.grader_data import Samples

BOOTSTRAPS = 1000
BINS = 15
"""Equal-mass bins of the expected calibration error (models.md 4.2)."""

Score = Callable[[FloatArray, FloatArray], float]


def fit_scale(logit: FloatArray, truth: FloatArray) -> Scale:
    """Scale of one output, with the threshold of the largest kappa."""
    model = LogisticRegression(C=1e3).fit(logit[:, None], truth)
    scale = Scale(slope=float(model.coef_[0, 0]), offset=float(model.intercept_[0]), threshold=0.5)
    probability = scale.probability(logit)
    candidates = np.unique(np.round(np.quantile(probability, np.linspace(0.02, 0.98, 33)), 4))
    kappas = [cohen_kappa_score(truth, probability >= candidate) for candidate in candidates]
    return Scale(slope=scale.slope, offset=scale.offset, threshold=float(candidates[int(np.argmax(kappas))]))


def cross_scaled(logits: FloatArray, samples: Samples) -> tuple[FloatArray, FloatArray]:
    """Probabilities and answers (disc, output); each fold scaled as the other folds say."""
    probability, answer = np.zeros_like(logits, dtype=np.float64), np.zeros(logits.shape)
    for fold in np.unique(samples.folds):
        mine = samples.folds == fold
        for column in range(len(OUTPUTS)):
            scale = fit_scale(logits[~mine, column], samples.targets[~mine, column])
            probability[mine, column] = scale.probability(logits[mine, column])
            answer[mine, column] = probability[mine, column] >= scale.threshold
    return probability, answer


def calibration_error(truth: FloatArray, probability: FloatArray) -> float:
    """Expected calibration error over equal-mass bins."""
    order = np.argsort(probability)
    parts = np.array_split(order, BINS)
    return float(sum(len(p) * abs(truth[p].mean() - probability[p].mean()) for p in parts) / len(order))


def kappa_quadratic(truth: FloatArray, grade: FloatArray) -> float:
    """Quadratic weighted kappa."""
    return float(cohen_kappa_score(truth, grade, weights="quadratic"))


def kappa(truth: FloatArray, answer: FloatArray) -> float:
    """Cohen's kappa."""
    return float(cohen_kappa_score(truth, answer))


def auc(truth: FloatArray, probability: FloatArray) -> float:
    """Area under the ROC curve."""
    return float(roc_auc_score(truth, probability)) if 0 < truth.sum() < len(truth) else float("nan")


def within_one(truth: FloatArray, grade: FloatArray) -> float:
    """Share of discs at most one grade off."""
    return float((np.abs(truth - grade) <= 1).mean())


def with_interval(
    score: Score, truth: FloatArray, found: FloatArray, patients: NDArray[np.str_], *, bootstraps: int = BOOTSTRAPS
) -> dict[str, float]:
    """A score and its 95 % interval by resampling patients."""
    rng = np.random.default_rng(0)
    names, place = np.unique(patients, return_inverse=True)
    discs = [np.flatnonzero(place == number) for number in range(len(names))]
    drawn = []
    for _ in range(bootstraps):
        which = np.concatenate([discs[number] for number in rng.integers(len(names), size=len(names))])
        drawn.append(score(truth[which], found[which]))
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    return {"value": _rounded(score(truth, found)), "low": _rounded(low), "high": _rounded(high)}


def _rounded(value: float) -> float:
    return round(float(value), 3)


def score_discs(logits: FloatArray, samples: Samples, *, bootstraps: int = BOOTSTRAPS) -> dict[str, Any]:
    """All scores of out-of-fold logits (disc, output)."""
    probability, answer = cross_scaled(logits, samples)
    truth = samples.targets.astype(np.float64)
    steps = len(PFIRRMANN_STEPS)
    true_grade, grade = 1 + truth[:, :steps].sum(axis=1), pfirrmann_of(probability)
    scores: dict[str, Any] = {
        "discs": len(truth),
        "patients": len(np.unique(samples.patients)),
        "pfirrmann": {
            "kappa_quadratic": with_interval(
                kappa_quadratic, true_grade, grade, samples.patients, bootstraps=bootstraps
            ),
            "within_one_grade": with_interval(within_one, true_grade, grade, samples.patients, bootstraps=bootstraps),
            "balanced_accuracy": _rounded(balanced_accuracy_score(true_grade, grade)),
            "confusion": _confusion(true_grade, grade),
        },
    }
    for column, sign in enumerate(Sign, start=steps):
        scores[sign.value] = {
            "positives": int(truth[:, column].sum()),
            "auc": with_interval(
                auc, truth[:, column], probability[:, column], samples.patients, bootstraps=bootstraps
            ),
            "kappa": with_interval(kappa, truth[:, column], answer[:, column], samples.patients, bootstraps=bootstraps),
            "balanced_accuracy": _rounded(balanced_accuracy_score(truth[:, column], answer[:, column])),
            "calibration_error": _rounded(calibration_error(truth[:, column], probability[:, column])),
        }
    return scores


def _confusion(truth: FloatArray, grade: FloatArray) -> list[list[int]]:
    return [[int(((truth == t) & (grade == g)).sum()) for g in range(1, 6)] for t in range(1, 6)]


def score_subgroups(logits: FloatArray, samples: Samples) -> dict[str, Any]:
    """Pfirrmann kappa and Modic AUC by vendor, field strength and sex."""
    probability, _ = cross_scaled(logits, samples)
    truth = samples.targets.astype(np.float64)
    modic = OUTPUTS.index(Sign.MODIC)
    true_grade, grade = 1 + truth[:, : len(PFIRRMANN_STEPS)].sum(axis=1), pfirrmann_of(probability)
    parts = np.array([subgroup.split(", ") for subgroup in samples.subgroups])
    groups: dict[str, Any] = {}
    for column in range(parts.shape[1]):
        for name in np.unique(parts[:, column]):
            mine = parts[:, column] == name
            groups[str(name)] = {
                "discs": int(mine.sum()),
                "pfirrmann_kappa_quadratic": _rounded(kappa_quadratic(true_grade[mine], grade[mine])),
                "modic_auc": _rounded(auc(truth[mine, modic], probability[mine, modic])),
            }
    return groups
