"""The application: every route, and nothing that another host would have to serve."""

from __future__ import annotations

from functools import partial

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from dicom_node.dicomweb.archive import open_archive
from dicom_node.dicomweb.intake import IntakeLimits
from server import __version__
from server.agreement import DriftWatch
from server.auth.gate import Gate
from server.auth.guard import Guard
from server.auth.oidc import Provider
from server.auth.pages import page_headers
from server.auth.setup import guard_rules, oidc_rules
from server.claims.packet_maker import Packets
from server.compose import Node, inbox_rules, peer_limits
from server.database import reading
from server.http import (
    audit,
    claims,
    dicomweb,
    fhir,
    health,
    holds,
    login,
    models,
    openapi,
    overlay,
    page,
    problems,
    review_choices,
    reviews,
    statistics,
    studies,
    work,
    worklist,
)
from server.http.dicomweb import workitems
from server.http.pages import add_pages
from server.output_drift import OutputWatch
from server.work_queue import make_client
from server.worklist_index import WorklistIndex

PARTS = (
    health,
    login,
    studies,
    reviews,
    review_choices,
    statistics,
    overlay,
    fhir,
    worklist,
    work,
    holds,
    models,
    audit,
)
BODY_LIMIT_BYTES = 1024**2
"""Of a request to these parts; none of them takes more than a form or a small document."""

CLAIM_LIMIT_BYTES = 48 * 1024**2
"""Of a request about claims: a file of them, or a report of 32 MiB in base64."""


def create(node: Node) -> FastAPI:
    """The application over one node."""
    # The interactive pages of FastAPI load their scripts from elsewhere; ours is one plain page.
    application = FastAPI(
        title="Spine Imaging AI Inference Server",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        responses=openapi.OF_EVERY_ROUTE,
    )
    application.state.node = node
    application.state.client = make_client(node.engine)
    application.state.dicomweb = open_archive(
        node.engine,
        node.spool,
        partial(reading, node.engine),
        rules=inbox_rules(node.settings),
        limits=IntakeLimits(request_bytes=int(node.settings.stow_max_gib * 1024**3)),
        senders=peer_limits(node.settings),
    )
    application.state.packets = Packets(node)
    application.state.guard = Guard(node.engine, guard_rules(node.settings))
    rules = oidc_rules(node.settings)
    application.state.provider = None if rules is None else Provider(rules)
    application.state.drift = DriftWatch()
    application.state.outputs = OutputWatch()
    application.state.worklist = WorklistIndex(node.engine, node.spool, version=__version__)
    application.add_middleware(Gate, guard=application.state.guard)
    problems.add_handlers(application)
    openapi.add_problem_schema(application)
    # First: frames are asked for most, and workitems stand below the same prefix. STOW-RS has a limit of its own.
    application.include_router(workitems.router, max_body_size=BODY_LIMIT_BYTES)
    application.include_router(dicomweb.router)
    for part in PARTS:
        application.include_router(part.router, max_body_size=BODY_LIMIT_BYTES)
    application.include_router(claims.router, max_body_size=CLAIM_LIMIT_BYTES)
    application.include_router(claims.attachments_router, max_body_size=CLAIM_LIMIT_BYTES)

    @application.get("/api/docs", response_class=HTMLResponse, include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(page.render(application.openapi()), headers=page_headers(page.STYLE))

    add_pages(application, node)
    return application
