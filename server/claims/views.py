"""The views that were kept of a procedure: what the headers of its received images say, without decoding a pixel."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedXAImageStorage,
    EnhancedXRFImageStorage,
    KeyObjectSelectionDocumentStorage,
    SecondaryCaptureImageStorage,
    XRayAngiographicImageStorage,
    XRayRadiofluoroscopicImageStorage,
)
from sqlalchemy import Connection, Row, and_, select

from claims.retained import agreed, plane_of_angles, plane_of_orientation, plane_of_position
from claims.study import RetainedView, ViewPlane
from dicom_node.tables import instances, web_headers

MODALITIES = frozenset({"XA", "RF", "CT"})
"""Of studies that may hold views of a procedure."""
_FLUOROSCOPY = (
    XRayAngiographicImageStorage,
    XRayRadiofluoroscopicImageStorage,
    EnhancedXAImageStorage,
    EnhancedXRFImageStorage,
)
_SLICES = (CTImageStorage, EnhancedCTImageStorage)
_CLASSES = (*_FLUOROSCOPY, *_SLICES, SecondaryCaptureImageStorage, KeyObjectSelectionDocumentStorage)
_REJECTIONS = frozenset({"113001", "113037", "113038", "113039"})
"""Titles of key objects that take images back (PS3.16 CID 7011)."""
_OF_INTERVENTION = re.compile(
    r"guid|interven|inject|needle|fluoro|ablat|biops|nerve root|facet|epidural|periradicular", re.IGNORECASE
)
"""Words of a CT's descriptions that tell it from a diagnostic one of the same day; our own choice."""
_NO_AGENT = frozenset({"", "NO", "NONE", "N/A", "NA"})
_ENOUGH = 12
"""Characters of a date with hours and minutes (DT, PS3.5 6.2)."""

_MODALITY = "00080060"
_POSITION, _ORIENTATION, _MOTION = "00185101", "00200020", "00181500"
_PRIMARY, _SECONDARY, _AGENT = "00181510", "00181511", "00180010"
_MOMENTS = (("0008002A",), ("00080022", "00080032"), ("00080023", "00080033"))
"""Acquisition DateTime; Acquisition Date and Time; Content Date and Time."""
_DESCRIPTIONS = ("00081030", "0008103E", "00181030", "00080008")
"""Study and Series Description, Protocol Name, Image Type."""

Header = Mapping[str, Any]


def views_of(connection: Connection, study_instance_uid: str) -> tuple[RetainedView, ...]:
    """The views of a study, in the order of their time and UID; of a CT one for each series, its last slice.

    Images that a rejection note names are left out. An image whose header was not kept (damaged, or very large) is a
    view of which nothing is known.
    """
    rows = connection.execute(_query(study_instance_uid)).all()
    selections = [_header(row) for row in rows if row.sop_class_uid == KeyObjectSelectionDocumentStorage]
    rejected = {uid for one in selections if _title(one) in _REJECTIONS for uid in _named(one)}
    marked = {uid for one in selections if _title(one) not in _REJECTIONS for uid in _named(one)}
    found: dict[str, RetainedView] = {}
    for row in rows:
        if row.sop_instance_uid not in rejected and (view := _view(row, _header(row))):
            key = row.series_instance_uid if row.sop_class_uid in _SLICES else view.sop_instance_uid
            found[key] = max((view, found.get(key, view)), key=_by_time)
    return tuple(_with_finals(sorted(found.values(), key=_by_time), marked))


def _query(study_instance_uid: str) -> Any:
    kept = and_(web_headers.c.sop_instance_uid == instances.c.sop_instance_uid, web_headers.c.path == instances.c.path)
    columns = (instances.c.sop_instance_uid, instances.c.series_instance_uid, instances.c.sop_class_uid)
    which = (
        instances.c.study_instance_uid == study_instance_uid,
        instances.c.sop_class_uid.in_(_CLASSES),
        instances.c.ours.is_(False),
    )
    return select(*columns, web_headers.c.document).select_from(instances.outerjoin(web_headers, kept)).where(*which)


