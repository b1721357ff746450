"""One study, from its files to findings.json, one SR, a SEG per used series, presentation states and pictures.

The same files, software and models give the same bytes; the only time inside is the one that the caller gives.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from pydicom import Dataset, dcmread

from dicom_node.derived import ReportContext, to_bytes
from dicom_node.pr import encode_presentation_state
from dicom_node.reader import IndexedSeries, RejectedFile, StudyIndex, index_study, read_volume, source_headers
from dicom_node.seg import encode_segmentation
from dicom_node.sr import encode_report
from dicom_node.uids import ObjectRole, server_device_uid
from inference.errors import SeriesRefusal
from inference.findings import StudyFindings
from inference.findings.encode import encode
from inference.geometry import Volume
from inference.pipeline import Detector, Progress, StudyInput, StudyResult, read_study
from inference.segmentation import Segmentation
from server import __version__
from server.overlay import grey_range, render_overlays

FINDINGS_NAME = "findings.json"
SR_NAME = "sr.dcm"


class Write(Protocol):
    """Keeps a file under a name relative to the place of the results."""

    def __call__(self, name: str, data: bytes, /) -> None:
        """Write it; the same name is written again after a crash."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """Everything about a run that is not in the files."""

    created: datetime
    """The time inside the objects, with its zone; the same on every repetition."""
    revision: int = 1
    predecessor: Path | None = None
    """The SR of the revision before this one."""
    ae_title: str = "SPINEAI"
    config_digest: str = ""
    """Digest of the settings that change an answer; empty for the defaults."""
    presentation_states: bool = False
    """Whether to make a presentation state for each series on which something is present."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeObject:
    """One DICOM object that was made."""

    role: str
    """``sr``, ``seg`` or ``pr`` (uids.ObjectRole)."""
    name: str
    """File name."""
    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    sha256: str
    """Of the whole file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRun:
    """What one run made."""

    findings: StudyFindings
    findings_sha256: str
    objects: tuple[MadeObject, ...]
    """The SR, then one SEG per segmented series, then the presentation states."""
    not_encoded: tuple[str, ...]
    """One sentence for each series whose outlines cannot be a SEG, or that cannot have a presentation state."""
    rejected: tuple[RejectedFile, ...]
    """Files that are not instances of this study, or cannot be read."""
    seconds: float
    volumes: dict[str, Volume]
    """The voxels that were read, by Series Instance UID."""
    segmentations: tuple[Segmentation, ...]


def run_study(
    paths: Iterable[Path], detectors: Sequence[Detector], write: Write, context: RunContext, progress: Progress
) -> StudyRun:
    """Read one study and write everything that is said about it.

    Raises:
        Refusal: no file is an instance, or they are of several studies.
    """
    started = time.monotonic()
    index = index_study(paths)
    volumes: dict[str, Volume] = {}
    series = {indexed.facts.series_instance_uid: indexed for indexed in index.series}
    result = _answer(index, series, detectors, volumes, progress)
    progress("writing results", 0.95)
    encoded = encode(result.findings)
    write(FINDINGS_NAME, encoded)
    sources = {uid: _headers(indexed) for uid, indexed in series.items()}
    report_context = _report_context(index, context)
    objects, not_encoded = _write_objects(result, sources, write, report_context)
    if context.presentation_states:
        states, not_shown = _write_presentation_states(result.findings, sources, volumes, write, report_context)
        objects, not_encoded = objects + states, not_encoded + not_shown
    return StudyRun(
        findings=result.findings,
        findings_sha256=hashlib.sha256(encoded).hexdigest(),
        objects=objects,
        not_encoded=not_encoded,
        rejected=index.rejected,
        seconds=time.monotonic() - started,
        volumes=volumes,
        segmentations=result.segmentations,
    )


def write_overlays(run: StudyRun, folder: Path) -> tuple[Path, ...]:
    """Pictures of every series that was read, with outlines and measurements; returns the files."""
    outlines = {segmentation.series_instance_uid: segmentation for segmentation in run.segmentations}
    return tuple(
        path
        for uid, volume in sorted(run.volumes.items())
        for path in render_overlays(volume, outlines.get(uid), run.findings, folder / f"overlay-{uid}")
    )


def _answer(
    index: StudyIndex,
    series: dict[str, IndexedSeries],
    detectors: Sequence[Detector],
    volumes: dict[str, Volume],
    progress: Progress,
) -> StudyResult:
    def load(series_instance_uid: str) -> Volume:
        volumes[series_instance_uid] = read_volume(series[series_instance_uid])
        return volumes[series_instance_uid]

    study = StudyInput(
        study_instance_uid=index.study_instance_uid,
        series=tuple(indexed.facts for indexed in index.series),
        load=load,
    )
    return read_study(study, detectors, software_version=__version__, progress=progress)


def _report_context(index: StudyIndex, context: RunContext) -> ReportContext:
    return ReportContext(
        study_instance_uid=index.study_instance_uid,
        revision=context.revision,
        software_version=__version__,
        created=context.created,
        server_uid=server_device_uid(context.ae_title),
        device_name=context.ae_title,
        predecessor=dcmread(context.predecessor) if context.predecessor is not None else None,
        config_digest=context.config_digest,
    )


def _write_objects(
    result: StudyResult, sources: Mapping[str, Sequence[Dataset]], write: Write, context: ReportContext
) -> tuple[tuple[MadeObject, ...], tuple[str, ...]]:
    report = encode_report(result.findings, sources=sources, context=context)
    made = [_keep(report, ObjectRole.REPORT, SR_NAME, write)]
    not_segmented: list[str] = []
    for number, segmentation in enumerate(result.segmentations, start=1):
        headers = sources[segmentation.series_instance_uid]
        try:
            dataset = encode_segmentation(segmentation, sources=headers, context=context)
        except SeriesRefusal as refusal:
            not_segmented.append(refusal.sentence)
            continue
        made.append(_keep(dataset, ObjectRole.SEGMENTATION, f"seg-{number}.dcm", write))
    return tuple(made), tuple(not_segmented)


def _write_presentation_states(
    findings: StudyFindings,
    sources: Mapping[str, Sequence[Dataset]],
    volumes: Mapping[str, Volume],
    write: Write,
    context: ReportContext,
) -> tuple[tuple[MadeObject, ...], tuple[str, ...]]:
    made: list[MadeObject] = []
    not_shown: list[str] = []
    for uid in sorted(sources):
        try:
            shades = grey_range(volumes[uid]) if uid in volumes else None
            dataset = encode_presentation_state(findings, sources=sources[uid], context=context, grey_range=shades)
        except SeriesRefusal as refusal:
            not_shown.append(refusal.sentence)
            continue
        if dataset is not None:
            made.append(_keep(dataset, ObjectRole.PRESENTATION, f"pr-{len(made) + 1}.dcm", write))
    return tuple(made), tuple(not_shown)


def _headers(indexed: IndexedSeries) -> list[Dataset]:
    """Headers of every instance: also of a series that is no stack, because the report says so of its images."""
    if indexed.stacks:
        return source_headers(indexed)
    return [dcmread(path, stop_before_pixels=True, force=True) for path in indexed.files]


def _keep(dataset: Dataset, role: ObjectRole, name: str, write: Callable[[str, bytes], None]) -> MadeObject:
    data = to_bytes(dataset)
    write(name, data)
    return MadeObject(
        role=role.value,
        name=name,
        sop_instance_uid=str(dataset.SOPInstanceUID),
        sop_class_uid=str(dataset.SOPClassUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        sha256=hashlib.sha256(data).hexdigest(),
    )
