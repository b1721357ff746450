"""WADO-RS: studies, series and instances as PS3.10 files, their metadata, and their large values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fastapi import APIRouter, Request
from fastapi.responses import Response

from dicom_node.dicomweb.archive import WebArchive
from dicom_node.dicomweb.held import Held, Place
from dicom_node.dicomweb.media import DICOM, MULTIPART
from dicom_node.dicomweb.metadata import metadata
from dicom_node.dicomweb.multipart import Part
from dicom_node.dicomweb.part10 import Choice, choose, open_part10, transfer_syntax_of
from dicom_node.dicomweb.refusals import not_acceptable
from server.http.dicomweb import answers
from server.http.dicomweb.answers import (
    JSON_TYPES,
    TheArchive,
    TheInstance,
    add,
    base_url,
    etag,
    ranges_of,
    require_json,
    unchanged,
)

router = APIRouter()
HEADERS_AT_ONCE = 128
"""Kept headers in memory at a time: at most 8 MiB."""


def _retrieve(request: Request, archive: TheArchive, place: Place) -> Response:
    ranges = ranges_of(request)
    found = archive.holdings.of(place)
    choices = [choose(ranges, transfer_syntax_of(held)) for held in found]
    chosen = [choice for choice in choices if choice is not None]
    if len(chosen) < len(found):
        raise not_acceptable(
            f'Instances can be had as multipart/related; type="{DICOM}", in Explicit VR Little Endian or, with '
            "transfer-syntax=*, as they are stored."
        )
    validator = etag(found, *(choice.target for choice in chosen), str(chosen[0].is_single))
    known = unchanged(request, validator)
    if known is not None:
        return known
    if len(found) == 1 and chosen[0].is_single:
        return _single(request, found[0], chosen[0], validator)
    if all(choice.target == choice.stored for choice in chosen):
        parts = [_part(held, choice, strict=False) for held, choice in zip(found, chosen, strict=True)]
        return answers.multipart(request, DICOM, parts, validator)
    if len(found) == 1:
        return answers.multipart(request, DICOM, [_part(found[0], chosen[0], strict=True)], validator)
    return answers.multipart(request, DICOM, _parts(found, chosen), validator)


def _parts(found: Sequence[Held], chosen: Sequence[Choice]) -> Iterator[Part]:
    for held, choice in zip(found, chosen, strict=True):
        yield _part(held, choice, strict=False)


def _part(held: Held, choice: Choice, *, strict: bool) -> Part:
    file = open_part10(held, choice, strict=strict)
    return Part(media_type=file.media_type, body=file.body, length=file.length)


def _single(request: Request, held: Held, choice: Choice, validator: str) -> Response:
    file = open_part10(held, choice, strict=True)
    if choice.target != choice.stored or file.length is None:
        return answers.stream(request, file.body, file.media_type, validator, file.length)
    return answers.stretch(request, held.path, (0, file.length), file.media_type, validator)


def retrieve_study(request: Request, archive: TheArchive, study: str) -> Response:
    """All instances of a study, what was received and what this node made of it, each in one part."""
    return _retrieve(request, archive, Place(study=study))


def retrieve_series(request: Request, archive: TheArchive, study: str, series: str) -> Response:
    """All instances of a series, each in one part."""
    return _retrieve(request, archive, Place(study=study, series=series))


def retrieve_instance(request: Request, archive: TheArchive, place: TheInstance) -> Response:
    """One instance, in one part, or by itself where ``application/dicom`` is accepted."""
    return _retrieve(request, archive, place)


def _metadata(request: Request, archive: TheArchive, place: Place) -> Response:
    media_type = require_json(request)
    url = base_url(request)
    found = archive.holdings.of(place)
    validator = etag(found, media_type, url)
    known = unchanged(request, validator)
    return known or answers.stream(request, _documents(archive, found, url), media_type, validator)


def _documents(archive: WebArchive, found: Sequence[Held], url: str) -> Iterator[bytes]:
    """A JSON array."""
    for start in range(0, len(found), HEADERS_AT_ONCE):
        several = found[start : start + HEADERS_AT_ONCE]
        kept = archive.holdings.documents(several)
        for number, held in enumerate(several, start):
            yield b"," if number else b"["
            yield metadata(held, kept.get(held.sop_instance_uid), url)
    yield b"]"


def study_metadata(request: Request, archive: TheArchive, study: str) -> Response:
    """The headers of all instances of a study, as DICOM JSON."""
    return _metadata(request, archive, Place(study=study))


def series_metadata(request: Request, archive: TheArchive, study: str, series: str) -> Response:
    """The headers of all instances of a series, as DICOM JSON."""
    return _metadata(request, archive, Place(study=study, series=series))


def instance_metadata(request: Request, archive: TheArchive, place: TheInstance) -> Response:
    """The header of an instance, as DICOM JSON; large binary values and pixels are behind their BulkDataURI."""
    return _metadata(request, archive, place)


STUDY = "/studies/{study}"
SERIES = f"{STUDY}/series/{{series}}"
INSTANCE = f"{SERIES}/instances/{{instance}}"

add(router, STUDY, retrieve_study, "WADO-RS: the instances of a study.", media_types=(MULTIPART, DICOM))
add(router, SERIES, retrieve_series, "WADO-RS: the instances of a series.", media_types=(MULTIPART, DICOM))
add(router, INSTANCE, retrieve_instance, "WADO-RS: one instance.", media_types=(MULTIPART, DICOM))
add(router, f"{STUDY}/metadata", study_metadata, "WADO-RS: the headers of a study.", media_types=JSON_TYPES)
add(router, f"{SERIES}/metadata", series_metadata, "WADO-RS: the headers of a series.", media_types=JSON_TYPES)
add(router, f"{INSTANCE}/metadata", instance_metadata, "WADO-RS: the header of an instance.", media_types=JSON_TYPES)
