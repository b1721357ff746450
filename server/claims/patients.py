"""Which studies a medical record number has, from the search index, and what the header says of a study's patient."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, select, update

from dicom_node.tables import web_studies

_BATCH = 500
_PATIENT_ID, _NAME, _BIRTH_DATE, _STUDY_DATE = "00100020", "00100010", "00100030", "00080020"
_ACCESSION = "00080050"
_DATE_CHARACTERS = 8


def studies_of(connection: Connection, medical_record_number: str) -> dict[str, Mapping[str, Any]]:
    """Study attributes (DICOM JSON) of the studies of a record number, by Study Instance UID."""
    query = select(web_studies.c.study_instance_uid, web_studies.c.attributes)
    which = web_studies.c.patient_id == medical_record_number
    rows = connection.execute(query.where(which).order_by(web_studies.c.study_instance_uid))
    return {row.study_instance_uid: json.loads(row.attributes) for row in rows}


def carry_over(connection: Connection) -> int:
    """Fill in the record number of studies that an earlier version indexed; returns how many.

    It kept the number in the attributes only. Called at each start of the web role, so that the last host that is
    upgraded finds what the others' earlier versions added meanwhile.
    """
    column, last, filled = web_studies.c.study_instance_uid, "", 0
    query = select(column, web_studies.c.attributes).where(
        web_studies.c.patient_id == "", web_studies.c.attributes.contains(f'"{_PATIENT_ID}"')
    )
    while rows := connection.execute(query.where(column > last).order_by(column).limit(_BATCH)).all():
        for uid, attributes in rows:
            number = str(_first(json.loads(attributes), _PATIENT_ID) or "").strip()
            if number:
                connection.execute(update(web_studies).where(column == uid).values(patient_id=number))
                filled += 1
        last = rows[-1].study_instance_uid
    return filled


def record_numbers(connection: Connection, studies: Collection[str]) -> list[str]:
    """The record numbers of studies, each once, where the search index has one."""
    query = select(web_studies.c.patient_id).where(web_studies.c.study_instance_uid.in_(studies)).distinct()
    return [number for number in connection.execute(query).scalars() if number]


def not_indexed(connection: Connection, studies: Collection[str]) -> list[str]:
    """Those of the studies that the search index does not have."""
    query = select(web_studies.c.study_instance_uid).where(web_studies.c.study_instance_uid.in_(studies))
    return sorted(set(studies) - set(connection.execute(query).scalars()))


def accession_of(attributes: Mapping[str, Any]) -> str:
    """Accession Number of a study; empty where it has none."""
    return str(_first(attributes, _ACCESSION) or "").strip()


def identifiers_of(attributes: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Of the patient, as claims.matching compares them."""
    name = _first(attributes, _NAME)
    birth = str(_first(attributes, _BIRTH_DATE) or "")
    found = (
        ("medical_record_number", str(_first(attributes, _PATIENT_ID) or "")),
        ("name", str(name.get("Alphabetic", "")) if isinstance(name, dict) else ""),
        ("birth_date", iso_day(birth) or ""),
    )
    return tuple((kind, value) for kind, value in found if value)


def study_day(attributes: Mapping[str, Any]) -> str | None:
    """Study Date in ISO 8601; None where the header has none that is one."""
    return iso_day(str(_first(attributes, _STUDY_DATE) or ""))


def iso_day(text: str) -> str | None:
    """DA (PS3.5 6.2) as ISO 8601."""
    if len(text) != _DATE_CHARACTERS or not text.isdecimal():
        return None
    return f"{text[:4]}-{text[4:6]}-{text[6:]}"


def _first(attributes: Mapping[str, Any], tag: str) -> Any:
    values = attributes.get(tag, {}).get("Value") or [None]
    return values[0]
