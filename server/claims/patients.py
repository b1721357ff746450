"""Which studies a medical record number has, from the search index, and what the header says of a study's patient."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert, select

from dicom_node.tables import web_studies
from server.tables import study_patients

_BATCH = 500
_PATIENT_ID, _NAME, _BIRTH_DATE, _STUDY_DATE = "00100020", "00100010", "00100030", "00080020"
_DATE_CHARACTERS = 8


def note_patients(connection: Connection) -> list[str]:
    """Add the studies that the search index has and the table lacks; returns their record numbers, each once."""
    new = select(web_studies.c.study_instance_uid, web_studies.c.attributes).where(
        web_studies.c.study_instance_uid.not_in(select(study_patients.c.study_instance_uid))
    )
    numbers: dict[str, None] = {}
    while rows := connection.execute(new.limit(_BATCH)).all():
        found = [
            {"study_instance_uid": row.study_instance_uid, "medical_record_number": _text(row.attributes, _PATIENT_ID)}
            for row in rows
        ]
        connection.execute(insert(study_patients), found)
        numbers |= dict.fromkeys(values["medical_record_number"] for values in found)
    return [number for number in numbers if number]


def studies_of(connection: Connection, medical_record_number: str) -> dict[str, Mapping[str, Any]]:
    """Study attributes (DICOM JSON) of the studies of a record number, by Study Instance UID."""
    joined = study_patients.join(web_studies, web_studies.c.study_instance_uid == study_patients.c.study_instance_uid)
    query = select(web_studies.c.study_instance_uid, web_studies.c.attributes).select_from(joined)
    which = study_patients.c.medical_record_number == medical_record_number
    rows = connection.execute(query.where(which).order_by(web_studies.c.study_instance_uid))
    return {row.study_instance_uid: json.loads(row.attributes) for row in rows}


def record_number(connection: Connection, study_instance_uid: str) -> str:
    """The record number of a study; empty where it is not known."""
    query = select(study_patients.c.medical_record_number)
    return connection.execute(query.where(study_patients.c.study_instance_uid == study_instance_uid)).scalar() or ""


def identifiers_of(attributes: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Of the patient, as claims.matching compares them."""
    name = _first(attributes, _NAME)
    birth = str(_first(attributes, _BIRTH_DATE) or "")
    found = (
        ("medical_record_number", str(_first(attributes, _PATIENT_ID) or "")),
        ("name", str(name.get("Alphabetic", "")) if isinstance(name, dict) else ""),
        ("birth_date", _day(birth) or ""),
    )
    return tuple((kind, value) for kind, value in found if value)


def study_day(attributes: Mapping[str, Any]) -> str | None:
    """Study Date in ISO 8601; None where the header has none that is one."""
    return _day(str(_first(attributes, _STUDY_DATE) or ""))


def _day(text: str) -> str | None:
    """DA (PS3.5 6.2) as ISO 8601."""
    if len(text) != _DATE_CHARACTERS or not text.isdecimal():
        return None
    return f"{text[:4]}-{text[4:6]}-{text[6:]}"


def _first(attributes: Mapping[str, Any], tag: str) -> Any:
    values = attributes.get(tag, {}).get("Value") or [None]
    return values[0]


def _text(attributes: str, tag: str) -> str:
    return str(_first(json.loads(attributes), tag) or "").strip()
