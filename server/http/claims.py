"""Claims: handed in, judged, worked on; and a check that keeps nothing."""

from __future__ import annotations

import json
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from claims.encode import to_json
from server.attachments import attachment_status, record_acknowledgement
from server.claims import desk
from server.claims.attach import Order, attach
from server.claims.check import check_once
from server.claims.documents import plain
from server.claims.evaluation import tables_of
from server.claims.material import claim_of
from server.claims.record import attachment_json, history_json, line_json, listed_json
from server.claims.reports import report_of, reports_json
from server.claims.rows import (
    ClaimState,
    claim_row,
    evaluation_json,
    list_claims,
    newest_evaluation,
    reports_of,
)
from server.database import reading
from server.http.access import ClaimId, ControlNumber, Limit, Offset, TheClient, TheNode, ThePackets, ThePrincipal
from server.http.claim_bodies import AttachmentBody, CheckBody, ClaimDecisionBody, ReportBody, TheBody
from server.http.claim_examples import CLAIM
from server.http.openapi import CONFLICT, NOT_THERE, Responses, produces
from server.http.reviews import Key

router = APIRouter(prefix="/api/v1/claims", tags=["claims"])
attachments_router = APIRouter(prefix="/api/v1/attachments", tags=["claims"])
TYPES = {".png": "image/png", ".pdf": "application/pdf", ".dcm": "application/dicom", ".json": "application/json"}
KEPT: Responses = {200: {"description": "It had been."}}
ANY_CLAIM = {
    "requestBody": {
        "required": True,
        "description": "A claim as our own JSON (`spine-claim/1`), a FHIR R4 Claim, or an X12 837P.",
        "content": {
            "application/json": {"schema": {"type": "object"}, "example": CLAIM},
            "application/EDI-X12": {"schema": {"type": "string"}},
        },
    }
}
FileName = Annotated[str, Path(pattern=r"^[A-Za-z0-9-]{1,60}\.(png|pdf|dcm|json)$", description="As in the manifest.")]
WithPrompts = Annotated[bool, Query(description="Only claims for which something is still to be done.")]


@router.post(
    "",
    status_code=201,
    summary="Hand in claims; each is judged at once.",
    openapi_extra=ANY_CLAIM,
    responses=CONFLICT | KEPT,
)
def post_claims(
    *, node: TheNode, principal: ThePrincipal, request: Request, response: Response, body: TheBody, key: Key
) -> dict[str, Any]:
    """201 when they were kept, 200 when they had been. A claim that cannot be worked on is 422."""
    index = request.app.state.dicomweb.index
    made, is_new = desk.hand_in(node, index, body, key, principal)
    response.status_code = HTTPStatus.CREATED if is_new else HTTPStatus.OK
    with reading(node.engine) as connection:
        return {"claims": [line_json(claim_row(connection, i), newest_evaluation(connection, i)) for i in made]}


@router.get("", summary="Claims, those with the most open prompts first.")
def get_claims(
    node: TheNode,
    *,
    state: ClaimState | None = None,
    with_prompts: WithPrompts = False,
    limit: Limit = 100,
    offset: Offset = 0,
) -> dict[str, Any]:
    """``next_offset`` is null on the last page."""
    with reading(node.engine) as connection:
        rows = list_claims(connection, state=state, with_prompts=with_prompts, limit=limit, offset=offset)
    shown = [listed_json(row) for row in rows[:limit]]
    return {"claims": shown, "next_offset": offset + limit if len(rows) > limit else None}


@router.get("/policies", summary="The criteria tables that claims are judged by.")
def get_policies(node: TheNode) -> dict[str, Any]:
    """Each with its version, days, places, source and criteria."""
    tables = sorted(tables_of(node).tables, key=lambda table: (table.id, table.version))
    return {"policies": [table.model_dump(mode="json") for table in tables]}


@router.post("/check", summary="Judge one claim on what is posted with it; nothing is kept.")
def check(node: TheNode, body: CheckBody) -> dict[str, Any]:
    """For scheduling and prior authorisation too; studies of this node are not looked at."""
    return {"evidence": to_json(check_once(tables_of(node), body))}


@router.get("/{claim_id}", summary="One claim, with its reports.", responses=NOT_THERE)
def get_claim(node: TheNode, claim_id: ClaimId) -> dict[str, Any]:
    """As it was handed in."""
    with reading(node.engine) as connection:
        row = claim_row(connection, claim_id)
        reports = reports_json(reports_of(connection, claim_id))
        newest = newest_evaluation(connection, claim_id)
    return {**line_json(row, newest), "claim": plain(claim_of(row)), "reports": reports}


