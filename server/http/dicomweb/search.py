"""QIDO-RS: search for studies, series and instances."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from dicom_node.dicomweb.levels import SERIES_UID, STUDY_UID, Level
from dicom_node.dicomweb.query import parse
from server.http.dicomweb.answers import JSON_TYPES, TheArchive, add, base_url, require_json

router = APIRouter()


def _search(request: Request, archive: TheArchive, level: Level, fixed: dict[str, str]) -> Response:
    media_type = require_json(request)
    query = parse(level, request.query_params.multi_items(), fixed)
    url = base_url(request)
    found = archive.search.find(query, url)
    answer = JSONResponse(found.entries, media_type=media_type, headers={"Cache-Control": "private, no-cache"})
    for text in found.warnings:
        answer.headers.append("Warning", f'299 {request.url.netloc} "{text}"')
    return answer


def search_studies(request: Request, archive: TheArchive) -> Response:
    """Studies, the latest first, by attributes of study and patient, as ``keyword=value`` or ``tag=value``.

    Values may hold ``*`` and ``?``, dates and times ranges (``20200101-20201231``), UIDs and modalities lists.
    ``limit``, ``offset`` and ``includefield`` (keywords, tags, or ``all``) as PS3.18 8.3.4; nothing found is ``[]``.
    """
    return _search(request, archive, Level.STUDY, {})


def search_all_series(request: Request, archive: TheArchive) -> Response:
    """Series of all studies, by attributes of series, study and patient."""
    return _search(request, archive, Level.SERIES, {})


def search_series(request: Request, archive: TheArchive, study: str) -> Response:
    """Series of one study."""
    return _search(request, archive, Level.SERIES, {STUDY_UID: study})


def search_all_instances(request: Request, archive: TheArchive) -> Response:
    """Instances of all studies, by attributes of all levels."""
    return _search(request, archive, Level.INSTANCE, {})


def search_instances(request: Request, archive: TheArchive, study: str) -> Response:
    """Instances of one study."""
    return _search(request, archive, Level.INSTANCE, {STUDY_UID: study})


def search_series_instances(request: Request, archive: TheArchive, study: str, series: str) -> Response:
    """Instances of one series, by instance number."""
    return _search(request, archive, Level.INSTANCE, {STUDY_UID: study, SERIES_UID: series})


add(router, "/studies", search_studies, "QIDO-RS: search for studies.", media_types=JSON_TYPES)
add(router, "/series", search_all_series, "QIDO-RS: search for series.", media_types=JSON_TYPES)
add(router, "/instances", search_all_instances, "QIDO-RS: search for instances.", media_types=JSON_TYPES)
add(router, "/studies/{study}/series", search_series, "QIDO-RS: the series of a study.", media_types=JSON_TYPES)
add(
    router, "/studies/{study}/instances", search_instances, "QIDO-RS: the instances of a study.", media_types=JSON_TYPES
)
add(
    router,
    "/studies/{study}/series/{series}/instances",
    search_series_instances,
    "QIDO-RS: the instances of a series.",
    media_types=JSON_TYPES,
)
