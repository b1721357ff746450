"""A generated spine with a fracture: the files of a study as a packet takes them, with findings made by hand."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset

from builders.dicom import T2_TSE, SeriesPlan, write_series
from builders.findings import context_of, refused_findings
from builders.packets import MODEL, fracture
from builders.phantom import phantom_plan
from dicom_node.derived import to_bytes
from dicom_node.seg import encode_segmentation
from dicom_node.sr import encode_report
from inference.anatomy import Numbering
from inference.findings import (
    Absent,
    DocumentReview,
    Evidence,
    Finding,
    Geometry,
    GeometryType,
    Question,
    SeriesUse,
    StudyFindings,
)
from inference.findings.encode import encode
from inference.geometry import FrameReference
from inference.segmentation import Segment, Segmentation, Structure
from server.packet_study import StudyFiles
from training.phantom import Phantom, PhantomParameters, generate_spine

PATIENT = {"PatientName": "Example^Erna", "PatientID": "MRN-4711", "PatientBirthDate": "19480517"}
STUDY_DATE = {"StudyDate": "20260314"}
MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
LEVELS = ("T12", "L1", "L2", "L3")
PACKET_FILES = frozenset(
    {
        "key-image-1-L1-overlay.png",
        "key-image-1-L1-plain.png",
        "kos-1.dcm",
        "manifest.json",
        "sr-1.dcm",
        "summary.dcm",
        "summary.pdf",
    }
)
"""Of a claim for one body of this study."""


@cache
def spine() -> Phantom:
    """A wedge fracture of L1, coarse so that it is made fast."""
    return generate_spine(
        PhantomParameters(seed=3, rows=320, columns=256, spacing_mm=0.9375, slices=5, subslices=1,
                          fractures={"L1": ("wedge", 0.35)})
    )  # fmt: skip


def plan(**attributes: Any) -> SeriesPlan:
    """The series as DICOM; attributes are added to every instance."""
    return phantom_plan(spine(), study="packet", attributes={**T2_TSE, **PATIENT, **STUDY_DATE, **attributes})


def centre(level: str) -> tuple[float, float]:
    """(column, row) of a body's middle on the middle slice."""
    phantom = spine()
    instance = phantom.truth.vertebra(level).instance
    rows, columns = np.nonzero(phantom.instances[middle()] == instance)
    front = columns < np.percentile(columns, 50)
    return round(float(columns[front].mean()) + 0.5, 2), round(float(rows[front].mean()) + 0.5, 2)


def middle() -> int:
    """The middle slice."""
    return spine().voxels.shape[0] // 2


def findings_of(made: SeriesPlan, *, review: DocumentReview | None = None) -> StudyFindings:
    """L1 fractured, the others not, and the four other questions not assessed."""
    source = FrameReference(sop_class_uid=MR_IMAGE, sop_instance_uid=made.sop_instance_uid(middle()))
    use = SeriesUse(
        uid=made.series_instance_uid,
        modality="MR",
        plane="sagittal",
        contrast="T2",
        role="mr_sagittal_t2",
        used_by=(MODEL.name,),
    )
    refused = refused_findings(made.study_instance_uid, (use,))
    return replace(
        refused,
        numbering=Numbering(method="counted_from_sacrum", ambiguous=False, note="Counted up from the sacrum."),
        findings=(*(_vertebra(level, made, source, review) for level in LEVELS), *refused.findings[1:]),
        models=(MODEL,),
        review=review,
    )


def _vertebra(level: str, made: SeriesPlan, source: FrameReference, review: DocumentReview | None) -> Finding:
    column, row = centre(level)
    shapes = {
        None: Geometry(type=GeometryType.POINT, points=((column, row),)),
        "anterior_height": Geometry(
            type=GeometryType.POLYLINE, points=((column - 8, row - 9.55), (column - 8, row + 9.54))
        ),
    }
    told = fracture(level, study=made.study_instance_uid, reviewed=review is not None)
    evidence = tuple(Evidence(source=source, geometry=g, measurement=name) for name, g in shapes.items())
    if level == "L1":
        return replace(told, evidence=evidence)
    return replace(told, assessment=Absent(), grades=(), evidence=evidence, question=Question.COMPRESSION_FRACTURE)


def write_study(folder: Path, made: SeriesPlan | None = None, *, review: DocumentReview | None = None) -> StudyFiles:
    """Write instances, findings.json, SR and SEG of a series into a folder."""
    made = made or plan()
    findings = findings_of(made, review=review)
    sources = write_series(folder / "in", made)
    headers = [dcmread(path, stop_before_pixels=True) for path in sources]
    context = context_of(made.study_instance_uid)
    plain = findings if review is None else findings_of(made)
    report = encode_report(plain, sources={made.series_instance_uid: headers}, context=context)
    if review is not None:
        verified = replace(context, predecessor=report)
        report = encode_report(findings, sources={made.series_instance_uid: headers}, context=verified)
    segmentation = encode_segmentation(_outlines(made, headers), sources=headers, context=context)
    for name, data in (("sr", to_bytes(report)), ("seg", to_bytes(segmentation))):
        (folder / f"{name}.dcm").write_bytes(data)
    (folder / "findings.json").write_bytes(encode(findings))
    return StudyFiles(
        findings=folder / "findings.json",
        sources=tuple(sources),
        segmentations=(folder / "seg.dcm",),
        report=folder / "sr.dcm",
    )


def _outlines(made: SeriesPlan, headers: list[Dataset]) -> Segmentation:
    phantom = spine()
    segments = [
        Segment(
            label=f"{level} vertebra",
            structure=Structure.VERTEBRA,
            level=level,
            tracking_uid=f"2.25.{number + 1}",
            mask=phantom.instances == phantom.truth.vertebra(level).instance,
        )
        for number, level in enumerate(LEVELS)
    ]
    sources = tuple(
        FrameReference(sop_class_uid=header.SOPClassUID, sop_instance_uid=header.SOPInstanceUID) for header in headers
    )
    return Segmentation(
        series_instance_uid=made.series_instance_uid, sources=sources, segments=tuple(segments), model=MODEL
    )