@router.get("/{claim_id}/evidence", summary="What the evidence for a claim comes to.", responses=NOT_THERE)
def get_evidence(node: TheNode, claim_id: ClaimId) -> dict[str, Any]:
    """A verdict for each body, an answer for each criterion, facts about the codes, and what is still to be done."""
    with reading(node.engine) as connection:
        row = claim_row(connection, claim_id)
        newest = newest_evaluation(connection, claim_id)
    return {"claim": row.id, "state": row.state, **({} if newest is None else evaluation_json(newest))}


@router.post(
    "/{claim_id}/reports",
    status_code=201,
    summary="Add a radiology report; the claim is judged again.",
    responses=NOT_THERE | CONFLICT | KEPT,
)
def post_report(
    node: TheNode, principal: ThePrincipal, response: Response, claim_id: ClaimId, body: ReportBody
) -> dict[str, Any]:
    """201 when it was added, 200 when the claim had it. A report that cannot be read is 422."""
    data = body.data()
    newest, is_new = desk.add_report(node, claim_id, report_of(data, body.facts), data, principal)
    response.status_code = HTTPStatus.CREATED if is_new else HTTPStatus.OK
    return {"claim": claim_id, **evaluation_json(newest)}


@router.post(
    "/{claim_id}/decisions",
    status_code=204,
    summary="Record what a person decides about a claim.",
    responses=NOT_THERE | CONFLICT,
)
def post_decision(node: TheNode, principal: ThePrincipal, claim_id: ClaimId, body: ClaimDecisionBody) -> None:
    """It changes no evidence: a prompt that is overridden stays, with who overrode it and why."""
    desk.decide(
        node, claim_id, body.action, principal, about=body.prompt or "", body=body.body or "", reason=body.reason
    )


@router.get(
    "/{claim_id}/history",
    summary="Everything that was done with a claim and that its evidence came to.",
    responses=NOT_THERE,
)
def get_history(node: TheNode, claim_id: ClaimId) -> dict[str, Any]:
    """The whole record of one claim, for whoever has to answer for it."""
    with reading(node.engine) as connection:
        return history_json(connection, node, claim_id)


@router.get(
    "/{claim_id}/packet",
    summary="What the evidence packet of a claim holds; made now where it is not there.",
    responses=NOT_THERE | CONFLICT,
)
def get_packet(packets: ThePackets, claim_id: ClaimId) -> dict[str, Any]:
    """Its manifest: every file with its SHA-256. 503 while packets of many other claims are being made."""
    packet = packets.of(claim_id)
    return {"claim": claim_id, "evaluation": packet.number, "manifest": json.loads(packet.manifest)}


@router.get(
    "/{claim_id}/packet/{name}",
    summary="One file of the packet.",
    response_class=Response,
    responses=NOT_THERE | CONFLICT | produces(*TYPES.values()),
)
def get_packet_file(packets: ThePackets, claim_id: ClaimId, name: FileName) -> Response:
    """Key image, summary, report excerpt, key object selection, or ``manifest.json``."""
    kind = TYPES.get(PurePosixPath(name).suffix, "application/octet-stream")
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(packets.file(claim_id, name), media_type=kind, headers=headers)


@router.post(
    "/{claim_id}/attachments",
    status_code=201,
    summary="Send the evidence to the payer.",
    responses=NOT_THERE | CONFLICT | KEPT,
)
def post_attachment(
    *,
    packets: ThePackets,
    client: TheClient,
    principal: ThePrincipal,
    response: Response,
    claim_id: ClaimId,
    body: AttachmentBody,
    key: Key,
) -> dict[str, Any]:
    """201 when it was queued, 200 when it had been. While something is missing it is 422, and says everything."""
    order = Order(destination=body.destination, key=key, line=body.line, solicited=body.solicited)
    made = attach(packets, client, claim_id, order, principal)
    response.status_code = HTTPStatus.CREATED if made.is_new else HTTPStatus.OK
    return attachment_json(made.status) | {"pwk": made.pwk}


@attachments_router.get("/{control_number}", summary="Where an attachment stands.", responses=NOT_THERE)
def get_attachment(node: TheNode, control_number: ControlNumber) -> dict[str, Any]:
    """By its attachment control number, which is PWK06 of the claim."""
    return attachment_json(attachment_status(node.engine, control_number))


@attachments_router.post(
    "/acknowledgements", summary="Take a TA1, 999 or 277CA that came apart from a request.", responses=NOT_THERE
)
def post_acknowledgement(node: TheNode, body: TheBody) -> dict[str, Any]:
    """The attachment that it names, as it stands now."""
    return attachment_json(record_acknowledgement(node.engine, body))
