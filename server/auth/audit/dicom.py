"""A record as a DICOM audit message: XML of PS3.15 A.5.1."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from xml.etree.ElementTree import Element, SubElement, tostring

from server.auth.audit.record import NODE_SENDS, PEER_SENDS, AuditKind, AuditRecord, Code

_SYSTEM_OBJECT, _PERSON = "2", "1"  # ParticipantObjectTypeCode
_REPORT, _SECURITY_USER, _SECURITY_RESOURCE = "3", "11", "13"  # ParticipantObjectTypeCodeRole
_IP_ADDRESS = "2"  # NetworkAccessPointTypeCode
_APPLICATION_SERVER = "4"  # AuditSourceTypeCode
_STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"  # what QIDO-RS asks, as a SOP class (PS3.4 C.3)
_APPLICATION = Code(value="110150", meaning="Application")
_DESTINATION = Code(value="110152", meaning="Destination Role ID")
_SOURCE = Code(value="110153", meaning="Source Role ID")  # CID 402
_USER_ID, _URI = Code(value="11", meaning="User Identifier"), Code(value="12", meaning="URI")  # RFC 3881 5.5.4


def audit_message(record: AuditRecord, *, source: str) -> str:
    """The message.

    Args:
        record: what happened.
        source: who reports it, our AE title.
    """
    codes = record.kind.codes
    root = Element("AuditMessage")
    event = SubElement(
        root,
        "EventIdentification",
        EventActionCode=codes.action,
        EventDateTime=moment(record.at),
        EventOutcomeIndicator=record.outcome.value,
    )
    _coded(event, "EventID", codes.event)
    if codes.type is not None:
        _coded(event, "EventTypeCode", codes.type)
    _participants(root, record, source)
    audit_source = SubElement(root, "AuditSourceIdentification", AuditSourceID=source)
    SubElement(audit_source, "AuditSourceTypeCode", {"csd-code": _APPLICATION_SERVER})
    _objects(root, record)
    return tostring(root, encoding="unicode", xml_declaration=True)


def moment(at: float) -> str:
    """Seconds since the epoch as XML Schema dateTime in UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _coded(parent: Element, name: str, code: Code, system: str = "DCM") -> None:
    words = {"csd-code": code.value, "codeSystemName": system, "originalText": code.meaning}
    SubElement(parent, name, words)


def _participants(root: Element, record: AuditRecord, source: str) -> None:
    sends = record.kind in NODE_SENDS
    asker = {"UserID": record.subject, "UserName": record.display_name, "UserIsRequestor": _word(not sends)}
    if record.role:
        asker["AlternativeUserID"] = f"{record.role} by {record.method}"
    if record.address:
        asker |= {"NetworkAccessPointID": record.address, "NetworkAccessPointTypeCode": _IP_ADDRESS}
    other = SubElement(root, "ActiveParticipant", asker)
    node = SubElement(root, "ActiveParticipant", UserID=source, UserIsRequestor=_word(sends))
    if sends or record.kind in PEER_SENDS:
        _coded(other, "RoleIDCode", _DESTINATION if sends else _SOURCE)
        _coded(node, "RoleIDCode", _SOURCE if sends else _DESTINATION)
    else:
        _coded(node, "RoleIDCode", _APPLICATION)


def _word(value: bool) -> str:  # noqa: FBT001 - xsd:boolean
    return "true" if value else "false"


def _objects(root: Element, record: AuditRecord) -> None:
    for study in record.studies:
        made = _object(root, study, _SYSTEM_OBJECT, _REPORT)
        _coded(made, "ParticipantObjectIDTypeCode", Code(value="110180", meaning="Study Instance UID"))
        SubElement(made, "ParticipantObjectName").text = study
        if record.instances:
            described = SubElement(made, "ParticipantObjectDescription")
            SubElement(described, "SOPClass", NumberOfInstances=str(record.instances))
    if record.kind is AuditKind.IMAGES_QUERIED:
        made = _object(root, _STUDY_ROOT_FIND, _SYSTEM_OBJECT, _REPORT)
        _coded(made, "ParticipantObjectIDTypeCode", Code(value="110181", meaning="SOP Class UID"))
        SubElement(made, "ParticipantObjectQuery").text = base64.b64encode(record.object.encode()).decode()
    elif record.object:
        is_user = record.kind is AuditKind.USER_CHANGED
        made = _object(
            root,
            record.object,
            _PERSON if is_user else _SYSTEM_OBJECT,
            _SECURITY_USER if is_user else _SECURITY_RESOURCE,
        )
        _coded(made, "ParticipantObjectIDTypeCode", _USER_ID if is_user else _URI, "RFC-3881")
        SubElement(made, "ParticipantObjectName").text = record.object


def _object(root: Element, identifier: str, type_code: str, role: str) -> Element:
    return SubElement(
        root,
        "ParticipantObjectIdentification",
        ParticipantObjectID=identifier,
        ParticipantObjectTypeCode=type_code,
        ParticipantObjectTypeCodeRole=role,
    )
