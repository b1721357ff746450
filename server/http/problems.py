"""Errors as RFC 9457 problem+json: every answer that is not the thing asked for has this one form."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from claims.attachment import AttachmentRefusal
from claims.claim import ClaimRefusal
from claims.report import ReportRefusal
from dicom_node.dicomweb.refusals import WebRefusal
from dicom_node.ups.states import WorkitemRefusal
from inference.errors import Failure, Refusal
from inference.review import ReviewFault, ReviewRefusal
from server.claims.desk import ClaimConflict
from server.events import fault
from server.http.dicomweb.answers import warning_of
from server.http.openapi import PROBLEM_TYPE
from server.operations import NotThere


def problem(status: HTTPStatus, detail: str, code: str | None = None) -> JSONResponse:
    """One problem: ``type`` is about:blank, so that the status says what kind it is (RFC 9457 4.2.1)."""
    body: dict[str, str | int] = {"type": "about:blank", "title": status.phrase, "status": status.value}
    body |= {"detail": detail} | ({} if code is None else {"code": code})
    return JSONResponse(body, status_code=status.value, media_type=PROBLEM_TYPE)


def add_handlers(application: FastAPI) -> None:
    """Answer every error as a problem; what none of these answers, the gate does, with :func:`unexpected`."""
    application.add_exception_handler(HTTPException, _http)
    application.add_exception_handler(RequestValidationError, _invalid)
    application.add_exception_handler(NotThere, _not_there)
    application.add_exception_handler(ReviewRefusal, _review)
    application.add_exception_handler(ClaimConflict, _refused)
    for kind in (ClaimRefusal, ReportRefusal, AttachmentRefusal):
        application.add_exception_handler(kind, _unusable)
    application.add_exception_handler(WebRefusal, _web_refused)
    application.add_exception_handler(Refusal, _refused)
    application.add_exception_handler(Failure, _failed)
    application.add_exception_handler(SQLAlchemyError, _database)


def _http(_request: Request, error: Exception) -> JSONResponse:
    status = HTTPStatus(error.status_code if isinstance(error, HTTPException) else 500)
    return problem(status, str(error.detail) if isinstance(error, HTTPException) else status.phrase)


def _invalid(_request: Request, error: Exception) -> JSONResponse:
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": (), "msg": "invalid"}
    where = ".".join(str(part) for part in first["loc"])
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{where}: {first['msg']}")


def _not_there(_request: Request, error: Exception) -> JSONResponse:
    return problem(HTTPStatus.NOT_FOUND, str(error))


def _web_refused(request: Request, error: Exception) -> JSONResponse:
    answer = problem(error.status if isinstance(error, WebRefusal) else HTTPStatus.BAD_REQUEST, str(error))
    if isinstance(error, WebRefusal) and error.retry_after_s is not None:
        answer.headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, WorkitemRefusal):
        answer.headers.update(warning_of(request, error.warning))
    return answer


def _unusable(_request: Request, error: Exception) -> JSONResponse:
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))


def _refused(_request: Request, error: Exception) -> JSONResponse:
    return problem(HTTPStatus.CONFLICT, str(error))


_CONFLICTS = {ReviewFault.SUPERSEDED, ReviewFault.KEY}
"""Faults of a review that would have been right at another time, or under another key."""


def _review(_request: Request, error: Exception) -> JSONResponse:
    fault_name = error.fault if isinstance(error, ReviewRefusal) else None
    status = HTTPStatus.CONFLICT if fault_name in _CONFLICTS else HTTPStatus.UNPROCESSABLE_ENTITY
    return problem(status, str(error), fault_name)


def _failed(_request: Request, error: Exception) -> JSONResponse:
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error))


def _database(_request: Request, error: Exception) -> JSONResponse:
    return no_database(error)


def no_database(error: Exception) -> JSONResponse:
    """The database failed us: 503, and its place in the log."""
    fault("http_database_fault", error)
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, "The database does not answer; try again later.")


def unexpected(error: Exception) -> JSONResponse:
    """A fault of ours: 500, and its place in the log."""
    fault("http_fault", error)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "An unexpected fault on our side; the log has its place.")
