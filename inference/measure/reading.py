"""What the measurement layer reads from one sagittal MR series: values, no policy about how they are reported.

All ``*_index`` points are (slice, row, column) on the source grid; lengths are millimetres along LPS.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias

from inference.anatomy import Disc, Laterality, Numbering, Vertebra
from inference.errors import ReasonCode
from inference.geometry import MaskArray

Point: TypeAlias = tuple[float, float, float]
"""(slice, row, column) index."""


class FractureShape(StrEnum):
    """Genant's shape: where the height is lost."""

    WEDGE = "wedge"
    """Anterior."""
    BICONCAVE = "biconcave"
    """Middle."""
    CRUSH = "crush"
    """Posterior, or all three."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """A measured length and the two ends that it was measured between, both on one slice."""

    mm: float
    """Negative only where the direction from start to end counts: a slip, a retropulsion."""
    uncertainty_mm: float
    """One standard deviation."""
    start_index: Point
    end_index: Point


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmeasured:
    """Why a length or a grade could not be had."""

    reason: ReasonCode
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeightLoss:
    """Loss of body height against what this level should have (models.md 2.3, 3.6)."""

    fraction: float
    """Largest of the three losses, 0 = none, 0.4 = 40 %; may be slightly negative."""
    uncertainty: float
    z: float
    """How many standard deviations the worst height lies below its expectation; negative is lower."""
    genant: int
    """0..3, by 20 / 25 / 40 % (Genant 1993)."""
    shape: FractureShape | None
    """None at grade 0."""
    probability_moderate: float
    """P(loss >= 25 %) by propagation of the uncertainty; not calibrated on patients."""
    expected_mm: tuple[float, float, float]
    """Anterior, middle, posterior."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heights:
    """Anterior, middle and posterior height of a body, at 15, 50 and 85 % of its depth from the front."""

    anterior: Length
    middle: Length
    posterior: Length


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VertebraReading:
    """One vertebra."""

    level: Vertebra
    mask: MaskArray
    """Whole vertebra."""
    body: MaskArray
    """The vertebral body alone."""
    centre_index: Point
    """Centre of the body."""
    touches_edge: bool
    heights: Heights | Unmeasured
    loss: HeightLoss | Unmeasured


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DiscReading:
    """One disc."""

    level: Disc
    mask: MaskArray
    centre_index: Point
    down_index: Point
    """How the index changes with each millimetre along the disc's axis, in the slice, towards the feet."""
    back_index: Point
    """The same across its axis, in the slice, towards the back."""
    height: Length | Unmeasured
    """At the middle of the disc's depth."""
    anterior_height: Length | Unmeasured
    posterior_height: Length | Unmeasured


@dataclass(frozen=True, slots=True, kw_only=True)
class CanalReading:
    """The canal at one disc level."""

    level: Disc
    ap_diameter: Length | Unmeasured
    """Smallest antero-posterior diameter on the mid-sagittal slice within the level."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slip:
    """How far a body has slipped on the one below it, along that one's superior endplate."""

    offset: Length | Unmeasured
    """Positive: forwards (anterolisthesis); negative: backwards (retrolisthesis)."""
    percent: float
    """The offset over the depth of the lower body's superior endplate; a ratio along one direction, which no error of
    the pixel spacing changes."""
    percent_uncertainty: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SlipReading:
    """The slip at one disc."""

    level: Disc
    slip: Slip | Unmeasured
    canal_gap_percent: float | None = None
    """How far the upper body's corner stands before the canal's front below the disc
    (`inference.measure.canal_front`); no slip by itself. None where not measured."""
    loose_percent: float | None = None
    """What would be the slip, were the posterior wall of a fractured body a line to measure from; None elsewhere. Too
    uncertain to be reported or weighed, but a large one speaks against "absent"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Angle:
    """An angle between two lines of one slice; positive is kyphosis, negative lordosis."""

    degrees: float
    uncertainty_deg: float
    """One standard deviation."""
    upper: tuple[Point, Point]
    """Front and back end of the upper line."""
    lower: tuple[Point, Point]


@dataclass(frozen=True, slots=True, kw_only=True)
class CanalCompromise:
    """How much narrower the canal is behind a body than behind its neighbours."""

    fraction: float
    """0.2 = 20 %; may be slightly negative."""
    uncertainty: float
    diameter: Length | Unmeasured
    """Antero-posterior, behind the body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WallReading:
    """The endplates and the posterior wall of one vertebra."""

    level: Vertebra
    wedge: Angle | Unmeasured
    """Between the body's own endplates."""
    kyphosis: Angle | Unmeasured
    """Between the superior endplate of the vertebra above and the inferior endplate of the one below (Cobb)."""
    retropulsion: Length | Unmeasured
    """How far the posterior wall reaches behind the line that joins the neighbours' posterior corners; negative: it
    stays in front of it."""
    canal: CanalCompromise | Unmeasured


