"""What a disc grader answers: the order of its outputs, what they mean, and how a logit becomes an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

import numpy as np

from inference.geometry import FloatArray
from models.disc_crops import Contrast


class Sign(StrEnum):
    """A sign that is there or not."""

    NARROWING = "disc_narrowing"
    BULGING = "disc_bulging"
    HERNIATION = "disc_herniation"
    LISTHESIS = "spondylolisthesis"
    MODIC = "modic"
    UPPER_ENDPLATE = "upper_endplate"
    LOWER_ENDPLATE = "lower_endplate"


PFIRRMANN_STEPS = (2, 3, 4, 5)
"""The first outputs: whether the Pfirrmann grade is at least this (an ordinal model: Frank and Hall, ECML 2001)."""
DEGENERATED = 3
"""From this Pfirrmann grade on a disc counts as degenerated: the nucleus is no longer bright and distinct from the
annulus (Pfirrmann et al., Spine 2001;26:1873)."""
OUTPUTS = (*(f"pfirrmann>={grade}" for grade in PFIRRMANN_STEPS), *Sign)
"""Order of a grader's logits."""

NEEDS: Mapping[str, frozenset[Contrast]] = {
    "pfirrmann": frozenset({Contrast.T2}),
    Sign.NARROWING: frozenset(),
    Sign.BULGING: frozenset({Contrast.T2}),
    Sign.HERNIATION: frozenset({Contrast.T2}),
    Sign.LISTHESIS: frozenset(),
    Sign.MODIC: frozenset(Contrast),
    Sign.UPPER_ENDPLATE: frozenset(),
    Sign.LOWER_ENDPLATE: frozenset(),
}
"""Which contrasts an answer needs: Pfirrmann grades are defined on T2, Modic changes on T1 and T2; where none is named,
either will do."""


WITH_SLIP = frozenset({Sign.LISTHESIS})
"""The outputs whose probability weighs the measured slip beside the logit. It helps no other sign
(`training.measure_evidence`)."""


class Vote(StrEnum):
    """What a probability says about a sign."""

    YES = "yes"
    NO = "no"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Turns one output's logit, and the slip, into a probability, and that into yes, no or unsure.

    The probability is a logistic regression (Platt scaling) on the logit and, for the outputs of WITH_SLIP, on the
    slip's size, or on the fact that there is none.

    Unsure: between ``unsure_above`` and ``unsure_below``, where neither yes nor no can be ruled out at the error rate
    that the grader was made for, separately among discs with and without the sign (class-conditional conformal
    prediction: Vovk, ACML 2012). Where there is no such band around the threshold, ``unsure_above`` is not below
    ``unsure_below``.
    """

    slope: float
    offset: float
    slip: float
    """Added for each percent of the slip's size; 0 where the output does not weigh it."""
    no_slip: float
    """Added where no slip was measured."""
    threshold: float
    unsure_above: float
    unsure_below: float

    def probability(self, logit: FloatArray, slip: FloatArray | float = np.nan) -> FloatArray:
        """Calibrated probability.

        Args:
            logit: of the network.
            slip: its size as `models.disc_slips.slip_size` gives it, NaN where not measured; one for each logit.
        """
        weighed = np.where(np.isfinite(slip), self.slip * np.nan_to_num(slip), self.no_slip)
        return np.asarray(1.0 / (1.0 + np.exp(-(self.slope * logit + weighed + self.offset))))

    def vote(self, probability: float) -> Vote:
        """Yes, no or unsure."""
        if self.unsure_above <= probability <= self.unsure_below:
            return Vote.UNSURE
        return Vote.YES if probability >= self.threshold else Vote.NO


def scales_of(metadata: Mapping[str, Any]) -> dict[str, Scale]:
    """The scales in a bundle's metadata, by output; KeyError or TypeError where one is missing or not a number."""
    rows = metadata["spine"]["scales"]
    names = [field.name for field in fields(Scale)]
    return {output: Scale(**{name: float(rows[output][name]) for name in names}) for output in OUTPUTS}


def pfirrmann_of(probability: FloatArray) -> FloatArray:
    """The grade 1..5 from the probabilities of the four steps: the median of the distribution that they describe."""
    return np.asarray(1 + (probability[..., : len(PFIRRMANN_STEPS)] >= 0.5).sum(axis=-1))  # noqa: PLR2004 - the median
