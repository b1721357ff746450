"""A record as a FHIR R4 AuditEvent, by the mapping to DICOM that the resource's page gives (R4, 6.4.7)."""

from __future__ import annotations

from typing import Any

from server.auth.audit.dicom import moment
from server.auth.audit.record import AuditRecord, Code

_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
_SOURCE_TYPE = {"system": f"{_TERMINOLOGY}/security-source-type", "code": "4", "display": "Application Server"}
_SYSTEM_OBJECT = {"system": f"{_TERMINOLOGY}/audit-entity-type", "code": "2", "display": "System Object"}
_REPORT = {"system": f"{_TERMINOLOGY}/object-role", "code": "3", "display": "Report"}
_SECURITY_RESOURCE = {"system": f"{_TERMINOLOGY}/object-role", "code": "13", "display": "Security Resource"}


def audit_event(record: AuditRecord, *, source: str) -> dict[str, Any]:
    """The resource.

    Args:
        record: what happened.
        source: who reports it, our AE title.
    """
    codes = record.kind.codes
    event: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "type": _coding(codes.event),
        "action": codes.action,
        "recorded": moment(record.at),
        "outcome": record.outcome.value,
        "agent": [_asker(record)],
        "source": {"observer": {"display": source}, "type": [_SOURCE_TYPE]},
    }
    if codes.type is not None:
        event["subtype"] = [_coding(codes.type)]
    entities = [_study(uid) for uid in record.studies]
    if record.object:
        entities.append({"type": _SYSTEM_OBJECT, "role": _SECURITY_RESOURCE, "name": record.object})
    if entities:
        event["entity"] = entities
    return event


def _coding(code: Code) -> dict[str, str]:
    return {"system": _DCM, "code": code.value, "display": code.meaning}


def _asker(record: AuditRecord) -> dict[str, Any]:
    agent: dict[str, Any] = {
        "who": {"identifier": {"value": record.subject}, "display": record.display_name},
        "requestor": True,
    }
    if record.role:
        agent["role"] = [{"text": record.role}]
    if record.address:
        agent["network"] = {"address": record.address, "type": "2"}
    return agent


def _study(uid: str) -> dict[str, Any]:
    identifier = {"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}
    return {"what": {"identifier": identifier}, "type": _SYSTEM_OBJECT, "role": _REPORT}
