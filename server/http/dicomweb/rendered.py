"""WADO-RS: rendered images and thumbnails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from fastapi import APIRouter, Request
from fastapi.responses import Response

from dicom_node.dicomweb.frame_choice import frame_numbers
from dicom_node.dicomweb.held import Held, Place
from dicom_node.dicomweb.media import MULTIPART
from dicom_node.dicomweb.multipart import Part
from dicom_node.dicomweb.pixels import open_header
from dicom_node.dicomweb.refusals import WebRefusal, not_acceptable, not_held
from dicom_node.dicomweb.rendering import render, thumbnail_of
from dicom_node.dicomweb.rendering_request import FORMATS, Rendering, parse_rendering
from dicom_node.storage_classes import StorageKind, kind_of
from server.http.dicomweb import answers
from server.http.dicomweb.answers import TheArchive, TheInstance, add, etag, ranges_of, unchanged
from server.http.dicomweb.retrieve import INSTANCE, SERIES, STUDY

router = APIRouter()


def _media_type(request: Request) -> str:
    for media_range in ranges_of(request):
        for media_type in FORMATS:
            if media_range.covers(media_type):
                return media_type
    raise not_acceptable(f"Pictures can be had as {' or '.join(FORMATS)}.")


def _images(found: Sequence[Held]) -> list[Held]:
    images = [held for held in found if kind_of(held.sop_class_uid) is StorageKind.IMAGE]
    if not images:
        raise not_held("There is no image here that could be rendered.")
    return images


def _rendering(request: Request) -> Rendering:
    return parse_rendering(request.query_params, _media_type(request))


def _one(request: Request, held: Held, frame: int) -> Response:
    rendering = _rendering(request)
    validator = etag([held], str(frame), repr(rendering))
    known = unchanged(request, validator)
    if known is not None:
        return known
    data = render(held, frame, rendering)
    return answers.stream(request, (data,), rendering.media_type, validator, len(data))


def _several(request: Request, pictures: Sequence[tuple[Held, int]]) -> Response:
    """One part each; where a picture cannot be made, the others are."""
    rendering = _rendering(request)
    validator = etag([held for held, _ in pictures], *(str(frame) for _, frame in pictures), repr(rendering))
    known = unchanged(request, validator)
    if known is not None:
        return known
    parts = _parts(pictures, rendering)
    first = next(parts, None)  # made before the answer begins, so that a refusal can still be said
    if first is None:
        raise not_acceptable("None of these images can be rendered.")
    return answers.multipart(request, rendering.media_type, chain([first], parts), validator)


def _parts(pictures: Sequence[tuple[Held, int]], rendering: Rendering) -> Iterator[Part]:
    for held, frame in pictures:
        try:
            data = render(held, frame, rendering)
        except WebRefusal:
            continue
        yield Part(media_type=rendering.media_type, body=(data,), length=len(data))


def _thumbnail(request: Request, held: Held) -> Response:
    media_type = _media_type(request)
    validator = etag([held], "thumbnail", media_type)
    known = unchanged(request, validator)
    if known is not None:
        return known
    data = thumbnail_of(held, (open_header(held.path).frame_count + 1) // 2, media_type)
    return answers.stream(request, (data,), media_type, validator, len(data))


def rendered_instance(request: Request, archive: TheArchive, place: TheInstance) -> Response:
    """The first frame as JPEG or PNG. ``window``, ``viewport`` and ``quality`` as PS3.18 8.3.5."""
    return _one(request, archive.holdings.of(place)[0], 1)


def rendered_frames(request: Request, archive: TheArchive, place: TheInstance, frames: str) -> Response:
    """Frames as JPEG or PNG: one by itself, several in parts."""
    (held,) = archive.holdings.of(place)
    numbers = frame_numbers(frames, open_header(held.path).frame_count)
    return _one(request, held, numbers[0]) if len(numbers) == 1 else _several(request, [(held, n) for n in numbers])


def rendered_series(request: Request, archive: TheArchive, study: str, series: str) -> Response:
    """The first frame of every image of a series, one part each."""
    found = _images(archive.holdings.of(Place(study=study, series=series)))
    return _several(request, [(held, 1) for held in found])


def rendered_study(request: Request, archive: TheArchive, study: str) -> Response:
    """The first frame of every image of a study, one part each."""
    return _several(request, [(held, 1) for held in _images(archive.holdings.of(Place(study=study)))])


def study_thumbnail(request: Request, archive: TheArchive, study: str) -> Response:
    """A small picture of the first series: its middle image."""
    images = _images(archive.holdings.of(Place(study=study)))
    first = [held for held in images if held.series_instance_uid == images[0].series_instance_uid]
    return _thumbnail(request, first[len(first) // 2])


def series_thumbnail(request: Request, archive: TheArchive, study: str, series: str) -> Response:
    """A small picture of the middle image."""
    images = _images(archive.holdings.of(Place(study=study, series=series)))
    return _thumbnail(request, images[len(images) // 2])


def instance_thumbnail(request: Request, archive: TheArchive, place: TheInstance) -> Response:
    """A small picture of the middle frame."""
    return _thumbnail(request, archive.holdings.of(place)[0])


def frame_thumbnail(request: Request, archive: TheArchive, place: TheInstance, frames: str) -> Response:
    """A small picture of one frame."""
    (held,) = archive.holdings.of(place)
    number = frame_numbers(frames, open_header(held.path).frame_count)[0]
    media_type = _media_type(request)
    data = thumbnail_of(held, number, media_type)
    return answers.stream(request, (data,), media_type, etag([held], "thumbnail", media_type, frames), len(data))


add(router, f"{STUDY}/rendered", rendered_study, "WADO-RS: pictures of a study.", media_types=(*FORMATS, MULTIPART))
add(router, f"{SERIES}/rendered", rendered_series, "WADO-RS: pictures of a series.", media_types=(*FORMATS, MULTIPART))
add(
    router,
    f"{INSTANCE}/rendered",
    rendered_instance,
    "WADO-RS: a picture of an instance.",
    media_types=(*FORMATS, MULTIPART),
)
add(
    router,
    f"{INSTANCE}/frames/{{frames}}/rendered",
    rendered_frames,
    "WADO-RS: pictures of frames.",
    media_types=(*FORMATS, MULTIPART),
)
add(router, f"{STUDY}/thumbnail", study_thumbnail, "WADO-RS: a small picture of a study.", media_types=FORMATS)
add(router, f"{SERIES}/thumbnail", series_thumbnail, "WADO-RS: a small picture of a series.", media_types=FORMATS)
add(
    router, f"{INSTANCE}/thumbnail", instance_thumbnail, "WADO-RS: a small picture of an instance.", media_types=FORMATS
)
add(
    router,
    f"{INSTANCE}/frames/{{frames}}/thumbnail",
    frame_thumbnail,
    "WADO-RS: a small picture of a frame.",
    media_types=FORMATS,
)
