"""Patient, ImagingStudy and Device: who and what the findings are about, from the header as it was received."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone

from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName

from dicom_node.code_table import DCM
from dicom_node.uids import device_uid
from inference.provenance import MANUFACTURER, SOFTWARE_NAME, ModelIdentity
from server.fhir.concepts import Json, coding, concept, reference, resource_id, typed_identifier, uid_identifier

SEXES: Mapping[str, str] = {"M": "male", "F": "female", "O": "other"}
"""Patient's Sex (0010,0040) to AdministrativeGender; anything else is left out."""
REPRESENTATION = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesCount:
    """One series of the study as it was received."""

    uid: str
    modality: str
    instances: int


def patient(header: Dataset) -> Json:
    """The patient: identifier, names, birth date and sex, each only where the header has it."""
    resource: Json = {"resourceType": "Patient", "id": resource_id("patient", str(header.StudyInstanceUID))}
    if identifier := str(header.get("PatientID", "") or ""):
        issuer = str(header.get("IssuerOfPatientID", "") or "")
        known_by = typed_identifier("MR", identifier)
        resource["identifier"] = [known_by | ({"assigner": {"display": issuer}} if issuer else {})]
    if names := list(_names(header.get("PatientName", None))):
        resource["name"] = names
    if born := _date(header.get("PatientBirthDate", None)):
        resource["birthDate"] = born.isoformat()
    if sex := SEXES.get(str(header.get("PatientSex", ""))):
        resource["gender"] = sex
    return resource


def _names(name: PersonName | str | None) -> Iterator[Json]:
    """One HumanName for each component group of a person name (PS3.5 6.2.1)."""
    parsed = PersonName(name) if name else PersonName("")
    groups = {"ABC": parsed.alphabetic, "IDE": parsed.ideographic, "SYL": parsed.phonetic}
    for representation, group in groups.items():
        family, given, middle, prefix, suffix = ((group or "").split("^") + [""] * 5)[:5]
        parts: Json = {
            "text": " ".join(filter(None, (prefix, given, middle, family, suffix))),
            "family": family,
            "given": [part for part in (given, middle) if part],
            "prefix": [prefix] if prefix else [],
            "suffix": [suffix] if suffix else [],
        }
        extension = [] if representation == "ABC" else [{"url": REPRESENTATION, "valueCode": representation}]
        if parts["text"]:
            yield {key: value for key, value in ({"extension": extension} | parts).items() if value}


def imaging_study(header: Dataset, series: Sequence[SeriesCount], subject: Json) -> Json:
    """The study with its series and the number of their instances."""
    uid = str(header.StudyInstanceUID)
    resource: Json = {
        "resourceType": "ImagingStudy",
        "id": resource_id("imaging study", uid),
        "identifier": [uid_identifier(uid), *accession(header)],
        "status": "available",
        "subject": reference(subject),
        "numberOfSeries": len(series),
        "numberOfInstances": sum(one.instances for one in series),
        "series": [_series(one) for one in series],
    }
    if started := study_start(header):
        resource["started"] = started
    if description := str(header.get("StudyDescription", "") or ""):
        resource["description"] = description
    return resource


def accession(header: Dataset) -> list[Json]:
    """The accession number as an identifier, if there is one."""
    number = str(header.get("AccessionNumber", "") or "")
    return [typed_identifier("ACSN", number)] if number else []


def _series(series: SeriesCount) -> Json:
    known = DCM.get(series.modality)
    modality = {"system": coding(DCM["MR"].code)["system"], "code": series.modality}
    return {
        "uid": series.uid,
        "modality": modality if known is None else coding(known.code),
        "numberOfInstances": series.instances,
    }


def study_start(header: Dataset) -> str | None:
    """Study Date, with Study Time where the header tells its time zone; a FHIR time without a zone is not allowed."""
    day = _date(header.get("StudyDate", None))
    moment, zone = _time(header.get("StudyTime", None)), _zone(str(header.get("TimezoneOffsetFromUTC", "") or ""))
    if day is None or moment is None or zone is None:
        return None if day is None else day.isoformat()
    return datetime.combine(day, moment, zone).isoformat()


def _date(value: object) -> date | None:
    try:
        return datetime.strptime(str(value), "%Y%m%d").replace(tzinfo=UTC).date()
    except ValueError:
        return None


def _time(value: object) -> time | None:
    """The time to the second (PS3.5 6.2, TM: HHMMSS.FFFFFF, from the hour on)."""
    digits = str(value or "").partition(".")[0].strip()
    try:
        return datetime.strptime(digits, "%H%M%S"[: len(digits)]).replace(tzinfo=UTC).time() if digits else None
    except ValueError:
        return None


def _zone(offset: str) -> timezone | None:
    try:
        found = datetime.strptime(offset.strip(), "%z").tzinfo
    except ValueError:
        return None
    difference = timedelta(0) if found is None else found.utcoffset(None)
    return timezone(difference or timedelta(0))


def server_device(uid: str, version: str) -> Json:
    """This server: what measures, by formula."""
    return _device(uid, SOFTWARE_NAME, version)


def model_device(model: ModelIdentity, server: Json) -> Json:
    """A learned model that this server runs, with the digest of its weights and what it was trained on."""
    resource = _device(device_uid(model), model.name, model.version)
    parameters = [f"weights sha256 {model.sha256}", *filter(None, [model.engine])]
    resource |= {
        "type": concept(DCM["123110"].code),
        "property": [{"type": concept(DCM["111002"].code), "valueCode": [{"text": text} for text in parameters]}],
        "parent": reference(server),
    }
    return resource | ({"note": [{"text": f"Training data: {model.training_data}"}]} if model.training_data else {})


def _device(uid: str, name: str, version: str) -> Json:
    return {
        "resourceType": "Device",
        "id": resource_id("device", uid),
        "identifier": [uid_identifier(uid)],
        "manufacturer": MANUFACTURER,
        "deviceName": [{"name": name, "type": "model-name"}],
        "version": [{"value": version}],
    }
