"""What another viewer draws over the images of a study."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from fastapi import APIRouter, Header, Query, Response

from server.database import reading
from server.http.access import UID, Revision, StudyUid, TheNode
from server.http.openapi import NOT_THERE, produces
from server.http.unchanged import NOT_MODIFIED, headers_of, is_matched
from server.overlay_source import Selection, overlay_source

router = APIRouter(prefix="/api/v1/studies", tags=["studies"])
Uid: TypeAlias = Annotated[str | None, Query(pattern=UID, max_length=64)]


@router.get(
    "/{study_instance_uid}/overlay",
    summary="Findings and outlines to draw over the images, in pixels and in LPS millimetres.",
    response_class=Response,
    responses=NOT_THERE | produces("application/json") | NOT_MODIFIED,
)
def overlay(
    node: TheNode,
    study_instance_uid: StudyUid,
    *,
    series: Uid = None,
    instance: Uid = None,
    structures: bool = True,
    revision: Revision = None,
    reviewed: bool = False,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """A ``spine-overlay/1`` document: of every image that carries something, or of one ``series`` or ``instance``.

    ``structures`` false leaves the outlines out. With ``reviewed``, the findings as the newest review of that revision
    left them; 404 where nobody reviewed it. The same input gives the same bytes and the same ETag.
    """
    selection = Selection(series=series, instance=instance, with_structures=structures, reviewed=reviewed)
    with reading(node.engine) as connection:
        source = overlay_source(connection, node.spool, study_instance_uid, revision, selection)
    headers = headers_of(source.digest, source.revision)
    if is_matched(if_none_match, source.digest):
        return Response(status_code=304, headers=headers)
    return Response(source.encode(), media_type="application/json", headers=headers)
