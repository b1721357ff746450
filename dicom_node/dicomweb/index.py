"""The search index: what is searched for and answered of every header, read from the files once they are safe.

The receiver writes nothing here, so an acknowledgement waits for no index. What has no row is found by comparing the
tables, read, and added in one transaction per batch, so that a kill leaves either all of a batch or nothing; two
processes that read the same instance write the same rows. All rows may be deleted at any time: they are made again.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from sqlalchemy import Connection, Engine, Table

from dicom_node.dicomweb.encoding import JsonDataset, element_as_json, quietly
from dicom_node.dicomweb.held import Held, Holdings
from dicom_node.dicomweb.levels import INDEXED, INSTANCE_NUMBER, MODALITY, SERIES_NUMBER, Level, tag_of
from dicom_node.dicomweb.metadata import Described, describe, packed, stated
from dicom_node.object_store import ObjectStoreFailure
from dicom_node.reader.values import PARSE_ERRORS
from dicom_node.tables import web_headers, web_instances, web_series, web_studies

BATCH = 200
"""Instances in one transaction: the receiver waits for its end, some milliseconds."""
MODALITY_MAX_CHARACTERS = 16
"""CS, PS3.5 6.2."""
PATIENT_ID = tag_of("PatientID")
LARGEST_NUMBER = 2**31 - 1
"""IS, PS3.5 6.2; where no number is stated, the entry comes last."""

log = logging.getLogger(__name__)

TABLES = (web_studies, web_series, web_instances, web_headers)


@dataclass(slots=True)
class SearchIndex:
    """Keeps the tables web_studies, web_series, web_instances and web_headers complete. Thread-safe."""

    engine: Engine
    holdings: Holdings
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _complete_at: tuple[int, ...] | None = None
    """Holdings.counts when nothing was missing."""

    def refresh(self, study_instance_uid: str | None = None, *, budget_s: float | None = None) -> bool:
        """Read what is missing of a study, or of all; False when the time ran out, or files cannot be fetched now."""
        try:
            return self._refresh(study_instance_uid, budget_s)
        except ObjectStoreFailure as failure:
            log.warning("instances_not_fetched", extra={"reason": str(failure)})
            return False

    def _refresh(self, study_instance_uid: str | None, budget_s: float | None) -> bool:
        deadline = None if budget_s is None else time.monotonic() + budget_s
        counts = self.holdings.counts() if study_instance_uid is None else None
        if counts is not None and counts == self._complete_at:
            return True
        while True:
            missing = self.holdings.missing(study_instance_uid, BATCH)
            if missing:
                with self._lock:  # who has nothing to read does not wait for who has
                    missing = self.holdings.missing(study_instance_uid, BATCH)
                    self._add(missing)  # perhaps nothing any more: who held the lock before has read it
            if len(missing) < BATCH:
                break
            if deadline is not None and time.monotonic() > deadline:
                return False
        if counts is not None:
            self._complete_at = counts
        return True

    def _add(self, missing: Iterable[Held]) -> None:
        rows: dict[Table, list[dict[str, Any]]] = {table: [] for table in TABLES}
        for held in missing:
            for table, row in _rows(held, describe(held)):
                rows[table].append(row)
        with self.engine.begin() as connection:
            for table, values in rows.items():
                _insert(connection, table, values)


def read_attributes(held: Held, tags: Iterable[str]) -> JsonDataset:
    """Attributes that the index does not hold, from the file."""
    wanted = [int(tag, 16) for tag in tags]
    try:
        with quietly():
            dataset: Dataset = dcmread(held.path, stop_before_pixels=True, specific_tags=list(wanted))
            return {f"{tag:08X}": element_as_json(dataset, tag) for tag in wanted if tag in dataset}
    except (*PARSE_ERRORS, OSError):
        return {}


def _rows(held: Held, described: Described | None) -> Iterable[tuple[Table, dict[str, Any]]]:
    """Only its UIDs where the file cannot be read as a data set; no header is kept then, so that it is tried again."""
    attributes = stated(held) if described is None else described.document
    study = {"study_instance_uid": held.study_instance_uid}
    series = study | {"series_instance_uid": held.series_instance_uid}
    modality = str(_first(attributes, MODALITY) or "")[:MODALITY_MAX_CHARACTERS]
    yield (
        web_studies,
        study
        | {"received_at": held.received_at, "attributes": _text(attributes, Level.STUDY)}
        | {"patient_id": str(_first(attributes, PATIENT_ID) or "").strip()},
    )
    yield (
        web_series,
        series
        | {"modality": modality, "number": _number(attributes, SERIES_NUMBER)}
        | {"attributes": _text(attributes, Level.SERIES)},
    )
    yield (
        web_instances,
        series
        | {"sop_instance_uid": held.sop_instance_uid, "number": _number(attributes, INSTANCE_NUMBER)}
        | {"attributes": _text(attributes, Level.INSTANCE)},
    )
    if described is not None:
        yield web_headers, _header(held, described)


def _header(held: Held, described: Described) -> dict[str, Any]:
    layout = described.layout
    return {
        "sop_instance_uid": held.sop_instance_uid,
        "path": held.relative,
        "pixels_at": None if layout is None else layout.offset,
        "frame_bytes": None if layout is None else layout.frame_bytes,
        "frame_count": None if layout is None else layout.frame_count,
        "document": packed(described.document),
    }


def _text(attributes: Mapping[str, Any], level: Level) -> str:
    return json.dumps({tag: attributes[tag] for tag in INDEXED[level] if tag in attributes}, separators=(",", ":"))


def _first(attributes: Mapping[str, Any], tag: str) -> object:
    values = attributes.get(tag, {}).get("Value") or [None]
    return values[0]


def _number(attributes: Mapping[str, Any], tag: str) -> int:
    value = _first(attributes, tag)
    return min(int(value), LARGEST_NUMBER) if isinstance(value, int | float) else LARGEST_NUMBER


def _insert(connection: Connection, table: Table, values: list[dict[str, Any]]) -> None:
    """Add rows; those that are there stay as they are."""
    if not values:
        return
    dialect: Any = import_module(f"sqlalchemy.dialects.{connection.dialect.name}")
    key = list(table.primary_key)
    unique = {tuple(row[column.name] for column in key): row for row in reversed(values)}
    in_order = sorted(unique.items())  # so that two processes lock them in one order
    statement = dialect.insert(table).on_conflict_do_nothing(index_elements=key)
    connection.execute(statement, [row for _, row in in_order])
