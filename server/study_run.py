"""One study, from its files to findings.json, one SR, a SEG per used series, what else is asked for, and pictures.

The same files, software and models give the same bytes; the only time inside is the one that the caller gives.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from pydicom import Dataset

from dicom_node.derived import ReportContext
from dicom_node.pr import encode_presentation_state
from dicom_node.reader import IndexedSeries, RejectedFile, StudyIndex, index_study, read_volume
from dicom_node.sc import encode_key_image
from dicom_node.seg import encode_segmentation
from dicom_node.sr import encode_report, encode_text_report
from dicom_node.uids import ObjectRole, server_device_uid
from inference.errors import SeriesRefusal
from inference.findings import StudyFindings
from inference.findings.encode import encode
from inference.geometry import Volume
from inference.pipeline import Detector, Progress, StudyInput, StudyResult, read_study
from inference.segmentation import Segmentation
from server import __version__
from server.key_images import key_images
from server.made_objects import MadeObject, Write, headers_of, keep, read_object
from server.overlay import grey_range, render_overlays

FINDINGS_NAME = "findings.json"
SR_NAME = "sr.dcm"
TEXT_NAME = "text-sr.dcm"


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
    earlier_review: str | None = None
    """A sentence about the review of an earlier revision."""
    presentation_states: bool = False
    """Whether to make a presentation state for each series on which something is present."""
    text_report: bool = False
    """Whether to make a report in words."""
    earlier_text: Path | None = None
    """The report in words of the revision before this one, where there is one."""
    key_images: bool = False
    """Whether to make pictures of what is present."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRun:
    """What one run made."""

    findings: StudyFindings
    findings_sha256: str
    objects: tuple[MadeObject, ...]
    """The SR, then one SEG per segmented series, the report in words, the key images, the presentation states."""
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
    sources = headers_of(index.series)
    report_context = _report_context(index, context)
    objects, not_encoded = _write_objects(result, sources, write, report_context)
    if context.text_report:
        text_context = replace(report_context, predecessor=read_object(context.earlier_text))
        objects += (_write_text(result.findings, sources, write, text_context),)
    if context.key_images:
        objects += _write_key_images(result, volumes, sources, write, report_context)
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
    outlines = _by_series(run.segmentations)
    return tuple(
        path
        for uid, volume in sorted(run.volumes.items())
        for path in render_overlays(volume, outlines.get(uid), run.findings, folder / f"overlay-{uid}")
    )


def _by_series(segmentations: Iterable[Segmentation]) -> dict[str, Segmentation]:
    return {segmentation.series_instance_uid: segmentation for segmentation in segmentations}


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
        predecessor=read_object(context.predecessor),
        config_digest=context.config_digest,
        earlier_review=context.earlier_review,
    )


def _write_objects(
    result: StudyResult, sources: Mapping[str, Sequence[Dataset]], write: Write, context: ReportContext
) -> tuple[tuple[MadeObject, ...], tuple[str, ...]]:
    report = encode_report(result.findings, sources=sources, context=context)
    made = [keep(report, ObjectRole.REPORT, SR_NAME, write)]
    not_segmented: list[str] = []
    for number, segmentation in enumerate(result.segmentations, start=1):
        headers = sources[segmentation.series_instance_uid]
        try:
            dataset = encode_segmentation(segmentation, sources=headers, context=context)
        except SeriesRefusal as refusal:
            not_segmented.append(refusal.sentence)
            continue
        made.append(keep(dataset, ObjectRole.SEGMENTATION, f"seg-{number}.dcm", write))
    return tuple(made), tuple(not_segmented)


def _write_text(
    findings: StudyFindings, sources: Mapping[str, Sequence[Dataset]], write: Write, context: ReportContext
) -> MadeObject:
    report = encode_text_report(findings, sources=sources, context=context)
    return keep(report, ObjectRole.TEXT_REPORT, TEXT_NAME, write)


def _write_key_images(
    result: StudyResult,
    volumes: Mapping[str, Volume],
    sources: Mapping[str, Sequence[Dataset]],
    write: Write,
    context: ReportContext,
) -> tuple[MadeObject, ...]:
    made: list[MadeObject] = []
    for number, image in enumerate(key_images(volumes, _by_series(result.segmentations), result.findings), start=1):
        dataset = encode_key_image(image, number, result.findings, sources=sources, context=context)
        made.append(keep(dataset, ObjectRole.KEY_IMAGE, f"key-{number}.dcm", write))
    return tuple(made)


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
            made.append(keep(dataset, ObjectRole.PRESENTATION, f"pr-{len(made) + 1}.dcm", write))
    return tuple(made), tuple(not_shown)
