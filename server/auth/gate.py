"""The gate: the one middleware that every request passes, before it is matched with any route.

What it lets through carries its :class:`Principal`, answers with the security headers, and is written to the audit
trail before the first byte of an answer leaves: an access that cannot be recorded is not given.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from http import HTTPStatus

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.auth.asked import Asked, asked
from server.auth.audit.record import AuditKind, AuditRecord, Outcome, record_of
from server.auth.guard import Denied, Guard
from server.auth.headers import add_headers
from server.auth.roles import Permission, Principal
from server.auth.rules import rules_for
from server.http.problems import no_database, problem, unexpected

CHUNK_TIMEOUT_S = 30.0
"""Longest wait for the next part of a body that a client is sending."""

AUDITED: Mapping[Permission, AuditKind] = {
    Permission.READ_IMAGES: AuditKind.IMAGES_READ,
    Permission.STORE_IMAGES: AuditKind.IMAGES_STORED,
    Permission.READ_WORKITEMS: AuditKind.WORKITEM_READ,
    Permission.WRITE_WORKITEMS: AuditKind.WORKITEM_CHANGED,
    Permission.READ_FINDINGS: AuditKind.FINDINGS_READ,
    Permission.REVIEW: AuditKind.REVIEWED,
    Permission.READ_CLAIMS: AuditKind.CLAIM_READ,
    Permission.WRITE_CLAIMS: AuditKind.CLAIM_CHANGED,
    Permission.ADMINISTER: AuditKind.AUDIT_READ,
}
"""What is recorded of a request, by what it needs; logins are recorded where they happen."""
_ONCE = frozenset(
    {
        AuditKind.IMAGES_QUERIED,
        AuditKind.IMAGES_READ,
        AuditKind.WORKITEM_READ,
        AuditKind.FINDINGS_READ,
        AuditKind.CLAIM_READ,
    }
)
_QUERY = re.compile(r"/dicom-web(?:/.*)?/(?:studies|series|instances)/?")
_CLAIM = re.compile(r"/claims/(clm-[0-9a-f]{16})(?:/|$)")
_EXPORT = re.compile(r"/api/v1/claims/[^/]+/(?:attachments|packet)/?")
_STUDY = re.compile(r"/studies/([0-9.]{1,64})(?:/|$)")


class Gate:
    """ASGI middleware around the application."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        """In front of `app`."""
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through, or answer it."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await self._app(scope, receive, send)
            return
        request = asked(scope)
        send = sender = _Sender(send, request)
        try:
            principal, permission = await self._admit(request)
        except Denied as denied:
            await _answer(denied)(scope, receive, send)
            return
        except SQLAlchemyError as error:
            await no_database(error)(scope, receive, send)
            return
        scope.setdefault("state", {})["principal"] = principal
        kind = _kind(permission, request)
        if kind is not None:
            send = _Recording(self._guard, kind=kind, principal=principal, request=request, scope=scope, send=send)
        try:
            await self._app(scope, _patient(receive), send)
        except Exception as error:
            if sender.is_started:
                raise
            await _failed(error)(scope, receive, send)

    async def _admit(self, request: Asked) -> tuple[Principal, Permission]:
        """In another thread only where the database is asked: a change of threads costs more than the decision."""
        if self._guard.asks_database(request):
            return await run_in_threadpool(self._guard.admit, request)
        return self._guard.admit(request)


class _Sender:
    """A send that puts the security headers on the answer."""

    def __init__(self, send: Send, request: Asked) -> None:
        rules = rules_for(request.path)
        self._is_page = all(rule.path == "/**" for rule in rules)
        self._send, self._is_https = send, request.is_https
        self.is_started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.is_started = True
            add_headers(MutableHeaders(scope=message), is_page=self._is_page, is_https=self._is_https)
        await self._send(message)


class _Recording:
    """A send that writes the audit record before the answer starts, and answers 503 in its place where that fails."""

    def __init__(
        self, guard: Guard, *, kind: AuditKind, principal: Principal, request: Asked, scope: Scope, send: Send
    ) -> None:
        self._guard, self._kind, self._principal, self._request = guard, kind, principal, request
        self._scope, self._send = scope, send
        self._is_replaced = False

    async def __call__(self, message: Message) -> None:
        if self._is_replaced:
            return
        if message["type"] == "http.response.start":
            record = _record(self._kind, self._principal, self._request, HTTPStatus(message["status"]), self._scope)
            once = self._kind in _ONCE
            try:
                if not (once and self._guard.is_recorded(record)):
                    await run_in_threadpool(self._guard.record, record, once=once)
            except SQLAlchemyError as error:
                self._is_replaced = True
                await no_database(error)(self._scope, _nothing, self._send)
                return
        await self._send(message)


async def _nothing() -> Message:
    """A receive for an answer that asks for nothing more."""
    return {"type": "http.disconnect"}


def _record(kind: AuditKind, principal: Principal, request: Asked, status: HTTPStatus, scope: Scope) -> AuditRecord:
    outcome = Outcome.SUCCESS
    if status >= HTTPStatus.BAD_REQUEST:
        outcome = Outcome.SERIOUS_FAILURE if status >= HTTPStatus.INTERNAL_SERVER_ERROR else Outcome.MINOR_FAILURE
    rule = next(rule for rule in rules_for(request.path) if request.method in rule.methods)
    return record_of(
        kind,
        principal,
        outcome=outcome,
        address=request.address,
        studies=(*_STUDY.findall(request.path), *scope["state"].get("studies", ())),
        about=" ".join((request.method, rule.path, *_CLAIM.findall(request.path))),
    )


def _kind(permission: Permission, request: Asked) -> AuditKind | None:
    kind = AUDITED.get(permission)
    if kind is AuditKind.IMAGES_READ and _QUERY.fullmatch(request.path):
        return AuditKind.IMAGES_QUERIED
    if kind in {AuditKind.CLAIM_CHANGED, AuditKind.CLAIM_READ} and _EXPORT.fullmatch(request.path):
        return AuditKind.EXPORTED
    return kind


def _answer(denied: Denied) -> Response:
    if denied.status is HTTPStatus.SEE_OTHER:
        return Response(status_code=denied.status, headers=denied.headers)
    response = problem(denied.status, denied.detail)
    response.headers.update(denied.headers)
    return response


def _failed(error: Exception) -> Response:
    return _answer(error) if isinstance(error, Denied) else unexpected(error)


def _patient(receive: Receive) -> Receive:
    """A receive that waits for a body, but not for ever: a client that goes silent holds nothing."""
    is_body_there = False

    async def receiver() -> Message:
        nonlocal is_body_there
        if is_body_there:
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), CHUNK_TIMEOUT_S)
        except TimeoutError:
            silent = f"Nothing more of the request came in {CHUNK_TIMEOUT_S:g} s."
            raise Denied(HTTPStatus.REQUEST_TIMEOUT, silent, {"connection": "close"}) from None
        is_body_there = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    return receiver
