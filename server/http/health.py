"""Is it alive, can it work, and what has it done: for orchestrators and for Prometheus."""

from __future__ import annotations

from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from server import metrics
from server.http.access import TheNode
from server.http.openapi import produces
from server.readiness import node_checks

router = APIRouter(tags=["health"])
_NOT_READY = produces("application/json", status=HTTPStatus.SERVICE_UNAVAILABLE, description="Not ready: the checks.")


@router.get("/healthz", summary="Whether this process answers.")
async def healthz() -> dict[str, str]:
    """Always ok; a process that hangs does not answer."""
    return {"status": "ok"}


@router.get(
    "/readyz", summary="Whether the node can do its work: database, receiver, worker, models.", responses=_NOT_READY
)
def readyz(node: TheNode) -> JSONResponse:
    """200 when every check is ok, 503 otherwise; the checks are listed either way."""
    checks = node_checks(node)
    is_ready = all(check.is_ok for check in checks)
    body: dict[str, Any] = {"ready": is_ready, "checks": [asdict(check) for check in checks]}
    return JSONResponse(body, status_code=200 if is_ready else 503)


@router.get("/metrics", summary="Prometheus metrics.", response_class=Response, responses=produces("text/plain"))
def prometheus(node: TheNode, request: Request) -> Response:
    """Counts and times; no identifier of a patient or a study."""
    return Response(
        metrics.render(node, request.app.state.drift, request.app.state.outputs),
        media_type="text/plain; version=0.0.4; charset=utf-8",
    )
