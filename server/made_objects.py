"""The DICOM objects that are made of a study: how they are kept, and what is known of each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydicom import Dataset, dcmread

from dicom_node.derived import to_bytes
from dicom_node.reader import IndexedSeries, source_headers
from dicom_node.uids import ObjectRole


class Write(Protocol):
    """Keeps a file under a name relative to the place of the results."""

    def __call__(self, name: str, data: bytes, /) -> None:
        """Write it; the same name is written again after a crash."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeObject:
    """One DICOM object that was made."""

    role: str
    """uids.ObjectRole."""
    name: str
    """File name."""
    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    sha256: str
    """Of the whole file."""


def keep(dataset: Dataset, role: ObjectRole, name: str, write: Callable[[str, bytes], None]) -> MadeObject:
    """Write an object, and say what it is."""
    data = to_bytes(dataset)
    write(name, data)
    return MadeObject(
        role=role.value,
        name=name,
        sop_instance_uid=str(dataset.SOPInstanceUID),
        sop_class_uid=str(dataset.SOPClassUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        sha256=hashlib.sha256(data).hexdigest(),
    )


def read_object(path: Path | None) -> Dataset | None:
    """An object that was made before; None where there is none."""
    return None if path is None else dcmread(path)


def headers_of(series: Iterable[IndexedSeries]) -> dict[str, list[Dataset]]:
    """Headers of every instance of every series, by Series Instance UID."""
    return {indexed.facts.series_instance_uid: _headers(indexed) for indexed in series}


def _headers(indexed: IndexedSeries) -> list[Dataset]:
    """Headers of every instance: also of a series that is no stack, because the report says so of its images."""
    if indexed.stacks:
        return source_headers(indexed)
    return [dcmread(path, stop_before_pixels=True, force=True) for path in indexed.files]


def result_values(made: Iterable[MadeObject], folder: str) -> list[dict[str, Any]]:
    """What was made, as values of the work queue; ``folder`` is relative to the spool's root."""
    return [
        {
            "role": item.role,
            "path": f"{folder}/{item.name}",
            "sop_instance_uid": item.sop_instance_uid,
            "sop_class_uid": item.sop_class_uid,
            "series_instance_uid": item.series_instance_uid,
            "sha256": item.sha256,
        }
        for item in made
    ]