def _header(row: Row[Any]) -> Header:
    return dict(json.loads(zlib.decompress(row.document))) if row.document else {}


def _view(row: Row[Any], header: Header) -> RetainedView | None:
    if row.sop_class_uid == KeyObjectSelectionDocumentStorage:
        return None
    if row.sop_class_uid == SecondaryCaptureImageStorage and _first(header, _MODALITY) not in ("XA", "RF"):
        return None
    plane = _slice_plane(header) if row.sop_class_uid in _SLICES else _plane(header)
    agent = str(_first(header, _AGENT) or "").strip()
    return RetainedView(
        sop_instance_uid=row.sop_instance_uid,
        plane=plane,
        contrast_agent="" if agent.upper() in _NO_AGENT else agent,
        acquired_at=_moment(header),
    )


def _plane(header: Header) -> ViewPlane | None:
    """By the angles, the view position and the patient orientation, where those that are there agree."""
    if _first(header, _MOTION) == "DYNAMIC":
        return None
    position, orientation = str(_first(header, _POSITION) or ""), _values(header, _ORIENTATION)
    planes = [plane_of_angles(*angles) for angles in _angles(header)]
    if len(set(planes)) > 1:
        return None
    return agreed([*planes, plane_of_position(position), plane_of_orientation([str(value) for value in orientation])])


def _angles(header: Header) -> Iterator[tuple[float, float]]:
    """Of the image; of an enhanced one, of its frames (PS3.3 C.8.19.6.10)."""
    groups = [header, *_items(header, "52009229"), *_items(header, "52009230")]
    places = [header, *(item for group in groups for item in _items(group, "00189405"))]
    for place in places:
        primary, secondary = _first(place, _PRIMARY), _first(place, _SECONDARY)
        if isinstance(primary, int | float):
            yield float(primary), float(secondary) if isinstance(secondary, int | float) else 0.0


def _slice_plane(header: Header) -> ViewPlane | None:
    """A slice of an intervention; None where the header does not say that it is of one."""
    words = " ".join(str(value) for tag in _DESCRIPTIONS for value in _values(header, tag))
    return ViewPlane.CROSS_SECTION if _OF_INTERVENTION.search(words) else None


def _moment(header: Header) -> datetime | None:
    for tags in _MOMENTS:
        text = "".join(str(_first(header, tag) or "") for tag in tags).split(".")[0]
        if len(text) >= _ENOUGH and text[:14].isdecimal():
            try:
                return datetime.strptime(text[:14].ljust(14, "0"), "%Y%m%d%H%M%S")  # noqa: DTZ007 - a wall clock
            except ValueError:
                continue
    return None


def _with_finals(views: Sequence[RetainedView], marked: Iterable[str]) -> Iterator[RetainedView]:
    """Those that a key object selection names; where none does, the last of each direction that has a time."""
    named = {view.sop_instance_uid for view in views} & set(marked)
    last = {view.plane: view.sop_instance_uid for view in views if view.acquired_at}
    final = named or set(last.values())
    return (replace(view, is_final=view.sop_instance_uid in final) for view in views)


def _by_time(view: RetainedView) -> tuple[str, str]:
    return view.acquired_at.isoformat() if view.acquired_at else "", view.sop_instance_uid


def _title(selection: Header) -> str:
    return str(next((_first(item, "00080100") for item in _items(selection, "0040A043")), "") or "")


def _named(selection: Header) -> Iterator[str]:
    """UIDs of the instances that a key object selection refers to (PS3.3 C.17.2.3)."""
    for study in _items(selection, "0040A375"):
        for series in _items(study, "00081115"):
            yield from (str(_first(item, "00081155")) for item in _items(series, "00081199"))


def _values(header: Header, tag: str) -> list[Any]:
    return list(header.get(tag, {}).get("Value") or [])


def _items(header: Header, tag: str) -> list[Header]:
    return [item for item in _values(header, tag) if isinstance(item, dict)]


def _first(header: Header, tag: str) -> Any:
    return next(iter(_values(header, tag)), None)
