"""Marrow signal of every vertebral body on a fat-suppressed series, against the other bodies of the same series.

MR signal has no unit, so a body is compared with what its place along the spine should have: a smooth course of log
signal over the other bodies (a surface coil sees the middle of the spine better than its ends), after the gradient
from back to front that all bodies share was taken out. Bodies that are fractured, or bright themselves, are no
reference. Fat that shines on T1 and T2 (haemangioma, old fracture) is dark here.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import numpy as np

from inference.anatomy import Vertebra
from inference.errors import ReasonCode
from inference.geometry import FloatArray, MaskArray, Volume
from inference.measure.marrow_samples import BodySamples, bright_area, sample_bodies
from inference.measure.outlines import BodyOutline
from inference.measure.reading import Point, Unmeasured

MINIMUM_REFERENCES = 3
"""Other bodies needed: as for heights (inference.measure.fracture), three outvote one."""
SMALLEST_SPREAD = 0.10
"""Relative standard deviation from level to level that is assumed at least: the robust one of ten people on T2 without
fat suppression (SPIDER T2 SPACE label maps, tests/acceptance/test_real_marrow.py). On real STIR it is not known."""
LARGEST_SPREAD = 0.25
"""With a larger one the other bodies are no measure of normal marrow. Our own judgement."""
REFERENCE_RATIO = 1.5
"""A body further from the course of the others than this factor is no reference for them."""
SLOPE_SPREAD, CURVE_SPREAD = 0.15, 0.03
"""Standard deviation of slope (per level) and curvature (per level squared) of log signal along the spine: a coil whose
sensitivity halves 125 mm from its middle gives 0.13 at one of the ends, and a curvature of 0.04."""
REACH_LEVELS = 4.0
"""Nearer references weigh more, as for heights."""
PROFILE_BINS = 5
"""Parts of the depth, front to back, in which the common gradient is known."""
_MAD_TO_SD = 1.4826


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyMarrow:
    """The marrow of one body. Shares are 0 to 1, of the body without its rim."""

    ratio: float
    """Mean signal over what is expected at this place."""
    ratio_uncertainty: float
    z: float
    """Log of the ratio in standard deviations of the other bodies."""
    share: float
    """Part of the body that is bright: at least ``bright_ratio`` times what is expected."""
    share_uncertainty: float
    upper: float
    """Bright part of the third at the superior endplate."""
    middle: float
    lower: float
    width: float
    """How much of the body's depth, front to back, the largest bright area spans."""
    brightest_index: Point | None
    """Middle of the largest bright area, on the slice where it is largest; None where nothing is bright."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Expected:
    """What a body should have, in log signal."""

    log: float
    sd: float


def read_marrow(
    outlines: Mapping[Vertebra, BodyOutline], volume: Volume, *, fractured: AbstractSet[Vertebra], bright_ratio: float
) -> dict[Vertebra, BodyMarrow | Unmeasured]:
    """The marrow of every body, or why it could not be had.

    Args:
        outlines: bodies on the volume's grid, head to foot without gaps.
        volume: a sagittal series on which fat is dark and fluid bright (STIR, fat-saturated T2).
        fractured: levels that are no reference for the others.
        bright_ratio: from how many times the expected signal on a place counts as bright.
    """
    samples = sample_bodies(outlines, volume)
    sampled = {level: body for level, body in samples.items() if isinstance(body, BodySamples)}
    places = {level: float(n) for n, level in enumerate(outlines)}
    course = _Course.of(sampled, places, fractured)
    found: dict[Vertebra, BodyMarrow | Unmeasured] = {}
    for level, body in samples.items():
        if isinstance(body, Unmeasured):
            found[level] = body
            continue
        expected = course.expected(level)
        found[level] = expected if isinstance(expected, Unmeasured) else _marrow(body, course, expected, bright_ratio)
    return found


def _marrow(body: BodySamples, course: _Course, expected: _Expected, bright_ratio: float) -> BodyMarrow:
    relative = course.flat(body) / np.exp(expected.log)
    bright: MaskArray = relative >= bright_ratio
    spread = np.exp([-expected.sd, expected.sd])
    shares = [float((relative >= bright_ratio * factor).mean()) for factor in spread]
    ratio = float(relative.mean())
    area = bright_area(body, bright)
    return BodyMarrow(
        ratio=ratio,
        ratio_uncertainty=ratio * expected.sd,
        z=float(np.log(ratio)) / expected.sd,
        share=float(bright.mean()),
        share_uncertainty=(shares[0] - shares[1]) / 2,
        upper=_share(bright, body.height < 1 / 3),
        middle=_share(bright, (body.height >= 1 / 3) & (body.height <= 2 / 3)),
        lower=_share(bright, body.height > 2 / 3),
        width=area.width if area else 0.0,
        brightest_index=area.middle_index if area else None,
    )


def _share(bright: MaskArray, where: MaskArray) -> float:
    return float(bright[where].mean()) if where.any() else 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Course:
    """Log signal along the spine, and which bodies carry it."""

    levels: tuple[Vertebra, ...]
    places: FloatArray
    """(n,): count from the head, in levels."""
    logs: FloatArray
    """(n,): log of the mean signal."""
    whole: MaskArray
    """Which bodies are not fractured."""
    references: MaskArray
    """Which of them follow the course of the others."""
    profile: FloatArray
    """(PROFILE_BINS,): signal by depth from the front, over the body's mean, as the references have it."""

    @classmethod
    def of(
        cls, bodies: Mapping[Vertebra, BodySamples], places: Mapping[Vertebra, float], fractured: AbstractSet[Vertebra]
    ) -> _Course:
        """Find the references by their means, then the gradient that they share, then their means without it."""
        levels = tuple(bodies)
        where = np.array([places[level] for level in levels])
        whole = np.array([level not in fractured for level in levels], dtype=np.bool_)
        logs = np.log([body.signal.mean() for body in bodies.values()])
        references = _references(where, logs, whole)
        profiles = [_profile(body) for body, used in zip(bodies.values(), references, strict=True) if used]
        profile = np.median(profiles, axis=0) if profiles else np.ones(PROFILE_BINS)
        course = cls(levels=levels, places=where, logs=logs, whole=whole, references=references, profile=profile)
        flat = np.log([course.flat(body).mean() for body in bodies.values()])
        return replace(course, logs=flat, references=_references(where, flat, whole))

    def flat(self, body: BodySamples) -> FloatArray:
        """Signal without the gradient from back to front."""
        middles = (np.arange(PROFILE_BINS) + 0.5) / PROFILE_BINS
        return np.asarray(body.signal / np.interp(body.depth, middles, self.profile))

    def expected(self, level: Vertebra) -> _Expected | Unmeasured:
        """What the other references say about a level."""
        index = self.levels.index(level)
        others = self.references.copy()
        others[index] = False
        unfractured = int(self.whole.sum()) - int(self.whole[index])
        needed = max(MINIMUM_REFERENCES, (unfractured + 1) // 2)
        if others.sum() < needed:
            return Unmeasured(
                reason=ReasonCode.UNCERTAIN,
                sentence=f"{int(others.sum())} of {unfractured} other unfractured bodies have marrow of like signal, "
                f"at least {needed} are needed to compare with",
            )
        spread = self._spread(others)
        if spread > LARGEST_SPREAD:
            return Unmeasured(
                reason=ReasonCode.UNCERTAIN,
                sentence=f"the marrow signal of the other bodies differs by {spread:.0%} from level to level, "
                f"at most {LARGEST_SPREAD:.0%} allow a comparison",
            )
        log, variance = _predict(self.places, self.logs, others, self.places[index], spread)
        return _Expected(log=log, sd=float(np.sqrt(variance + spread**2)))

    def _spread(self, others: MaskArray) -> float:
        """Robust standard deviation of the references around the course of the rest of them."""
        away = []
        for index in np.flatnonzero(others):
            rest = others.copy()
            rest[index] = False
            away.append(self.logs[index] - _predict(self.places, self.logs, rest, self.places[index])[0])
        return max(SMALLEST_SPREAD, _MAD_TO_SD * float(np.median(np.abs(away))))


def _references(places: FloatArray, logs: FloatArray, whole: MaskArray) -> MaskArray:
    """Which unfractured bodies follow the course of the others.

    Starts from the dark ones, because oedema and infiltration are bright, and takes in or drops bodies until nothing
    changes, as inference.measure.fracture does with heights.
    """
    if whole.sum() < MINIMUM_REFERENCES:
        return whole
    limit = float(np.log(REFERENCE_RATIO))
    chosen = whole & (logs <= np.percentile(logs[whole], 30.0) + limit)
    for _ in range(len(places)):
        again = whole.copy()
        for index in np.flatnonzero(whole):
            rest = chosen.copy()
            rest[index] = False
            if rest.any():
                again[index] = abs(logs[index] - _predict(places, logs, rest, places[index])[0]) <= limit
        if np.array_equal(again, chosen):
            break
        chosen = again
    return chosen


def _predict(
    places: FloatArray, logs: FloatArray, used: MaskArray, at: float, spread: float = SMALLEST_SPREAD
) -> tuple[float, float]:
    """Log signal at a place and its variance: least squares over the used bodies.

    A parabola with priors on slope and curvature (mean 0), so that few bodies give hardly more than their mean.
    """
    offset = places[used] - at
    design = np.stack([np.ones_like(offset), offset, offset**2], axis=1)
    weight = np.exp(-np.abs(offset) / REACH_LEVELS) / spread**2
    precision = design.T @ (design * weight[:, None]) + np.diag([0.0, SLOPE_SPREAD**-2, CURVE_SPREAD**-2])
    covariance = np.linalg.inv(precision)
    return float((covariance @ (design.T @ (weight * logs[used])))[0]), float(covariance[0, 0])


def _profile(body: BodySamples) -> FloatArray:
    """Median signal in each part of the depth over the body's median; 1 where a part has no sample."""
    part = np.minimum((body.depth * PROFILE_BINS).astype(int), PROFILE_BINS - 1)
    whole = float(np.median(body.signal))
    return np.array(
        [np.median(body.signal[part == n]) / whole if (part == n).any() else 1.0 for n in range(PROFILE_BINS)]
    )
