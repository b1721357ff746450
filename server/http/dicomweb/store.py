"""STOW-RS: store instances."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from dicom_node.dicomweb.intake import Intake, boundary_of
from dicom_node.dicomweb.refusals import WebRefusal, bad_request, too_large
from dicom_node.dicomweb.store_response import response, status_of
from server.events import event
from server.http.dicomweb.answers import JSON_TYPES, TheArchive, base_url, require_json
from server.http.openapi import problems, produces

router = APIRouter()
SILENCE_S = 60.0
"""Longest wait for the next bytes of a body; as long as the DICOM port waits."""


async def store(request: Request, archive: TheArchive, study: str | None = None) -> Response:
    """Store the instances of a ``multipart/related; type="application/dicom"`` body, as C-STORE does.

    200: all are stored; 202: some, or with warnings; 409: none. The answer names every instance and the reason of a
    failure. What is said to be stored survives a power cut; sending it again is harmless.
    """
    media_type = require_json(request)
    boundary = boundary_of(request.headers.get("content-type", ""))
    limits = archive.door.limits
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > limits.request_bytes:
        raise too_large(f"A request has at most {limits.request_bytes} bytes.")
    intake = Intake(await run_in_threadpool(archive.door.inbox), boundary, limits, study)
    try:
        await _receive(request, intake)
        outcomes = intake.close()
    finally:
        await run_in_threadpool(intake.abandon)
    held = [outcome.sop_instance_uid for outcome in outcomes if outcome.is_held and outcome.sop_instance_uid]
    addresses = await run_in_threadpool(archive.holdings.addresses, held)
    event("instances_stored_by_web", instances=len(held), count=len(outcomes))
    document = response(outcomes, addresses, base_url(request))
    return JSONResponse(document, status_code=status_of(outcomes), media_type=media_type)


async def _receive(request: Request, intake: Intake) -> None:
    """Feed the body to the intake, in another thread, because the disk is waited for there."""
    chunks = request.stream()
    while True:
        try:
            chunk = await asyncio.wait_for(anext(chunks), SILENCE_S)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise WebRefusal(HTTPStatus.REQUEST_TIMEOUT, "The body did not go on.") from None
        except ClientDisconnect:
            raise bad_request("The body broke off.") from None
        await run_in_threadpool(intake.feed, chunk)


_RESPONSES = problems(HTTPStatus.NOT_ACCEPTABLE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
for _status in (HTTPStatus.OK, HTTPStatus.ACCEPTED, HTTPStatus.CONFLICT):  # each with what became of every instance
    _RESPONSES |= produces(*JSON_TYPES, status=_status)


async def store_to_study(request: Request, archive: TheArchive, study: str) -> Response:
    """Store instances of this study; those of another one fail."""
    return await store(request, archive, study)


async def store_any(request: Request, archive: TheArchive) -> Response:
    """Store instances of any study."""
    return await store(request, archive)


store_any.__doc__ = store.__doc__
for path, endpoint, words in (
    ("/studies", store_any, "STOW-RS: store instances."),
    ("/studies/{study}", store_to_study, "STOW-RS: store instances of one study."),
):
    router.add_api_route(path, endpoint, methods=["POST"], summary=words, response_class=Response, responses=_RESPONSES)
