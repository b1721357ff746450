"""Hand-made findings and segmentations over a written series, for tests of the DICOM output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from pydicom.dataset import Dataset

from dicom_node.derived import ReportContext
from dicom_node.uids import server_device_uid
from inference.anatomy import Numbering, Site
from inference.errors import ReasonCode
from inference.findings import (
    FIVE_QUESTIONS,
    Absent,
    Calibration,
    Evidence,
    Finding,
    Geometry,
    GeometryType,
    Grade,
    Measurement,
    NotAssessed,
    Present,
    Question,
    SeriesUse,
    StudyFindings,
)
from inference.geometry import FrameReference
from inference.provenance import ModelIdentity, tracking_uid
from inference.segmentation import Segment, Segmentation, Structure

CREATED = datetime(2026, 11, 24, 9, 30, 15, tzinfo=UTC)
MODEL = ModelIdentity(name="mr_sagittal_segmentation", version="1.2.0", sha256="ab" * 32, training_data="SPIDER")
SOFTWARE_VERSION = "0.1.0"


def context_of(study_instance_uid: str, *, revision: int = 1, predecessor: Dataset | None = None) -> ReportContext:
    """A context of a fixed time and server."""
    return ReportContext(
        study_instance_uid=study_instance_uid,
        revision=revision,
        software_version=SOFTWARE_VERSION,
        created=CREATED,
        server_uid=server_device_uid("SPINEAI"),
        predecessor=predecessor,
    )


def reference(header: Dataset, frame: int | None = None) -> FrameReference:
    """The frame of a header."""
    return FrameReference(sop_class_uid=header.SOPClassUID, sop_instance_uid=header.SOPInstanceUID, frame=frame)


def refused_findings(study_instance_uid: str, series: Sequence[SeriesUse] = ()) -> StudyFindings:
    """Every question not assessed: no detector reads this study."""
    why = NotAssessed(reason=ReasonCode.NO_MODEL, sentence="No installed detector reads axial CT.")
    return StudyFindings(
        study_instance_uid=study_instance_uid,
        series=tuple(series),
        numbering=Numbering(method="none", ambiguous=False, note="No level was seen."),
        findings=tuple(
            Finding(id=tracking_uid(study_instance_uid, q), question=q, site=Site(), assessment=why)
            for q in FIVE_QUESTIONS
        ),
        models=(),
        software_version=SOFTWARE_VERSION,
    )


def spine_findings(study_instance_uid: str, source: FrameReference, spacing_mm: tuple[float, float]) -> StudyFindings:
    """L1 fractured, L2 normal, L3 at the edge, one canal measured, one slip backwards; the others not assessed."""
    others = [f for f in refused_findings(study_instance_uid).findings[1:] if f.question is not Question.STENOSIS]
    return StudyFindings(
        study_instance_uid=study_instance_uid,
        series=(),
        numbering=Numbering(
            method="counted_from_sacrum", ambiguous=True, note="A transitional vertebra cannot be excluded."
        ),
        findings=(
            _vertebra(study_instance_uid, "L1", source, spacing_mm, loss=31.0),
            _vertebra(study_instance_uid, "L2", source, spacing_mm, loss=3.0),
            _edge(study_instance_uid, "L3"),
            _canal(study_instance_uid, "L1-L2", source, spacing_mm),
            _slip(study_instance_uid, "L2-L3", source, spacing_mm),
            *others,
        ),
        models=(MODEL,),
        software_version=SOFTWARE_VERSION,
    )


def _vertebra(study: str, level: str, source: FrameReference, spacing: tuple[float, float], *, loss: float) -> Finding:
    present = loss >= 25
    lines = [
        _line(f"{name}_height", source, (8.25 + 3 * i, 6.5), (8.75 + 3 * i, 15.13 + i), spacing)
        for i, name in enumerate(("anterior", "middle", "posterior"))
    ]
    kyphosis, cobb = _kyphosis(source)
    point = Geometry(type=GeometryType.POINT, points=((11.5, 10.5),))
    return Finding(
        id=tracking_uid(study, Question.COMPRESSION_FRACTURE, level),
        question=Question.COMPRESSION_FRACTURE,
        site=Site(level=level),
        assessment=Present() if present else Absent(),
        grades=(Grade(scale="genant", value="2"), Grade(scale="genant_shape", value="wedge"))
        if present
        else (Grade(scale="genant", value="0"),),
        probability=0.93 if present else 0.02,
        calibration=Calibration.NONE,
        operating_point="height loss >= 25 % and z <= -3",
        measurements=(
            *(m for m, _ in lines),
            Measurement(name="height_loss", value=loss, unit="%", uncertainty=4.5, method="largest of the three"),
            Measurement(name="height_z_score", value=-loss / 8, unit="1", uncertainty=None, method="worst of three"),
            kyphosis,
        ),
        evidence=(Evidence(source=source, geometry=point), *(e for _, e in lines), cobb),
        model=MODEL.name,
    )


def _edge(study: str, level: str) -> Finding:
    sentence = "The body of L3 touches the edge of the field of view."
    return Finding(
        id=tracking_uid(study, Question.COMPRESSION_FRACTURE, level),
        question=Question.COMPRESSION_FRACTURE,
        site=Site(level=level),
        assessment=NotAssessed(reason=ReasonCode.TRUNCATION, sentence=sentence),
        model=MODEL.name,
    )


def _canal(study: str, level: str, source: FrameReference, spacing: tuple[float, float]) -> Finding:
    measurement, evidence = _line("canal_ap_diameter", source, (20.0, 20.0), (27.0, 21.0), spacing)
    sentence = "No installed detector grades canal stenosis; the measurement is given alone."
    return Finding(
        id=tracking_uid(study, Question.STENOSIS, level),
        question=Question.STENOSIS,
        site=Site(level=level),
        assessment=NotAssessed(reason=ReasonCode.NO_MODEL, sentence=sentence),
        measurements=(measurement,),
        evidence=(evidence,),
        model=MODEL.name,
    )


def _slip(study: str, level: str, source: FrameReference, spacing: tuple[float, float]) -> Finding:
    drawn, evidence = _line("slip", source, (19.0, 21.0), (12.0, 20.5), spacing)
    point = Geometry(type=GeometryType.POINT, points=((12.0, 21.5),))
    return Finding(
        id=tracking_uid(study, Question.SPONDYLOLISTHESIS, level),
        question=Question.SPONDYLOLISTHESIS,
        site=Site(level=level),
        assessment=Present(),
        measurements=(
            replace(drawn, value=-drawn.value),
            Measurement(name="slip_percent", value=-15.4, unit="%", uncertainty=1.2, method="over the endplate"),
        ),
        evidence=(Evidence(source=source, geometry=point), evidence),
        model=MODEL.name,
    )


def _kyphosis(source: FrameReference) -> tuple[Measurement, Evidence]:
    """Right for pixels of 1.5 x 0.75 mm; the report computes it anew."""
    lines = ((8.0, 6.5), (18.0, 5.5), (8.0, 16.0), (18.0, 17.13))
    measurement = Measurement(name="local_kyphosis", value=24.0, unit="deg", uncertainty=1.6, method="Cobb")
    geometry = Geometry(type=GeometryType.POLYLINE, points=lines)
    return measurement, Evidence(source=source, geometry=geometry, measurement="local_kyphosis")


def _line(
    name: str,
    source: FrameReference,
    start: tuple[float, float],
    end: tuple[float, float],
    spacing_mm: tuple[float, float],
) -> tuple[Measurement, Evidence]:
    length = float(np.hypot((end[0] - start[0]) * spacing_mm[1], (end[1] - start[1]) * spacing_mm[0]))
    measurement = Measurement(name=name, value=round(length, 2), unit="mm", uncertainty=0.4, method="end to end")
    geometry = Geometry(type=GeometryType.POLYLINE, points=(start, end))
    return measurement, Evidence(source=source, geometry=geometry, measurement=name)


def spine_segmentation(
    series_instance_uid: str, sources: Sequence[FrameReference], shape: tuple[int, int], *, levels: int = 2
) -> Segmentation:
    """Vertebrae with their bodies (overlapping), discs and the canal, as boxes that differ from slice to slice."""
    names = [f"L{number + 1}" for number in range(levels)]
    height = shape[0] // (levels + 1)
    segments: list[Segment] = []
    for index, name in enumerate(names):
        rows = slice(index * height + 1, index * height + height - 1)
        whole = _box(len(sources), shape, rows, slice(2, shape[1] // 2))
        body = _box(len(sources), shape, rows, slice(2, shape[1] // 4))
        segments.append(_segment(f"{name} vertebra", Structure.VERTEBRA, name, whole))
        segments.append(_segment(f"{name} vertebral body", Structure.VERTEBRAL_BODY, name, body))
        if index + 1 < levels:
            gap = slice(index * height + height - 1, index * height + height + 1)
            disc = _box(len(sources), shape, gap, slice(2, shape[1] // 4))
            segments.append(
                _segment(f"{name}-{names[index + 1]} disc", Structure.DISC, f"{name}-{names[index + 1]}", disc)
            )
    canal = _box(len(sources), shape, slice(1, shape[0] - 1), slice(shape[1] // 2, shape[1] // 2 + 3))
    segments.append(_segment("spinal canal", Structure.SPINAL_CANAL, None, canal))
    return Segmentation(
        series_instance_uid=series_instance_uid, sources=tuple(sources), segments=tuple(segments), model=MODEL
    )


def _segment(label: str, structure: Structure, level: str | None, mask: np.ndarray) -> Segment:
    uid = tracking_uid(label, structure)
    return Segment(label=label, structure=structure, level=level, tracking_uid=uid, mask=mask)


def _box(slices: int, shape: tuple[int, int], rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros((slices, *shape), dtype=bool)
    for index in range(slices):
        mask[index, rows, columns] = True
        mask[index, rows.start, columns.start + index % 3] = False
    return mask
