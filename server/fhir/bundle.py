"""The Bundle of one study revision, as canonical bytes that fhir.resources accepts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydicom.dataset import Dataset

from dicom_node.uids import server_device_uid
from inference.findings import FIVE_QUESTIONS, StudyFindings
from inference.findings.encode import to_json
from inference.findings.summary import summarise
from server.fhir.concepts import (
    IMAGING_STUDY_REPORT,
    SECURITY_LABELS,
    Json,
    concept,
    reference,
    resource_id,
    uid_identifier,
)
from server.fhir.observations import Frame, numbering_observation, observations_of
from server.fhir.study import (
    SeriesCount,
    accession,
    imaging_study,
    model_device,
    patient,
    server_device,
    study_start,
)

MEDIA_TYPE = "application/fhir+json"
RADIOLOGY = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "RAD"}]}


@dataclass(frozen=True, slots=True, kw_only=True)
class FhirStudy:
    """Everything that the Bundle of one revision follows from."""

    findings: StudyFindings
    header: Dataset
    """Of one instance of the study: its identifiers are taken as they are."""
    series: Sequence[SeriesCount]
    report_uid: str
    """SOP Instance UID of the SR of the revision."""
    issued: datetime
    """With its time zone: the time inside the SR."""
    ae_title: str
    """Name of this installation."""
    is_reviewed: bool = False
    """Whether a physician answers for it: only then is it final."""


def encode_bundle(study: FhirStudy) -> bytes:
    """The Bundle as compact JSON: sorted keys, UTF-8, one newline at the end; checked against R4B's definitions.

    Raises:
        ValueError: fhir.resources finds it wrong (a fault of ours).
    """
    # Loaded when first asked for: its definitions take two seconds, and most nodes never need them.
    from fhir.resources.R4B.bundle import Bundle  # noqa: PLC0415

    values = bundle_json(study)
    Bundle.model_validate(values)
    return (json.dumps(values, ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n").encode()


def bundle_json(study: FhirStudy) -> Json:
    """The Bundle as JSON values: the report first, then what it refers to."""
    document = study.findings
    subject = patient(study.header)
    images = imaging_study(study.header, study.series, subject)
    server = server_device(server_device_uid(study.ae_title), document.software_version)
    models = {model.name: model_device(model, server) for model in document.models}
    frame = Frame(
        status="final" if study.is_reviewed else "preliminary",
        issued=study.issued.isoformat(),
        effective=study_start(study.header),
        patient=subject,
        study=images,
        server=server,
        models=models,
    )
    notice = str(to_json(document)["notice"])
    groups = [list(observations_of(finding, frame, notice)) for finding in document.findings]
    numbering = numbering_observation(document, frame)
    report = _report(study, frame, [numbering, *(group[0] for group in groups)], notice)
    observations = [numbering, *(one for group in groups for one in group)]
    resources = [report, subject, images, server, *models.values(), *observations]
    return {
        "resourceType": "Bundle",
        "id": resource_id("bundle", study.report_uid),
        "type": "collection",
        "timestamp": frame.issued,
        "entry": [{"fullUrl": f"urn:uuid:{one['id']}", "resource": one} for one in resources],
    }


def _report(study: FhirStudy, frame: Frame, results: Sequence[Json], notice: str) -> Json:
    document = study.findings
    numbering = [f"Level numbering uncertain: {document.numbering.note}"] if document.numbering.ambiguous else []
    sentences = [notice, *numbering, *(summarise(question, document) for question in FIVE_QUESTIONS)]
    made: Json = {
        "resourceType": "DiagnosticReport",
        "id": resource_id("report", study.report_uid),
        "meta": {"security": list(SECURITY_LABELS)},
        "identifier": [uid_identifier(study.report_uid)],
        "status": frame.status,
        "category": [RADIOLOGY],
        "code": concept(IMAGING_STUDY_REPORT),
        "subject": reference(frame.patient),
        "issued": frame.issued,
        "result": [reference(result) for result in results],
        "imagingStudy": [reference(frame.study)],
        "conclusion": "\n".join(sentences),
    }
    if document.review is not None:
        person = document.review.reviewer
        made["resultsInterpreter"] = [
            {"type": "Practitioner", "identifier": {"value": person.identifier}, "display": person.display_name}
        ]
    if ordered := accession(study.header):
        made["basedOn"] = [{"type": "ServiceRequest", "identifier": ordered[0]}]
    return made if frame.effective is None else made | {"effectiveDateTime": frame.effective}
