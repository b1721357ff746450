"""What goes into a packet, as values: the claim, its evidence, the reports that are quoted, findings and pictures."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from claims.claim import Claim
from claims.evidence import ClaimEvidence
from claims.report import ReadReport
from inference.anatomy import Vertebra
from inference.errors import Refusal
from inference.findings import Finding, Question, StudyFindings
from inference.geometry import FrameReference


class PacketRefusal(Refusal):
    """A packet cannot be made of what was given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyImage:
    """One slice that shows a billed body, as two pictures that were drawn from its pixels alone."""

    body: Vertebra
    study_instance_uid: str
    source: FrameReference
    """The slice."""
    title: str
    """In plain words, like ``MR sagittal T2, slice 8 of 15``."""
    window: tuple[float, float]
    """The stored values that are shown black and white."""
    scale_bar_mm: float
    plain: bytes
    """PNG without anything drawn but level, scale bar and notice."""
    overlay: bytes
    """PNG of the same part of the slice with outlines and measurements."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WithheldImage:
    """A key image that is not in the packet, and why."""

    body: Vertebra
    study_instance_uid: str
    sentence: str
    """In plain words, without identity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPart:
    """One study that the claim rests on, with no more of it than the claim needs."""

    study_instance_uid: str
    study_date: date | None
    description: str
    """What was imaged, in plain words, like ``MR, sagittal T2 and STIR``."""
    patient_name: str
    """As the study has it: a DICOM person name with its component groups (PS3.5 6.2.1)."""
    findings: StudyFindings
    """As `necessary_findings` leaves them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketContents:
    """Everything that the summary says; equal contents give equal bytes.

    A picture or finding of a body that the claim does not bill, or of a study that is not listed, is refused: it must
    not leave the house with this claim.
    """

    claim: Claim
    evidence: ClaimEvidence
    reports: tuple[ReadReport, ...]
    studies: tuple[StudyPart, ...]
    images: tuple[KeyImage, ...]
    withheld: tuple[WithheldImage, ...] = ()
    created: datetime
    """When the packet was asked for, with its zone: an input, never the clock."""
    software_version: str

    def __post_init__(self) -> None:
        """Refuse what does not belong together."""
        if self.created.tzinfo is None:
            raise ValueError("created must have a time zone, got a naive time")
        if self.evidence.claim_id != self.claim.id:
            raise PacketRefusal("The evidence is of another claim than the one that the packet is for.")
        bodies = {body.name for body in self.claim.bodies}
        studies = {study.study_instance_uid for study in self.studies}
        shown: list[KeyImage | WithheldImage] = [*self.images, *self.withheld]
        for level in {image.body.name for image in shown} | {f.site.level or "study" for f in self._level_findings()}:
            if level not in bodies:
                raise PacketRefusal(f"A packet shows the billed bodies only, got {level}.")
        for uid in {image.study_instance_uid for image in shown} - studies:
            raise PacketRefusal(f"A packet shows images of its own studies only, got one of study {uid}.")

    def _level_findings(self) -> list[Finding]:
        return [finding for study in self.studies for finding in study.findings.findings]

    def fractures(self, body: Vertebra) -> list[tuple[StudyPart, Finding]]:
        """What each study says of compression fracture at a body, the newest study first."""
        newest = sorted(self.studies, key=lambda study: study.study_date or date.min, reverse=True)
        return [
            (study, finding)
            for study in newest
            for finding in study.findings.of(Question.COMPRESSION_FRACTURE)
            if finding.site.level == body.name
        ]

    @property
    def notice(self) -> str:
        """The research-use line: that of findings that nobody reviewed while there are any."""
        unreviewed_first = sorted(self.studies, key=lambda study: study.findings.review is not None)
        return unreviewed_first[0].findings.notice if unreviewed_first else NO_FINDINGS_NOTICE


NO_FINDINGS_NOTICE = "Assembled by software for research use only; not for use in diagnostic procedures."
"""The line of a packet in which no study was read by a model."""
