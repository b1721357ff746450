"""Which body of a second series is which body of the first: by where the bodies lie, never by the name of a level.

Each series was outlined and counted on its own. The chain of body centres (LPS mm, head to foot) of the second is laid
on that of the first at every possible offset, and at each a rigid motion (rotation and translation, least squares:
Kabsch, Acta Cryst 1976;A32:922) takes up what the patient moved. In one frame of reference the right offset is the one
at which the bodies moved least; without one, the one that fits best. What the motion leaves over, the *residual*, is
the root mean square distance of matched centres.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from inference.anatomy import Vertebra
from inference.errors import ReasonCode
from inference.geometry import FloatArray, MaskArray, Volume
from inference.measure.reading import SpineReading, Unmeasured

LARGEST_RESIDUAL_MM = 2.0
"""models.md 3.6: two series are read together only where they lie within 2 mm of each other."""
LEAST_IN_ONE_FRAME, LEAST_WITHOUT = 3, 4
"""Bodies that both series must show: a motion has six unknowns, three bodies nine coordinates; where nothing but the
chain's own shape tells the offset, one more."""
LARGEST_MOVE = 0.4
"""Share of the distance between neighbours up to which a move cannot be taken for a step of one level."""
STILL_MM = 1.0
"""In one frame of reference a smaller move (root mean square) is taken for none: outlines of two contrasts are no
surer. Our own choice, half of what is accepted."""
CLEAR_WINNER = 2.0
"""Without a common frame the best offset counts when every other one leaves this many times its residual."""

