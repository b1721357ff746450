"""findings.json: the document as canonical bytes, and back.

``encode`` and ``decode`` are each other's inverse; the schema beside this file says what other programs may rely on.
"""

from __future__ import annotations

import json
from datetime import datetime
from importlib import resources
from typing import Any, assert_never

from inference.anatomy import EndplateSide, Laterality, Numbering, Region, Site
from inference.errors import ReasonCode, UsageRefusal
from inference.findings.assessment import Absent, Assessment, NotAssessed, Present
from inference.findings.document import SCHEMA, SeriesUse, StudyFindings
from inference.findings.finding import (
    Calibration,
    Evidence,
    Finding,
    FindingReview,
    Geometry,
    GeometryType,
    Grade,
    Measurement,
    Question,
)
from inference.findings.reviewed import DocumentReview, Reviewer, ReviewReason, ReviewStatus
from inference.geometry import FrameReference
from inference.provenance import SOFTWARE_NAME, ModelIdentity


def encode(document: StudyFindings) -> bytes:
    """The document as canonical JSON: sorted keys, UTF-8, two-space indent, one newline at the end."""
    text = json.dumps(to_json(document), ensure_ascii=False, indent=2, sort_keys=True, allow_nan=False)
    return f"{text}\n".encode()


def decode(data: bytes) -> StudyFindings:
    """The document of canonical or any equivalent JSON; UsageRefusal when it is not ``spine-findings/1``."""
    try:
        return from_json(json.loads(data))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageRefusal(f"findings must be a {SCHEMA} document, but {type(error).__name__}: {error}") from error


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of findings.json."""
    loaded: dict[str, Any] = json.loads(resources.files(__package__).joinpath("schema.json").read_text("utf-8"))
    return loaded


def to_json(document: StudyFindings) -> dict[str, Any]:
    """The document as JSON values; ``review`` only where there was one."""
    values = {
        "schema": SCHEMA,
        "study_instance_uid": document.study_instance_uid,
        "series": [_series_to_json(s) for s in document.series],
        "numbering": {
            "method": document.numbering.method,
            "ambiguous": document.numbering.ambiguous,
            "note": document.numbering.note,
        },
        "findings": [_finding_to_json(f) for f in document.findings],
        "models": [
            {
                "name": m.name,
                "version": m.version,
                "sha256": m.sha256,
                "training_data": m.training_data,
                "engine": m.engine,
            }
            for m in document.models
        ],
        "software": {"name": SOFTWARE_NAME, "version": document.software_version},
        "notice": document.notice,
    }
    return values | ({"review": _document_review_to_json(document.review)} if document.review else {})


def from_json(values: dict[str, Any]) -> StudyFindings:
    """The document of JSON values; ValueError, KeyError or TypeError when they are not one."""
    schema_name = values["schema"]
    if schema_name != SCHEMA:
        raise ValueError(f"schema must be {SCHEMA!r}, got {schema_name!r}")
    return StudyFindings(
        study_instance_uid=values["study_instance_uid"],
        series=tuple(_series_from_json(s) for s in values["series"]),
        numbering=Numbering(**values["numbering"]),
        findings=tuple(_finding_from_json(f) for f in values["findings"]),
        models=tuple(ModelIdentity(**m) for m in values["models"]),
        software_version=values["software"]["version"],
        review=_document_review_from_json(values["review"]) if "review" in values else None,
    )


def _series_to_json(series: SeriesUse) -> dict[str, Any]:
    """``warnings`` only where there are any, so that what has none keeps its bytes."""
    values = {
        "uid": series.uid,
        "modality": series.modality,
        "plane": series.plane,
        "contrast": series.contrast,
        "role": series.role,
        "used_by": list(series.used_by),
        "refused": None if series.refused is None else _reason_to_json(series.refused),
    }
    return values | ({"warnings": [_reason_to_json(w) for w in series.warnings]} if series.warnings else {})


def _series_from_json(values: dict[str, Any]) -> SeriesUse:
    refused = values["refused"]
    return SeriesUse(
        uid=values["uid"],
        modality=values["modality"],
        plane=values["plane"],
        contrast=values["contrast"],
        role=values["role"],
        used_by=tuple(values["used_by"]),
        refused=None if refused is None else _reason_from_json(refused),
        warnings=tuple(_reason_from_json(warning) for warning in values.get("warnings", ())),
    )


def _reason_to_json(reason: tuple[ReasonCode, str]) -> dict[str, str]:
    return {"code": reason[0].value, "sentence": reason[1]}


def _reason_from_json(values: dict[str, str]) -> tuple[ReasonCode, str]:
    return ReasonCode(values["code"]), values["sentence"]


def _assessment_to_json(assessment: Assessment) -> dict[str, str | None]:
    match assessment:
        case Present():
            return {"assessment": "present", "reason": None, "reason_sentence": None}
        case Absent():
            return {"assessment": "absent", "reason": None, "reason_sentence": None}
        case NotAssessed(reason=reason, sentence=sentence):
            return {"assessment": "not_assessed", "reason": reason.value, "reason_sentence": sentence}
        case _:
            assert_never(assessment)


def _assessment_from_json(values: dict[str, Any]) -> Assessment:
    match values["assessment"]:
        case "present":
            return Present()
        case "absent":
            return Absent()
        case "not_assessed":
            return NotAssessed(reason=ReasonCode(values["reason"]), sentence=values["reason_sentence"])
        case other:
            raise ValueError(f"assessment must be present, absent or not_assessed, got {other!r}")


def _finding_to_json(finding: Finding) -> dict[str, Any]:
    values = {
        "id": finding.id,
        "question": finding.question.value,
        "site": _site_to_json(finding.site),
        **_assessment_to_json(finding.assessment),
        "grade": _grade_to_json(finding.grades[0]) if finding.grades else None,
        "further_grades": [_grade_to_json(g) for g in finding.grades[1:]],
        "probability": finding.probability,
        "calibration": finding.calibration.value,
        "operating_point": finding.operating_point,
        "measurements": [
            {"name": m.name, "value": m.value, "unit": m.unit, "uncertainty": m.uncertainty, "method": m.method}
            for m in finding.measurements
        ],
        "evidence": [_evidence_to_json(e) for e in finding.evidence],
        "model": finding.model,
        "note": finding.note,
    }
    return values | ({"review": _finding_review_to_json(finding.review)} if finding.review else {})


def _grade_to_json(grade: Grade) -> dict[str, str]:
    """``calibration`` only where the grade has its own, so that what has none keeps its bytes."""
    values = {"scale": grade.scale, "value": grade.value}
    return values | ({"calibration": grade.calibration.value} if grade.calibration else {})


def _grade_from_json(values: dict[str, Any]) -> Grade:
    own = Calibration(values["calibration"]) if "calibration" in values else None
    return Grade(scale=values["scale"], value=values["value"], calibration=own)


def _site_to_json(site: Site) -> dict[str, str | None]:
    """``region`` only where there is one, so that what has none keeps its bytes."""
    values: dict[str, str | None] = {"level": site.level, "side": site.side, "endplate": site.endplate}
    return values | ({"region": site.region} if site.region else {})


def _finding_from_json(values: dict[str, Any]) -> Finding:
    site = values["site"]
    grades = ([values["grade"]] if values["grade"] else []) + values["further_grades"]
    return Finding(
        id=values["id"],
        question=Question(values["question"]),
        site=Site(
            level=site["level"],
            side=Laterality(site["side"]) if site["side"] else None,
            endplate=EndplateSide(site["endplate"]) if site["endplate"] else None,
            region=Region(site["region"]) if "region" in site else None,
        ),
        assessment=_assessment_from_json(values),
        grades=tuple(map(_grade_from_json, grades)),
        probability=values["probability"],
        calibration=Calibration(values["calibration"]),
        operating_point=values["operating_point"],
        measurements=tuple(Measurement(**m) for m in values["measurements"]),
        evidence=tuple(_evidence_from_json(e) for e in values["evidence"]),
        model=values["model"],
        note=values["note"],
        review=_finding_review_from_json(values["review"]) if "review" in values else None,
    )


def _evidence_to_json(evidence: Evidence) -> dict[str, Any]:
    return {
        "sop_class_uid": evidence.source.sop_class_uid,
        "sop_instance_uid": evidence.source.sop_instance_uid,
        "frame": evidence.source.frame,
        "geometry": {"type": evidence.geometry.type.value, "points": [list(p) for p in evidence.geometry.points]},
        "measurement": evidence.measurement,
    }


def _evidence_from_json(values: dict[str, Any]) -> Evidence:
    geometry = values["geometry"]
    return Evidence(
        source=FrameReference(
            sop_class_uid=values["sop_class_uid"], sop_instance_uid=values["sop_instance_uid"], frame=values["frame"]
        ),
        geometry=Geometry(
            type=GeometryType(geometry["type"]), points=tuple((float(x), float(y)) for x, y in geometry["points"])
        ),
        measurement=values["measurement"],
    )


def _document_review_to_json(review: DocumentReview) -> dict[str, Any]:
    return {
        "number": review.number,
        "revision": review.revision,
        "reviewer": {
            "name": review.reviewer.name,
            "identifier": review.reviewer.identifier,
            "organisation": review.reviewer.organisation,
        },
        "reviewed_at": review.reviewed_at.isoformat(timespec="seconds"),
        "supersedes": review.supersedes,
    }


def _document_review_from_json(values: dict[str, Any]) -> DocumentReview:
    return DocumentReview(
        number=values["number"],
        revision=values["revision"],
        reviewer=Reviewer(**values["reviewer"]),
        reviewed_at=datetime.fromisoformat(values["reviewed_at"]),
        supersedes=values["supersedes"],
    )


def _finding_review_to_json(review: FindingReview) -> dict[str, Any]:
    return {
        "status": review.status.value,
        "reviewer": review.reviewer,
        "reason": None if review.reason is None else review.reason.value,
        "note": review.note,
        "changed": list(review.changed),
        "original": None if review.original is None else _finding_to_json(review.original),
    }


def _finding_review_from_json(values: dict[str, Any]) -> FindingReview:
    return FindingReview(
        status=ReviewStatus(values["status"]),
        reviewer=values["reviewer"],
        reason=None if values["reason"] is None else ReviewReason(values["reason"]),
        note=values["note"],
        changed=tuple(values["changed"]),
        original=None if values["original"] is None else _finding_from_json(values["original"]),
    )
