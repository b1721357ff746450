"""What a dural sac's area on axial T2 means: the cut-offs, and the finding of one disc level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from inference.anatomy import Disc, Site
from inference.findings import (
    Calibration,
    Evidence,
    Finding,
    Geometry,
    GeometryType,
    Measurement,
    NotAssessed,
    Question,
)
from inference.geometry import FloatArray
from inference.measure.axial import SacSize
from inference.measure.reading import Unmeasured
from inference.spine_findings import Subject
from inference.stenosis import CutOffs

AREA_METHOD = (
    "area of the dural sac on axial T2 at right angles to the canal, the smallest of {count} slice(s) at the disc; "
    "slice turned by {angle:.0f} degrees; network not tested on labelled axial images"
)
LENGTH_METHOD = "largest extent of the outlined dural sac on the same slice, at right angles to the canal"
NOTE = (
    "Axial area: the network was trained and tested on axial reformats of sagittal T2 SPACE and on drawn images, "
    "not on labelled axial images."
)
UNITS = {"dural_sac_area": "mm2", "dural_sac_ap_diameter": "mm", "dural_sac_width": "mm"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SacAreaPolicy:
    """Under which area a dural sac is called stenosed; a site may choose its own, and every result states it.

    75 mm2 is where constriction begins to raise the pressure among the roots, 100 mm2 the usual limit of relative
    narrowing (Schoenstroem et al., Spine 1985;10:806; models.md 3.6).
    """

    absolute_mm2: float = 75.0
    """A smaller sac is called stenosed."""
    relative_mm2: float = 100.0
    """A smaller sac is named as relatively narrow."""

    @property
    def statement(self) -> str:
        """The operating point in words and numbers."""
        return f"dural sac area < {self.absolute_mm2:g} mm2"

    @property
    def cut_offs(self) -> CutOffs:
        """The same as values."""
        return CutOffs(
            scale="sac_narrowing",
            what="dural sac's area",
            unit="mm2",
            absolute=self.absolute_mm2,
            relative=self.relative_mm2,
        )

    def probability(self, size: SacSize) -> float:
        """That the area lies under the cut-off, by the uncertainty of the area."""
        return float(ndtr((self.absolute_mm2 - size.area_mm2) / size.area_uncertainty_mm2))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SacReading:
    """The smallest sac at one disc."""

    level: Disc
    size: SacSize
    slice_index: int
    slice_count: int
    """Slices that were measured at this disc."""
    angle_deg: float
    """Between the slice's normal and the canal's course."""
    outline_index: FloatArray
    """(n, 3): (slice, row, column) around the sac."""


def sac_finding(sac: SacReading, subject: Subject, policy: SacAreaPolicy) -> Finding:
    """Stenosis at one disc by the area of the sac."""
    answer = policy.cut_offs.judge(sac.level, sac.size.area_mm2, sac.size.area_uncertainty_mm2)
    is_answered = not isinstance(answer, NotAssessed)
    middle = sac.outline_index.mean(axis=0)
    return Finding(
        id=subject.track(Question.STENOSIS, sac.level.name),
        question=Question.STENOSIS,
        site=Site(level=sac.level.name),
        assessment=answer,
        grades=(policy.cut_offs.grade(sac.size.area_mm2),) if is_answered else (),
        probability=round(policy.probability(sac.size), 3) if is_answered else None,
        calibration=Calibration.SYNTHETIC if is_answered else Calibration.NONE,
        operating_point=policy.statement,
        measurements=_measurements(sac),
        evidence=(subject.point((float(sac.slice_index), float(middle[1]), float(middle[2]))), _outline(sac, subject)),
        model=subject.model.name,
        note=NOTE,
    )


def unmeasured_finding(level: Disc, reason: Unmeasured, subject: Subject, policy: SacAreaPolicy) -> Finding:
    """Why the sac could not be measured at one disc."""
    return Finding(
        id=subject.track(Question.STENOSIS, level.name),
        question=Question.STENOSIS,
        site=Site(level=level.name),
        assessment=NotAssessed(reason=reason.reason, sentence=reason.sentence),
        operating_point=policy.statement,
        model=subject.model.name,
    )


def _measurements(sac: SacReading) -> tuple[Measurement, ...]:
    size = sac.size
    area = AREA_METHOD.format(count=sac.slice_count, angle=sac.angle_deg)
    rows: Sequence[tuple[str, float, float, str]] = (
        ("dural_sac_area", size.area_mm2, size.area_uncertainty_mm2, area),
        ("dural_sac_ap_diameter", size.ap_mm, size.length_uncertainty_mm, LENGTH_METHOD),
        ("dural_sac_width", size.width_mm, size.length_uncertainty_mm, LENGTH_METHOD),
    )
    return tuple(
        Measurement(
            name=name, value=round(value, 1), unit=UNITS[name], uncertainty=round(uncertainty, 1), method=method
        )
        for name, value, uncertainty, method in rows
    )


def _outline(sac: SacReading, subject: Subject) -> Evidence:
    """The closed outline on its slice, (column, row) from the corner of the first pixel."""
    ring = np.concatenate([sac.outline_index, sac.outline_index[:1]])
    points = tuple((round(float(column) + 0.5, 2), round(float(row) + 0.5, 2)) for _, row, column in ring)
    geometry = Geometry(type=GeometryType.POLYLINE, points=points)
    return Evidence(source=subject.volume.sources[sac.slice_index], geometry=geometry)
