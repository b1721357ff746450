"""What the worklist page shows."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from server.database import reading
from server.http.access import Limit, Offset, TheNode
from server.worklist import worklist

router = APIRouter(prefix="/api/v1/worklist", tags=["studies"])


@router.get("", summary="The latest studies, sorted by priority, with findings, deliveries and what was not assessed.")
def read_worklist(node: TheNode, limit: Limit = 200, offset: Offset = 0) -> dict[str, Any]:
    """Of the ``limit`` latest arrivals, the most urgent first; ``priorities`` is the order. No name of a patient."""
    with reading(node.engine) as connection:
        return worklist(connection, node.spool, limit=limit, offset=offset)
