"""Observations: each finding, each of its measurements, and the level numbering."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dicom_node import codes
from dicom_node.code_table import DCM, OWN_EVALUATIONS, OWN_MEASUREMENTS, SCT
from dicom_node.sr.words import place_words, question_words, statement
from dicom_node.uids import measurement_tracking_uid
from inference.anatomy import Site
from inference.errors import ReasonCode
from inference.findings import (
    Calibration,
    Finding,
    FindingReview,
    Grade,
    Measurement,
    NotAssessed,
    ReviewStatus,
    StudyFindings,
)
from inference.findings.summary import CALIBRATIONS
from server.fhir.concepts import (
    AI_CONFIDENCE,
    LATERALITY,
    PERSONS_LABELS,
    SECURITY_LABELS,
    TOPOGRAPHICAL_MODIFIER,
    Json,
    coding,
    concept,
    quantity,
    reference,
    resource_id,
    uid_identifier,
)

ABSENT_REASONS = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
ABSENT_REASON_OF: Mapping[str, str] = {
    "114006": "error",
    "114007": "not-performed",
    "114008": "error",
    "114011": "unknown",
}
"""FHIR's reason by the CID 42 qualifier that the SR has for the same reason (codes.QUALIFIERS)."""
IMAGING = {
    "coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "imaging"}],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What all Observations of a study have in common."""

    status: str
    """``preliminary`` or ``final``."""
    issued: str
    effective: str | None
    patient: Json
    study: Json
    server: Json
    models: Mapping[str, Json]
    """Devices by the name of the model."""

    def observation(self, kind: str, uid: str, device: Json) -> Json:
        """The beginning of every Observation; ``uid`` is its tracking UID."""
        made: Json = {
            "resourceType": "Observation",
            "id": resource_id(kind, uid),
            "meta": {"security": list(SECURITY_LABELS)},
            "identifier": [uid_identifier(uid, DCM["112040"].code)],
            "partOf": [reference(self.study)],
            "status": self.status,
            "category": [IMAGING],
            "subject": reference(self.patient),
            "issued": self.issued,
            "device": reference(device),
            "derivedFrom": [reference(self.study)],
        }
        return made if self.effective is None else made | {"effectiveDateTime": self.effective}


def observations_of(finding: Finding, frame: Frame, notice: str) -> Iterator[Json]:
    """The Observation of a finding, then those of its measurements."""
    members = [_measurement(finding, measurement, frame) for measurement in finding.measurements]
    device = frame.models.get(finding.model or "", frame.server)
    made = frame.observation("finding", finding.id, device) | {
        "code": concept(codes.question_code(finding.question, finding.site), text=question_words(finding)),
        "bodySite": _body_site(finding),
        "note": [{"text": statement(finding)}, {"text": notice}],
        **_answer(finding),
        **_by_a_person(finding.review),
    }
    components = [*_grades(finding), *_site_parts(finding.site), *_certainty(finding)]
    made |= {"component": components} if components else {}
    made |= {"hasMember": [reference(member) for member in members]} if members else {}
    yield made
    yield from members


def numbering_observation(document: StudyFindings, frame: Frame) -> Json:
    """Whether the levels can be trusted: a wrong level is the worst error that this software can make."""
    uid = measurement_tracking_uid(document.study_instance_uid, "numbering")
    return frame.observation("numbering", uid, frame.server) | {
        "code": concept(OWN_EVALUATIONS["NUMBERING"].code),
        "valueCodeableConcept": concept(codes.numbering_code(document.numbering)),
        "note": [{"text": document.numbering.note}],
    }


def _answer(finding: Finding) -> Json:
    """Present and absent are values; not assessed is a reason why there is none."""
    if not isinstance(finding.assessment, NotAssessed):
        return {"valueCodeableConcept": concept(codes.answer_code(finding.assessment))}
    reason = finding.assessment.reason
    return {
        "dataAbsentReason": {
            "coding": [{"system": ABSENT_REASONS, "code": absent_reason(reason)}, coding(codes.reason_code(reason))],
            "text": finding.assessment.sentence,
        }
    }


def absent_reason(reason: ReasonCode) -> str:
    """FHIR's data absent reason."""
    return ABSENT_REASON_OF[codes.QUALIFIERS[reason].value]


def _measurement(finding: Finding, measurement: Measurement, frame: Frame) -> Json:
    """A number with its unit, its method in words and one standard deviation up and down; measured by this server."""
    uid = measurement_tracking_uid(finding.id, measurement.name)
    made = frame.observation("measurement", uid, frame.server) | {
        "code": concept(codes.measurement_code(measurement.name)),
        "bodySite": _body_site(finding),
        "valueQuantity": quantity(measurement.value, measurement.unit),
        "method": {"text": measurement.method},
    }
    if measurement.uncertainty is None:
        return made
    spread = quantity(measurement.uncertainty, measurement.unit)
    ranges = (SCT["371886008"].code, SCT["371885007"].code)
    return made | {"component": [{"code": concept(name), "valueQuantity": spread} for name in ranges]}


def _body_site(finding: Finding) -> Json:
    return concept(codes.level_code(finding.site.level), text=place_words(finding))


def _by_a_person(review: FindingReview | None) -> Json:
    """Who answers for it; what a person added was never asserted by AI."""
    if review is None:
        return {}
    made: Json = {"performer": [{"type": "Practitioner", "display": review.reviewer}]}
    return made | ({"meta": {"security": list(PERSONS_LABELS)}} if review.status is ReviewStatus.ADDED else {})


def _grades(finding: Finding) -> Iterator[Json]:
    for grade in finding.grades:
        name, value = codes.grade_codes(grade)
        yield {
            "code": concept(name),
            "valueCodeableConcept": concept(value),
            **_calibrated(_calibration(grade, finding)),
        }


def _calibration(grade: Grade, finding: Finding) -> Calibration | None:
    """Of a grade, which is its finding's where it has none of its own; None where a person gave the grade."""
    review = finding.review
    by_a_person = review is not None and (review.status is ReviewStatus.ADDED or "grades" in review.changed)
    return grade.calibration if grade.calibration or by_a_person else finding.calibration


def _calibrated(calibration: Calibration | None) -> Json:
    """What the confidence of AI in an element was calibrated on, in words (HL7 AI Transparency, AIconfidence)."""
    if calibration is None:
        return {}
    return {"extension": [{"url": AI_CONFIDENCE, "valueCodeableConcept": {"text": CALIBRATIONS[calibration]}}]}


def _site_parts(site: Site) -> Iterator[Json]:
    """Side, and endplate or region: R4 has one body site, and no qualifier of it."""
    _, side, part = codes.site_codes(site)
    for name, value in ((LATERALITY, side), (TOPOGRAPHICAL_MODIFIER, part)):
        if value is not None:
            yield {"code": concept(name), "valueCodeableConcept": concept(value)}


def _certainty(finding: Finding) -> Iterator[Json]:
    """Probability, or score where it is not calibrated on patients, and the operating point, as in the SR."""
    if finding.probability is not None:
        calibrated = finding.calibration is Calibration.REAL
        name = DCM["122157"] if calibrated else OWN_MEASUREMENTS["SCORE"]
        value = quantity(finding.probability, "1")
        yield {"code": concept(name.code), "valueQuantity": value, **_calibrated(finding.calibration)}
    if finding.operating_point is not None:
        yield {"code": concept(OWN_EVALUATIONS["OPERATING_POINT"].code), "valueString": finding.operating_point}
