"""What the OpenAPI document says of every answer: each status that a route gives, and that an error is a problem."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, TypeAlias

from fastapi import FastAPI

PROBLEM_TYPE = "application/problem+json"
Responses: TypeAlias = dict[int | str, dict[str, Any]]

_PROBLEM = {
    "title": "Problem",
    "description": "An error, as RFC 9457 has it; nothing of a patient is in it.",
    "type": "object",
    "properties": {
        "type": {"type": "string", "const": "about:blank"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "code": {"type": "string"},
    },
    "required": ["type", "title", "status", "detail"],
    "additionalProperties": False,
}
_REFERENCE = {"$ref": "#/components/schemas/Problem"}
_OF_EVERY_ROUTE = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.MISDIRECTED_REQUEST,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
"""What the gate, the parameters' checks and a lost database answer, whichever the route."""


def problems(*statuses: HTTPStatus) -> Responses:
    """The errors that a route answers, beside those of every route."""
    return {
        status.value: {"description": status.phrase, "content": {PROBLEM_TYPE: {"schema": _REFERENCE}}}
        for status in statuses
    }


def produces(*media_types: str, status: HTTPStatus = HTTPStatus.OK, description: str | None = None) -> Responses:
    """What a route that writes its own bytes answers with."""
    content: dict[str, Any] = {media_type: {} for media_type in media_types}
    return {status.value: {"description": description or status.phrase} | ({"content": content} if content else {})}


NOT_THERE = problems(HTTPStatus.NOT_FOUND)
CONFLICT = problems(HTTPStatus.CONFLICT)
OF_EVERY_ROUTE = problems(*_OF_EVERY_ROUTE)


def add_problem_schema(application: FastAPI) -> None:
    """Put the form of a problem into the document that :meth:`FastAPI.openapi` makes."""
    make = application.openapi

    def document() -> dict[str, Any]:
        made = make()
        made.setdefault("components", {}).setdefault("schemas", {})["Problem"] = _PROBLEM
        return made

    # FastAPI's documented way of changing the document
    application.openapi = document  # type: ignore[method-assign]
