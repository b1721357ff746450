"""How well discs are graded, on patients that the grader has not seen: cross-validated scores with intervals.

Everything that is chosen (the scale of the probabilities, the threshold of a sign, when nothing is said) is chosen on
the other folds, so that no patient's own answer takes part in it. A disc that lacks a contrast that an answer needs is
not scored for it, because the product does not answer it either; how many are scored is stated. Intervals: 95 % by
bootstrap over patients, not over discs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, roc_auc_score

from inference.geometry import FloatArray
from models.disc_crops import Contrast
from models.disc_grades import NEEDS, OUTPUTS, PFIRRMANN_STEPS, WITH_SLIP, Scale, Sign, Vote, pfirrmann_of
from models.disc_slips import slip_size
from training.grader_data import Samples

BOOTSTRAPS = 1000
ERROR = 0.15
"""How often a disc with a sign, and one without, may be told wrong; what cannot keep to it is not answered. A choice
of policy: the lower, the more discs are left open."""
RARE = 0.1
"""A sign that fewer discs have is answered by the threshold of largest kappa alone: at one wrong in seven of the many
discs without it, most calls would be wrong."""
BINS = 15
"""Equal-mass bins of the expected calibration error (models.md 4.2)."""

Score = Callable[[FloatArray, FloatArray], float]


def fit_scale(logit: FloatArray, truth: FloatArray, slip: FloatArray | None = None, *, error: float = ERROR) -> Scale:
    """Scale of one output, with the threshold of the largest kappa and the band in which neither answer is sure.

    With the slip's size (NaN where not measured), the probability weighs it beside the logit.

    The band: a disc that has the sign has a probability of at least ``unsure_above``, and one that has not at most
    ``unsure_below``, each but for a share ``error`` of them (class-conditional conformal prediction). A rare sign has
    no band.
    """
    plain = _fit_logistic(logit, truth, slip)
    probability = plain.probability(logit, np.nan if slip is None else slip)
    low = _quantile(probability[truth == 1], error)
    high = 1.0 - _quantile(1.0 - probability[truth == 0], error)
    candidates = np.unique(np.round(np.quantile(probability, np.linspace(0.02, 0.98, 33)), 4))
    threshold = float(candidates[int(np.argmax(_kappas(truth == 1, probability >= candidates[:, None])))])
    if truth.mean() < RARE:
        return replace(plain, threshold=threshold)
    if low < high:
        threshold = float(np.clip(threshold, low, high))
    return replace(plain, threshold=threshold, unsure_above=low, unsure_below=high)


def _kappas(truth: NDArray[np.bool_], answers: NDArray[np.bool_]) -> FloatArray:
    """Cohen's kappa of each of many answers (answer, disc): scikit-learn takes a millisecond for each."""
    yes, has = answers.sum(axis=1), truth.sum()
    by_chance = (yes * (len(truth) - has) + (len(truth) - yes) * has) / len(truth)
    return np.asarray(1 - (answers != truth).sum(axis=1) / by_chance)


def _fit_logistic(logit: FloatArray, truth: FloatArray, slip: FloatArray | None) -> Scale:
    """The probability's weights; the rest of the scale as if nothing were left open."""
    evidence = [] if slip is None else [np.nan_to_num(slip), np.isnan(slip).astype(np.float64)]
    model = LogisticRegression(C=1e3, max_iter=1000).fit(np.column_stack([logit, *evidence]), truth)
    slope, by_slip, by_no_slip = [*map(float, model.coef_[0]), 0.0, 0.0][:3]
    return Scale(
        slope=slope, offset=float(model.intercept_[0]), slip=by_slip, no_slip=by_no_slip,
        threshold=0.5, unsure_above=1.0, unsure_below=0.0,
    )  # fmt: skip


def slip_for(samples: Samples, name: str) -> FloatArray | None:
    """The size of every disc's slip for an output that weighs it; None for the others."""
    return slip_size(samples.slips.astype(np.float64)) if name in WITH_SLIP else None