@dataclass(frozen=True, slots=True, kw_only=True)
class Foramen:
    """The neural foramen of one side, outlined on one parasagittal slice between bone and disc."""

    height: Length
    """Largest distance from the upper pedicle to the lower one, along the line between their middles."""
    width: Length
    """Smallest distance at the disc from disc or body to the bone behind it, at a right angle to the height."""
    outline_index: tuple[Point, ...]
    """Around it, the first point not repeated."""
    area_uncertainty_mm2: float
    """One standard deviation of the area inside the outline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForamenReading:
    """The neural foramen at one disc on one side."""

    level: Disc
    side: Laterality
    foramen: Foramen | Unmeasured


@dataclass(frozen=True, slots=True, kw_only=True)
class BodySize:
    """How large the bodies of a spine are: medians of measured lengths over the adult mean of the level."""

    height: float
    depth: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpineReading:
    """Everything that was read from one series; levels run head to foot."""

    numbering: Numbering
    vertebrae: tuple[VertebraReading, ...]
    discs: tuple[DiscReading, ...]
    canal: MaskArray
    canal_levels: tuple[CanalReading, ...]
    midsagittal_slice: int
    size: BodySize | None
    """None where no body was measured."""
    slips: tuple[SlipReading, ...] = ()
    walls: tuple[WallReading, ...] = ()
    foramina: tuple[ForamenReading, ...] = ()
    warnings: tuple[tuple[ReasonCode, str], ...] = ()
    """Like W_FEW_SLICES, W_NUMBERING, with a sentence."""


def without_lengths(reading: SpineReading, reason: Unmeasured) -> SpineReading:
    """The same outlines and levels with no length and no angle: the pixel spacing is wrong, or the patient moved.

    What is left are ratios of lengths along one direction, which keep their value under any spacing: the percentage of
    a slip, and of the canal. An angle is not one of them: it depends on the ratio of the two spacings, and the bodies
    that show one of them to be wrong do not tell it better than a body's own height to depth.
    """
    return replace(
        reading,
        vertebrae=tuple(replace(v, heights=reason, loss=reason) for v in reading.vertebrae),
        discs=tuple(replace(d, height=reason, anterior_height=reason, posterior_height=reason) for d in reading.discs),
        canal_levels=tuple(replace(c, ap_diameter=reason) for c in reading.canal_levels),
        slips=tuple(replace(s, slip=_without_offset(s.slip, reason)) for s in reading.slips),
        walls=tuple(_without_walls(w, reason) for w in reading.walls),
        foramina=tuple(replace(f, foramen=reason) for f in reading.foramina),
        warnings=(*reading.warnings, (reason.reason, f"{reason.sentence[0].upper()}{reason.sentence[1:]}.")),
    )


def _without_offset(slip: Slip | Unmeasured, reason: Unmeasured) -> Slip | Unmeasured:
    return slip if isinstance(slip, Unmeasured) else replace(slip, offset=reason)


def _without_walls(wall: WallReading, reason: Unmeasured) -> WallReading:
    canal = wall.canal if isinstance(wall.canal, Unmeasured) else replace(wall.canal, diameter=reason)
    return replace(wall, wedge=reason, kyphosis=reason, retropulsion=reason, canal=canal)
