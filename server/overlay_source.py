"""Where the overlay of a study revision comes from: findings.json, the SEG objects and the headers of the images.

Nothing is decoded but the bits of our own segmentations, and only those on the images that are asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from sqlalchemy import Connection

from dicom_node.frames import image_plane
from dicom_node.results import results_of
from dicom_node.seg.decode import SegmentFrame, segment_frames
from dicom_node.seg.style import display_rgb
from dicom_node.spool import Spool
from dicom_node.store import Instance, instances_of
from dicom_node.uids import ObjectRole
from inference.contour import polygons_of
from inference.errors import InstanceRefusal, ReasonCode
from inference.findings.encode import decode
from inference.geometry import FrameReference
from inference.plane import ImagePlane
from server import __version__
from server.operations import NotThere, require_finished_run
from server.overlay_document import SCHEMA, Outline, OverlayImage, encode_overlay
from server.overlay_words import said
from server.shown import shown_findings

HEADER_KEYWORDS = [
    "SOPInstanceUID",
    "FrameOfReferenceUID",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]
_Key = tuple[str, int | None]
"""SOP Instance UID, and frame from 1 or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What part of a study is asked for."""

    series: str | None = None
    """Series Instance UID; None: all."""
    instance: str | None = None
    """SOP Instance UID; None: all."""
    with_structures: bool = True
    reviewed: bool = False
    """The findings as the newest review left them, not as the AI gave them."""

    def takes(self, instance: Instance) -> bool:
        """Whether an instance of the study is part of it."""
        return (self.series or instance.series_instance_uid) == instance.series_instance_uid and (
            self.instance or instance.sop_instance_uid
        ) == instance.sop_instance_uid


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlaySource:
    """The overlay of one study revision, before anything of it is read."""

    spool: Spool
    revision: int
    findings_path: str
    segmentation_paths: tuple[str, ...]
    """Empty where structures are not asked for."""
    instances: Mapping[str, Instance]
    """That were asked for, by SOP Instance UID."""
    digest: str
    """Of everything that the bytes follow from."""

    def encode(self) -> bytes:
        """Read and encode it."""
        document = decode(self.spool.path(self.findings_path).read_bytes())
        outlines = self._outlines()
        sources = {
            (s.sop_instance_uid, s.frame) for f in document.findings for s in (e.source for e in said(f).evidence)
        }
        keys = {key for key in sources | set(outlines) if key[0] in self.instances}
        ordered = sorted(keys, key=lambda key: (self.instances[key[0]].series_instance_uid, key[0], key[1] or 0))
        headers = {uid: _header(self.spool.path(self.instances[uid].path)) for uid in {uid for uid, _ in keys}}
        images = (self._image(key, headers[key[0]], outlines.get(key, ())) for key in ordered)
        return encode_overlay(document, self.revision, images)

    def _outlines(self) -> dict[_Key, tuple[Outline, ...]]:
        found: dict[_Key, list[Outline]] = {}
        for path in self.segmentation_paths:
            for segment in segment_frames(dcmread(self.spool.path(path)), self.instances.__contains__):
                found.setdefault((segment.sop_instance_uid, segment.frame), []).append(_outline(segment))
        return {key: tuple(outlines) for key, outlines in found.items()}

    def _image(self, key: _Key, header: Dataset | None, outlines: tuple[Outline, ...]) -> OverlayImage:
        instance = self.instances[key[0]]
        plane, no_plane = _plane(header, key)
        frame_of_reference = "" if header is None else str(header.get("FrameOfReferenceUID", "") or "")
        return OverlayImage(
            source=FrameReference(sop_class_uid=instance.sop_class_uid, sop_instance_uid=key[0], frame=key[1]),
            series_instance_uid=instance.series_instance_uid,
            frame_of_reference_uid=frame_of_reference or None,
            size=None if header is None or "Rows" not in header else (int(header.Rows), int(header.Columns)),
            plane=plane,
            no_plane=no_plane,
            outlines=outlines,
        )


def overlay_source(
    connection: Connection, spool: Spool, study_instance_uid: str, revision: int | None, selection: Selection
) -> OverlaySource:
    """What the overlay of the newest revision, or of one that is named, is made of.

    Raises:
        NotThere: the study has no findings (of that revision), or no reviewed ones where those are asked for, or no
            such series or instance.
    """
    run = require_finished_run(connection, study_instance_uid, revision)
    shown = shown_findings(connection, study_instance_uid, run, reviewed=selection.reviewed)
    rows = instances_of(connection, study_instance_uid, run.revision)
    chosen = {row.sop_instance_uid: row for row in rows if selection.takes(row)}
    if not chosen:
        raise NotThere(f"Study {study_instance_uid} has no such series or instance in revision {run.revision}.")
    made = [r for r in results_of(connection, study_instance_uid, run.revision) if r.role == ObjectRole.SEGMENTATION]
    segmentations = made if selection.with_structures else []
    parts = [SCHEMA, __version__, shown.sha256, *(r.sha256 for r in segmentations), *sorted(chosen)]
    return OverlaySource(
        spool=spool,
        revision=run.revision,
        findings_path=shown.path,
        segmentation_paths=tuple(r.path for r in segmentations),
        instances=chosen,
        digest=hashlib.sha256("|".join(parts).encode()).hexdigest(),
    )


def _outline(segment: SegmentFrame) -> Outline:
    return Outline(
        label=segment.label,
        structure=segment.structure,
        level=segment.level,
        tracking_uid=segment.tracking_uid,
        colour=display_rgb(segment.structure, segment.level),
        polygons=polygons_of(segment.mask),
    )


def _header(path: Path) -> Dataset | None:
    """The geometry of an instance; None where its file is gone or no longer DICOM."""
    try:
        return dcmread(path, stop_before_pixels=True, specific_tags=list(HEADER_KEYWORDS))
    except (OSError, InvalidDicomError):
        return None


def _plane(header: Dataset | None, key: _Key) -> tuple[ImagePlane | None, tuple[ReasonCode, str] | None]:
    if header is None:
        return None, (ReasonCode.NOT_DICOM, f"Instance {key[0]} is not kept here, or cannot be read any more.")
    try:
        return image_plane(header, key[1]), None
    except InstanceRefusal as refusal:
        return None, (refusal.code or ReasonCode.GEOMETRY, refusal.sentence)