Centres: TypeAlias = Mapping[Vertebra, FloatArray]
"""(3,) LPS mm of each body, head to foot."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RigidMotion:
    """From a place in the first series to the same place of the patient in the second, LPS mm."""

    turn: FloatArray
    """(3, 3) rotation."""
    shift_mm: FloatArray
    """(3,): second = turn @ first + shift."""
    residual_mm: float
    """Root mean square distance that is left."""

    @property
    def matrix(self) -> FloatArray:
        """(4, 4): first to second."""
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = self.turn, self.shift_mm
        return matrix


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LevelMatch:
    """How the bodies of a second series lie on those of the first."""

    levels: Mapping[Vertebra, Vertebra]
    """The first series' level by the level that the second one had counted."""
    motion: RigidMotion
    moved_mm: float
    """Mean distance of matched centres before the motion is taken up; means nothing without a common frame."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Fit:
    levels: Mapping[Vertebra, Vertebra]
    motion: RigidMotion
    moved_mm: float
    keeps_names: bool

    @property
    def residual_mm(self) -> float:
        return self.motion.residual_mm


def match_readings(
    first: SpineReading, first_volume: Volume, second: SpineReading, second_volume: Volume
) -> LevelMatch | Unmeasured:
    """The match of two readings, or why their bodies cannot be matched."""
    one, two = first_volume.frame_of_reference_uid, second_volume.frame_of_reference_uid
    return match_centres(
        body_centres(first, first_volume),
        body_centres(second, second_volume),
        same_frame=one is not None and one == two,
    )


def body_centres(reading: SpineReading, volume: Volume) -> dict[Vertebra, FloatArray]:
    """Centroid of every body, head to foot.

    Not ``centre_index``: that lies on whole slices, and thick slices would turn a spine about its own length.
    """
    return {v.level: volume.to_lps_mm(_centroid(v.body)) for v in reading.vertebrae}


def _centroid(mask: MaskArray) -> FloatArray:
    """(3,) mean index of a mask."""
    shares = [mask.sum(axis=tuple(a for a in range(3) if a != axis)) for axis in range(3)]
    return np.array([float(share @ np.arange(len(share))) / max(float(share.sum()), 1.0) for share in shares])


def match_centres(first: Centres, second: Centres, *, same_frame: bool) -> LevelMatch | Unmeasured:
    """The match of two chains of body centres, or why there is none (E_GEOMETRY).

    Args:
        first: centres that keep their levels, head to foot.
        second: centres that are named by the match, head to foot.
        same_frame: both are positions in one DICOM frame of reference (PS3.3 C.7.4.1).
    """
    least = LEAST_IN_ONE_FRAME if same_frame else LEAST_WITHOUT
    fits = list(_fits(first, second, least, same_frame=same_frame))
    if not fits:
        return _refused(
            f"the two series show {len(first)} and {len(second)} vertebral bodies; "
            f"at least {least} common ones are needed to match them"
        )
    best = min(fits, key=lambda fit: fit.moved_mm if same_frame else (round(fit.residual_mm, 1), not fit.keeps_names))
    if best.residual_mm > LARGEST_RESIDUAL_MM:
        return _refused(
            f"its vertebral bodies do not lie as those of the other series: {best.residual_mm:.1f} mm "
            f"(root mean square) are left after the best rigid fit, at most {LARGEST_RESIDUAL_MM:g} mm are accepted"
        )
    clear = best.moved_mm <= LARGEST_MOVE * _pitch_mm(first) if same_frame else _is_clear(best, fits)
    if not clear and not best.keeps_names:
        return _refused(
            "its vertebral bodies fit those of the other series at more than one level "
            f"({best.residual_mm:.1f} mm residual)"
        )
    return LevelMatch(levels=best.levels, motion=best.motion, moved_mm=best.moved_mm)


def _refused(sentence: str) -> Unmeasured:
    return Unmeasured(reason=ReasonCode.GEOMETRY, sentence=sentence)


def _fits(first: Centres, second: Centres, least: int, *, same_frame: bool) -> Iterator[_Fit]:
    """The rigid fit at every offset of the second chain that leaves enough common bodies."""
    ours, theirs = list(first), list(second)
    for offset in range(least - len(theirs), len(ours) - least + 1):
        pairs = [(theirs[n], ours[n + offset]) for n in range(len(theirs)) if 0 <= n + offset < len(ours)]
        if len(pairs) < least:
            continue
        here = np.array([first[level] for _, level in pairs])
        there = np.array([second[level] for level, _ in pairs])
        yield _Fit(
            levels=dict(pairs),
            motion=_motion(here, there, same_frame=same_frame),
            moved_mm=float(np.linalg.norm(there - here, axis=1).mean()),
            keeps_names=all(level is other for level, other in pairs),
        )


def _motion(first: FloatArray, second: FloatArray, *, same_frame: bool) -> RigidMotion:
    away = float(np.sqrt(np.mean(np.sum((second - first) ** 2, axis=1))))
    if same_frame and away <= STILL_MM:
        return RigidMotion(turn=np.eye(3), shift_mm=np.zeros(3), residual_mm=away)
    return rigid_motion(first, second)


def rigid_motion(first: FloatArray, second: FloatArray) -> RigidMotion:
    """The rotation and translation that bring points (n, 3) nearest to others, least squares."""
    a, b = first - first.mean(axis=0), second - second.mean(axis=0)
    left, _, right = np.linalg.svd(b.T @ a)
    turn = left @ np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))]) @ right  # a rotation, never a mirror
    return RigidMotion(
        turn=turn,
        shift_mm=second.mean(axis=0) - turn @ first.mean(axis=0),
        residual_mm=float(np.sqrt(np.mean(np.sum((a @ turn.T - b) ** 2, axis=1)))),
    )


def _pitch_mm(centres: Centres) -> float:
    """Median distance of neighbouring bodies."""
    places = np.array(list(centres.values()))
    return float(np.median(np.linalg.norm(np.diff(places, axis=0), axis=1)))


def _is_clear(best: _Fit, fits: list[_Fit]) -> bool:
    others = [fit.residual_mm for fit in fits if fit is not best]
    return all(residual > max(LARGEST_RESIDUAL_MM, CLEAR_WINNER * best.residual_mm) for residual in others)
