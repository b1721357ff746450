"""What a reading of one spine series means: findings and segments.

The measurement layer gives numbers; this module holds the policy that turns numbers into answers, and links each
number to the line on the image that it is the length of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from inference.anatomy import Site
from inference.errors import ReasonCode
from inference.findings import (
    Absent,
    Assessment,
    Calibration,
    Evidence,
    Finding,
    Grade,
    Measurement,
    NotAssessed,
    Present,
    Question,
)
from inference.measure.reading import (
    CanalReading,
    DiscReading,
    HeightLoss,
    Length,
    SpineReading,
    Unmeasured,
    VertebraReading,
    WallReading,
)
from inference.segmentation import Segment, Segmentation, Structure
from inference.stenosis import StenosisPolicy
from inference.subject import Subject
from inference.wall_findings import slip_findings, wall_measurements

__all__ = ["FracturePolicy", "Subject", "disc_finding", "findings_of", "segmentation_of"]

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


def findings_of(
    reading: SpineReading, subject: Subject, policy: FracturePolicy, stenosis: StenosisPolicy | None
) -> tuple[Finding, ...]:
    """Findings per level: fracture for every vertebra; disc heights, canal stenosis and slip for every disc.

    Args:
        reading: what was measured.
        subject: whose it is.
        policy: when a height loss is a fracture.
        stenosis: when a canal is too narrow; None for a series on which that is not told.
    """
    walls = {wall.level: wall for wall in reading.walls}
    fractures = [_fracture(v, walls.get(v.level), subject, policy) for v in reading.vertebrae]
    discs = [disc_finding(d, subject) for d in reading.discs]
    canal = [_canal(c, subject, stenosis) for c in reading.canal_levels]
    return (*fractures, *discs, *canal, *slip_findings(reading, subject))


def _fracture(vertebra: VertebraReading, wall: WallReading | None, subject: Subject, policy: FracturePolicy) -> Finding:
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
    for measurement, lines in wall_measurements(wall, subject, is_fractured=isinstance(assessment, Present)):
        measurements.append(measurement)
        evidence += lines
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
    answer = _judge_canal(canal, policy, subject.volume.shape[0])
    grades: tuple[Grade, ...] = ()
    lines = []
    if isinstance(diameter, Length):
        lines.append(subject.line("canal_ap_diameter", diameter, CANAL_METHOD))
        if policy is not None and not isinstance(answer, NotAssessed):
            grades = (policy.cut_offs.grade(diameter.mm),)
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


def _judge_canal(canal: CanalReading, policy: StenosisPolicy | None, slices: int) -> Assessment:
    if isinstance(canal.ap_diameter, Unmeasured):
        return NotAssessed(reason=canal.ap_diameter.reason, sentence=canal.ap_diameter.sentence)
    if policy is None:
        return NotAssessed(reason=ReasonCode.MISSING_SERIES, sentence=ONLY_ON_T2)
    return policy.judge(canal.level, canal.ap_diameter, slices)


def _measured_only(what: str, length: Length | Unmeasured) -> NotAssessed:
    if isinstance(length, Unmeasured):
        return NotAssessed(reason=length.reason, sentence=length.sentence)
    return NotAssessed(
        reason=ReasonCode.NO_MODEL,
        sentence=f"No detector that grades {what} could be used; the measurement is given alone.",
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
