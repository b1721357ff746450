"""The application: every route, and nothing that another host would have to serve."""

from __future__ import annotations

from functools import partial

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from dicom_node.dicomweb.archive import open_archive
from dicom_node.dicomweb.intake import IntakeLimits
from server import __version__
from server.compose import Node, inbox_rules
from server.database import reading
from server.http import dicomweb, health, models, overlay, page, problems, studies, work, worklist
from server.http.pages import add_pages
from server.work_queue import make_client


def create(node: Node) -> FastAPI:
    """The application over one node."""
    # The interactive pages of FastAPI load their scripts from elsewhere; ours is one plain page.
    application = FastAPI(
        title="Spine Imaging AI Inference Server",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    application.state.node = node
    application.state.client = make_client(node.engine)
    application.state.dicomweb = open_archive(
        node.engine,
        node.spool,
        partial(reading, node.engine),
        rules=inbox_rules(node.settings),
        limits=IntakeLimits(request_bytes=int(node.settings.stow_max_gib * 1024**3)),
    )
    problems.add_handlers(application)
    for part in (health, studies, overlay, worklist, work, models, dicomweb):
        application.include_router(part.router)

    @application.get("/api/docs", response_class=HTMLResponse, include_in_schema=False)
    def docs() -> str:
        return page.render(application.openapi())

    add_pages(application, node)
    return application
