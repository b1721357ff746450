"""How DICOMweb answers are written to HTTP: JSON, multipart bodies, validators, HEAD and Range."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response, StreamingResponse

from dicom_node.dicomweb.archive import WebArchive
from dicom_node.dicomweb.held import Held, Place
from dicom_node.dicomweb.media import JSON, MediaRange, accepted
from dicom_node.dicomweb.multipart import Multipart, Part
from dicom_node.dicomweb.part10 import file_chunks
from dicom_node.dicomweb.refusals import not_acceptable
from server.http.openapi import problems, produces
from server.http.unchanged import NOT_MODIFIED

JSON_TYPES = (JSON, "application/json")
BOUNDED_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
PIECE_BYTES = 1 << 20
"""A body is handed on in pieces of at least this size: each costs a change of threads."""
MAX_DIGITS = 15
"""Of a byte position that is looked at: a petabyte."""


async def _archive(request: Request) -> WebArchive:
    archive: WebArchive = request.app.state.dicomweb
    return archive


async def _instance(study: str, series: str, instance: str) -> Place:
    return Place(study=study, series=series, instance=instance)


TheArchive: TypeAlias = Annotated[WebArchive, Depends(_archive)]
TheInstance: TypeAlias = Annotated[Place, Depends(_instance)]
"""An instance that is named in the path."""


def add(router: APIRouter, path: str, endpoint: Any, summary: str, *, media_types: Iterable[str]) -> None:
    """Answer GET and HEAD; only GET is in the OpenAPI document."""
    errors = problems(HTTPStatus.NOT_FOUND, HTTPStatus.NOT_ACCEPTABLE)
    responses = errors | produces(*media_types) | NOT_MODIFIED
    router.add_api_route(path, endpoint, methods=["GET"], summary=summary, response_class=Response, responses=responses)
    router.add_api_route(path, endpoint, methods=["HEAD"], include_in_schema=False, response_class=Response)


def base_url(request: Request) -> str:
    """``http://HOST/dicom-web`` as the client sees it, so that the URLs in answers stay on its origin."""
    return f"{request.base_url}dicom-web"


def warning_of(request: Request, text: str) -> dict[str, str]:
    """The Warning header, as PS3.18 chapter 11 writes it."""
    return {"Warning": f"299 {base_url(request)}: {text}"}


def ranges_of(request: Request) -> list[MediaRange]:
    """What the client accepts."""
    return accepted(request.headers.get("accept"), request.query_params.getlist("accept"))


def require_json(request: Request) -> str:
    """The JSON media type to answer with.

    Raises:
        WebRefusal: 406, JSON is not accepted; XML is not made here.
    """
    for media_range in ranges_of(request):
        for media_type in JSON_TYPES:
            if not media_range.is_multipart and media_range.covers(media_type):
                return media_type
    raise not_acceptable(f"The answer can be had as {JSON}.")


def etag(found: Iterable[Held], *words: str) -> str:
    """A weak validator for what is made of these instances: received instances never change, new ones are added."""
    digest = hashlib.sha256()
    for held in found:
        digest.update(f"{held.sop_instance_uid}|{held.sha256}\n".encode())
    for word in words:
        digest.update(f"{word}\n".encode())
    return f'W/"{digest.hexdigest()[:32]}"'


def unchanged(request: Request, validator: str) -> Response | None:
    """304 when the client has it already (RFC 9110 13.1.2)."""
    known = [word.strip() for word in request.headers.get("if-none-match", "").split(",")]
    if validator in known or "*" in known:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=_headers(validator))
    return None


def _headers(validator: str) -> dict[str, str]:
    # Patient data: kept by the browser that asked only, and asked for again each time.
    return {"ETag": validator, "Cache-Control": "private, no-cache", "Vary": "Accept"}


def stream(
    request: Request, body: Iterable[bytes], media_type: str, validator: str, length: int | None = None
) -> Response:
    """A body that is produced while it is sent, or at once where it is small; for HEAD only what is known of it."""
    headers = _headers(validator) | ({} if length is None else {"Content-Length": str(length)})
    if request.method == "HEAD":
        return Response(headers=headers, media_type=media_type)
    pieces = in_pieces(body)
    first, second = next(pieces, b""), next(pieces, None)
    if second is None:
        return Response(first, headers=headers, media_type=media_type)
    return StreamingResponse(chain((first, second), pieces), headers=headers, media_type=media_type)


def in_pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, in pieces of at least PIECE_BYTES but for the last."""
    waiting: list[bytes] = []
    size = 0
    for chunk in chunks:
        waiting.append(chunk)
        size += len(chunk)
        if size >= PIECE_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


def multipart(request: Request, media_type: str, parts: Iterable[Part], validator: str) -> Response:
    """Several parts. Their total length is said where a list of them with known lengths is given."""
    body = Multipart(media_type=media_type, parts=parts)
    length = body.length(parts) if isinstance(parts, Sequence) else None
    return stream(request, body.chunks(), body.content_type, validator, length)


def stretch(request: Request, path: Path, place: tuple[int, int], media_type: str, validator: str) -> Response:
    """A stretch of a file, given by its first byte and length, or the range of it that the client asks for."""
    start, length = place
    headers = _headers(validator) | {"Accept-Ranges": "bytes", "Content-Length": str(length)}
    status = HTTPStatus.OK
    wanted = wanted_range(request, length)
    if wanted is not None:
        first, count = wanted
        status = HTTPStatus.PARTIAL_CONTENT
        headers |= {"Content-Range": f"bytes {first}-{first + count - 1}/{length}", "Content-Length": str(count)}
        start, length = start + first, count
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=media_type)
    return StreamingResponse(
        file_chunks(path, start, length), status_code=status, headers=headers, media_type=media_type
    )


def wanted_range(request: Request, length: int) -> tuple[int, int] | None:
    """First byte and number of bytes of the one range that is asked for (RFC 9110 14.2); None: all of it.

    A range that cannot be met, or several ranges, count as not asked: sending everything is always allowed.
    """
    match = BOUNDED_RANGE.fullmatch(request.headers.get("range", "").strip())
    if match is None or match.groups() == ("", "") or max(map(len, match.groups())) > MAX_DIGITS:
        return None
    first, last = match.groups()
    start = int(first) if first else max(0, length - int(last))
    end = min(int(last), length - 1) if first and last else length - 1
    return (start, end - start + 1) if start <= end else None
