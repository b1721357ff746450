"""What a reading of one spine series means: findings and segments.

The measurement layer gives numbers; this module holds the policy that turns numbers into answers, and links each
number to the line on the image that it is the length of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from inference.anatomy import Site
from inference.errors import ReasonCode
from inference.findings import (
    Absent,
    Assessment,
    Calibration,
    Evidence,
    Finding,
    Geometry,
    GeometryType,
    Grade,
    Measurement,
    NotAssessed,
    Present,
    Question,
)
from inference.geometry import Volume
from inference.measure.reading import (
    CanalReading,
    DiscReading,
    HeightLoss,
    Length,
    Point,
    SpineReading,
    Unmeasured,
    VertebraReading,
)
from inference.provenance import ModelIdentity, tracking_uid
from inference.segmentation import Segment, Segmentation, Structure
from inference.stenosis import StenosisPolicy

HEIGHT_METHOD = "between the endplates at {depth} % of the body's depth from the front, along the body's axis"
LOSS_METHOD = "largest shortfall of the three heights against neighbours and the level's normal shape"
CANAL_METHOD = "smallest mid-sagittal distance between the canal's walls at the disc"
DISC_METHOD = "between the endplates at {place} of the disc's depth"
ONLY_ON_T2 = "Stenosis is told on sagittal or axial T2; the measurement is given alone."
_DEPTHS = {"anterior": 15, "middle": 50, "posterior": 85}


@dataclass(frozen=True, slots=True, kw_only=True)
class FracturePolicy:
    """When a height loss is called a compression fracture; a site may choose its own, and every result states it.

    Default: moderate or worse (Genant grade 2: 25 %) *and* clearly outside the level's normal spread, because a height
    rule at 20 % alone has a specificity of 53 % (Diagnostics 2025;15:1530).
    """

    loss: float = 0.25
    """Smallest loss, as a fraction."""
    z: float = -3.0
    """Largest z-score of the worst height."""

    @property
    def statement(self) -> str:
        """The operating point in words and numbers."""
        return f"height loss >= {self.loss * 100:g} % and z <= {self.z:g}"

    def is_present(self, loss: HeightLoss) -> bool:
        """True when the loss lies at or beyond the operating point."""
        return loss.fraction >= self.loss and loss.z <= self.z


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What the findings are about and who makes them."""

    study_instance_uid: str
    volume: Volume
    model: ModelIdentity

    def track(self, question: str, level: str) -> str:
        """Tracking UID of a question at a level."""
        return tracking_uid(self.study_instance_uid, question, level)

    def line(self, name: str, length: Length, method: str) -> tuple[Measurement, Evidence]:
        """A measurement and the line it is the length of; the value is computed from the rounded end points."""
        slice_index = round(length.start_index[0])
        ends = tuple(_image_point(p) for p in (length.start_index, length.end_index))
        _, row_mm, column_mm = self.volume.spacing_mm
        value = float(np.hypot((ends[1][0] - ends[0][0]) * column_mm, (ends[1][1] - ends[0][1]) * row_mm))
        measurement = Measurement(
            name=name, value=round(value, 2), unit="mm", uncertainty=round(length.uncertainty_mm, 2), method=method
        )
        geometry = Geometry(type=GeometryType.POLYLINE, points=ends)
        return measurement, Evidence(source=self.volume.sources[slice_index], geometry=geometry, measurement=name)

    def point(self, at: Point) -> Evidence:
        """A mark at an index."""
        geometry = Geometry(type=GeometryType.POINT, points=(_image_point(at),))
        return Evidence(source=self.volume.sources[round(at[0])], geometry=geometry)


def _image_point(at: Point) -> tuple[float, float]:
    """(column, row) from the upper left corner of the first pixel, to 0.01 pixel."""
    return round(at[2] + 0.5, 2), round(at[1] + 0.5, 2)


def findings_of(
    reading: SpineReading, subject: Subject, policy: FracturePolicy, stenosis: StenosisPolicy | None
) -> tuple[Finding, ...]:
    """Findings per level: fracture for every vertebra, disc heights and canal stenosis for every disc.

    Args:
        reading: what was measured.
        subject: whose it is.
        policy: when a height loss is a fracture.
        stenosis: when a canal is too narrow; None for a series on which that is not told.
    """
    fractures = [_fracture(v, subject, policy) for v in reading.vertebrae]
    discs = [disc_finding(d, subject) for d in reading.discs]
    canal = [_canal(c, subject, stenosis) for c in reading.canal_levels]
    return tuple(fractures + discs + canal)


def _fracture(vertebra: VertebraReading, subject: Subject, policy: FracturePolicy) -> Finding:
    level = vertebra.level.name
    measured = list(_height_lines(vertebra, subject))
    measurements, evidence = [m for m, _ in measured], [e for _, e in measured]
    assessment, grades, probability, note = _judge(vertebra.loss, policy)
    if isinstance(vertebra.loss, HeightLoss):
        loss = vertebra.loss
        measurements += [
            Measurement(
                name="height_loss",
                value=round(loss.fraction * 100, 1),
                unit="%",
                uncertainty=round(loss.uncertainty * 100, 1),
                method=LOSS_METHOD,
            ),
            Measurement(name="height_z_score", value=round(loss.z, 2), unit="1", uncertainty=None, method=LOSS_METHOD),
        ]
    return Finding(
        id=subject.track(Question.COMPRESSION_FRACTURE, level),
        question=Question.COMPRESSION_FRACTURE,
        site=Site(level=level),
        assessment=assessment,
        grades=grades,
        probability=probability,
        calibration=Calibration.NONE,
        operating_point=policy.statement,
        measurements=tuple(measurements),
        evidence=(subject.point(vertebra.centre_index), *evidence),
        model=subject.model.name,
        note=note,
    )


