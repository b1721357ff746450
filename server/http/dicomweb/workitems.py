"""UPS-RS: the worklist and its workitems (PS3.18 chapter 11)."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from starlette.requests import ClientDisconnect

from dicom_node.dicomweb.media import parse_media_type
from dicom_node.dicomweb.refusals import WebRefusal, bad_request, checked_uid, unsupported
from dicom_node.dicomweb.search import FUZZY_WARNING, MORE_WARNING
from dicom_node.header import is_uid
from dicom_node.ups.elements import Dataset, parse, text_of
from dicom_node.ups.query import parse_query
from dicom_node.ups.rules import FILTERED_SUBSCRIPTION
from dicom_node.ups.states import CHANGES, MEANINGS, Meaning, Status, WorkitemRefusal
from server.database import reading
from server.http.access import TheClient, TheNode
from server.http.dicomweb.answers import JSON_TYPES, TheArchive, base_url, require_json, warning_of
from server.http.openapi import problems, produces
from server.tables import workitems
from server.workitems.rows import new_uid
from server.workitems.search import find
from server.workitems.service import Done, Workitems
from server.workitems.shown import Shown, workitem_rows

router = APIRouter(prefix="/dicom-web/workitems", tags=["workitems"])
_FEW_SECONDS = 5.0
"""Longest wait for the names of patients whose images have just arrived."""
_UID_PARAMETERS = {
    "workitem": ("workitem", "workitemuid", "affectedsopinstanceuid"),
    "transaction": ("transaction-uid", "transactionuid"),
}
"""How clients name the UID of a query, beside giving it alone (``?1.2.3``), as PS3.18 11.4 and 11.6 may be read."""
_ERRORS = problems(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
_BODY = problems(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
_NOT_SUBSCRIBED = Meaning(
    status=HTTPStatus.FORBIDDEN, sentence="This node sends no event reports; ask for the workitem again instead."
)
_FILTERED = replace(_NOT_SUBSCRIBED, warning="Filtered Worklist Subscriptions are not supported.")
_DATASET: dict[str, Any] = {"type": "object"}
_OPENAPI_BODY = {"requestBody": {"required": True, "content": {name: {"schema": _DATASET} for name in JSON_TYPES}}}


async def _payload(request: Request) -> Dataset:
    """The data set of the body; empty where there is no body."""
    try:
        body = await request.body()
    except ClientDisconnect:
        raise bad_request("The body broke off.") from None
    media_type, _ = parse_media_type(request.headers.get("content-type", ""))
    if not body:
        return {}
    if media_type not in JSON_TYPES:
        raise unsupported(f"A workitem is given as {JSON_TYPES[0]}.")
    return parse(body)


def _service(node: TheNode, client: TheClient) -> Workitems:
    return Workitems(engine=node.engine, client=client, ae_title=node.settings.ae_title)


def _shown(request: Request, node: TheNode) -> Shown:
    return Shown(ae_title=node.settings.ae_title, url=base_url(request))


def _uid(workitem: str) -> str:
    return checked_uid(workitem, "workitem UID")


ThePayload: TypeAlias = Annotated[Dataset, Depends(_payload)]
TheWorkitems: TypeAlias = Annotated[Workitems, Depends(_service)]
TheShown: TypeAlias = Annotated[Shown, Depends(_shown)]
TheUid: TypeAlias = Annotated[str, Depends(_uid)]


def _uid_of_query(request: Request, what: str) -> str | None:
    """A UID that stands in the query, by name or alone.

    Raises:
        WebRefusal: 400, it is not a UID, or there are several.
    """
    given = [
        name if not value and is_uid(name) else value
        for name, value in request.query_params.multi_items()
        if name.lower() in _UID_PARAMETERS[what] or (not value and is_uid(name))
    ]
    if len(given) > 1:
        raise bad_request("The query names more than one UID.")
    return checked_uid(given[0], f"{what} UID in the query") if given else None


def _answer(request: Request, done: Done, status: HTTPStatus, text: str | None = None) -> Response:
    """An answer without a body, which the audit trail connects with the study."""
    request.state.studies = tuple(filter(None, [done.study_instance_uid]))
    text = text or (MEANINGS[done.warning].sentence if done.warning is not None else None)
    return Response(status_code=status, headers=warning_of(request, text) if text else None)


@router.post(
    "",
    summary="UPS-RS: create a workitem.",
    status_code=HTTPStatus.CREATED,
    response_class=Response,
    responses=problems(HTTPStatus.CONFLICT) | _BODY,
    openapi_extra=_OPENAPI_BODY,
)
def create(request: Request, service: TheWorkitems, payload: ThePayload) -> Response:
    """SCHEDULED, under the UID of ``?workitem=``, of the body, or a new one; ``Location`` says where it is.

    One that asks for Computer Aided Detection of one study is taken up when that study is here.
    """
    uid = _uid_of_query(request, "workitem") or text_of(payload, "SOPInstanceUID") or new_uid()
    done = service.create(payload, checked_uid(uid, "workitem UID"))
    answer = _answer(
        request, done, HTTPStatus.CREATED, "The Workitem was created with modifications." if done.is_modified else None
    )
    answer.headers["Location"] = answer.headers["Content-Location"] = f"{base_url(request)}/workitems/{uid}"
    return answer


@router.get(
    "",
    summary="UPS-RS: search for workitems.",
    response_class=Response,
    responses=produces(*JSON_TYPES)
    | produces(*JSON_TYPES, status=HTTPStatus.PARTIAL_CONTENT, description="There are more.")
    | produces(status=HTTPStatus.NO_CONTENT, description="None matches.")
    | problems(HTTPStatus.NOT_ACCEPTABLE),
)
def search(request: Request, node: TheNode, archive: TheArchive, shown: TheShown) -> Response:
    """The newest first, by any attribute, in sequences too (``ScheduledWorkitemCodeSequence.CodeValue=110004``)."""
    media_type = require_json(request)
    query = parse_query(request.query_params.multi_items())
    archive.index.refresh(budget_s=_FEW_SECONDS)
    with reading(node.engine) as connection:
        found = find(connection, shown, query)
    status = HTTPStatus.PARTIAL_CONTENT if found.has_more else HTTPStatus.OK
    answer: Response = JSONResponse(found.entries, status_code=status, media_type=media_type)
    if not found.entries:
        answer = Response(status_code=HTTPStatus.NO_CONTENT)
    for text, holds in ((MORE_WARNING, found.has_more), (FUZZY_WARNING, query.fuzzy)):
        if holds:
            answer.headers.append("Warning", warning_of(request, text)["Warning"])
    return answer


@router.get(
    "/{workitem}",
    summary="UPS-RS: one workitem.",
    response_class=Response,
    responses=produces(*JSON_TYPES) | problems(HTTPStatus.NOT_FOUND, HTTPStatus.NOT_ACCEPTABLE),
)
def retrieve(request: Request, node: TheNode, archive: TheArchive, shown: TheShown, workitem: TheUid) -> Response:
    """An array with its data set; the Transaction UID, which is a lock, is never in it."""
    media_type = require_json(request)
    query = workitem_rows().where(workitems.c.workitem_uid == workitem)
    with reading(node.engine) as connection:
        study = connection.execute(query.with_only_columns(workitems.c.study_instance_uid)).scalar_one_or_none()
    if study is not None:
        archive.index.refresh(study)
    with reading(node.engine) as connection:
        row = connection.execute(query).one_or_none()
        if row is None:
            raise WorkitemRefusal(Status.UNKNOWN)
        document = shown.whole(connection, row)
    request.state.studies = tuple(filter(None, [study]))
    return JSONResponse([document], media_type=media_type)


@router.post(
    "/{workitem}",
    summary="UPS-RS: update a workitem.",
    response_class=Response,
    responses=_ERRORS | _BODY,
    openapi_extra=_OPENAPI_BODY,
)
def update(request: Request, service: TheWorkitems, payload: ThePayload, workitem: TheUid) -> Response:
    """Replace the elements of the body; with ``?transaction-uid=`` where it is IN PROGRESS."""
    return _answer(request, service.update(workitem, payload, _uid_of_query(request, "transaction")), HTTPStatus.OK)


@router.put(
    "/{workitem}/state",
    summary="UPS-RS: claim, complete or cancel a workitem.",
    response_class=Response,
    responses=_ERRORS | _BODY,
    openapi_extra=_OPENAPI_BODY,
)
def change_state(request: Request, service: TheWorkitems, payload: ThePayload, workitem: TheUid) -> Response:
    """The body has Procedure Step State and Transaction UID."""
    event = CHANGES.get(text_of(payload, "ProcedureStepState") or "")
    if event is None or len(payload) > len(("state", "transaction")):
        raise bad_request("The body has Procedure Step State (IN PROGRESS, COMPLETED, CANCELED) and Transaction UID.")
    done = service.change_state(workitem, event, text_of(payload, "TransactionUID") or None)
    return _answer(request, done, HTTPStatus.OK)


@router.post(
    "/{workitem}/cancelrequest",
    summary="UPS-RS: ask that a workitem be canceled.",
    status_code=HTTPStatus.ACCEPTED,
    response_class=Response,
    responses=_ERRORS | _BODY,
)
def request_cancel(request: Request, service: TheWorkitems, payload: ThePayload, workitem: TheUid) -> Response:
    """One that nobody has claimed is canceled; the body may say why."""
    return _answer(request, service.request_cancel(workitem, payload), HTTPStatus.ACCEPTED)


@router.post(
    "/{workitem}/subscribers/{aetitle}",
    summary="UPS-RS: subscribe (refused).",
    status_code=403,
    response_class=Response,
)
def subscribe(request: Request, workitem: TheUid, aetitle: str) -> Response:  # noqa: ARG001 - part of the address
    """No event reports are sent: 403, as PS3.18 11.10.3.1 has it."""
    raise WorkitemRefusal(
        Status.PERFORMER_UNREACHABLE, meaning=_FILTERED if workitem == FILTERED_SUBSCRIPTION else _NOT_SUBSCRIBED
    )


@router.delete(
    "/{workitem}/subscribers/{aetitle}",
    summary="UPS-RS: unsubscribe (there is no subscription).",
    status_code=404,
    response_class=Response,
)
@router.post(
    "/{workitem}/subscribers/{aetitle}/suspend",
    summary="UPS-RS: suspend a subscription (there is none).",
    status_code=404,
    response_class=Response,
)
def no_subscription(workitem: TheUid, aetitle: str) -> Response:  # noqa: ARG001 - part of the address
    """No event reports are sent, so there is no subscription."""
    raise WebRefusal(HTTPStatus.NOT_FOUND, "There is no subscription.")
