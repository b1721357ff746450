"""From a claim and what is known of its studies to the packet: files in one folder, each in the manifest.

Everything is an input, the time too: the same request gives the same bytes. Only the billed bodies and the studies that
the request names go in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pydicom import Dataset

from claims.claim import Claim
from claims.evidence import ClaimEvidence
from claims.packet import (
    MANIFEST_NAME,
    SUMMARY_NAME,
    KeyImage,
    Manifest,
    PacketContents,
    PacketFile,
    WithheldImage,
    encode_manifest,
)
from claims.packet.summary import render_summary
from claims.report import ReadReport
from dicom_node.derived import to_bytes
from dicom_node.document import PdfDocument, encode_pdf
from dicom_node.key_objects import encode_report_attachment
from dicom_node.sr import encode_report
from inference.provenance import SOFTWARE_NAME
from server import __version__
from server.made_objects import Write
from server.packet_study import OpenStudy, StudyFiles, open_study

DICOM, PNG, PDF = "application/dicom", "image/png", "application/pdf"
TITLE = "Imaging evidence summary"


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketRequest:
    """What a packet is made of."""

    claim: Claim
    evidence: ClaimEvidence
    reports: tuple[ReadReport, ...]
    studies: tuple[StudyFiles, ...]
    """That the evidence rests on, and no others."""
    created: datetime
    """With its zone; the same on a retry."""
    number: int = 1
    """Of the packet among those of the claim, from 1."""
    previous_manifest: bytes | None = None
    """The manifest of the packet before this one."""
    ae_title: str = "SPINEAI"


@dataclass(frozen=True, slots=True, kw_only=True)
class MadePacket:
    """What was made."""

    manifest: bytes
    files: tuple[PacketFile, ...]
    withheld: tuple[WithheldImage, ...]


@dataclass(slots=True)
class _Folder:
    """Writes files and remembers what they are."""

    write: Write
    files: list[PacketFile] = field(default_factory=list)

    def keep(
        self, name: str, data: bytes, *, role: str, media_type: str, body: str | None = None, uid: str | None = None
    ) -> None:
        self.write(name, data)
        digest = hashlib.sha256(data).hexdigest()
        self.files.append(
            PacketFile(
                name=name,
                role=role,
                media_type=media_type,
                sha256=digest,
                size_bytes=len(data),
                body=body,
                sop_instance_uid=uid,
            )
        )

    def keep_object(self, dataset: Dataset, name: str, role: str) -> Dataset:
        self.keep(name, to_bytes(dataset), role=role, media_type=DICOM, uid=str(dataset.SOPInstanceUID))
        return dataset


def make_packet(request: PacketRequest, write: Write) -> MadePacket:
    """Write the packet of a claim; the manifest is written last, so that a folder with one is whole.

    Raises:
        Refusal: the studies are not of the claim's patient, or what was given does not belong together.
    """
    studies = [open_study(files, request.claim, request.ae_title, request.created) for files in request.studies]
    pictures = [picture for study in studies for picture in study.pictures()]
    images = tuple(picture for picture in pictures if isinstance(picture, KeyImage))
    withheld = tuple(picture for picture in pictures if isinstance(picture, WithheldImage))
    contents = PacketContents(
        claim=request.claim,
        evidence=request.evidence,
        reports=request.reports,
        studies=tuple(study.part for study in studies),
        images=images,
        withheld=withheld,
        created=request.created,
        software_version=__version__,
    )
    folder = _Folder(write)
    _keep_images(folder, images)
    summary = render_summary(contents)
    folder.keep(SUMMARY_NAME, summary, role="summary_pdf", media_type=PDF)
    _keep_objects(folder, studies, contents, summary, request.number)
    manifest = encode_manifest(_manifest(request, contents, folder.files, studies))
    write(MANIFEST_NAME, manifest)
    return MadePacket(manifest=manifest, files=tuple(folder.files), withheld=withheld)


def _keep_images(folder: _Folder, images: Sequence[KeyImage]) -> None:
    for number, image in enumerate(images, start=1):
        name, uid = f"key-image-{number}-{image.body.name}", image.source.sop_instance_uid
        for kind, data in (("plain", image.plain), ("overlay", image.overlay)):
            role = f"key_image_{kind}"
            folder.keep(f"{name}-{kind}.png", data, role=role, media_type=PNG, body=image.body.name, uid=uid)


def _keep_objects(
    folder: _Folder, studies: Sequence[OpenStudy], contents: PacketContents, summary: bytes, number: int
) -> None:
    """Of each study the SR excerpt and the key object selection; the document goes with the newest study."""
    with_images = [study for study in studies if study.has_findings]
    newest = max(with_images, key=lambda s: (s.part.study_date is not None, s.part.study_date), default=None)
    for place, study in enumerate(with_images, start=1):
        context = study.context
        shown = [image for image in contents.images if image.study_instance_uid == study.part.study_instance_uid]
        headers = study.headers_of(shown)
        named = list(headers)
        report = encode_report(study.part.findings, sources=study.sources, context=context)
        named.append(folder.keep_object(report, f"sr-{place}.dcm", "sr"))
        if study is newest:
            document = PdfDocument(
                content=summary,
                title=TITLE,
                models=study.part.findings.models,
                notice=contents.notice,
                number=number,
            )
            made = encode_pdf(document, drawn_from=headers, source=study.first, context=study.packet_context)
            named.append(folder.keep_object(made, "summary.dcm", "encapsulated_pdf"))
        selection = encode_report_attachment(
            named,
            frames=study.frames_of(shown),
            description=f"Key images of {', '.join(sorted({i.body.name for i in shown})) or 'no body'} for a claim",
            source=study.first,
            context=study.packet_context,
            number=number,
        )
        folder.keep_object(selection, f"kos-{place}.dcm", "kos")


def _manifest(
    request: PacketRequest, contents: PacketContents, files: Sequence[PacketFile], studies: Sequence[OpenStudy]
) -> Manifest:
    previous = request.previous_manifest
    return Manifest(
        claim_id=request.claim.id,
        number=request.number,
        previous_sha256=None if previous is None else hashlib.sha256(previous).hexdigest(),
        created=request.created,
        software=f"{SOFTWARE_NAME} {__version__}",
        studies=tuple(study.part.study_instance_uid for study in studies),
        bodies=tuple(body.name for body in request.claim.bodies),
        findings_sha256=tuple(study.findings_sha256 for study in studies),
        reports_sha256=tuple(read.report.sha256 for read in request.reports),
        files=tuple(files),
        withheld=tuple(f"{image.body.name}: {image.sentence}" for image in contents.withheld),
        notice=contents.notice,
    )
