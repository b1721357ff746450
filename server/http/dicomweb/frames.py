"""WADO-RS: frames, and large values of a header."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydicom.uid import ExplicitVRBigEndian

from dicom_node.dicomweb.frame_choice import FrameForm, choose_form, frame_numbers
from dicom_node.dicomweb.held import Held
from dicom_node.dicomweb.media import MULTIPART, OCTETS, MediaRange
from dicom_node.dicomweb.metadata import bulk_value, document_type
from dicom_node.dicomweb.multipart import Part
from dicom_node.dicomweb.part10 import file_chunks, transfer_syntax_of
from dicom_node.dicomweb.pixels import laid_out_frames, native_frames, open_header, stored_frames
from dicom_node.dicomweb.refusals import not_acceptable, not_held
from dicom_node.reader.headers import Header
from dicom_node.reader.pixels import DECODE_ERRORS
from inference.errors import Refusal
from server.http.dicomweb import answers
from server.http.dicomweb.answers import TheArchive, TheInstance, add, etag, ranges_of, unchanged
from server.http.dicomweb.retrieve import INSTANCE

router = APIRouter()
PIXEL_DATA = "7FE00010"
BULK_TYPES = (MULTIPART, OCTETS, "application/pdf")
"""And whatever else an encapsulated document says that it is (PS3.3 C.24.2)."""


def retrieve_frames(request: Request, archive: TheArchive, place: TheInstance, frames: str) -> Response:
    """Frames by number (``1`` or ``1,2,3``), one part each: native little endian bytes, or as they are compressed.

    ``transfer-syntax=*`` gets compressed frames as they are stored; without it they are decoded.
    """
    (held,) = archive.holdings.of(place)
    form = choose_form(ranges_of(request), transfer_syntax_of(held))
    validator = etag([held], form.content_type, frames)
    known = unchanged(request, validator)
    if known is not None:
        return known
    if held.layout is not None:
        numbers = frame_numbers(frames, held.layout.frame_count)
        found = laid_out_frames(held, held.layout, numbers)
    else:
        header = open_header(held.path)
        numbers = frame_numbers(frames, header.frame_count)
        found = _frames(header, form, numbers)
    return answers.multipart(request, form.media_type, _parts(held, form, found, len(numbers)), validator)


def _frames(header: Header, form: FrameForm, numbers: Sequence[int]) -> Iterator[bytes]:
    return stored_frames(header, numbers) if form.is_stored else native_frames(header, numbers)


def _parts(held: Held, form: FrameForm, found: Iterator[bytes], count: int) -> Iterator[Part] | list[Part]:
    """One part for each frame; a single frame is made now, so that the length of the answer is known."""
    made = _made(held, form, found)
    return list(made) if count == 1 else made


def _made(held: Held, form: FrameForm, found: Iterator[bytes]) -> Iterator[Part]:
    try:
        for data in found:
            yield Part(media_type=form.content_type, body=(data,), length=len(data))
    except (*DECODE_ERRORS, Refusal) as error:
        raise not_acceptable(
            f"A frame of instance {held.sop_instance_uid} cannot be given in this form ({type(error).__name__}); "
            "it may be had as it is stored, with transfer-syntax=*."
        ) from error


def retrieve_bulk_data(request: Request, archive: TheArchive, place: TheInstance, value: str) -> Response:
    """One large value, under the BulkDataURI of the metadata; pixels as one part, or one for each compressed frame.

    By itself, and by ranges, where the Accept header names no multipart.
    """
    (held,) = archive.holdings.of(place)
    validator = etag([held], value, request.headers.get("accept", ""))
    known = unchanged(request, validator)
    if known is not None:
        return known
    if value.upper() == PIXEL_DATA:
        return _pixel_data(request, held, validator)
    data = bulk_value(held, value)
    media_range, media_type = _bulk_type(ranges_of(request), document_type(held))
    if media_range.is_multipart:
        part = Part(media_type=media_type, body=(data,), length=len(data))
        return answers.multipart(request, media_type, [part], validator)
    return answers.stream(request, (data,), media_type, validator, len(data))


def _bulk_type(ranges: Sequence[MediaRange], own: str | None) -> tuple[MediaRange, str]:
    for media_range in ranges:
        for media_type in filter(None, (own, OCTETS)):
            if media_range.covers(media_type):
                return media_range, media_type
    raise not_acceptable(f"The value can be had as {OCTETS}, by itself or in {MULTIPART}.")


def _pixel_data(request: Request, held: Held, validator: str) -> Response:
    ranges = ranges_of(request)
    form = choose_form(ranges, transfer_syntax_of(held))
    header = open_header(held.path)
    if not header.frame_count:
        raise not_held("The instance has no pixel data.")
    numbers = range(1, header.frame_count + 1)
    if form.is_stored:
        parts = _parts(held, form, _frames(header, form, numbers), len(numbers))
        return answers.multipart(request, form.media_type, parts, validator)
    if header.pixels is None or header.pixels.length is None or header.transfer_syntax_uid == ExplicitVRBigEndian:
        part = Part(media_type=form.content_type, body=native_frames(header, numbers), length=None)
        return answers.multipart(request, OCTETS, [part], validator)
    place = (header.pixels.offset, header.pixels.length)
    if not _bulk_type(ranges, None)[0].is_multipart:
        return answers.stretch(request, held.path, place, OCTETS, validator)
    part = Part(media_type=form.content_type, body=file_chunks(held.path, *place), length=header.pixels.length)
    return answers.multipart(request, OCTETS, [part], validator)


add(router, f"{INSTANCE}/frames/{{frames}}", retrieve_frames, "WADO-RS: frames.", media_types=(MULTIPART,))
add(
    router,
    f"{INSTANCE}/bulkdata/{{value:path}}",
    retrieve_bulk_data,
    "WADO-RS: one large value.",
    media_types=BULK_TYPES,
)
