"""Detector: vertebrae, discs and canal on a sagittal MR series of any contrast, and what can be measured on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inference.anatomy import Vertebra
from inference.errors import BundleRefusal, ReasonCode, SeriesRefusal
from inference.findings import Question
from inference.foramen_findings import foramen_findings
from inference.geometry import Plane, Volume
from inference.marrow_findings import NO_FAT_SUPPRESSED, SeriesMarrow, with_marrow
from inference.measure import read_sagittal
from inference.measure.confidence import check_confidence, outline_confidence
from inference.measure.foramen_fat import fat_shares
from inference.measure.lateral import lateral_warnings, spine_slices, without_lateral
from inference.measure.levels import NAMED_METHOD
from inference.measure.marrow import read_marrow
from inference.measure.matching import match_readings
from inference.measure.motion import check_motion, ripple
from inference.measure.naming import contradiction, lowest_level, with_doubt
from inference.measure.outlines import BodyOutline, moved_outlines, own_outlines
from inference.measure.plausibility import ImplausibleSize
from inference.measure.reading import BodySize, HeightLoss, SpineReading, Unmeasured, without_lengths
from inference.pipeline import DetectorResult, Progress
from inference.policies import Policies
from inference.provenance import ModelIdentity
from inference.series.eligibility import Reads
from inference.series.role import SeriesRole
from inference.series.rules import SUITABLE
from inference.spine_findings import Subject, findings_of, segmentation_of
from models.bundle import Bundle
from models.engines import Engine
from models.labels import SPINE_CLASSES
from models.preprocess import from_network, neighbours, normalise, sagittal_grid, to_network
from models.stance import check_stance, turned_slices

QUESTIONS = frozenset({Question.COMPRESSION_FRACTURE, Question.STENOSIS})
ROLES = (
    SeriesRole.MR_SAGITTAL_T2,
    SeriesRole.MR_SAGITTAL_T2_FS,
    SeriesRole.MR_SAGITTAL_T1,
    SeriesRole.MR_SAGITTAL_STIR,
    SeriesRole.MR_SAGITTAL_T1_FS,
    SeriesRole.MR_SAGITTAL_OTHER,
)
"""In order of preference: the network was trained on T2; the others only look alike to it by augmentation."""


FAT_SUPPRESSED: Mapping[SeriesRole, str] = {
    SeriesRole.MR_SAGITTAL_STIR: "STIR",
    SeriesRole.MR_SAGITTAL_T2_FS: "fat-saturated T2",
}
"""Series on which marrow oedema is looked for, in order of preference, and their names in a sentence. STIR first: it
suppresses fat by its T1, also where the field is uneven."""
FAT_BRIGHT: Mapping[SeriesRole, str] = {SeriesRole.MR_SAGITTAL_T2: "T2", SeriesRole.MR_SAGITTAL_T1: "T1"}
"""Series on which fat shines, and their names in words."""
NAMES_FROM = (SeriesRole.LOCALIZER, *ROLES)
"""Any sagittal MR with a larger field of view may tell where the sacrum is."""
CANNOT_NAME = "A sagittal series with a larger field of view cannot name the levels"
SMALLEST_ERROR, LARGEST_ERROR = 0.4, 2.5
"""A spacing that is further off than this is no spacing of a resampled or captured image."""


@dataclass(slots=True)
class _NameSource:
    """A series with a larger field of view, and what was read on it once it was needed."""

    volume: Volume
    reading: SpineReading | Unmeasured | None = None


class MrSagittalDetector:
    """Segments each slice with its neighbours as context, then measures."""

    def __init__(self, bundle: Bundle, engine: Engine, policies: Policies) -> None:
        """Refuse a bundle whose classes are not the spine's."""
        if bundle.labels != SPINE_CLASSES:
            raise BundleRefusal(f"bundle {bundle.identity.name}: labels must be {SPINE_CLASSES}, got {bundle.labels}")
        self._bundle, self._engine, self._policies = bundle, engine, policies
        self._last: tuple[Volume, SpineReading] | None = None
        self._names: _NameSource | None = None

    @property
    def identity(self) -> ModelIdentity:
        """The bundle's name, version and digest."""
        return self._bundle.identity

    @property
    def reads(self) -> Reads:
        """Sagittal MR; answers fracture, on T2 stenosis, and looks for marrow oedema where fat is dark."""
        beside = tuple(FAT_SUPPRESSED)
        return Reads(
            name=self.identity.name,
            questions=QUESTIONS,
            roles=ROLES,
            beside=beside,
            one_beside=True,
            names_from=NAMES_FROM,
        )

    def read(
        self, volume: Volume, study_instance_uid: str, progress: Progress, by_role: Mapping[SeriesRole, Volume]
    ) -> DetectorResult:
        """Findings and outlines of a sagittal series; SeriesRefusal when no spine can be read on it."""
        if volume.plane is not Plane.SAGITTAL:
            raise SeriesRefusal(
                f"{self.identity.name} reads sagittal series, got a {volume.plane} one", code=ReasonCode.ORIENTATION
            )
        larger = by_role.get(SeriesRole.LOCALIZER)
        self._names, self._last = None if larger is None else _NameSource(larger), None
        reading = self.read_spine(volume, progress)
        role = next((role for role, beside in by_role.items() if beside is volume), None)
        subject = Subject(study_instance_uid=study_instance_uid, volume=volume, model=self.identity)
        stenosis = self._policies.stenosis if role in SUITABLE[Question.STENOSIS] else None
        findings = findings_of(reading, subject, self._policies.fracture, stenosis)
        contrast = None if role is None else FAT_BRIGHT.get(role)
        fat = fat_shares(reading, volume) if contrast else {}
        foramina = foramen_findings(reading, subject, fat, contrast or "")
        marrow, doubt = self._marrow(reading, subject, by_role, progress)
        reading = reading if doubt is None else with_doubt(reading, doubt)
        self._last = (volume, reading)  # a grader asks for this one, not for the series beside it
        unread = {} if isinstance(marrow, SeriesMarrow) else self._unread(volume, by_role, marrow)
        named = larger if reading.numbering.method == NAMED_METHOD else None
        return DetectorResult(
            findings=(*with_marrow(findings, marrow), *foramina),
            numbering=reading.numbering,
            segmentation=segmentation_of(reading, subject),
            warnings=reading.warnings,
            unread=unread,
            named_from=named.series_instance_uid if named else None,
        )

    def _marrow(
        self, reading: SpineReading, subject: Subject, by_role: Mapping[SeriesRole, Volume], progress: Progress
    ) -> tuple[SeriesMarrow | Unmeasured, str | None]:
        """The marrow on a fat-suppressed series under the levels of the reading, or why it cannot be told.

        With it, a sentence where that series counts the levels otherwise.
        """
        role = next((role for role in FAT_SUPPRESSED if role in by_role), None)
        if role is None:
            return NO_FAT_SUPPRESSED, None
        volume, name = by_role[role], FAT_SUPPRESSED[role]
        outlines, doubt = self._outlines(reading, subject.volume, volume, name, progress)
        if isinstance(outlines, Unmeasured):
            return replace(outlines, sentence=f"the {name} series cannot be used: {outlines.sentence}"), doubt
        progress("looking at the marrow", 0.95)
        fractured = self.fractured(reading)
        marrow = SeriesMarrow(
            levels=read_marrow(outlines, volume, fractured=fractured, bright_ratio=self._policies.marrow.ratio),
            subject=replace(subject, volume=volume),
            policy=self._policies.marrow,
            series=name,
        )
        return marrow, doubt

    def _outlines(
        self, reading: SpineReading, volume: Volume, target: Volume, name: str, progress: Progress
    ) -> tuple[dict[Vertebra, BodyOutline] | Unmeasured, str | None]:
        """The bodies of a reading on a fat-suppressed series, or why they cannot be placed there; and a doubt."""
        if target is volume:
            return own_outlines(reading, volume), None
        try:
            second = self.read_spine(target, progress)
        except SeriesRefusal as refusal:
            return Unmeasured(reason=refusal.code, sentence=refusal.sentence), None
        match = match_readings(reading, volume, second, target)
        if isinstance(match, Unmeasured):
            return match, None
        doubt = contradiction(match, reading.numbering, second.numbering, name)
        return moved_outlines(reading, volume, target, match.motion), doubt

    def fractured(self, reading: SpineReading) -> frozenset[Vertebra]:
        """The vertebrae of a reading that are called fractured."""
        losses = ((v.level, v.loss) for v in reading.vertebrae)
        policy = self._policies.fracture
        return frozenset(level for level, loss in losses if isinstance(loss, HeightLoss) and policy.is_present(loss))

    def _unread(
        self, volume: Volume, by_role: Mapping[SeriesRole, Volume], reason: Unmeasured
    ) -> dict[SeriesRole, tuple[ReasonCode, str]]:
        """Why a fat-suppressed series beside the chosen one was not used, if there is one."""
        sentence = f"{reason.sentence[0].upper()}{reason.sentence[1:]}."
        beside = [role for role in FAT_SUPPRESSED if role in by_role and by_role[role] is not volume]
        return dict.fromkeys(beside, (reason.reason, sentence))

    def read_spine(self, volume: Volume, progress: Progress) -> SpineReading:
        """Outlines, levels and lengths; no lengths where the bodies show that the pixel spacing cannot be right.

        A second look at the spacing that makes the bodies an adult's tells a wrong spacing, as resampled images and
        captures have it, from something that is no spine: that one has no plausible outlines at any spacing. The last
        reading is kept, because a grader asks for it again.
        """
        if self._last is None or self._last[0] is not volume:
            self._last = (volume, self._read_at_right_spacing(volume, progress))
        return self._last[1]

    def _read_at_right_spacing(self, volume: Volume, progress: Progress) -> SpineReading:
        try:
            return self._read_at(volume, progress)
        except ImplausibleSize as implausible:
            size = implausible.size
            if not all(SMALLEST_ERROR <= share <= LARGEST_ERROR for share in (size.height, size.depth)):
                raise
            try:
                reading = self._read_at(_rescaled(volume, size), progress)
            except SeriesRefusal:
                raise implausible from None
        sentence = (
            f"the pixel spacing cannot be right for an adult: the bodies would be {size.height:.0%} as high "
            f"and {size.depth:.0%} as deep as the adult mean"
        )
        return without_lengths(reading, Unmeasured(reason=ReasonCode.SPACING, sentence=sentence))

    def _read_at(self, volume: Volume, progress: Progress) -> SpineReading:
        segmented = self.segment(volume, progress)
        shown = spine_slices(segmented)
        probabilities = without_lateral(segmented, shown)
        progress("measuring", 0.9)
        confidence = outline_confidence(probabilities)
        moved = check_motion(ripple(volume.voxels[len(volume.voxels) // 2], volume.spacing_mm[1:]), confidence)
        reading = read_sagittal(volume, probabilities)
        doubts = check_confidence(confidence, of_surest=probabilities is not segmented)
        doubts += lateral_warnings(volume, shown)
        if reading.numbering.ambiguous:  # as it is where levels are counted from the wrong end
            middle = reading.midsagittal_slice
            check_stance(outline_confidence(probabilities[:, middle : middle + 1]), self._turned(volume, middle))
            reading = self._named(reading, volume, probabilities, progress)
        reading = replace(reading, warnings=(*reading.warnings, *doubts))
        return reading if moved is None else without_lengths(reading, moved)

    def _named(
        self, reading: SpineReading, volume: Volume, probabilities: NDArray[np.float32], progress: Progress
    ) -> SpineReading:
        """The reading with the names that a series with a larger field of view gives, where there is one that can."""
        source = self._names
        frame = volume.frame_of_reference_uid
        if source is None or source.volume is volume or frame is None or frame != source.volume.frame_of_reference_uid:
            return reading
        if source.reading is None:
            try:
                source.reading = self._read_at(source.volume, progress)
            except SeriesRefusal as refusal:
                source.reading = Unmeasured(reason=refusal.code, sentence=refusal.sentence)
        other = source.reading
        lowest = other if isinstance(other, Unmeasured) else lowest_level(reading, volume, other, source.volume)
        if isinstance(lowest, Unmeasured):
            return with_doubt(reading, f"{CANNOT_NAME}: {lowest.sentence}.")
        return read_sagittal(volume, probabilities, lowest)

    def _turned(self, volume: Volume, index: int) -> tuple[tuple[str, float | None], ...]:
        """How sure the outlines of a slice are when it is turned over."""
        return tuple(
            (words, outline_confidence(self.segment(turned, lambda _doing, _share: None)))
            for words, turned in turned_slices(volume, index)
        )

    def segment(self, volume: Volume, progress: Progress) -> NDArray[np.float32]:
        """Class probabilities on the source grid, shape (class, slice, row, column)."""
        grid = sagittal_grid(volume, self._bundle.spacing_mm, self._bundle.multiple_of)
        image = to_network(normalise(volume.voxels), grid)
        probabilities = np.empty((len(SPINE_CLASSES), *volume.shape), np.float32)
        for index in range(volume.shape[0]):
            progress("segmenting", 0.9 * index / volume.shape[0])
            logits = self._engine.run(neighbours(image, index, self._bundle.context_slices))[0]
            probabilities[:, index] = from_network(_softmax(logits), grid)
        return probabilities


def _rescaled(volume: Volume, size: BodySize) -> Volume:
    """The same voxels with the pixel spacing at which bodies of this size are the adult mean."""
    along, across = (1, 2) if abs(volume.directions[2, 1]) > abs(volume.directions[2, 2]) else (2, 1)
    affine = volume.affine.copy()
    affine[:3, along] /= size.height
    affine[:3, across] /= size.depth
    return replace(volume, affine=affine)


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities over the first axis."""
    exponentials = np.exp(logits - logits.max(axis=0, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=0, keepdims=True), dtype=np.float32)
