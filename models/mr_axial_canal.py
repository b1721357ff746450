"""Detector: the dural sac's area at each disc on axial T2, named and placed by the sagittal reading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from inference.errors import BundleRefusal, ReasonCode, SeriesRefusal
from inference.findings import Finding, Question
from inference.geometry import FloatArray, Volume
from inference.measure.axial import CanalPlace, SacErrors, SacSize, SliceView, canal_at_discs, sac_size, views_at
from inference.measure.reading import CanalReading, SpineReading, Unmeasured
from inference.measure.sac import outline_sac
from inference.pipeline import DetectorResult, Progress
from inference.provenance import ModelIdentity
from inference.sac_findings import SacAreaPolicy, SacReading, sac_finding, unmeasured_finding
from inference.series.eligibility import Reads
from inference.series.role import SeriesRole
from inference.spine_findings import Subject
from models.axial_crops import SIDE, STEP_MM, crop_places, normalise_crop, sample_slice
from models.bundle import Bundle
from models.engines import Engine
from models.mr_sagittal import MrSagittalDetector

LABELS = {"0": "background", "1": "dural sac"}
LEVELS_FROM = SeriesRole.MR_SAGITTAL_T2
"""The series whose reading names the levels."""


class MrAxialCanalDetector:
    """Finds the slices at each disc by geometry, outlines the sac on them and reports the smallest."""

    def __init__(self, bundle: Bundle, engine: Engine, segmenter: MrSagittalDetector, policy: SacAreaPolicy) -> None:
        """Refuse a bundle whose classes or errors are not this detector's."""
        if bundle.labels != LABELS:
            raise BundleRefusal(f"bundle {bundle.identity.name}: labels must be {LABELS}, got {bundle.labels}")
        try:
            errors = bundle.metadata["spine"]["errors"]
            self._errors = SacErrors(**{name: float(value) for name, value in errors.items()})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BundleRefusal(f"bundle {bundle.identity.name}: spine.errors is not usable ({error})") from error
        self._bundle, self._engine, self._segmenter, self._policy = bundle, engine, segmenter, policy

    @property
    def identity(self) -> ModelIdentity:
        """The bundle's name, version and digest."""
        return self._bundle.identity

    @property
    def reads(self) -> Reads:
        """Axial T2, all series that show different discs, with sagittal T2 beside them for the levels."""
        return Reads(
            name=self.identity.name,
            questions=frozenset({Question.STENOSIS}),
            roles=(SeriesRole.MR_AXIAL_T2,),
            beside=(LEVELS_FROM,),
            all_parts=True,
        )

    def read(
        self, volume: Volume, study_instance_uid: str, progress: Progress, by_role: Mapping[SeriesRole, Volume]
    ) -> DetectorResult:
        """The sac at every disc; SeriesRefusal when the levels on the axial series cannot be told."""
        sagittal = by_role.get(LEVELS_FROM)
        if sagittal is None:
            sentence = "The levels on axial slices are named on a sagittal T2 series, and none could be read."
            raise SeriesRefusal(sentence, code=ReasonCode.MISSING_SERIES)
        _check_same_frame(volume, sagittal)
        try:
            reading = self._segmenter.read_spine(sagittal, progress)
        except SeriesRefusal as refusal:
            sentence = f"The levels could not be named on the sagittal T2 series: {refusal.sentence}"
            uid = sagittal.series_instance_uid
            raise SeriesRefusal(sentence, code=refusal.code, series_instance_uid=uid) from refusal
        progress("measuring the dural sac", 0.95)
        subject = Subject(study_instance_uid=study_instance_uid, volume=volume, model=self.identity)
        return DetectorResult(findings=tuple(self._findings(reading, sagittal, subject)))

    def _findings(self, reading: SpineReading, sagittal: Volume, subject: Subject) -> Iterator[Finding]:
        places = canal_at_discs(reading, sagittal)
        stacks = (subject.volume, *subject.volume.other_stacks)
        for disc, canal, place in zip(reading.discs, reading.canal_levels, places, strict=True):
            found = _wrong_spacing(canal) or self._finding(place, stacks, subject)
            if isinstance(found, Unmeasured):
                found = unmeasured_finding(disc.level, found, subject, self._policy)
            yield found

    def _finding(
        self, place: CanalPlace | Unmeasured, stacks: Sequence[Volume], subject: Subject
    ) -> Finding | Unmeasured:
        if isinstance(place, Unmeasured):
            return place
        found = views_at(place, stacks)
        if isinstance(found, Unmeasured):
            return found
        stack, views = found
        sac = self._measure(place, stack, views)
        return sac if isinstance(sac, Unmeasured) else sac_finding(sac, replace(subject, volume=stack), self._policy)

    def _measure(self, place: CanalPlace, axial: Volume, views: Sequence[SliceView]) -> SacReading | Unmeasured:
        """The smallest sac on the slices at a disc."""
        grids = [crop_places(view.centre_mm, view.back, view.left) for view in views]
        crops = [sample_slice(axial, v.slice_index, grid) for v, grid in zip(views, grids, strict=True)]
        found = _probability(self._engine.run(np.stack([normalise_crop(crop) for crop in crops])[:, None]))
        sacs = [self._sac(image, view, place, axial) for image, view in zip(found, views, strict=True)]
        missing = next((view for view, sac in zip(views, sacs, strict=True) if sac is None), None)
        if missing is not None:
            sentence = f"No dural sac was found on axial slice {missing.slice_index + 1} at this disc."
            return Unmeasured(reason=ReasonCode.UNCERTAIN, sentence=sentence)
        size, outline, view = min((sac for sac in sacs if sac is not None), key=lambda sac: sac[0].area_mm2)
        return SacReading(
            level=place.level,
            size=size,
            slice_index=view.slice_index,
            slice_count=len(views),
            angle_deg=float(np.degrees(np.arccos(min(view.cosine, 1.0)))),
            outline_index=outline,
        )

    def _sac(
        self, probability: NDArray[np.float32], view: SliceView, place: CanalPlace, axial: Volume
    ) -> tuple[SacSize, FloatArray, SliceView] | None:
        """Size and outline (slice, row, column) of the sac on one slice."""
        shape = outline_sac(probability.astype(np.float64), STEP_MM)
        if shape is None:
            return None
        offset = (shape.outline - (SIDE - 1) / 2) * STEP_MM
        outline_mm = view.centre_mm + offset[:, :1] * view.back + offset[:, 1:] * view.left
        pixel_mm = max(axial.spacing_mm[1:])
        size = sac_size(shape.area_mm2, outline_mm, view, place, pixel_mm=pixel_mm, errors=self._errors)
        return size, axial.to_index(outline_mm), view


def _check_same_frame(axial: Volume, sagittal: Volume) -> None:
    """Refuse series whose positions cannot be compared."""
    frames = (axial.frame_of_reference_uid, sagittal.frame_of_reference_uid)
    if None in frames or frames[0] != frames[1]:
        sentence = (
            "The axial and the sagittal series do not share one Frame of Reference, so the levels on axial slices "
            "cannot be told."
        )
        raise SeriesRefusal(sentence, code=ReasonCode.GEOMETRY)


def _wrong_spacing(canal: CanalReading) -> Unmeasured | None:
    """The reason where the sagittal pixel spacing is wrong, and with it every position taken from it."""
    diameter = canal.ap_diameter
    return diameter if isinstance(diameter, Unmeasured) and diameter.reason is ReasonCode.SPACING else None


def _probability(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """The sac's probability, (crop, row, column), of logits (crop, class, row, column)."""
    return np.asarray(expit(logits[:, 1] - logits[:, 0]), dtype=np.float32)
