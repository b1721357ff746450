"""What the worklist page shows."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, TypeAlias

from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from dicom_node.store import StudyState
from inference.errors import ReasonCode
from inference.findings import Question
from server.auth.roles import Permission, Principal
from server.compose import Node
from server.database import reading
from server.http.access import Limit, Offset, TheNode, ThePrincipal
from server.http.unchanged import is_matched
from server.worklist import Filter, Sent, worklist
from server.worklist_index import WorklistIndex

router = APIRouter(prefix="/api/v1/worklist", tags=["studies"])
REFRESH_S = 1.0
"""Longest time in which a request makes rows that are missing; what is left, the next one does."""
Match = Annotated[str | None, Header()]


PriorityCode: TypeAlias = Annotated[str | None, Field(max_length=32, pattern=r"^[a-z_]*$")]
Moment: TypeAlias = Annotated[float | None, Field(ge=0, le=1e11, description="Seconds since the epoch.")]


class Search(BaseModel):
    """A filter with words, which may be a patient's name: it travels in a body, because addresses are written down."""

    model_config = ConfigDict(extra="forbid")

    words: str = Field("", max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")
    priority: PriorityCode = None
    state: StudyState | None = None
    question: Question | None = None
    not_assessed: ReasonCode | None = None
    reviewed: bool | None = None
    delivery: Sent | None = None
    received_after: Moment = None
    limit: int = Field(100, ge=1, le=1000)
    offset: int = Field(0, ge=0, le=10**9)

    def value(self, principal: Principal) -> Filter:
        """As the worklist knows it."""
        given = self.model_dump(exclude={"words", "limit", "offset"})
        may = principal.may(Permission.READ_IMAGES)
        return Filter(words=tuple(self.words.split()), with_patients=may, **given)


@router.get("", summary="Studies by priority, with findings, reviews, deliveries and what was not assessed.")
def read_worklist(
    *,
    node: TheNode,
    principal: ThePrincipal,
    request: Request,
    priority: PriorityCode = None,
    state: StudyState | None = None,
    question: Question | None = None,
    not_assessed: ReasonCode | None = None,
    reviewed: bool | None = None,
    delivery: Sent | None = None,
    received_after: Moment = None,
    limit: Limit = 200,
    offset: Offset = 0,
    if_none_match: Match = None,
) -> Response:
    """The most urgent first, as reviewed where they were; ``priorities`` is the order. No name of a patient.

    ``question``: called present; ``not_assessed``: a reason; ``delivery``: ``open`` or ``dead``.
    """
    search = Search(
        words="",
        priority=priority,
        state=state,
        question=question,
        not_assessed=not_assessed,
        reviewed=reviewed,
        delivery=delivery,
        received_after=received_after,
        limit=limit,
        offset=offset,
    )
    return _answer(node, request, principal, search, if_none_match)


@router.post("", summary="The same, where words are looked for too: patient, finding, UID, source.")
def search_worklist(
    *, node: TheNode, principal: ThePrincipal, request: Request, body: Search, if_none_match: Match = None
) -> Response:
    """Every word has to be found. Patients are looked at for those only who may see images."""
    return _answer(node, request, principal, body, if_none_match)


def _answer(node: Node, request: Request, principal: Principal, search: Search, if_none_match: str | None) -> Response:
    index: WorklistIndex = request.app.state.worklist
    is_complete = index.refresh(budget_s=REFRESH_S)
    with reading(node.engine) as connection:
        found = worklist(connection, search.value(principal), limit=search.limit, offset=search.offset)
    content = json.dumps(found | {"is_complete": is_complete}, ensure_ascii=False, separators=(",", ":")).encode()
    digest = hashlib.sha256(content).hexdigest()
    headers = {"ETag": f'"{digest}"'}
    if is_matched(if_none_match, digest):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type="application/json", headers=headers)
