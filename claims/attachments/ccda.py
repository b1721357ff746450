"""A document as a C-CDA R2.1 Unstructured Document: the CDA R2 header of the US realm, and the bytes in base64.

Templates: US Realm Header 2.16.840.1.113883.10.20.22.1.1 and Unstructured Document 2.16.840.1.113883.10.20.22.1.10,
both extension 2015-08-01 (C-CDA R2.1 Vol. 2, June 2019 errata). What the header requires and is not known here (race,
ethnicity, addresses, telephone) is said to be unknown with nullFlavor UNK, never made up.
"""

from __future__ import annotations

import base64
import uuid
from datetime import datetime
from xml.etree.ElementTree import Element, SubElement, tostring

from claims.attachment import Attachment, AttachmentDocument
from claims.check import is_npi
from claims.claim import Patient

HL7, XSI = "urn:hl7-org:v3", "http://www.w3.org/2001/XMLSchema-instance"
LOINC, CONFIDENTIALITY, GENDER, NPI = (
    "2.16.840.1.113883.6.1",
    "2.16.840.1.113883.5.25",
    "2.16.840.1.113883.5.1",
    "2.16.840.1.113883.4.6",
)
"""Object identifiers of code systems and of the NPI registry (HL7 OID registry)."""
TEMPLATES = ("2.16.840.1.113883.10.20.22.1.1", "2.16.840.1.113883.10.20.22.1.10")
TEMPLATE_VERSION = "2015-08-01"
_GENDERS = {"F": "F", "M": "M", "O": "UN"}  # HL7 AdministrativeGender: female, male, undifferentiated
_NAMESPACE = uuid.UUID("6f1c2c58-6d0c-5d2b-9a1e-3a7d3f1f9b5e")  # of our document ids
_OID = "urn:oid:"


def write_ccda(
    attachment: Attachment, document: AttachmentDocument, *, made_at: datetime, member_system: str = ""
) -> bytes:
    """The XML, UTF-8; the same arguments give the same bytes.

    Args:
        attachment: whose header it is.
        document: what stands in the body.
        made_at: time of the document, with its time zone.
        member_system: system of the member identifier; its OID where it is ``urn:oid:...``.
    """
    root = Element("ClinicalDocument", {"xmlns": HL7, "xmlns:xsi": XSI})
    _identification(root, attachment, document, made_at)
    _patient(SubElement(SubElement(root, "recordTarget"), "patientRole"), attachment.claim.patient, member_system)
    _author(SubElement(root, "author"), attachment)
    custodian = SubElement(
        SubElement(SubElement(root, "custodian"), "assignedCustodian"), "representedCustodianOrganization"
    )
    _organization(custodian, attachment.custodian, attachment.claim.organization_id)
    if attachment.signed_at is not None:
        _signature(SubElement(root, "legalAuthenticator"), attachment, attachment.signed_at)
    event = SubElement(SubElement(root, "documentationOf"), "serviceEvent", classCode="ACT")
    day = f"{attachment.study_date:%Y%m%d}"
    span = SubElement(event, "effectiveTime")
    SubElement(span, "low", value=day)
    SubElement(span, "high", value=day)
    body = SubElement(SubElement(root, "component"), "nonXMLBody")
    text = SubElement(body, "text", mediaType=document.media_type, representation="B64")
    text.text = base64.b64encode(document.content).decode("ascii")
    xml: bytes = tostring(root, encoding="UTF-8", xml_declaration=True)
    return xml


def _identification(root: Element, attachment: Attachment, document: AttachmentDocument, made_at: datetime) -> None:
    SubElement(root, "realmCode", code="US")
    SubElement(root, "typeId", root="2.16.840.1.113883.1.3", extension="POCD_HD000040")
    for template in TEMPLATES:
        SubElement(root, "templateId", root=template, extension=TEMPLATE_VERSION)
    place = attachment.documents.index(document)
    name = f"{attachment.control_number}/{place}/{made_at.isoformat()}"
    SubElement(root, "id", root=str(uuid.uuid5(_NAMESPACE, name)).upper())
    SubElement(root, "code", code=document.loinc, codeSystem=LOINC, codeSystemName="LOINC")
    SubElement(root, "title").text = document.title
    SubElement(root, "effectiveTime", value=f"{made_at:%Y%m%d%H%M%S%z}")
    SubElement(root, "confidentialityCode", code="N", codeSystem=CONFIDENTIALITY)
    SubElement(root, "languageCode", code="en-US")


def _patient(role: Element, patient: Patient, member_system: str) -> None:
    root = member_system.removeprefix(_OID) if member_system.startswith(_OID) else None
    known = {"root": root} if root else {"nullFlavor": "UNK"}
    SubElement(role, "id", {**known, "extension": patient.member_id or ""})
    _unknown(role, "addr", "telecom")
    person = SubElement(role, "patient")
    name = SubElement(person, "name", use="L")
    if patient.given_name:
        SubElement(name, "given").text = patient.given_name
    else:
        _unknown(name, "given")
    SubElement(name, "family").text = patient.family_name
    gender = _GENDERS.get(patient.sex or "")
    if gender:
        SubElement(person, "administrativeGenderCode", code=gender, codeSystem=GENDER)
    else:
        _unknown(person, "administrativeGenderCode")
    if patient.birth_date:
        SubElement(person, "birthTime", value=f"{patient.birth_date:%Y%m%d}")
    else:
        _unknown(person, "birthTime")
    _unknown(person, "raceCode", "ethnicGroupCode")


def _author(author: Element, attachment: Attachment) -> None:
    if attachment.signed_at is None:
        _unknown(author, "time")
    else:
        SubElement(author, "time", value=f"{attachment.signed_at:%Y%m%d%H%M%S%z}")
    assigned = SubElement(author, "assignedAuthor")
    _person(assigned, attachment)
    _organization(SubElement(assigned, "representedOrganization"), attachment.author_organization, "")


def _signature(authenticator: Element, attachment: Attachment, signed_at: datetime) -> None:
    SubElement(authenticator, "time", value=f"{signed_at:%Y%m%d%H%M%S%z}")
    SubElement(authenticator, "signatureCode", code="S")
    _person(SubElement(authenticator, "assignedEntity"), attachment)


def _person(assigned: Element, attachment: Attachment) -> None:
    _identifier(assigned, attachment.author_npi)
    _unknown(assigned, "addr", "telecom")
    SubElement(SubElement(assigned, "assignedPerson"), "name").text = attachment.author


def _organization(organization: Element, name: str, identifier: str) -> None:
    _identifier(organization, identifier)
    SubElement(organization, "name").text = name
    _unknown(organization, "telecom", "addr")


def _identifier(parent: Element, npi: str) -> None:
    """An identifier in the NPI registry; unknown where it is none."""
    if is_npi(npi):
        SubElement(parent, "id", root=NPI, extension=npi)
    else:
        _unknown(parent, "id")


def _unknown(parent: Element, *names: str) -> None:
    for name in names:
        SubElement(parent, name, nullFlavor="UNK")
