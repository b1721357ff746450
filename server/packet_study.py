"""One study of a claim, opened for its packet: the necessary findings, the slices they rest on, the headers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

from pydicom import Dataset, dcmread

from claims.claim import Claim
from claims.matching import check_patient
from claims.packet import KeyImage, PacketRefusal, StudyPart, WithheldImage, necessary_findings
from claims.packet.words import day
from dicom_node.derived import ReportContext
from dicom_node.reader import IndexedSeries, index_study, read_volume
from dicom_node.seg.decode import segment_frames
from dicom_node.uids import server_device_uid
from inference.anatomy import Vertebra
from inference.findings import Question, SeriesUse, StudyFindings
from inference.findings.encode import decode
from inference.segmentation import Segment
from server import __version__
from server.made_objects import headers_of
from server.packet_pictures import ShownSeries, Subject, pictures_of, source_key

FOOTER_REVIEWED = "AI - research use only - reviewed by a physician"
FOOTER_UNREVIEWED = "AI - research use only - not reviewed by a physician"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFiles:
    """Files of one study revision."""

    findings: Path
    """findings.json, as the AI gave them or as a review left them."""
    sources: tuple[Path, ...]
    """The instances."""
    segmentations: tuple[Path, ...]
    report: Path
    """The SR that the findings stand in: the excerpt names it as its predecessor."""
    revision: int = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OpenStudy:
    """A study with no more of it than the claim needs."""

    part: StudyPart
    findings_sha256: str
    """Of the whole findings.json."""
    sources: Mapping[str, Sequence[Dataset]]
    """Headers of the series that the findings rest on, by Series Instance UID."""
    shown: tuple[ShownSeries, ...]
    context: ReportContext
    """Of the excerpt."""
    packet_context: ReportContext
    """Of what is made for this packet: the same, at its time."""

    @property
    def has_findings(self) -> bool:
        """Whether it says anything of the billed bodies."""
        return bool(self.part.findings.findings) and bool(self.sources)

    @property
    def first(self) -> Dataset:
        """The instance that patient and study are copied from."""
        return min(self._headers.values(), key=lambda header: str(header.SOPInstanceUID))

    @property
    def _headers(self) -> dict[str, Dataset]:
        return {str(header.SOPInstanceUID): header for series in self.sources.values() for header in series}

    def pictures(self) -> Iterator[KeyImage | WithheldImage]:
        """The key images of every billed body that the study shows."""
        for finding in self.part.findings.of(Question.COMPRESSION_FRACTURE):
            body = Vertebra[finding.site.level or ""]
            subject = Subject(
                body=body,
                finding=finding,
                study_instance_uid=self.part.study_instance_uid,
                study_day=day(self.part.study_date),
                footer=FOOTER_UNREVIEWED if self.part.findings.review is None else FOOTER_REVIEWED,
            )
            yield from pictures_of(subject, self.shown)

    def headers_of(self, images: Sequence[KeyImage]) -> list[Dataset]:
        """Headers of the instances that images were drawn from, each once."""
        headers = self._headers
        return [headers[uid] for uid in dict.fromkeys(image.source.sop_instance_uid for image in images)]

    def frames_of(self, images: Sequence[KeyImage]) -> dict[str, tuple[int, ...]]:
        """Of the multi-frame instances among them, the frames that were drawn."""
        found: dict[str, set[int]] = {}
        for image in images:
            if image.source.frame is not None:
                found.setdefault(image.source.sop_instance_uid, set()).add(image.source.frame)
        return {uid: tuple(sorted(frames)) for uid, frames in found.items()}


def open_study(files: StudyFiles, claim: Claim, ae_title: str, created: datetime) -> OpenStudy:
    """Read what a packet needs of a study.

    Raises:
        Refusal: the study is of another patient than the claim, or its files cannot be read.
    """
    document = files.findings.read_bytes()
    whole = decode(document)
    index = index_study(files.sources)
    if index.study_instance_uid != whole.study_instance_uid:
        raise PacketRefusal(
            f"The findings are of study {whole.study_instance_uid}, the images of {index.study_instance_uid}."
        )
    findings = necessary_findings(whole, claim.bodies)
    by_uid = {series.facts.series_instance_uid: series for series in index.series}
    resting = [by_uid[uid] for uid in _series_of(findings, index.series)]
    sources = headers_of(resting)
    first = next(iter(headers_of(index.series[:1]).values()))[0]
    check_patient(claim.patient, _identifiers(first), "the study")
    context = _context(files, findings, claim, ae_title)
    return OpenStudy(
        part=StudyPart(
            study_instance_uid=whole.study_instance_uid,
            study_date=_date(first, "StudyDate"),
            description=_description(findings),
            patient_name=str(first.get("PatientName", "")),
            findings=findings,
        ),
        findings_sha256=hashlib.sha256(document).hexdigest(),
        sources=sources,
        shown=tuple(_shown(resting, findings, whole.series, files.segmentations)),
        context=context,
        packet_context=replace(context, created=created, predecessor=None),
    )


def _series_of(findings: StudyFindings, series: Sequence[IndexedSeries]) -> list[str]:
    """The series that hold an image with evidence, in the order of their UIDs."""
    wanted = {e.source.sop_instance_uid for f in findings.findings for e in f.evidence}
    found = [
        indexed.facts.series_instance_uid
        for indexed in series
        if any(frame.header.sop_instance_uid in wanted for stack in indexed.stacks for frame in stack.frames)
    ]
    return sorted(found)


def _shown(
    series: Sequence[IndexedSeries], findings: StudyFindings, known: Sequence[SeriesUse], segmentations: Sequence[Path]
) -> Iterator[ShownSeries]:
    """The series with what is drawn on them; a reviewer may have drawn on one that no model used."""
    wanted = {e.source.sop_instance_uid for f in findings.findings for e in f.evidence}
    segments: dict[str, list[Segment]] = {}
    for path in segmentations:
        for frame in segment_frames(dcmread(path), wanted.__contains__):
            segments.setdefault(source_key(frame.sop_instance_uid, frame.frame), []).append(
                Segment(
                    label=frame.label,
                    structure=frame.structure,
                    level=frame.level,
                    tracking_uid=frame.tracking_uid,
                    mask=frame.mask[None],
                )
            )
    uses = {use.uid: use for use in known}
    for indexed in series:
        yield ShownSeries(
            use=uses.get(indexed.facts.series_instance_uid) or _use_of(indexed),
            volume=read_volume(indexed),
            segments=segments,
            has_burned_text=indexed.facts.burned_in,
        )


def _use_of(indexed: IndexedSeries) -> SeriesUse:
    """What is said of a series that the findings do not list."""
    uid, modality = indexed.facts.series_instance_uid, indexed.facts.modality
    return SeriesUse(uid=uid, modality=modality, plane="series", contrast="", role="other")


def _context(files: StudyFiles, findings: StudyFindings, claim: Claim, ae_title: str) -> ReportContext:
    report = dcmread(files.report)
    bodies = ", ".join(body.name for body in claim.bodies)
    return ReportContext(
        study_instance_uid=findings.study_instance_uid,
        revision=files.revision,
        software_version=__version__,
        created=datetime.strptime(
            f"{report.ContentDate}{str(report.ContentTime)[:6]}{_zone(report)}", "%Y%m%d%H%M%S%z"
        ),
        server_uid=server_device_uid(ae_title),
        device_name=ae_title,
        predecessor=report,
        excerpt=f"Excerpt for a claim: compression fracture of {bodies} alone. The whole report is the predecessor.",
        description="Claim excerpt of AI findings: research use only",
    )


def _zone(report: Dataset) -> str:
    return str(report.get("TimezoneOffsetFromUTC", "") or "+0000")


def _description(findings: StudyFindings) -> str:
    uses = dict.fromkeys(f"{use.modality} {use.plane} {use.contrast.upper()}" for use in findings.series)
    return ", ".join(uses) or "no series that shows the billed bodies"


def _identifiers(header: Dataset) -> list[tuple[str, str]]:
    """Who the study is of, as claims.matching compares it."""
    born = _date(header, "PatientBirthDate")
    return [
        ("medical_record_number", str(header.get("PatientID", "") or "")),
        ("birth_date", born.isoformat() if born else ""),
        ("name", str(header.get("PatientName", "") or "")),
    ]


def _date(header: Dataset, keyword: str) -> date | None:
    """A date of a header; None where it is missing or no date."""
    try:
        return date.fromisoformat(str(header.get(keyword, "") or "").strip())
    except ValueError:
        return None
