"""Deliveries, what was set aside, and trying again."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path
from sqlalchemy import select

from dicom_node.results import DeliveryState
from dicom_node.store import list_quarantine
from dicom_node.tables import deliveries
from server.database import reading
from server.http.access import UID, Limit, Offset, TheClient, TheNode
from server.http.openapi import CONFLICT, NOT_THERE
from server.operations import retry

router = APIRouter(prefix="/api/v1", tags=["work"])
Identifier = Annotated[str, Path(pattern=UID, max_length=64)]


@router.get("/deliveries", summary="Objects and where they were, will be or could not be delivered; newest first.")
def list_deliveries(
    node: TheNode, state: DeliveryState | None = None, limit: Limit = 100, offset: Offset = 0
) -> dict[str, Any]:
    """``commitment`` says whether the destination answers for the object; null where it is not asked.

    ``next_offset`` is null on the last page.
    """
    query = select(deliveries).order_by(deliveries.c.id.desc()).limit(limit + 1).offset(offset)
    if state is not None:
        query = query.where(deliveries.c.state == state.value)
    with reading(node.engine) as connection:
        found = [dict(row) for row in connection.execute(query).mappings()]
    return {"deliveries": found[:limit], "next_offset": offset + limit if len(found) > limit else None}


@router.get("/quarantine", summary="Instances that were set aside, each with its reason.")
def quarantined(node: TheNode, limit: Limit = 100, offset: Offset = 0) -> dict[str, Any]:
    """Oldest first. Nothing is deleted: the bytes are in the spool at ``path``."""
    with reading(node.engine) as connection:
        found = list_quarantine(connection)[offset : offset + limit + 1]
    entries = [{name: getattr(entry, name) for name in type(entry).__slots__} for entry in found]
    return {"quarantine": entries[:limit], "next_offset": offset + limit if len(found) > limit else None}


@router.post(
    "/retry/{identifier}",
    status_code=202,
    summary="Try again what failed of a study, an object, a delivery or an attachment.",
    responses=NOT_THERE | CONFLICT,
)
def try_again(node: TheNode, client: TheClient, identifier: Identifier) -> dict[str, Any]:
    """``identifier``: Study Instance UID, SOP Instance UID of a result, number of a delivery, or an attachment's."""
    retried = retry(node.engine, client, identifier)
    return {
        "revisions": list(retried.revisions),
        "deliveries": retried.deliveries,
        "reviews": list(retried.reviews),
        "attachments": list(retried.attachments),
    }
