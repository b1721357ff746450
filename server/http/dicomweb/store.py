"""STOW-RS: store instances."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from dicom_node.dicomweb.intake import Intake, Outcome, boundary_of
from dicom_node.dicomweb.refusals import WebRefusal, bad_request, too_large
from dicom_node.dicomweb.store_response import response, status_of
from dicom_node.limits import Guest, TooSlow
from server.auth.asked import asked
from server.auth.roles import Method
from server.events import event
from server.http.access import ThePrincipal
from server.http.dicomweb.answers import JSON_TYPES, TheArchive, base_url, require_json
from server.http.openapi import problems, produces

router = APIRouter()
SILENCE_S = 60.0
"""Longest wait for the next bytes of a body; as long as the DICOM port waits."""


async def store(request: Request, archive: TheArchive, principal: ThePrincipal, study: str | None = None) -> Response:
    """Store the instances of a ``multipart/related; type="application/dicom"`` body, as C-STORE does.

    200: all are stored; 202: some, or with warnings; 409: none. The answer names every instance and the reason of a
    failure. What is said to be stored survives a power cut; sending it again is harmless. 429 and 503 say in
    Retry-After when to send again.
    """
    media_type = require_json(request)
    boundary = boundary_of(request.headers.get("content-type", ""))
    limits = archive.door.limits
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > limits.request_bytes:
        raise too_large(f"A request has at most {limits.request_bytes} bytes.")
    address = asked(request.scope).network
    source = address if principal.method is Method.LOOPBACK else principal.subject
    guest = await run_in_threadpool(archive.door.let_in, address=address, source=source)
    try:
        intake = Intake(await run_in_threadpool(archive.door.inbox), boundary, limits, study, guest)
        outcomes = await _take_in(request, intake, guest)
    finally:
        guest.leave()
    held = [outcome.sop_instance_uid for outcome in outcomes if outcome.is_held and outcome.sop_instance_uid]
    addresses = await run_in_threadpool(archive.holdings.addresses, held)
    event("instances_stored_by_web", instances=len(held), count=len(outcomes))
    document = response(outcomes, addresses, base_url(request))
    return JSONResponse(document, status_code=status_of(outcomes), media_type=media_type)


async def _take_in(request: Request, intake: Intake, guest: Guest) -> list[Outcome]:
    try:
        await _receive(request, intake, guest)
        return intake.close()
    finally:
        await run_in_threadpool(intake.abandon)


async def _receive(request: Request, intake: Intake, guest: Guest) -> None:
    """Feed the body to the intake, in another thread, because the disk is waited for there; as fast as it may come."""
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
        try:
            wait = guest.received(len(chunk))
        except TooSlow as slow:
            raise WebRefusal(HTTPStatus.REQUEST_TIMEOUT, f"The body comes too slowly: {slow}.") from None
        if wait > 0:
            await asyncio.sleep(wait)
        await run_in_threadpool(intake.feed, chunk)


_RESPONSES = problems(HTTPStatus.NOT_ACCEPTABLE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
for _status in (HTTPStatus.OK, HTTPStatus.ACCEPTED, HTTPStatus.CONFLICT):  # each with what became of every instance
    _RESPONSES |= produces(*JSON_TYPES, status=_status)


async def store_to_study(request: Request, archive: TheArchive, principal: ThePrincipal, study: str) -> Response:
    """Store instances of this study; those of another one fail."""
    return await store(request, archive, principal, study)


async def store_any(request: Request, archive: TheArchive, principal: ThePrincipal) -> Response:
    """Store instances of any study."""
    return await store(request, archive, principal)


store_any.__doc__ = store.__doc__
for path, endpoint, words in (
    ("/studies", store_any, "STOW-RS: store instances."),
    ("/studies/{study}", store_to_study, "STOW-RS: store instances of one study."),
):
    router.add_api_route(path, endpoint, methods=["POST"], summary=words, response_class=Response, responses=_RESPONSES)