def _quantile(values: FloatArray, share: float) -> float:
    """The value under which a new one of the same kind lies with at most this probability; 0 with too few values."""
    place = int(np.floor(share * (len(values) + 1)))
    return float(np.sort(values)[place - 1]) if place else 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """What is said about every disc, (disc, output); each fold scaled as the other folds say."""

    probability: FloatArray
    """NaN where a contrast is missing that the answer needs."""
    yes: NDArray[np.bool_]
    """Whether the probability reaches the threshold."""
    sure: NDArray[np.bool_]
    """Whether the product answers: graded, and outside the band in which neither answer is sure."""


def cross_scaled(logits: FloatArray, samples: Samples) -> Answers:
    """Probabilities and answers; no disc's own grade, and no grade of its fold, takes part in them."""
    outputs = [output_cross_scaled(logits, samples, name) for name in OUTPUTS]
    fields = ("probability", "yes", "sure")
    return Answers(**{field: np.column_stack([getattr(output, field) for output in outputs]) for field in fields})


def output_cross_scaled(logits: FloatArray, samples: Samples, name: str) -> Answers:
    """The same for one output; arrays (disc,)."""
    count, column = len(logits), OUTPUTS.index(name)
    probability = np.full(count, np.nan)
    yes, sure = np.zeros(count, dtype=np.bool_), np.zeros(count, dtype=np.bool_)
    shown, slip = is_graded(samples, name), slip_for(samples, name)
    for fold in np.unique(samples.folds):
        mine, others = shown & (samples.folds == fold), shown & (samples.folds != fold)
        theirs, own = (None, np.nan) if slip is None else (slip[others], slip[mine])
        scale = fit_scale(logits[others, column], samples.targets[others, column], theirs)
        found = scale.probability(logits[mine, column], own)
        probability[mine], yes[mine] = found, found >= scale.threshold
        sure[mine] = [scale.vote(value) is not Vote.UNSURE for value in found]
    return Answers(probability=probability, yes=yes, sure=sure)


def is_graded(samples: Samples, name: str) -> NDArray[np.bool_]:
    """Which discs are shown on every contrast that an output needs."""
    needs = NEEDS["pfirrmann" if name.startswith("pfirrmann") else Sign(name)]
    columns = [place for place, contrast in enumerate(Contrast) if contrast in needs]
    return np.asarray(samples.shown[:, columns].all(axis=1))


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


def score_discs(answers: Answers, samples: Samples, *, bootstraps: int = BOOTSTRAPS) -> dict[str, Any]:
    """All scores of `cross_scaled` answers: of what the product says, with the share of what it does not."""
    truth = samples.targets.astype(np.float64)
    scores: dict[str, Any] = {
        "discs": len(truth),
        "patients": len(np.unique(samples.patients)),
        "pfirrmann": _score_pfirrmann(answers, truth, samples.patients, bootstraps),
    }
    for column, sign in enumerate(Sign, start=len(PFIRRMANN_STEPS)):
        scores[sign.value] = _score_sign(answers, truth, column, samples.patients, bootstraps)
    return scores


def _score_pfirrmann(
    answers: Answers, truth: FloatArray, patients: NDArray[np.str_], bootstraps: int
) -> dict[str, Any]:
    steps = len(PFIRRMANN_STEPS)
    shown = np.isfinite(answers.probability[:, 0])
    true_grade = 1 + truth[shown, :steps].sum(axis=1)
    grade = pfirrmann_of(answers.probability[shown])
    patients = patients[shown]
    return {
        "graded": int(shown.sum()),
        "kappa_quadratic": with_interval(kappa_quadratic, true_grade, grade, patients, bootstraps=bootstraps),
        "within_one_grade": with_interval(within_one, true_grade, grade, patients, bootstraps=bootstraps),
        "balanced_accuracy": _rounded(balanced_accuracy_score(true_grade, grade)),
        "confusion": _confusion(true_grade, grade),
    }


