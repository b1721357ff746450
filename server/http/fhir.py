"""The findings of a study for a system that speaks FHIR."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Response

from server.database import reading
from server.fhir.bundle import MEDIA_TYPE
from server.fhir.source import bundle_source
from server.http.access import Revision, StudyUid, TheNode
from server.http.openapi import NOT_THERE, produces
from server.http.unchanged import NOT_MODIFIED, headers_of, is_matched

router = APIRouter(prefix="/api/v1/studies", tags=["studies"])


@router.get(
    "/{study_instance_uid}/fhir",
    summary="Findings as a FHIR R4 Bundle: DiagnosticReport, Observations, ImagingStudy, Device, Patient.",
    response_class=Response,
    responses=NOT_THERE | produces(MEDIA_TYPE) | NOT_MODIFIED,
)
def fhir(
    node: TheNode,
    study_instance_uid: StudyUid,
    *,
    revision: Revision = None,
    reviewed: bool = False,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Preliminary, as the AI gave it; what was not assessed has a data absent reason.

    With ``reviewed``, final, as the newest review of that revision left it; 404 where nobody reviewed it.
    """
    with reading(node.engine) as connection:
        source = bundle_source(connection, node, study_instance_uid, revision, reviewed=reviewed)
    headers = headers_of(source.digest, source.revision)
    if is_matched(if_none_match, source.digest):
        return Response(status_code=304, headers=headers)
    return Response(source.encode(), media_type=MEDIA_TYPE, headers=headers)
