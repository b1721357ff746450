"""Studies by what DICOMweb says of their patient: name, ID, and what was examined. For those who may see images."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, func, select

from dicom_node.tables import web_studies

PATIENT_NAME, PATIENT_ID, STUDY_DESCRIPTION, ACCESSION = "00100010", "00100020", "00081030", "00080050"


def studies_of_patients(connection: Connection, word: str) -> list[str]:
    """Study Instance UIDs where the word is in one of the four, whatever the case."""
    attributes = web_studies.c.attributes
    query = select(web_studies.c.study_instance_uid, attributes)
    # The database narrows them down by the text of the row; which attribute it is in is looked at here.
    rows = connection.execute(query.where(func.lower(attributes).contains(word.lower(), autoescape=True)))
    return [row.study_instance_uid for row in rows if any(word.lower() in text for text in _texts(row.attributes))]


def _texts(attributes: str) -> Iterator[str]:
    document: dict[str, Any] = json.loads(attributes)
    for tag in (PATIENT_NAME, PATIENT_ID, STUDY_DESCRIPTION, ACCESSION):
        for value in document.get(tag, {}).get("Value", []):
            parts = value.values() if isinstance(value, dict) else [value]
            yield from (str(part).replace("^", " ").lower() for part in parts if part)
