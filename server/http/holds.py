"""Legal hold: which studies are kept whatever the rules of retention say, by whom and why."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Row

from server.auth.asked import asked
from server.database import reading
from server.holds import REASON_MAX_CHARACTERS, add_hold, hold_of, list_holds, remove_hold
from server.http.access import StudyUid, TheNode, ThePrincipal
from server.http.openapi import CONFLICT, NOT_THERE
from server.operations import NotThere

router = APIRouter(prefix="/api/v1", tags=["studies"])


class HoldReason(BaseModel):
    """Why a study is held, or no longer."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(min_length=1, max_length=REASON_MAX_CHARACTERS, examples=["Litigation hold of 2026-11-30"])


@router.get("/holds", summary="Studies under legal hold, the oldest hold first.")
def holds(node: TheNode) -> dict[str, Any]:
    """Their images are kept."""
    with reading(node.engine) as connection:
        return {"holds": [_json(hold) for hold in list_holds(connection)]}


@router.get("/studies/{study_instance_uid}/hold", summary="The legal hold of a study.", responses=NOT_THERE)
def one_hold(node: TheNode, study_instance_uid: StudyUid) -> dict[str, Any]:
    """404 when it is not held."""
    with reading(node.engine) as connection:
        hold = hold_of(connection, study_instance_uid)
    if hold is None:
        raise NotThere(f"Study {study_instance_uid} is not held.")
    return _json(hold)


@router.put(
    "/studies/{study_instance_uid}/hold", summary="Hold a study, or say why anew.", responses=NOT_THERE | CONFLICT
)
def hold_study(
    node: TheNode, principal: ThePrincipal, request: Request, study_instance_uid: StudyUid, body: HoldReason
) -> dict[str, Any]:
    """404 when nothing of it was received; 409 when its images are gone."""
    address = asked(request.scope).address
    with node.engine.begin() as connection:
        return _json(add_hold(connection, study_instance_uid, body.reason, principal, address=address))


@router.delete(
    "/studies/{study_instance_uid}/hold",
    status_code=HTTPStatus.NO_CONTENT,
    summary="End the hold of a study.",
    responses=NOT_THERE | CONFLICT,
)
def release_study(
    node: TheNode, principal: ThePrincipal, request: Request, study_instance_uid: StudyUid, body: HoldReason
) -> None:
    """404 when it is not held."""
    with node.engine.begin() as connection:
        remove_hold(connection, study_instance_uid, body.reason, principal, address=asked(request.scope).address)


def _json(hold: Row[Any]) -> dict[str, Any]:
    return dict(hold._mapping)  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping
