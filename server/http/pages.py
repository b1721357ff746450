"""The pages of this node: the worklist at ``/``, a study at ``/study``, claims at ``/claims``, and OHIF at ``/viewer``.

OHIF is there where it is installed. Our pages are plain files, with scripts and style sheets of this node. OHIF is made
for the root of a host, so its files answer at the root, after every route of this node, and never in place of one.
"""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path, PurePosixPath

from fastapi import APIRouter, FastAPI, HTTPException
from fastapi.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from server.compose import Node
from server.http.access import TheNode
from server.http.files import ASK, MEDIA_TYPES, Files
from server.viewer import INDEX

PAGES = Path(__file__).parent.parent / "pages"
OURS_FOR_OHIF = PAGES / "ohif"
"""What replaces a file of OHIF's: its configuration, and an empty service worker."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content security policy of our pages: everything from this node, no script or style inside a page."""

router = APIRouter(include_in_schema=False)


def _page(name: str) -> Response:
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": ASK, "X-Content-Type-Options": "nosniff"}
    return FileResponse(PAGES / name, media_type=MEDIA_TYPES[".html"], headers=headers)


@router.get("/")
def worklist_page() -> Response:
    """The worklist."""
    return _page("worklist.html")


@router.get("/study")
def study_page() -> Response:
    """The built-in viewer."""
    return _page("study.html")


@router.get("/claims")
def claims_page() -> Response:
    """The coders' page."""
    return _page("claims.html")


@router.get("/statistics")
def statistics_page() -> Response:
    """What is watched over many studies."""
    return _page("statistics.html")


@router.get("/viewer")
@router.get("/viewer/{path:path}")
def viewer_page(node: TheNode, path: str = "") -> Response:
    """OHIF, whose own script reads the rest of the address; the built-in viewer where OHIF is not installed.

    A path whose last part has an ending names a file, and there is none below ``/viewer``.
    """
    if PurePosixPath(path).suffix:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    index = node.settings.viewer_folder / INDEX
    if not index.is_file():
        return _page("study.html")
    return FileResponse(index, media_type=MEDIA_TYPES[".html"], headers={"Cache-Control": ASK})


def add_pages(application: FastAPI, node: Node) -> None:
    """Serve our pages with what they load, and OHIF's files where no route answers."""
    application.include_router(router)
    application.mount("/pages", Files(PAGES / "static"))
    viewer, not_found = Files(OURS_FOR_OHIF, node.settings.viewer_folder), application.router.not_found

    async def unrouted(scope: Scope, receive: Receive, send: Send) -> None:
        is_read = scope["type"] == "http" and scope["method"] in {"GET", "HEAD"}
        await (viewer if is_read else not_found)(scope, receive, send)

    application.router.default = unrouted