def _score_sign(
    answers: Answers, truth: FloatArray, column: int, patients: NDArray[np.str_], bootstraps: int
) -> dict[str, Any]:
    shown = np.isfinite(answers.probability[:, column])
    sure = answers.sure[:, column]
    probability, yes = answers.probability[:, column], answers.yes[:, column].astype(np.float64)
    true = truth[:, column]

    def interval(score: Score, found: FloatArray, which: NDArray[np.bool_]) -> dict[str, float]:
        return with_interval(score, true[which], found[which], patients[which], bootstraps=bootstraps)

    return {
        "graded": int(shown.sum()),
        "positives": int(true[shown].sum()),
        "auc": interval(auc, probability, shown),
        "kappa": interval(kappa, yes, shown),
        "balanced_accuracy": _rounded(balanced_accuracy_score(true[shown], yes[shown])),
        "calibration_error": _rounded(calibration_error(true[shown], probability[shown])),
        "unsure": _rounded(1 - sure.sum() / shown.sum()),
        "kappa_when_sure": interval(kappa, yes, sure),
        "sensitivity_when_sure": _rounded(yes[sure & (true == 1)].mean()),
        "specificity_when_sure": _rounded(1 - yes[sure & (true == 0)].mean()),
    }


def score_slip(logits: FloatArray, samples: Samples, *, bootstraps: int = BOOTSTRAPS) -> dict[str, Any]:
    """AUC of spondylolisthesis with the slip weighed and without, by how it was had: measured, estimated, not at all.

    Of out-of-fold logits (disc, output). A group of which no disc or every disc has the sign is left out.
    """
    column = OUTPUTS.index(Sign.LISTHESIS)
    truth = samples.targets[:, column].astype(np.float64)
    blind = replace(samples, slips=np.full_like(samples.slips, np.nan))
    weighed, alone = (output_cross_scaled(logits, discs, Sign.LISTHESIS).probability for discs in (samples, blind))
    known, on_sacrum = np.isfinite(samples.slips).any(axis=1), samples.levels == "L5-S1"

    def interval(found: FloatArray, which: NDArray[np.bool_]) -> dict[str, float]:
        return with_interval(auc, truth[which], found[which], samples.patients[which], bootstraps=bootstraps)

    return {
        name: {
            "discs": int(which.sum()),
            "positives": int(truth[which].sum()),
            "auc": interval(weighed, which),
            "auc_without": interval(alone, which),
        }
        for name, which in {
            "all": np.ones_like(known),
            "slip measured, above L5-S1": known & ~on_sacrum,
            "slip estimated, L5-S1": known & on_sacrum,
            "no slip": ~known,
            "no slip, above L5-S1": ~known & ~on_sacrum,
            "all at L5-S1": on_sacrum,
        }.items()
        if 0 < truth[which].sum() < which.sum()
    }


def _confusion(truth: FloatArray, grade: FloatArray) -> list[list[int]]:
    return [[int(((truth == t) & (grade == g)).sum()) for g in range(1, 6)] for t in range(1, 6)]


def score_subgroups(answers: Answers, samples: Samples) -> dict[str, Any]:
    """Pfirrmann kappa and Modic AUC by vendor, field strength and sex."""
    truth = samples.targets.astype(np.float64)
    modic = OUTPUTS.index(Sign.MODIC)
    graded, graded_modic = (np.isfinite(answers.probability[:, column]) for column in (0, modic))
    true_grade, grade = 1 + truth[:, : len(PFIRRMANN_STEPS)].sum(axis=1), pfirrmann_of(answers.probability)
    parts = np.array([subgroup.split(", ") for subgroup in samples.subgroups])
    groups: dict[str, Any] = {}
    for column in range(parts.shape[1]):
        for name in np.unique(parts[:, column]):
            mine = parts[:, column] == name
            of_grade, of_modic = mine & graded, mine & graded_modic
            groups[str(name)] = {
                "discs": int(mine.sum()),
                "pfirrmann_kappa_quadratic": _rounded(kappa_quadratic(true_grade[of_grade], grade[of_grade])),
                "modic_auc": _rounded(auc(truth[of_modic, modic], answers.probability[of_modic, modic])),
            }
    return groups