def _height_lines(vertebra: VertebraReading, subject: Subject) -> Iterator[tuple[Measurement, Evidence]]:
    if isinstance(vertebra.heights, Unmeasured):
        return
    for place, depth in _DEPTHS.items():
        method = HEIGHT_METHOD.format(depth=depth)
        yield subject.line(f"{place}_height", getattr(vertebra.heights, place), method)


def _judge(
    loss: HeightLoss | Unmeasured, policy: FracturePolicy
) -> tuple[Assessment, tuple[Grade, ...], float | None, str | None]:
    """Assessment, grades, probability and note of a height loss."""
    if isinstance(loss, Unmeasured):
        return NotAssessed(reason=loss.reason, sentence=loss.sentence), (), None, None
    grades = [Grade(scale="genant", value=str(loss.genant))]
    if loss.shape is not None:
        grades.append(Grade(scale="genant_shape", value=loss.shape.value))
    probability = round(loss.probability_moderate, 3)
    if policy.is_present(loss):
        return Present(), tuple(grades), probability, None
    note = None
    if loss.genant >= 1:
        note = f"Possible Genant grade {loss.genant} deformity, below the operating point ({policy.statement})."
    return Absent(), tuple(grades), probability, note


def disc_finding(disc: DiscReading, subject: Subject) -> Finding:
    """The heights of one disc, not graded."""
    lengths = {"anterior": disc.anterior_height, "middle": disc.height, "posterior": disc.posterior_height}
    places = {"anterior": "the front", "middle": "the middle", "posterior": "the back"}
    lines = [
        subject.line(f"{place}_disc_height", length, DISC_METHOD.format(place=places[place]))
        for place, length in lengths.items()
        if isinstance(length, Length)
    ]
    level = disc.level.name
    return Finding(
        id=subject.track(Question.DISC_DEGENERATION, level),
        question=Question.DISC_DEGENERATION,
        site=Site(level=level),
        assessment=_measured_only("disc degeneration", lengths["middle"]),
        measurements=tuple(m for m, _ in lines),
        evidence=tuple(e for _, e in lines),
        model=subject.model.name,
    )


def _canal(canal: CanalReading, subject: Subject, policy: StenosisPolicy | None) -> Finding:
    diameter, level = canal.ap_diameter, canal.level.name
    answer = _judge_canal(canal, policy)
    grades: tuple[Grade, ...] = ()
    lines = []
    if isinstance(diameter, Length):
        lines.append(subject.line("canal_ap_diameter", diameter, CANAL_METHOD))
        if policy is not None and not isinstance(answer, NotAssessed):
            grades = (policy.grade(diameter),)
    return Finding(
        id=subject.track(Question.STENOSIS, level),
        question=Question.STENOSIS,
        site=Site(level=level),
        assessment=answer,
        grades=grades,
        operating_point=policy.statement if policy is not None else None,
        measurements=tuple(m for m, _ in lines),
        evidence=tuple(e for _, e in lines),
        model=subject.model.name,
    )


def _judge_canal(canal: CanalReading, policy: StenosisPolicy | None) -> Assessment:
    if isinstance(canal.ap_diameter, Unmeasured):
        return NotAssessed(reason=canal.ap_diameter.reason, sentence=canal.ap_diameter.sentence)
    if policy is None:
        return NotAssessed(reason=ReasonCode.MISSING_SERIES, sentence=ONLY_ON_T2)
    return policy.judge(canal.level, canal.ap_diameter)


def _measured_only(what: str, length: Length | Unmeasured) -> NotAssessed:
    if isinstance(length, Unmeasured):
        return NotAssessed(reason=length.reason, sentence=length.sentence)
    return NotAssessed(
        reason=ReasonCode.NO_MODEL, sentence=f"No installed detector grades {what}; the measurement is given alone."
    )


def segmentation_of(reading: SpineReading, subject: Subject) -> Segmentation:
    """Every outlined structure, on the source grid, under the tracking UID of the finding that it belongs to."""
    segments = []
    for vertebra in reading.vertebrae:
        name = vertebra.level.name
        segments += [
            Segment(
                label=f"{name} vertebra",
                structure=Structure.VERTEBRA,
                level=name,
                tracking_uid=subject.track(Question.COMPRESSION_FRACTURE, name),
                mask=vertebra.mask,
            ),
            Segment(
                label=f"{name} vertebral body",
                structure=Structure.VERTEBRAL_BODY,
                level=name,
                tracking_uid=subject.track(Structure.VERTEBRAL_BODY, name),
                mask=vertebra.body,
            ),
        ]
    segments += [
        Segment(
            label=f"{disc.level.name} disc",
            structure=Structure.DISC,
            level=disc.level.name,
            tracking_uid=subject.track(Question.DISC_DEGENERATION, disc.level.name),
            mask=disc.mask,
        )
        for disc in reading.discs
    ]
    segments.append(
        Segment(
            label="spinal canal",
            structure=Structure.SPINAL_CANAL,
            level=None,
            tracking_uid=subject.track(Structure.SPINAL_CANAL, "all"),
            mask=reading.canal,
        )
    )
    return Segmentation(
        series_instance_uid=subject.volume.series_instance_uid,
        sources=subject.volume.sources,
        segments=tuple(s for s in segments if s.mask.any()),
        model=subject.model,
    )
